//! The legal moves of runs, tasks and attempts, in one table. Everything else is refused where it comes from
//! outside, and stops the process where it would come from within.

use crate::model::{AttemptState, RunState, TaskState};

/// The phases of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskPhase {
    /// It waits for a place.
    Ready,
    /// It has a live attempt.
    Live,
    /// It waits for a retry.
    Backoff,
    /// It is over.
    Ended,
}

/// The phases of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptPhase {
    /// Its node was told to start it.
    Starting,
    /// Its program runs.
    Running,
    /// Its node was told to stop it.
    Stopping,
    /// It is over.
    Ended,
}

/// The phases of a run. A service stays active until somebody asks for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunPhase {
    /// Something of it waits or runs.
    Active,
    /// It was asked to end.
    Cancelling,
    /// It is over.
    Ended,
}

/// The moves that a task can make. It enters as `Ready` when its step opens.
pub const TASK_MOVES: &[(TaskPhase, TaskPhase)] = &[
    (TaskPhase::Ready, TaskPhase::Live),    // placed
    (TaskPhase::Ready, TaskPhase::Ended),   // cancelled
    (TaskPhase::Live, TaskPhase::Ready),    // its attempt was lost or preempted
    (TaskPhase::Live, TaskPhase::Backoff),  // its attempt failed, and it may be tried again
    (TaskPhase::Live, TaskPhase::Ended),    // its attempt ended for good
    (TaskPhase::Backoff, TaskPhase::Ready), // the wait is over
    (TaskPhase::Backoff, TaskPhase::Ended), // cancelled
];

/// The moves that an attempt can make. It enters as `Starting` when it is placed.
pub const ATTEMPT_MOVES: &[(AttemptPhase, AttemptPhase)] = &[
    (AttemptPhase::Starting, AttemptPhase::Running),
    (AttemptPhase::Starting, AttemptPhase::Stopping),
    (AttemptPhase::Starting, AttemptPhase::Ended),
    (AttemptPhase::Running, AttemptPhase::Stopping),
    (AttemptPhase::Running, AttemptPhase::Ended),
    (AttemptPhase::Stopping, AttemptPhase::Ended),
];

/// The moves that a run can make. It enters as `Active`.
pub const RUN_MOVES: &[(RunPhase, RunPhase)] = &[
    (RunPhase::Active, RunPhase::Cancelling),
    (RunPhase::Active, RunPhase::Ended),
    (RunPhase::Cancelling, RunPhase::Ended),
];

/// Something that moves through phases.
pub trait Phased {
    /// Its phases.
    type Phase: Copy + PartialEq + std::fmt::Debug + 'static;
    /// The legal moves.
    const MOVES: &'static [(Self::Phase, Self::Phase)];

    /// Where it stands.
    fn phase(&self) -> Self::Phase;

    /// True when it may move to where `next` stands.
    fn may_become(&self, next: &Self) -> bool {
        Self::MOVES.contains(&(self.phase(), next.phase()))
    }

    /// Moves to `next` and returns what was.
    ///
    /// # Panics
    /// When the move is not in the table.
    fn become_(&mut self, next: Self) -> Self
    where
        Self: Sized,
    {
        assert!(self.may_become(&next), "no move from {:?} to {:?}", self.phase(), next.phase());
        std::mem::replace(self, next)
    }
}

impl Phased for TaskState {
    type Phase = TaskPhase;
    const MOVES: &'static [(TaskPhase, TaskPhase)] = TASK_MOVES;

    fn phase(&self) -> TaskPhase {
        match self {
            TaskState::Ready => TaskPhase::Ready,
            TaskState::Live => TaskPhase::Live,
            TaskState::Backoff { .. } => TaskPhase::Backoff,
            TaskState::Ended(_) => TaskPhase::Ended,
        }
    }
}

impl Phased for AttemptState {
    type Phase = AttemptPhase;
    const MOVES: &'static [(AttemptPhase, AttemptPhase)] = ATTEMPT_MOVES;

    fn phase(&self) -> AttemptPhase {
        match self {
            AttemptState::Starting => AttemptPhase::Starting,
            AttemptState::Running => AttemptPhase::Running,
            AttemptState::Stopping(_) => AttemptPhase::Stopping,
            AttemptState::Ended { .. } => AttemptPhase::Ended,
        }
    }
}

impl Phased for RunState {
    type Phase = RunPhase;
    const MOVES: &'static [(RunPhase, RunPhase)] = RUN_MOVES;

    fn phase(&self) -> RunPhase {
        match self {
            RunState::Active => RunPhase::Active,
            RunState::Cancelling { .. } => RunPhase::Cancelling,
            RunState::Ended { .. } => RunPhase::Ended,
        }
    }
}
