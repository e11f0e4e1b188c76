//! What a leader is told, and what it wants done.

use std::sync::Arc;

use berth_core::command::{Command, Origin};
use berth_core::id::EntryId;
use berth_core::reply::Applied;
use berth_core::time::Millis;
use berth_proto::agent;

use crate::publish::View;
use crate::raft::driver::ProposeError;

/// A connection of an agent, as the shell counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A proposal, as this leader counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happens to a leader.
#[derive(Debug)]
pub enum Input {
    /// There is a later view.
    View(Arc<View>),
    /// An agent has connected.
    Opened(ConnectionId),
    /// An agent has said something.
    Message(ConnectionId, Box<agent::FromAgent>),
    /// A connection has ended.
    Closed(ConnectionId),
    /// What became of a proposal.
    Outcome(Ticket, Result<(EntryId, Arc<Applied>), NotApplied>),
    /// Time has passed, and everything that agents had said by then was handed in before.
    Tick,
}

/// A proposal that was not applied, or of which that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotApplied {
    /// The log takes no proposals for the moment; it may after this long.
    Busy { retry_after: Millis },
    /// It is longer than an entry may be, now and for ever.
    TooLarge,
    /// The term is over.
    Deposed,
}

/// What a leader wants done.
#[derive(Debug)]
pub enum Output {
    /// To propose a command in this term.
    Propose(Ticket, Box<Command>, Asker),
    /// To tell an agent something.
    Send(ConnectionId, Box<agent::ToAgent>),
    /// To end a connection, after what was sent to it.
    Close(ConnectionId),
}

/// On whose behalf something is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// The leader itself.
    Leader,
    /// The agent of the node with this name.
    Agent(String),
}

impl Asker {
    /// The actor and the origin under which it is proposed.
    pub fn identity(self) -> (String, Origin) {
        match self {
            Asker::Leader => ("leader".to_owned(), Origin::Leader),
            Asker::Agent(name) => (format!("node {name}"), Origin::Agent),
        }
    }
}

impl From<ProposeError> for NotApplied {
    fn from(error: ProposeError) -> NotApplied {
        match error {
            ProposeError::Busy { retry_after_ms } => NotApplied::Busy { retry_after: Millis(retry_after_ms) },
            ProposeError::TooLarge { .. } => {
                tracing::error!(%error, "a proposal of the leader is too large");
                NotApplied::TooLarge
            }
            ProposeError::NotLeader { .. } | ProposeError::Unknown | ProposeError::Stopped => {
                NotApplied::Deposed
            }
        }
    }
}
