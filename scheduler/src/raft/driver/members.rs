//! Changes of the membership and of the leader.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_core::id::EntryId;
use raft::ProgressState;

use super::{Answer, ChangeDone, ChangeError, ChangeRequest, Driver, MemberId, PeerProgress, TransferError};
use crate::raft::membership::{Change, Membership, Standing};

/// Between two looks at how the others follow.
const LOOK_AT_PEERS_TICKS: u64 = 20;

#[derive(Debug, Default)]
pub(super) struct Members {
    /// When each peer was last heard of.
    heard: BTreeMap<MemberId, u64>,
    /// Since when each learner has been close behind.
    close: BTreeMap<MemberId, u64>,
    /// The change that is in the log and not yet applied.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// `None` for what the leader does by itself.
    request: Option<u64>,
    entry: EntryId,
}

impl Members {
    pub(super) fn heard(&mut self, peer: MemberId, tick: u64) {
        self.heard.insert(peer, tick);
    }

    pub(super) fn forget_progress(&mut self) {
        self.close.clear();
    }
}

impl<O> Driver<O> {
    pub(super) fn on_met(&mut self, peer: MemberId) {
        if self.unmet.remove(&peer) {
            tracing::info!(peer, left = ?self.unmet, "met another first member of the cluster");
        }
    }

    /// Whether this member may ask for votes. Each first member has to meet all the others once before: then
    /// everyone who could vote for it is known to it by its incarnation, and none that has forgotten its votes and
    /// entries is let in.
    pub(super) fn may_stand(&self) -> bool {
        self.unmet.iter().all(|id| self.membership.was_removed(*id))
    }

    pub(super) fn on_change(&mut self, request: u64, change: &ChangeRequest) {
        let outcome = match self.done_before(change) {
            Some(id) => Ok(Some(ChangeDone { id, membership: Arc::clone(&self.membership) })),
            None => self
                .check_change(change)
                .and_then(|change| self.propose_change(Some(request), &change))
                .map(|()| None),
        };
        if let Some(result) = outcome.transpose() {
            self.out.answers.push(Answer::Change { request, result });
        }
    }

    /// The member of a change that an earlier request has made, whose answer was lost perhaps. So changes may be
    /// repeated.
    fn done_before(&self, change: &ChangeRequest) -> Option<MemberId> {
        if !self.is_leader() || self.leader_ready.is_none() {
            return None;
        }
        match change {
            ChangeRequest::Add { address } => {
                let mut members = self.membership.members();
                let same = members.find(|member| member.address == *address)?;
                (same.standing == Standing::Learner).then_some(same.id)
            }
            ChangeRequest::Remove { id } => Some(*id).filter(|id| self.membership.was_removed(*id)),
            ChangeRequest::Promote { .. } => None,
        }
    }

    fn check_change(&self, change: &ChangeRequest) -> Result<Change, ChangeError> {
        if !self.is_leader() {
            return Err(ChangeError::NotLeader { leader: self.leader() });
        }
        if self.leader_ready.is_none() || self.members.pending.is_some() || self.raw.raft.has_pending_conf() {
            return Err(ChangeError::InProgress);
        }
        match change {
            ChangeRequest::Add { address } => {
                if let Some(taken) = self.membership.members().find(|member| member.address == *address) {
                    return Err(ChangeError::AddressTaken { id: taken.id });
                }
                Ok(Change::AddLearner { id: self.membership.next_id(), address: address.clone() })
            }
            ChangeRequest::Promote { id } => {
                let id = *id;
                let member = self.membership.get(id).ok_or(ChangeError::NoSuchMember { id })?;
                if member.standing == Standing::Voter {
                    return Err(ChangeError::AlreadyVoter { id });
                }
                if !self.is_close(id) {
                    return Err(ChangeError::NotCaughtUp { id });
                }
                Ok(Change::Promote { id })
            }
            ChangeRequest::Remove { id } => {
                let id = *id;
                self.membership.get(id).ok_or(ChangeError::NoSuchMember { id })?;
                if id == self.member {
                    return Err(ChangeError::Leads { id });
                }
                if !self.would_have_quorum_without(id) {
                    return Err(ChangeError::NoLiveQuorum { id });
                }
                Ok(Change::Remove { id })
            }
        }
    }

    fn propose_change(&mut self, request: Option<u64>, change: &Change) -> Result<(), ChangeError> {
        // Proposals of this turn keep their place before it.
        self.flush_proposals();
        let conf_change = change.to_conf_change();
        self.with_raw(|raw| raw.propose_conf_change(Vec::new(), conf_change))
            .map_err(|_| ChangeError::InProgress)?;
        let entry = EntryId { term: self.term(), index: self.raw.raft.raft_log.last_index() };
        self.members.pending = Some(Pending { request, entry });
        Ok(())
    }

