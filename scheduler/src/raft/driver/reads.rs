//! Linearizable reads: one round for all that wait, each round under a name of its own.
//!
//! A round that is not confirmed in time is given up, never asked again under the same name: an answer to an
//! old question says nothing about now.

use raft::ReadState;

use super::{Answer, Driver, ReadError};
use crate::raft::jitter;

/// Requests that may wait for a round.
const WAITING_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Reads {
    waiting: Vec<Waiting>,
    round: Option<Round>,
    /// Part of each name, so that no two lives of a member use the same.
    nonce: u64,
    rounds: u64,
}

#[derive(Debug)]
struct Waiting {
    request: u64,
    since: u64,
}

#[derive(Debug)]
struct Round {
    name: Vec<u8>,
    requests: Vec<u64>,
    since: u64,
}

impl Reads {
    pub(super) fn new(seed: u64) -> Self {
        Self { waiting: Vec::new(), round: None, nonce: jitter::mix(seed), rounds: 0 }
    }
}

impl<O> Driver<O> {
    pub(super) fn on_read(&mut self, request: u64) {
        let refused = if !self.is_leader() {
            Some(ReadError::NotLeader { leader: self.leader() })
        } else if self.reads.waiting.len() >= WAITING_MAX {
            Some(ReadError::Busy { retry_after_ms: self.settings.retry_after_ms })
        } else {
            None
        };
        match refused {
            Some(error) => self.out.answers.push(Answer::Read { request, result: Err(error) }),
            None => self.reads.waiting.push(Waiting { request, since: self.tick }),
        }
    }

    /// Asks the followers once for all reads that wait, if no round is under way. A new leader asks only after
    /// it has committed an entry of its term: before, raft drops the question in silence.
    pub(super) fn start_read_round(&mut self) {
        let can = self.reads.round.is_none()
            && !self.reads.waiting.is_empty()
            && self.is_leader()
            && self.raw.raft.commit_to_current_term();
        if !can {
            return;
        }
        self.reads.rounds += 1;
        let mut name = self.reads.nonce.to_le_bytes().to_vec();
        name.extend_from_slice(&self.term().to_le_bytes());
        name.extend_from_slice(&self.reads.rounds.to_le_bytes());
        let requests = self.reads.waiting.drain(..).map(|waiting| waiting.request).collect();
        self.reads.round = Some(Round { name: name.clone(), requests, since: self.tick });
        self.with_raw(|raw| raw.read_index(name));
    }

    pub(super) fn on_read_states(&mut self, states: Vec<ReadState>) {
        for state in states {
            let Some(round) = self.reads.round.take_if(|round| round.name == state.request_ctx) else {
                continue;
            };
            for request in round.requests {
                self.out.answers.push(Answer::Read { request, result: Ok(state.index) });
            }
        }
        self.start_read_round();
    }

    pub(super) fn expire_reads(&mut self) {
        let oldest = self.tick.saturating_sub(self.settings.read_timeout_ticks);
        let mut expired = Vec::new();
        if let Some(round) = self.reads.round.take_if(|round| round.since < oldest) {
            expired.extend(round.requests);
        }
        self.reads.waiting.retain(|waiting| {
            let keep = waiting.since >= oldest;
            if !keep {
                expired.push(waiting.request);
            }
            keep
        });
        for request in expired {
            self.out.answers.push(Answer::Read { request, result: Err(ReadError::Timeout) });
        }
    }

    pub(super) fn fail_reads(&mut self) {
        let leader = self.leader();
        let round = self.reads.round.take().map(|round| round.requests).unwrap_or_default();
        let waiting = std::mem::take(&mut self.reads.waiting);
        for request in round.into_iter().chain(waiting.into_iter().map(|waiting| waiting.request)) {
            let result = Err(ReadError::NotLeader { leader });
            self.out.answers.push(Answer::Read { request, result });
        }
    }
}
