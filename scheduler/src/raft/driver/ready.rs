//! From raft's Ready to writes and work, and back.

use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::{Entry, EntryType, HardState, Message, MessageType};

use super::{Applied, Driver, Work, is_coherent};
use crate::raft::snapshots::Manifest;
use crate::raft::store::WriteBatch;
use crate::raft::wire;
use berth_core::id::EntryId;

/// Pieces of work with the applier at one time. The rest waits here, where it costs nothing: its entries are in
/// the log in memory anyway.
const HANDED_MAX: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// Batches that are being written: number, and the tick at which each was handed out.
    pub(super) writes: VecDeque<(u64, u64)>,
    persisted: u64,
    /// The last number that was handed out.
    last_number: u64,
    /// Work that waits for a batch to be durable or for the applier.
    waiting: VecDeque<Waiting>,
    handed: usize,
    pub(super) lag_entries: u64,
    pub(super) lag_bytes: u64,
}

#[derive(Debug)]
struct Waiting {
    after: u64,
    work: Work,
}

impl Pipeline {
    pub(super) fn is_full(&self, writes_max: usize) -> bool {
        self.writes.len() >= writes_max
    }

    /// The tick since which the disk owes an answer.
    pub(super) fn oldest_write(&self) -> Option<u64> {
        self.writes.front().map(|(_, tick)| *tick)
    }

    fn push_write(&mut self, number: u64, tick: u64) {
        self.last_number = number;
        self.writes.push_back((number, tick));
    }
}

fn asks_for_no_vote(message: &Message) -> bool {
    !matches!(message.get_msg_type(), MessageType::MsgRequestPreVote | MessageType::MsgRequestVote)
}

