use crate::id::{AttemptHandle, ClassHandle, NodeHandle, TaskHandle};
use crate::reason::EndReason;
use crate::time::Timestamp;

/// One launch of a task on one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    pub previous: Option<AttemptHandle>,
    /// When it was placed.
    pub placed: Timestamp,
    /// When its program began to run, by the node's clock.
    pub started: Option<Timestamp>,
    /// Where it stands.
    pub state: AttemptState,
}

/// Where an attempt stands. The legal moves are in [`crate::transition`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl Attempt {
    /// True until it is over.
    pub fn is_live(&self) -> bool {
        match self.state {
            AttemptState::Starting | AttemptState::Running | AttemptState::Stopping(_) => true,
            AttemptState::Ended { .. } => false,
        }
    }
}
