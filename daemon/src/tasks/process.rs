//! What all groups of a process share: the token that stops it, and why it was stopped.

use std::any::Any;
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::OnFailure;
use super::outcome::{Failure, Outcome};

/// What all groups of a process share.
pub(super) struct Process {
    token: CancellationToken,
    failure: OnceLock<Failure>,
}

impl Process {
    /// `token` stops every group.
    pub(super) fn new(token: CancellationToken) -> Self {
        Self { token, failure: OnceLock::new() }
    }

    /// The first failure that stopped the process.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// Does what the end of a task asks for.
    pub(super) fn settle<T: Outcome>(
        &self,
        task: &'static str,
        on_failure: OnFailure,
        ended: Result<T, Box<dyn Any + Send>>,
    ) {
        match (ended.map(Outcome::failure), on_failure) {
            (Ok(None), _) => tracing::trace!(task, "ended"),
            (Ok(Some(reason)), OnFailure::Log) => tracing::warn!(task, reason, "task failed"),
            (Ok(Some(reason)), OnFailure::StopProcess) => {
                tracing::error!(task, reason, "task failed; the process stops");
                // Only the first failure is the cause; later ones follow from the stop.
                let _ = self.failure.set(Failure { task, reason });
                self.token.cancel();
            }
            (Err(panic), OnFailure::Log) => {
                tracing::error!(task, reason = panic_text(&*panic), "task panicked");
            }
            (Err(panic), OnFailure::StopProcess) => {
                tracing::error!(task, reason = panic_text(&*panic), "task panicked; aborting");
                std::process::abort();
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