impl<O> Driver<O> {
    pub(super) fn take_ready(&mut self) {
        let mut ready = self.raw.ready();
        let number = ready.number();
        if let Some(state) = ready.hs() {
            self.hard_state = state.clone();
        }
        let mut messages = ready.take_messages();
        // After a step-down appends of the former leader are among these.
        let mut after = ready.take_persisted_messages();
        after.retain(is_coherent);
        if !self.may_stand() {
            // Raft's time-outs go on, so that this member votes as it should; it only asks for no votes itself.
            messages.retain(asks_for_no_vote);
            after.retain(asks_for_no_vote);
        }
        let states = ready.take_read_states();
        let committed = ready.take_committed_entries();
        let mut batch = WriteBatch { number, messages: after, ..WriteBatch::default() };
        let install = self.take_snapshot_of(ready.snapshot(), &mut batch);
        batch.entries = ready.take_entries();
        self.raw.mut_store().append(&batch.entries);

        // A crash must not make this member forget that a change of the membership was committed: it would
        // act on a majority that does not exist any more.
        let changes_members = committed.iter().any(|entry| entry.get_entry_type() != EntryType::EntryNormal);
        let must_sync = ready.must_sync() || changes_members;
        if must_sync {
            batch.hard_state = Some(self.hard_state.clone()).filter(|state| *state != HardState::default());
        }
        self.raw.advance_append_async(ready);
        self.set_jitter();

        for message in &messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.snapshots.sent(message.to, self.tick);
            }
        }
        self.send_coherent(messages);
        self.queue_write(batch, must_sync);
        self.queue_work(install, committed, changes_members, number);
        self.on_read_states(states);
    }

    /// A message that is dropped here is one that its receiver has not got, and raft has to know that.
    fn send_coherent(&mut self, messages: Vec<Message>) {
        for message in messages {
            if is_coherent(&message) {
                self.out.messages.push(message);
            } else {
                let peer = message.to;
                tracing::debug!(peer, "an append that contradicts itself was not sent");
                self.with_raw(|raw| raw.report_unreachable(peer));
            }
        }
    }

    fn take_snapshot_of(
        &mut self,
        snapshot: &raft::eraftpb::Snapshot,
        batch: &mut WriteBatch,
    ) -> Option<Manifest> {
        if snapshot.is_empty() {
            return None;
        }
        let manifest = Manifest::decode(snapshot.get_data()).expect("it was read before it was fetched");
        let start = manifest.header.entry;
        let conf_state = manifest.header.membership.conf_state();
        let tail = self.raw.mut_store();
        tail.reset(start);
        tail.describe_snapshot(start, conf_state, manifest.encode().into());
        batch.reset = Some(start);
        self.snapshots.installing(start.index);
        Some(manifest)
    }

    fn queue_write(&mut self, batch: WriteBatch, must_sync: bool) {
        if must_sync || (!self.pipeline.writes.is_empty() && !batch.messages.is_empty()) {
            self.pipeline.push_write(batch.number, self.tick);
            self.out.writes.push(batch);
        } else if self.pipeline.writes.is_empty() {
            // Nothing to wait for: at most the commit index has changed, which is found out again anyway.
            self.out.messages.extend(batch.messages);
            self.pipeline.last_number = batch.number;
            self.on_durable(batch.number);
        }
    }

    fn queue_work(&mut self, install: Option<Manifest>, committed: Vec<Entry>, gated: bool, number: u64) {
        if let Some(manifest) = install {
            self.pipeline.waiting.push_back(Waiting { after: number, work: Work::Install(manifest) });
        }
        if !committed.is_empty() {
            self.pipeline.lag_entries += u64::try_from(committed.len()).expect("a length fits 64 bits");
            self.pipeline.lag_bytes += committed.iter().map(wire::entry_bytes).sum::<u64>();
            let after = if gated { number } else { 0 };
            self.pipeline.waiting.push_back(Waiting { after, work: Work::Entries(committed) });
        }
    }

    /// Rows of the log that a snapshot covers are deleted with the next write.
    pub(super) fn queue_compaction(&mut self, upto: EntryId) {
        let number = self.pipeline.last_number;
        self.pipeline.push_write(number, self.tick);
        self.out.writes.push(WriteBatch { number, compact: Some(upto), ..WriteBatch::default() });
    }

    pub(super) fn on_persisted(&mut self, number: u64) {
        while self.pipeline.writes.front().is_some_and(|(first, _)| *first <= number) {
            self.pipeline.writes.pop_front();
        }
        self.on_durable(number);
    }

    fn on_durable(&mut self, number: u64) {
        self.pipeline.persisted = self.pipeline.persisted.max(number);
        self.with_raw(|raw| raw.on_persist_ready(number));
    }

    /// Hands on the work whose batch is durable, as much as the applier takes.
    pub(super) fn release_work(&mut self) {
        let pipeline = &mut self.pipeline;
        while pipeline.handed < HANDED_MAX {
            let persisted = pipeline.persisted;
            let Some(first) = pipeline.waiting.pop_front_if(|first| first.after <= persisted) else { break };
            pipeline.handed += 1;
            self.out.work.push(first.work);
        }
    }

    pub(super) fn on_applied(&mut self, applied: Applied<O>) {
        self.pipeline.handed = self.pipeline.handed.saturating_sub(1);
        self.pipeline.lag_entries = self.pipeline.lag_entries.saturating_sub(applied.entries);
        self.pipeline.lag_bytes = self.pipeline.lag_bytes.saturating_sub(applied.bytes);
        if let Some(membership) = applied.installed {
            self.membership = Arc::new(membership);
            self.snapshots.installed(applied.entry.index);
        }
        for (entry, change, made) in &applied.changes {
            self.apply_change(*entry, change, *made);
        }
        self.applied = applied.entry;
        self.with_raw(|raw| raw.advance_apply_to(applied.entry.index));
        self.answer_lost_change(applied.entry);
        self.answer_proposals(applied.entry, applied.outcomes);
        if self.is_leader() && applied.term_started == Some(self.term()) {
            self.leader_ready = Some(self.term());
        }
        self.step_fetched();
    }
}