    /// A change of the log has reached the state: raft has to follow.
    pub(super) fn apply_change(&mut self, entry: EntryId, change: &Change, made: bool) {
        if made {
            let mut membership = Membership::clone(&self.membership);
            assert!(membership.apply(change), "the applier and the driver disagree about {change:?}");
            let conf_change = change.to_conf_change();
            let conf_state = self
                .with_raw(|raw| raw.apply_conf_change(&conf_change))
                .expect("a change that the membership allows is one that raft allows");
            let expected = membership.conf_state();
            let sorted = |mut ids: Vec<u64>| {
                ids.sort_unstable();
                ids
            };
            assert!(
                sorted(conf_state.voters.clone()) == expected.voters
                    && sorted(conf_state.learners.clone()) == expected.learners,
                "raft has other members than the log: {conf_state:?}, {expected:?}"
            );
            self.membership = Arc::new(membership);
        }
        let Some(pending) = self.members.pending.take_if(|pending| pending.entry == entry) else { return };
        let Some(request) = pending.request else { return };
        let id = match change {
            Change::AddLearner { id, .. } | Change::Promote { id } | Change::Remove { id } => *id,
        };
        let result = if made {
            Ok(ChangeDone { id, membership: Arc::clone(&self.membership) })
        } else {
            Err(ChangeError::InProgress)
        };
        self.out.answers.push(Answer::Change { request, result });
    }

    /// Another entry has the place where a change was expected.
    pub(super) fn answer_lost_change(&mut self, applied: EntryId) {
        if self.members.pending.as_ref().is_some_and(|pending| pending.entry.index <= applied.index) {
            self.fail_change();
        }
    }

    pub(super) fn fail_change(&mut self) {
        if let Some(Pending { request: Some(request), .. }) = self.members.pending.take() {
            self.out.answers.push(Answer::Change { request, result: Err(ChangeError::Unknown) });
        }
    }

    /// Gives learners their vote that have been close behind for two election time-outs.
    pub(super) fn promote_learners(&mut self) {
        let wait = u64::from(self.settings.election_ticks) * 2;
        let learners: Vec<MemberId> = self.membership.learners().collect();
        for id in learners {
            if !self.is_close(id) {
                self.members.close.remove(&id);
                continue;
            }
            let since = *self.members.close.entry(id).or_insert(self.tick);
            if self.tick - since < wait {
                continue;
            }
            if let Ok(change) = self.check_change(&ChangeRequest::Promote { id }) {
                // If raft does not take it now, the next tick tries again.
                let _ = self.propose_change(None, &change);
            }
        }
    }

    pub(super) fn on_transfer(&mut self, request: u64, to: Option<MemberId>) {
        let result = self.transfer(to);
        self.out.answers.push(Answer::Transfer { request, result });
    }

    fn transfer(&mut self, to: Option<MemberId>) -> Result<MemberId, TransferError> {
        if !self.is_leader() {
            return Err(TransferError::NotLeader { leader: self.leader() });
        }
        let successor = self
            .membership
            .voters()
            .filter(|id| *id != self.member && self.is_live(*id) && to.is_none_or(|to| to == *id))
            .max_by_key(|id| self.raw.raft.prs().get(*id).map_or(0, |progress| progress.matched))
            .ok_or(TransferError::NoSuccessor)?;
        // What was taken before the transfer goes into the log first; from now on proposals are refused.
        self.flush_proposals();
        self.with_raw(|raw| raw.transfer_leader(successor));
        Ok(successor)
    }

    /// A leader whose disk hangs goes on leading, because its followers commit without it, and nothing it
    /// applies is safe at home. It hands over.
    pub(super) fn watch_disk(&mut self) {
        let stalled = self
            .pipeline
            .oldest_write()
            .is_some_and(|since| self.tick.saturating_sub(since) > self.settings.disk_stall_ticks);
        if stalled && self.raw.raft.lead_transferee.is_none() {
            tracing::warn!(member = self.member, "the disk has stalled; handing leadership over");
            // Without a successor it stays; the next tick tries again.
            let _ = self.transfer(None);
        }
    }

    /// Publishes how the others follow.
    pub(super) fn look_at_peers(&mut self) {
        if !self.tick.is_multiple_of(LOOK_AT_PEERS_TICKS) {
            return;
        }
        let progress = self.raw.raft.prs().iter().filter(|(id, _)| **id != self.member);
        let peers = progress
            .map(|(id, progress)| (*id, PeerProgress { matched: progress.matched, live: self.is_live(*id) }));
        self.peers = Arc::new(peers.collect());
    }

    fn is_close(&self, id: MemberId) -> bool {
        let last = self.raw.raft.raft_log.last_index();
        self.is_live(id)
            && self.raw.raft.prs().get(id).is_some_and(|progress| {
                // While nothing is proposed raft goes on probing a follower that has taken a snapshot.
                progress.state != ProgressState::Snapshot
                    && progress.matched > 0
                    && progress.matched + self.settings.promotion_lag_max >= last
            })
    }

    /// How much of the log the slowest follower has that was heard of lately, as far as this leader knows. One that
    /// fetches a snapshot needs only what comes after it.
    pub(super) fn slowest_live_match(&self) -> Option<u64> {
        if !self.is_leader() {
            return None;
        }
        let progress = self.raw.raft.prs().iter();
        let live = progress.filter(|(id, _)| **id != self.member && self.is_live(**id));
        live.map(|(_, progress)| progress.matched.max(progress.pending_snapshot)).min()
    }

    fn is_live(&self, id: MemberId) -> bool {
        let lately = u64::from(self.settings.election_ticks) * 2;
        id == self.member
            || self.members.heard.get(&id).is_some_and(|heard| self.tick.saturating_sub(*heard) <= lately)
    }

    fn would_have_quorum_without(&self, id: MemberId) -> bool {
        let remaining: Vec<MemberId> = self.membership.voters().filter(|voter| *voter != id).collect();
        let live = remaining.iter().filter(|voter| self.is_live(**voter)).count();
        live > remaining.len() / 2
    }
}
