//! Threads whose panic ends the process, and the one way in which a member ends by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::{Fatal, StartError};

/// Raft messages are decoded on the node thread by a parser that recurses.
const STACK_BYTES: usize = 8 << 20;

/// Ends a member.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) fatal: Arc<OnceLock<Fatal>>,
    pub(super) shutdown: CancellationToken,
}

impl End {
    /// The first reason counts.
    pub(super) fn with(&self, fatal: Fatal) {
        tracing::error!(error = &fatal as &dyn std::error::Error, "this member stops");
        let _ = self.fatal.set(fatal);
        self.shutdown.cancel();
    }

    pub(super) fn has_come(&self) -> bool {
        self.shutdown.is_cancelled()
    }
}

pub(super) fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let title = name.to_owned();
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                tracing::error!(thread = title, "a thread of the consensus has panicked; the process ends");
                std::process::abort();
            }
        })
        .map_err(StartError::Thread)
}
