//! The rules of consensus, without threads, clocks or I/O.
//!
//! Feed it with [`Driver::step`], as often as there are inputs; then [`Driver::turn`] says what to do: messages
//! to send, batches to write, entries to apply, answers to give. What was done comes back as input. The order
//! of batches and of work is the order in which they must be done and reported.
//!
//! Messages of a batch leave only after it is durable. Entries are applied only once they are durable here, and
//! changes of the membership only once this member would remember after a crash that they were committed.

mod input;
mod members;
mod output;
mod proposals;
mod reads;
mod ready;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_core::id::EntryId;
use raft::eraftpb::{HardState, Message, MessageType};
use raft::{RawNode, StateRole};

use crate::raft::config::Settings;
use crate::raft::membership::{MemberId, Membership};
use crate::raft::snapshots::Manifest;
use crate::raft::store::Tail;
use crate::raft::{jitter, logger};

pub use input::{Applied, ChangeRequest, Input};
pub use output::{
    Answer, ChangeDone, ChangeError, Fetch, Output, PeerProgress, ProposeError, ReadError, Role, Status,
    TransferError, Work,
};

use members::Members;
use proposals::Proposals;
use reads::Reads;
use ready::Pipeline;
use snapshots::Snapshots;

/// What a driver begins with.
#[derive(Debug)]
pub struct Start {
    /// The id of this member.
    pub member: MemberId,
    /// Governs the election time-outs. Members need not have the same; production draws it once.
    pub seed: u64,
    /// Timings and limits.
    pub settings: Settings,
    /// The log as the disk holds it.
    pub tail: Tail,
    /// What the disk holds of term, vote and commit.
    pub hard_state: HardState,
    /// The last entry that the state machine holds.
    pub applied: EntryId,
    /// The members at that entry.
    pub membership: Membership,
    /// The newest snapshot here.
    pub snapshot: Option<Manifest>,
    /// First members that this one has never met. Until it has, it does not stand for election: it could be one of
    /// several that came back with empty disks, and win with their votes.
    pub unmet: BTreeSet<MemberId>,
}

/// One member's part in the consensus.
pub struct Driver<O> {
    member: MemberId,
    seed: u64,
    settings: Settings,
    raw: RawNode<Tail>,
    hard_state: HardState,
    membership: Arc<Membership>,
    applied: EntryId,
    tick: u64,
    /// The term in which this member leads, as of the last turn.
    led: Option<u64>,
    leader_ready: Option<u64>,
    proposals: Proposals,
    reads: Reads,
    members: Members,
    pipeline: Pipeline,
    snapshots: Snapshots,
    unmet: BTreeSet<MemberId>,
    peers: Arc<BTreeMap<MemberId, PeerProgress>>,
    status: Status,
    out: Output<O>,
}

