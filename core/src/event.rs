//! All that leaves the state machine: what changed, by handle. The details are read from the state of the
//! same index. An event's id is (log index, ordinal within the entry), the same on every member.

use crate::id::{
    AttemptHandle, JobHandle, NodeEpoch, NodeHandle, RunHandle, RunId, StepHandle, TaskHandle, TenantHandle,
};
use crate::time::Timestamp;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A tenant was added or changed.
    TenantApplied(TenantHandle),
    /// A job was registered or got a new version.
    JobApplied { job: JobHandle, version: u64 },
    /// A job's schedule was disabled.
    JobStopped(JobHandle),
    /// A due instant was decided; the run, if it was to run, is in its own event.
    FireDecided { job: JobHandle, nominal: Timestamp },
    /// A run was made.
    RunCreated { run: RunHandle, id: RunId },
    /// A run was asked to end.
    RunCancelling(RunHandle),
    /// A run is over.
    RunEnded { run: RunHandle, id: RunId },
    /// A step's indexes may be placed.
    StepOpened(StepHandle),
    /// A step is over.
    StepEnded(StepHandle),
    /// A task waits for a place again.
    TaskReady(TaskHandle),
    /// A task will be tried again at that instant.
    TaskBackoff { task: TaskHandle, until: Timestamp },
    /// A task is over.
    TaskEnded(TaskHandle),
    /// An attempt was given to a node.
    AttemptPlaced { attempt: AttemptHandle, node: NodeHandle },
    /// An attempt's program runs.
    AttemptStarted { attempt: AttemptHandle, node: NodeHandle },
    /// An attempt is to be stopped by its node.
    AttemptStopping { attempt: AttemptHandle, node: NodeHandle },
    /// An attempt is over.
    AttemptEnded { attempt: AttemptHandle, node: NodeHandle },
    /// A node's agent came up.
    NodeRegistered { node: NodeHandle, epoch: NodeEpoch },
    /// A node's lease ran out.
    NodeLost(NodeHandle),
    /// A node's drain began, changed or ended.
    NodeDrain(NodeHandle),
    /// A node was forgotten.
    NodeRemoved(NodeHandle),
    /// The steps and tasks of a run were replaced by its summary.
    RunCollapsed { run: RunHandle, id: RunId },
}

/// The place of an event in the history of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventId {
    /// The log index of the entry that made it.
    pub index: u64,
    /// Counted from 0 within the entry.
    pub ordinal: u32,
}
