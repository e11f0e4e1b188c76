use crate::canonical::{Canonical, canonical};
use crate::id::{AttemptHandle, ClassHandle, NodeHandle, TaskHandle};
use crate::reason::EndReason;
use crate::time::Timestamp;

/// One launch of a task on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The task it is a launch of.
    pub task: TaskHandle,
    /// Counted from 1 within the task.
    pub number: u32,
    /// The node it was placed on.
    pub node: NodeHandle,
    /// The request it was placed with: what it holds on the node until it ends.
    pub class: ClassHandle,
    /// The attempt of the same task before it.
    pub previous: Previous,
    /// When it was placed.
    pub placed: Timestamp,
    /// When its program began to run, by the node's clock.
    pub started: Option<Timestamp>,
    /// Where it stands.
    pub state: AttemptState,
}

canonical!(Attempt { 1: task, 2: number, 3: node, 4: class, 5: previous, 6: placed, 7: started, 8: state });

/// The attempt of the same task before one, if there is one. In eight bytes, where an `Option` takes sixteen: there is
/// one for each of millions of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous(AttemptHandle);

impl Previous {
    /// Handles are counted up from zero and never come this far.
    const NONE: Previous = Previous(AttemptHandle(u64::MAX));

    /// The attempt; `None` for the first one.
    pub fn get(self) -> Option<AttemptHandle> {
        (self != Previous::NONE).then_some(self.0)
    }
}

impl Canonical for Previous {
    #[inline]
    fn digest(&self) -> u128 {
        self.get().digest()
    }
}

impl From<Option<AttemptHandle>> for Previous {
    fn from(attempt: Option<AttemptHandle>) -> Previous {
        attempt.map_or(Previous::NONE, Previous)
    }
}

/// Where an attempt stands. The legal moves are in [`crate::transition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// Its node was told to start it.
    Starting,
    /// Its program runs.
    Running,
    /// Its node was told to stop it, for this reason.
    Stopping(EndReason),
    /// It is over.
    Ended { reason: EndReason, at: Timestamp },
}

canonical!(enum AttemptState { 1: Starting, 2: Running, 3: Stopping(reason), 4: Ended { 1: reason, 2: at } });

impl Attempt {
    /// True until it is over.
    pub fn is_live(&self) -> bool {
        match self.state {
            AttemptState::Starting | AttemptState::Running | AttemptState::Stopping(_) => true,
            AttemptState::Ended { .. } => false,
        }
    }
}