impl<O> std::fmt::Debug for Driver<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("member", &self.member)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The driver could not start from what the disk holds.
#[derive(Debug, thiserror::Error)]
#[error("raft does not start from what the disk holds")]
pub struct StartError(#[from] raft::Error);

impl<O> Driver<O> {
    /// A driver that goes on where the disk left off.
    pub fn new(start: Start) -> Result<Self, StartError> {
        let Start { member, seed, settings, mut tail, hard_state, applied, membership, snapshot, unmet } =
            start;
        if let Some(manifest) = &snapshot {
            let conf_state = manifest.header.membership.conf_state();
            tail.describe_snapshot(manifest.header.entry, conf_state, manifest.encode().into());
        }
        let config = settings.raft(member, applied.index);
        let raw = RawNode::new(&config, tail, &logger::logger())?;
        let membership = Arc::new(membership);
        let mut driver = Self {
            member,
            seed,
            status: Status::new(Arc::clone(&membership)),
            raw,
            hard_state,
            membership,
            applied,
            tick: 0,
            led: None,
            leader_ready: None,
            proposals: Proposals::default(),
            reads: Reads::new(seed),
            members: Members::default(),
            pipeline: Pipeline::default(),
            snapshots: Snapshots::default(),
            unmet,
            peers: Arc::default(),
            out: Output::default(),
            settings,
        };
        driver.set_jitter();
        driver.notice_status();
        Ok(driver)
    }

    /// Takes one input. What follows from it is handed out by [`Driver::turn`].
    pub fn step(&mut self, input: Input<O>) {
        match input {
            Input::Tick => self.on_tick(),
            Input::Message(message) => self.on_message(message),
            Input::Met { peer } => self.on_met(peer),
            Input::Unreachable { peer } => self.with_raw(|raw| raw.report_unreachable(peer)),
            Input::Propose { request, term, data } => self.on_propose(request, term, data),
            Input::Read { request } => self.on_read(request),
            Input::Change { request, change } => self.on_change(request, &change),
            Input::Transfer { request, to } => self.on_transfer(request, to),
            Input::Persisted { number } => self.on_persisted(number),
            Input::Applied(applied) => self.on_applied(applied),
            Input::SnapshotBuilt(manifest) => self.on_snapshot_built(&manifest),
            Input::SnapshotFetched(manifest) => self.on_snapshot_fetched(&manifest),
            Input::SnapshotNotFetched { entry } => self.on_snapshot_not_fetched(entry),
            Input::SnapshotServed { peer } => self.on_snapshot_served(peer),
            Input::SnapshotMissing { peer, index } => self.on_snapshot_missing(peer, index),
            Input::SnapshotFailed { peer } => self.on_snapshot_failed(peer),
        }
    }

    /// Ends a turn: what has to be done because of the inputs since the last one.
    pub fn turn(&mut self) -> Output<O> {
        self.notice_step_down();
        self.flush_proposals();
        self.start_read_round();
        while self.raw.has_ready() && !self.pipeline.is_full(self.settings.writes_max) {
            self.take_ready();
            self.notice_step_down();
        }
        self.release_work();
        self.out.snapshot_wanted |= self.raw.store().take_wanted();
        self.notice_status();
        std::mem::take(&mut self.out)
    }

    /// Where things stand, as of the last turn.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Whether a follower is fetching a snapshot from here. New ones should wait, because they would take its
    /// place and the log behind it.
    pub fn is_sending_snapshot(&self) -> bool {
        self.snapshots.is_sending()
    }

    /// Bytes and entries committed and not yet applied.
    pub fn apply_lag(&self) -> (u64, u64) {
        (self.pipeline.lag_bytes, self.pipeline.lag_entries)
    }

    /// Batches written and not yet reported as durable.
    pub fn writes_in_flight(&self) -> usize {
        self.pipeline.writes.len()
    }

    /// Proposals without an answer.
    pub fn proposals_in_flight(&self) -> usize {
        self.proposals.unanswered()
    }

    fn on_tick(&mut self) {
        self.tick += 1;
        // Between taking a snapshot and having restored it raft's applied index lies before its log; an
        // election would read entries that are gone.
        if !self.is_installing() {
            self.with_raw(RawNode::tick);
        }
        self.expire_reads();
        self.expire_snapshots();
        if self.is_leader() {
            self.promote_learners();
            self.watch_disk();
            self.look_at_peers();
        }
    }

    fn on_message(&mut self, message: Message) {
        if message.to != self.member || !may_come_from_a_peer(message.get_msg_type()) {
            return;
        }
        if !is_coherent(&message) {
            tracing::warn!(peer = message.from, "an append that contradicts itself was dropped");
            return;
        }
        self.members.heard(message.from, self.tick);
        match message.get_msg_type() {
            MessageType::MsgSnapshot => self.on_snapshot_message(message),
            MessageType::MsgTimeoutNow if self.is_installing() || !self.may_stand() => {}
            _ => self.step_raw(message),
        }
    }

    fn step_raw(&mut self, message: Message) {
        let from = message.from;
        let outcome = self.with_raw(|raw| raw.step(message));
        if let Err(error) = outcome {
            tracing::debug!(peer = from, %error, "raft did not take a message");
        }
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn term(&self) -> u64 {
        self.raw.raft.term
    }

    fn leader(&self) -> Option<MemberId> {
        Some(self.raw.raft.leader_id).filter(|id| *id != raft::INVALID_ID)
    }

    /// Every use of raft that may change its role goes through here, so that its own random time-out never
    /// lasts.
    fn with_raw<T>(&mut self, use_it: impl FnOnce(&mut RawNode<Tail>) -> T) -> T {
        let outcome = use_it(&mut self.raw);
        self.set_jitter();
        outcome
    }

    fn set_jitter(&mut self) {
        let raft = &mut self.raw.raft;
        let role = match raft.state {
            StateRole::Follower => 0,
            StateRole::Candidate => 1,
            StateRole::Leader => 2,
            StateRole::PreCandidate => 3,
        };
        let base = raft.election_timeout();
        let ticks = jitter::election_ticks(self.seed, self.member, raft.term, role, base);
        raft.set_randomized_election_timeout(ticks);
    }

    /// Whoever waits for a leader that is none any more has to hear of it.
    fn notice_step_down(&mut self) {
        let leads = self.is_leader().then(|| self.term());
        if self.led != leads {
            if self.led.is_some() {
                self.fail_proposals();
                self.fail_reads();
                self.fail_change();
                self.snapshots.forget_receivers();
            }
            self.members.forget_progress();
            self.peers = Arc::default();
            self.leader_ready = None;
            self.led = leads;
        }
    }

    fn notice_status(&mut self) {
        let status = Status {
            term: self.term(),
            role: Role::from(self.raw.raft.state),
            leader: self.leader(),
            leader_ready_term: self.leader_ready,
            handing_over: self.raw.raft.lead_transferee.is_some(),
            applied: self.applied,
            commit: self.raw.raft.raft_log.committed,
            membership: Arc::clone(&self.membership),
            peers: Arc::clone(&self.peers),
            removed: self.membership.was_removed(self.member),
        };
        if status != self.status {
            self.status = status.clone();
            self.out.status = Some(status);
        }
    }
}

/// What raft says to itself, and what would make a follower forward proposals, is not taken from others.
fn may_come_from_a_peer(kind: MessageType) -> bool {
    match kind {
        MessageType::MsgAppend
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgSnapshot
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse => true,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => false,
    }
}

/// Whether the entries of an append follow the entry that it says they follow.
///
/// raft-rs 0.7.0 with `batch_append` breaks this: when a late rejection has moved a follower's progress back, it adds
/// the older entries to an append without entries that waits in the same turn. A follower would confirm entries
/// that it has never seen. The setting is off; should it ever be on again, or on at a peer, such messages are dropped
/// on both sides, which is like any loss.
fn is_coherent(message: &Message) -> bool {
    message.get_msg_type() != MessageType::MsgAppend
        || (message.index + 1..).zip(&message.entries).all(|(index, entry)| entry.index == index)
}

#[cfg(test)]
mod tests;
