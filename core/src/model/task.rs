use crate::canonical::canonical;
use crate::id::{AttemptHandle, StepHandle};
use crate::reason::EndReason;
use crate::time::Timestamp;

/// One index of a step, from its first placement on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The step it belongs to.
    pub step: StepHandle,
    /// Its index in the step's array, from 0.
    pub index: u32,
    /// Attempts so far.
    pub attempts: u32,
    /// How many of them ended through no fault of the task: lost with a node, preempted.
    pub blameless: u32,
    /// Where it stands.
    pub state: TaskState,
    /// Its latest attempt.
    pub latest: AttemptHandle,
}

canonical!(Task { 1: step, 2: index, 3: attempts, 4: blameless, 5: state, 6: latest });

/// Where a task stands. The legal moves are in [`crate::transition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for a place.
    Ready,
    /// Its latest attempt is live.
    Live,
    /// It is tried again at that instant.
    Backoff { until: Timestamp },
    /// It is over.
    Ended(EndReason),
}

canonical!(enum TaskState { 1: Ready, 2: Live, 3: Backoff { 1: until }, 4: Ended(reason) });
