use crate::canonical::canonical;
use crate::id::{JobHandle, NodeHandle, RequestId, RunHandle, RunId, TaskHandle};

/// Something that is due at an instant. The table of timers is ordered by (instant, timer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The schedule of a job fires; answered by [`crate::command::Command::Fire`], never by the passing of time alone.
    Fire(JobHandle),
    /// A task is tried again.
    Retry(TaskHandle),
    /// More of a cancelled run has to be ended than fitted into one entry.
    Cancel(RunHandle),
    /// More of a lost node's attempts have to be ended than fitted into one entry.
    Evacuate(NodeHandle),
    /// The drain deadline of a node is over.
    DrainDeadline(NodeHandle),
    /// More of a stopped job's runs have to be cancelled than fitted into one entry.
    StopJob(JobHandle),
    /// The steps and tasks of an ended run are replaced by a summary.
    Collapse(RunHandle),
    /// The summary of a run is forgotten.
    ForgetRun(RunId),
    /// The answer to a request is forgotten.
    ForgetRequest(RequestId),
}

canonical!(enum Timer {
    1: Fire(job),
    2: Retry(task),
    3: Cancel(run),
    4: Evacuate(node),
    5: DrainDeadline(node),
    6: StopJob(job),
    7: Collapse(run),
    8: ForgetRun(id),
    9: ForgetRequest(key),
});
