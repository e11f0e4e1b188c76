//! A handle to one running task.

use tokio::task::JoinHandle;

/// A running task. Dropping it lets the task go on; [`Tasks::shutdown`](super::Tasks::shutdown) still waits for it.
#[derive(Debug)]
pub struct Task {
    pub(super) name: &'static str,
    pub(super) join: JoinHandle<()>,
}

impl Task {
    /// The name it was started with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Ends the task at its next await point. Prefer cancelling a token that it watches.
    pub fn abort(&self) {
        self.join.abort();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }

    /// Waits for its end, whatever that was.
    pub async fn ended(self) {
        // A panic was handled inside the task; what is left is an abort, which is an end too.
        let _ = self.join.await;
    }
}
