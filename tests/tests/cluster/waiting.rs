//! Waiting for what must come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until there is an answer. An error counts as none, and is told when the time is over.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if began.elapsed() > within {
            bail!("waited {} s for this: {what}; the last look: {last}", within.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
