//! All that can happen to a driver.

use berth_core::id::EntryId;
use prost::bytes::Bytes;
use raft::eraftpb::Message;

use crate::raft::membership::{Change, MemberId, Membership};
use crate::raft::snapshots::Manifest;

/// One thing that happened.
#[derive(Debug)]
pub enum Input<O> {
    /// A tick of time has passed.
    Tick,
    /// A message from a peer, whose identity was checked.
    Message(Message),
    /// A peer and this member have told each other who they are, and both will remember it after a crash.
    Met {
        /// The peer.
        peer: MemberId,
    },
    /// A message to a peer could not be sent.
    Unreachable {
        /// The peer.
        peer: MemberId,
    },
    /// Someone wants data in the log.
    Propose {
        /// Names the request in its answer.
        request: u64,
        /// The term that the data was made for. In any other it is refused.
        term: u64,
        /// What the state machine will be given; not empty.
        data: Bytes,
    },
    /// Someone wants to read what is true now.
    Read {
        /// Names the request in its answer.
        request: u64,
    },
    /// Someone wants the membership changed.
    Change {
        /// Names the request in its answer.
        request: u64,
        /// The change.
        change: ChangeRequest,
    },
    /// Someone wants another member to lead.
    Transfer {
        /// Names the request in its answer.
        request: u64,
        /// Who; `None` for the one that is furthest along.
        to: Option<MemberId>,
    },
    /// This batch and all before it are durable.
    Persisted {
        /// The number of the batch.
        number: u64,
    },
    /// A piece of work was done by the applier.
    Applied(Applied<O>),
    /// A snapshot of the state is whole and durable.
    SnapshotBuilt(Manifest),
    /// The snapshot that was to be fetched is whole and durable.
    SnapshotFetched(Manifest),
    /// The snapshot that was to be fetched cannot be had.
    SnapshotNotFetched {
        /// The place it stands for.
        entry: EntryId,
    },
    /// A peer has been given a chunk of a snapshot.
    SnapshotServed {
        /// The peer.
        peer: MemberId,
    },
    /// A peer asked for a chunk of a snapshot that is not here any more.
    SnapshotMissing {
        /// The peer.
        peer: MemberId,
        /// The index that the snapshot stands for.
        index: u64,
    },
    /// A peer could not be told of a snapshot.
    SnapshotFailed {
        /// The peer.
        peer: MemberId,
    },
}

/// What a piece of work came to.
#[derive(Debug)]
pub struct Applied<O> {
    /// The last entry that the state machine holds now.
    pub entry: EntryId,
    /// Outcomes of the proposals among the entries, in order.
    pub outcomes: Vec<(EntryId, O)>,
    /// Changes of the membership among the entries, in order, and whether each was made.
    pub changes: Vec<(EntryId, Change, bool)>,
    /// The last term whose first entry was among the entries.
    pub term_started: Option<u64>,
    /// Number of entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The state was replaced by a snapshot with these members.
    pub installed: Option<Membership>,
}

/// A change of the membership that someone asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRequest {
    /// A new member, first as a learner; it gets its vote by itself once it has caught up.
    Add {
        /// `host:port` of its listener for peers.
        address: String,
    },
    /// A learner gets its vote now.
    Promote {
        /// The learner.
        id: MemberId,
    },
    /// A member goes for good.
    Remove {
        /// The member.
        id: MemberId,
    },
}
