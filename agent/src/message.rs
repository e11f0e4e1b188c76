//! What agent and leader say to each other, as plain values. [`crate::wire`] has their form on the network.

use berth_core::command::AttemptReport;
use berth_core::id::{AttemptHandle, ClusterId, EntryId, JournalId, NodeEpoch};
use berth_core::model::NodeFacts;
use berth_core::time::{Millis, Timestamp};

pub use berth_proto::convert::order::{Intent, Launch, Order, Program};

use crate::clock::Boot;

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromAgent {
    /// First in every session.
    Hello(Box<Hello>),
    /// The agent is there.
    Heartbeat {
        /// When it was sent.
        boot: Boot,
        /// The last generation that was taken.
        applied: EntryId,
        /// The agent's wall clock.
        time: Timestamp,
    },
    /// Reports that were not acknowledged yet, in order.
    Reports {
        /// The epoch under which they are sent.
        epoch: NodeEpoch,
        /// At least one.
        reports: Vec<AttemptReport>,
    },
    /// The machine is not as it was at the hello.
    FactsChanged(Box<NodeFacts>),
}

/// Who the agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The node's name.
    pub node: String,
    /// The cluster, epochs and term that the journal knows.
    pub known: Known,
    /// The data directory.
    pub journal: JournalId,
    /// The process.
    pub incarnation: u128,
    /// The machine.
    pub facts: NodeFacts,
    /// The release of the program.
    pub version: String,
    /// The last acknowledged report.
    pub reported: u64,
}

/// What an agent knows of its cluster: orders of an older past are refused by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// `None` before the first welcome.
    pub cluster: Option<ClusterId>,
    /// The highest seen.
    pub cluster_epoch: u64,
    /// The highest seen.
    pub term: u64,
    /// The agent's registration; 0 before the first.
    pub epoch: NodeEpoch,
}

/// By whose right something is said to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The cluster.
    pub cluster: ClusterId,
    /// Grows when the cluster is made anew from a backup.
    pub cluster_epoch: u64,
    /// The sender's term.
    pub term: u64,
    /// The registration that is meant.
    pub epoch: NodeEpoch,
}

/// What the leader says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAgent {
    /// Something by the right of a fence.
    Fenced(Fence, Said),
    /// The session ends.
    Refused(Refusal),
}

/// What the leader says by the right of its fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The session holds.
    Welcome {
        /// How long the lease holds after the last heartbeat.
        lease: Millis,
        /// The time between heartbeats.
        heartbeat: Millis,
        /// Reports up to this number are applied.
        reported: u64,
    },
    /// What the node should have.
    Desired(Desired),
    /// The lease goes on.
    HeartbeatAck {
        /// When that heartbeat was sent.
        boot: Boot,
        /// How long the lease holds, counted from then.
        lease: Millis,
    },
    /// Reports up to this number are in the log.
    ReportsAck { up_to: u64 },
}

/// A version of the attempts that a node should have, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// The version.
    pub generation: EntryId,
    /// True: these orders are all; what is not named is to be stopped and forgotten.
    pub full: bool,
    /// More of this version follows.
    pub more: bool,
    /// New or changed orders.
    pub set: Vec<Order>,
    /// Attempts that are over and acknowledged.
    pub forget: Vec<AttemptHandle>,
}

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
    /// Where the leader is, if known.
    pub leader: Option<String>,
    /// When to dial again.
    pub retry_after: Millis,
}

/// The reasons for which a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// Another member leads.
    NotLeader,
    /// The agent belongs to another cluster.
    WrongCluster,
    /// Another agent with this name and another journal has its lease.
    NameTaken,
    /// The hello is malformed.
    Invalid,
    /// No version of the protocol is spoken by both.
    Protocol,
    /// A newer session of this node has begun.
    Replaced,
    /// A bound of the cluster is reached.
    Full,
    /// The node was removed or declared lost: hello again.
    StaleEpoch,
    /// The agent has not read for too long, or the server stops.
    Closed,
}

impl RefusalCode {
    /// True when dialing again will not help until a person changes something.
    pub fn is_lasting(self) -> bool {
        match self {
            RefusalCode::WrongCluster
            | RefusalCode::NameTaken
            | RefusalCode::Invalid
            | RefusalCode::Protocol
            | RefusalCode::Full
            | RefusalCode::Replaced => true,
            RefusalCode::NotLeader | RefusalCode::StaleEpoch | RefusalCode::Closed => false,
        }
    }
}
