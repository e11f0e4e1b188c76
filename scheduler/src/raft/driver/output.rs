//! All that a driver wants done, and how it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_core::id::EntryId;
use raft::StateRole;
use raft::eraftpb::{Entry, Message};

use crate::raft::membership::{MemberId, Membership};
use crate::raft::snapshots::Manifest;
use crate::raft::store::WriteBatch;

/// What has to be done after a turn.
#[derive(Debug)]
pub struct Output<O> {
    /// To be sent now, in this order for each receiver.
    pub messages: Vec<Message>,
    /// To be written in this order; report each with [`super::Input::Persisted`], then send its messages.
    pub writes: Vec<WriteBatch>,
    /// For the applier, in this order; report each with [`super::Input::Applied`].
    pub work: Vec<Work>,
    /// Answers to requests.
    pub answers: Vec<Answer<O>>,
    /// A snapshot to be fetched; it takes the place of one still being fetched.
    pub fetch: Option<Fetch>,
    /// A follower needs a newer snapshot than there is.
    pub snapshot_wanted: bool,
    /// Where things stand, if that has changed.
    pub status: Option<Status>,
}

impl<O> Default for Output<O> {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            writes: Vec::new(),
            work: Vec::new(),
            answers: Vec::new(),
            fetch: None,
            snapshot_wanted: false,
            status: None,
        }
    }
}

impl<O> Output<O> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.writes.is_empty()
            && self.work.is_empty()
            && self.answers.is_empty()
            && self.fetch.is_none()
            && !self.snapshot_wanted
            && self.status.is_none()
    }
}

/// A piece of work for the applier.
#[derive(Debug, Clone)]
pub enum Work {
    /// Committed entries, following those before.
    Entries(Vec<Entry>),
    /// Replace the state by this snapshot, which is whole and durable.
    Install(Manifest),
}

/// A snapshot that a peer offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The peer that has it.
    pub from: MemberId,
    /// What is to be fetched.
    pub manifest: Manifest,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer<O> {
    /// To a proposal: its place in the log and what it came to.
    Proposal {
        /// The request.
        request: u64,
        /// The answer.
        result: Result<(EntryId, O), ProposeError>,
    },
    /// To a read: whoever has applied this index sees everything that was true when the read was asked for.
    Read {
        /// The request.
        request: u64,
        /// The answer.
        result: Result<u64, ReadError>,
    },
    /// To a change of the membership.
    Change {
        /// The request.
        request: u64,
        /// The answer.
        result: Result<ChangeDone, ChangeError>,
    },
    /// To a transfer of leadership: it has begun, to this member.
    Transfer {
        /// The request.
        request: u64,
        /// The answer.
        result: Result<MemberId, TransferError>,
    },
}

/// A change of the membership that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeDone {
    /// The member that was added, promoted or removed.
    pub id: MemberId,
    /// The members after it.
    pub membership: Arc<Membership>,
}

/// Why a proposal was not taken, or has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This member does not lead, or not in the proposal's term. Nothing was done.
    #[error("this member does not lead in the proposal's term")]
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<MemberId>,
    },
    /// Too much is under way. Nothing was done.
    #[error("too many proposals are under way; try again in {retry_after_ms} ms")]
    Busy {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The data is longer than an entry may be. Nothing was done.
    #[error("the proposal has {bytes} bytes, {max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// Leadership was lost before the entry was applied: it may still be, or never. Ask again with the same
    /// key.
    #[error("leadership changed before the outcome was known; ask again with the same key")]
    Unknown,
    /// This member is shutting down. The proposal may have been taken.
    #[error("this member is shutting down; ask again with the same key")]
    Stopped,
}

/// Why a read was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This member does not lead.
    #[error("this member does not lead")]
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<MemberId>,
    },
    /// A majority did not confirm in time that this member leads.
    #[error("a majority did not confirm in time that this member leads")]
    Timeout,
    /// Too many requests wait.
    #[error("too many requests wait; try again in {retry_after_ms} ms")]
    Busy {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// This member is shutting down.
    #[error("this member is shutting down")]
    Stopped,
}

/// Why the membership was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This member does not lead.
    #[error("this member does not lead")]
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<MemberId>,
    },
    /// Another change is not finished, or this leader has only just been elected.
    #[error("another change of the membership is under way")]
    InProgress,
    /// There is no such member.
    #[error("there is no member {id}")]
    NoSuchMember {
        /// The id asked for.
        id: MemberId,
    },
    /// The member has its vote already.
    #[error("member {id} votes already")]
    AlreadyVoter {
        /// The member.
        id: MemberId,
    },
    /// The learner lags too far for its vote to be of use.
    #[error("member {id} has not caught up")]
    NotCaughtUp {
        /// The member.
        id: MemberId,
    },
    /// A member at this address is there already.
    #[error("member {id} has this address")]
    AddressTaken {
        /// That member.
        id: MemberId,
    },
    /// Too few of the members that would remain have been heard of lately.
    #[error("without member {id} there would be no majority of live members")]
    NoLiveQuorum {
        /// The member to be removed.
        id: MemberId,
    },
    /// The leader does not remove itself.
    #[error("member {id} leads; transfer leadership first")]
    Leads {
        /// The leader.
        id: MemberId,
    },
    /// Leadership was lost: the change may still be made, or never.
    #[error("leadership changed before the outcome was known")]
    Unknown,
    /// This member is shutting down.
    #[error("this member is shutting down")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This member does not lead.
    #[error("this member does not lead")]
    NotLeader {
        /// Who leads, as far as is known here.
        leader: Option<MemberId>,
    },
    /// There is no live voter to hand over to.
    #[error("no live voter to hand over to")]
    NoSuccessor,
    /// This member is shutting down.
    #[error("this member is shutting down")]
    Stopped,
}

/// The part a member plays in its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows, with or without a vote.
    Follower,
    /// Stands for election, or asks whether that would have a chance.
    Candidate,
    /// Leads.
    Leader,
}

impl From<StateRole> for Role {
    fn from(state: StateRole) -> Self {
        match state {
            StateRole::Follower => Self::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Self::Candidate,
            StateRole::Leader => Self::Leader,
        }
    }
}

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its term.
    pub term: u64,
    /// Its part in it.
    pub role: Role,
    /// Who leads, as far as is known here.
    pub leader: Option<MemberId>,
    /// The term in which it leads and has applied the term's first entry: only then may it act as leader.
    pub leader_ready_term: Option<u64>,
    /// It leads and hands that over to another member. Proposals are refused as busy until this has come to an end.
    pub handing_over: bool,
    /// The last entry applied.
    pub applied: EntryId,
    /// The last index known to be committed.
    pub commit: u64,
    /// The members as of the last entry applied.
    pub membership: Arc<Membership>,
    /// How the others follow, if it leads; looked at about once a second.
    pub peers: Arc<BTreeMap<MemberId, PeerProgress>>,
    /// This member has been removed from the cluster.
    pub removed: bool,
}

/// How one member follows the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerProgress {
    /// Up to here its log is known to be the leader's.
    pub matched: u64,
    /// It was heard of within two election time-outs.
    pub live: bool,
}

impl Status {
    pub(crate) fn new(membership: Arc<Membership>) -> Self {
        Self {
            term: 0,
            role: Role::Follower,
            leader: None,
            leader_ready_term: None,
            handing_over: false,
            applied: EntryId::default(),
            commit: 0,
            membership,
            peers: Arc::default(),
            removed: false,
        }
    }
}
