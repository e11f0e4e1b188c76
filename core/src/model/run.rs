use crate::canonical::canonical;
use crate::id::{JobHandle, NodeHandle, RequestId, RunId, SpecHandle, StepHandle, TaskHandle};
use crate::reason::EndReason;
use crate::time::Timestamp;

/// One firing of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its outside name.
    pub id: RunId,
    /// The job that fired.
    pub job: JobHandle,
    /// The spec of that version of the job.
    pub spec: SpecHandle,
    /// The version of the job.
    pub version: u64,
    /// Why there is this run.
    pub cause: RunCause,
    /// The instant it stands for.
    pub nominal: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Its first step; the others follow, one for each task of the spec.
    pub first_step: StepHandle,
    /// The number of steps.
    pub steps: u16,
    /// How many steps have not ended.
    pub steps_open: u16,
    /// Whether it is over.
    pub state: RunState,
    /// True once its summary stands for it: its steps and tasks are being removed.
    pub collapsing: bool,
    /// Where the run's directory is, once a task that uses it was placed.
    pub files: Option<Files>,
    /// Bytes of outputs that its tasks have left.
    pub output_bytes: u32,
}

canonical!(Run {
    1: id,
    2: job,
    3: spec,
    4: version,
    5: cause,
    6: nominal,
    7: created,
    8: first_step,
    9: steps,
    10: steps_open,
    11: state,
    12: collapsing,
    13: files,
    14: output_bytes,
});

/// Why there is a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCause {
    /// Somebody asked for it, under this key.
    Manual(RequestId),
    /// Its schedule fired, in this generation.
    Schedule { generation: u64 },
}

canonical!(enum RunCause { 1: Manual(key), 2: Schedule { 1: generation } });

/// Whether a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Something of it waits or runs.
    Active,
    /// It was asked to end, by the one named; nothing new of it starts.
    Cancelling { by: String },
    /// It is over.
    Ended { reason: EndReason, at: Timestamp },
}

canonical!(enum RunState { 1: Active, 2: Cancelling { 1: by }, 3: Ended { 1: reason, 2: at } });

/// Where a run's directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// On this node alone.
    Node(NodeHandle),
    /// On every node that offers the shared directory of this name.
    Shared(String),
}

canonical!(enum Files { 1: Node(node), 2: Shared(name) });

/// One named task of one run, with all its indexes. An index gets a record of its own when it is first placed;
/// until then the step stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The run it belongs to.
    pub run: crate::id::RunHandle,
    /// Its place in the spec's tasks.
    pub place: u16,
    /// Where it stands.
    pub state: StepState,
    /// How many steps that it comes after have not succeeded yet.
    pub waits_for: u16,
    /// The number of indexes; known when it opens.
    pub size: u32,
    /// The handle of index 0; the others follow.
    pub first_task: TaskHandle,
    /// Indexes below this one have a record of their own.
    pub opened: u32,
    /// How many indexes have a live attempt.
    pub live: u32,
    /// How many indexes wait for a retry.
    pub backoff: u32,
    /// How many indexes succeeded.
    pub succeeded: u32,
    /// How many indexes ended otherwise.
    pub failed: u32,
    /// Why the first of its indexes that did not succeed ended.
    pub first_failure: Option<EndReason>,
}

canonical!(Step {
    1: run,
    2: place,
    3: state,
    4: waits_for,
    5: size,
    6: first_task,
    7: opened,
    8: live,
    9: backoff,
    10: succeeded,
    11: failed,
    12: first_failure,
});

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepState {
    /// Steps that it comes after have not all succeeded.
    Waiting,
    /// Its indexes wait, run or have ended.
    Open,
    /// All its indexes succeeded.
    Succeeded,
    /// Some index did not succeed, and none is left to run.
    Failed,
}

canonical!(enum StepState { 1: Waiting, 2: Open, 3: Succeeded, 4: Failed });

/// What is kept of a run after its steps and tasks were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The job it belonged to.
    pub job: JobHandle,
    /// The version of the job.
    pub version: u64,
    /// Why there was this run.
    pub cause: RunCause,
    /// The instant it stood for.
    pub nominal: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Why it ended.
    pub reason: EndReason,
    /// How many tasks it had.
    pub tasks: u64,
    /// How many of them succeeded.
    pub succeeded: u64,
}

canonical!(RunSummary {
    1: job,
    2: version,
    3: cause,
    4: nominal,
    5: created,
    6: ended,
    7: reason,
    8: tasks,
    9: succeeded,
});

impl Step {
    /// How many indexes wait for a place.
    pub fn ready(&self) -> u32 {
        match self.state {
            StepState::Open => self.size - self.live - self.backoff - self.succeeded - self.failed,
            StepState::Waiting | StepState::Succeeded | StepState::Failed => 0,
        }
    }

    /// True when it is over.
    pub fn is_ended(&self) -> bool {
        match self.state {
            StepState::Succeeded | StepState::Failed => true,
            StepState::Waiting | StepState::Open => false,
        }
    }

    /// The handle of an index.
    pub fn task(&self, index: u32) -> TaskHandle {
        TaskHandle(self.first_task.0 + u64::from(index))
    }
}

impl Run {
    /// The handle of the step at a place of the spec's tasks.
    pub fn step(&self, place: u16) -> StepHandle {
        StepHandle(self.first_step.0 + u64::from(place))
    }

    /// The handles of all steps.
    pub fn step_handles(&self) -> impl DoubleEndedIterator<Item = StepHandle> + use<> {
        (self.first_step.0..self.first_step.0 + u64::from(self.steps)).map(StepHandle)
    }
}
