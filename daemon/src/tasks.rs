//! The one door through which tasks and threads are started.
//!
//! Each has a name and says what its failure means; all of them are cancelled by one token, waited
//! for up to a deadline, and named when they are late.
//!
//! A panic is a broken promise, not a failure to recover from: a release build aborts on it
//! wherever it happens. Builds that unwind abort here, so that they do not run on half dead, unless
//! the task was started with [`OnFailure::Log`].

mod outcome;
mod process;
mod running;
mod task;

pub use outcome::{Failure, Late, Outcome};
pub use task::Task;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::process::Process;
use self::running::Running;

/// What the failure of a task means for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is logged and everything else goes on: a connection, a request, a watcher.
    Log,
    /// The process cannot do its work without it: the failure is kept ([`Tasks::failure`]) and the
    /// orderly stop of the whole process begins. A panic aborts.
    StopProcess,
}

/// A group of tasks with one cancellation token. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    running: Arc<Running>,
    process: Arc<Process>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &self.names()).finish_non_exhaustive()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// The root group of a process, made once in its `main`.
    #[must_use]
    pub fn new() -> Self {
        let token = CancellationToken::new();
        Self {
            tracker: TaskTracker::new(),
            token: token.clone(),
            running: Arc::default(),
            process: Arc::new(Process::new(token)),
        }
    }

    /// A group that is cancelled with this one, and that can be stopped and waited for by itself:
    /// stopping groups one after another is how a daemon keeps its stop order. The parent does not
    /// wait for the tasks of its groups.
    #[must_use]
    pub fn group(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            token: self.token.child_token(),
            running: Arc::default(),
            process: Arc::clone(&self.process),
        }
    }

    /// The token that the group's tasks watch.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// A token that is cancelled with the group, and that can be cancelled alone.
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Begins the stop of this group without waiting for it.
    pub fn begin_shutdown(&self) {
        self.token.cancel();
    }

    /// Waits until the stop of this group has begun: by a signal, by [`Tasks::begin_shutdown`], or
    /// by a failed task.
    pub async fn stopping(&self) {
        self.token.cancelled().await;
    }

    /// The first failure of a task that the process cannot do without, in any group.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.process.failure().cloned()
    }

    /// Starts a task. It should end soon after the group's token is cancelled.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, on_failure: OnFailure, future: F) -> Task
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        // Entered before the start, so that the task's own removal always comes after it.
        let guard = self.running.enter(name);
        let id = guard.id;
        let process = Arc::clone(&self.process);
        let watched = async move {
            let _guard = guard;
            let ended = catching(future).await;
            process.settle(name, on_failure, ended);
        };
        let span = tracing::info_span!("task", name);
        let join = start(self.tracker.track_future(watched.instrument(span)));
        self.running.can_abort(id, join.abort_handle());
        Task { name, join }
    }

    /// Starts an OS thread for work that blocks. Its error begins the stop of the process, its panic
    /// aborts the process. Linux shows the first 15 bytes of the name.
    ///
    /// # Errors
    /// When the system has no room for another thread.
    pub fn spawn_thread<F, T>(&self, name: &'static str, work: F) -> io::Result<()>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Outcome,
    {
        let guard = self.running.enter(name);
        let tracked = self.tracker.token();
        let process = Arc::clone(&self.process);
        let run = move || {
            let (_tracked, _guard) = (tracked, guard);
            let ended = catch_unwind(AssertUnwindSafe(work));
            process.settle(name, OnFailure::StopProcess, ended);
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map(|_| ())
    }

    /// Starts what lives as long as the process and is not waited for.
    pub(crate) fn spawn_untracked(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let process = Arc::clone(&self.process);
        start(async move { process.settle(name, OnFailure::Log, catching(future).await) });
    }

    /// Cancels the group and waits for its tasks; those that are late are aborted and named.
    ///
    /// # Errors
    /// [`Late`] when `deadline` passed first.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Late> {
        self.token.cancel();
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let names = self.running.abort_all();
        if names.is_empty() {
            // The last one ended between the timeout and this look.
            return Ok(());
        }
        Err(Late { names, waited: deadline })
    }

    /// The names of what runs, in the order of starting.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.running.names()
    }
}

/// Runs a future to its end or to its panic.
async fn catching<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = Box::pin(future);
    // Unwind safe in effect: after a panic the future is dropped and never polled again.
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

#[expect(clippy::disallowed_methods, reason = "the one place that calls it")]
fn start<F: Future<Output = ()> + Send + 'static>(future: F) -> JoinHandle<()> {
    tokio::spawn(future)
}

#[cfg(test)]
mod tests;
