//! Proposals: refused before they are queued, sent on together, answered after they are applied.

use std::collections::VecDeque;

use berth_core::id::EntryId;
use prost::bytes::Bytes;
use raft::eraftpb::{Entry, Message, MessageType};

use super::{Answer, Driver, ProposeError};

#[derive(Debug, Default)]
pub(super) struct Proposals {
    /// Taken in this turn, not yet in the log.
    queued: Vec<Queued>,
    /// In the log, not yet applied; in its order.
    pending: VecDeque<Pending>,
    bytes: usize,
}

#[derive(Debug)]
struct Queued {
    request: u64,
    data: Bytes,
}

#[derive(Debug)]
struct Pending {
    request: u64,
    entry: EntryId,
    bytes: usize,
}

impl Proposals {
    pub(super) fn unanswered(&self) -> usize {
        self.queued.len() + self.pending.len()
    }
}

impl<O> Driver<O> {
    pub(super) fn on_propose(&mut self, request: u64, term: u64, data: Bytes) {
        if let Err(error) = self.admit(term, data.len()) {
            self.out.answers.push(Answer::Proposal { request, result: Err(error) });
            return;
        }
        self.proposals.bytes += data.len();
        self.proposals.queued.push(Queued { request, data });
    }

    fn admit(&self, term: u64, bytes: usize) -> Result<(), ProposeError> {
        let settings = &self.settings;
        if !self.is_leader() || self.term() != term || self.led != Some(term) {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        }
        // An entry without data is raft's own; a proposer never sends one.
        if bytes == 0 || bytes > settings.proposal_bytes_max {
            return Err(ProposeError::TooLarge { bytes, max: settings.proposal_bytes_max });
        }
        let full = self.proposals.unanswered() >= settings.unanswered_max
            || self.proposals.bytes + bytes > settings.unanswered_bytes_max
            || self.pipeline.lag_bytes > settings.apply_lag_bytes_max
            || self.pipeline.lag_entries > settings.apply_lag_entries_max
            || self.raw.raft.lead_transferee.is_some();
        if full {
            return Err(ProposeError::Busy { retry_after_ms: settings.retry_after_ms });
        }
        Ok(())
    }

    /// Puts the proposals of this turn into the log, all in one step.
    pub(super) fn flush_proposals(&mut self) {
        let queued = std::mem::take(&mut self.proposals.queued);
        if queued.is_empty() {
            return;
        }
        let entries: Vec<Entry> =
            queued.iter().map(|proposal| Entry { data: proposal.data.clone(), ..Entry::default() }).collect();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.member;
        message.set_entries(entries.into());
        let term = self.term();
        let mut index = self.raw.raft.raft_log.last_index();
        if self.with_raw(|raw| raw.raft.step(message)).is_ok() {
            for Queued { request, data } in queued {
                index += 1;
                let entry = EntryId { term, index };
                self.proposals.pending.push_back(Pending { request, entry, bytes: data.len() });
            }
            return;
        }
        let error = if self.is_leader() {
            ProposeError::Busy { retry_after_ms: self.settings.retry_after_ms }
        } else {
            ProposeError::NotLeader { leader: self.leader() }
        };
        for Queued { request, data } in queued {
            self.proposals.bytes -= data.len();
            self.out.answers.push(Answer::Proposal { request, result: Err(error) });
        }
    }

    /// Answers the proposals that these outcomes belong to.
    pub(super) fn answer_proposals(&mut self, applied: EntryId, outcomes: Vec<(EntryId, O)>) {
        let mut outcomes = outcomes.into_iter().peekable();
        while let Some(first) = self.proposals.pending.front() {
            if first.entry.index > applied.index {
                break;
            }
            let Pending { request, entry, bytes } =
                self.proposals.pending.pop_front().expect("it was just looked at");
            self.proposals.bytes -= bytes;
            while outcomes.next_if(|(other, _)| other.index < entry.index).is_some() {}
            let result = match outcomes.next_if(|(other, _)| *other == entry) {
                Some((entry, outcome)) => Ok((entry, outcome)),
                // Another leader's entry has its place, or a snapshot swallowed it.
                None => Err(ProposeError::Unknown),
            };
            self.out.answers.push(Answer::Proposal { request, result });
        }
    }

    /// Leadership is lost: what is not in the log yet never will be, of the rest nothing is known.
    pub(super) fn fail_proposals(&mut self) {
        let leader = self.leader();
        let Proposals { queued, pending, .. } = std::mem::take(&mut self.proposals);
        for Pending { request, .. } in pending {
            self.out.answers.push(Answer::Proposal { request, result: Err(ProposeError::Unknown) });
        }
        for Queued { request, .. } in queued {
            let result = Err(ProposeError::NotLeader { leader });
            self.out.answers.push(Answer::Proposal { request, result });
        }
    }
}
