//! The log in memory, as raft reads it. Entries are put here first; the disk follows.

use std::cell::Cell;
use std::collections::VecDeque;

use berth_core::id::EntryId;
use prost::bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::raft::config::SnapshotPolicy;
use crate::raft::membership::Membership;
use crate::raft::wire;

/// All entries since the last compaction, and what raft has to know about the newest snapshot.
#[derive(Debug)]
pub struct Tail {
    start: EntryId,
    entries: VecDeque<Entry>,
    bytes: u64,
    first: RaftState,
    snapshot: Option<Described>,
    /// Set when raft asked for a snapshot that there is none good enough for.
    wanted: Cell<bool>,
}

#[derive(Debug)]
struct Described {
    entry: EntryId,
    conf_state: ConfState,
    manifest: Bytes,
}

impl Tail {
    /// The log that begins after `start`, with what raft starts from.
    pub fn new(start: EntryId, entries: Vec<Entry>, hard_state: HardState, membership: &Membership) -> Self {
        let bytes = entries.iter().map(wire::entry_bytes).sum();
        let first = RaftState::new(hard_state, membership.conf_state());
        Self { start, entries: entries.into(), bytes, first, snapshot: None, wanted: Cell::new(false) }
    }

    /// The entry before the first one.
    pub fn start(&self) -> EntryId {
        self.start
    }

    /// The index of the last entry.
    pub fn last(&self) -> u64 {
        self.start.index + u64::try_from(self.entries.len()).expect("a length fits 64 bits")
    }

    /// Adds entries; those they overlap and all later ones are dropped first.
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(
            first.index > self.start.index && first.index <= self.last() + 1,
            "entries from {} do not continue a log of {}..={}",
            first.index,
            self.start.index,
            self.last()
        );
        while self.last() >= first.index {
            let dropped = self.entries.pop_back().expect("the log is longer");
            self.bytes -= wire::entry_bytes(&dropped);
        }
        self.bytes += entries.iter().map(wire::entry_bytes).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Forgets the log; it goes on after a snapshot.
    pub fn reset(&mut self, start: EntryId) {
        self.entries.clear();
        self.bytes = 0;
        self.start = start;
    }

    /// A snapshot is durable and can be given to followers.
    pub fn describe_snapshot(&mut self, entry: EntryId, conf_state: ConfState, manifest: Bytes) {
        self.snapshot = Some(Described { entry, conf_state, manifest });
        self.wanted.set(false);
    }

    /// The place in the log of the snapshot that is offered.
    pub fn described(&self) -> Option<EntryId> {
        self.snapshot.as_ref().map(|described| described.entry)
    }

    /// The snapshot at this index is gone: another one is needed.
    pub fn forget_snapshot(&mut self, index: u64) {
        if self.snapshot.take_if(|described| described.entry.index == index).is_some() {
            self.wanted.set(true);
        }
    }

    /// Drops what the snapshot covers, except as much as the policy keeps for followers that lag, the slowest of
    /// which has the log up to `slowest`; says up to where, if anything was dropped.
    pub fn compact(&mut self, covered: u64, slowest: u64, policy: &SnapshotPolicy) -> Option<EntryId> {
        let mut behind: u64 = 0;
        let mut behind_bytes: u64 = 0;
        let mut kept_bytes: u64 = 0;
        let mut cut = self.start;
        for entry in self.entries.iter().rev().filter(|entry| entry.index <= covered) {
            let bytes = wire::entry_bytes(entry);
            kept_bytes += bytes;
            if entry.index <= slowest {
                behind += 1;
                behind_bytes += bytes;
            }
            let enough = behind > policy.keep_entries && behind_bytes > policy.keep_bytes;
            if enough || kept_bytes > policy.keep_bytes_max {
                cut = EntryId { term: entry.term, index: entry.index };
                break;
            }
        }
        if cut.index <= self.start.index {
            return None;
        }
        while self.start.index < cut.index {
            let dropped = self.entries.pop_front().expect("the cut is inside the log");
            self.bytes -= wire::entry_bytes(&dropped);
            self.start = EntryId { term: dropped.term, index: dropped.index };
        }
        Some(cut)
    }

    /// Whether a snapshot was asked for since the last time this was called.
    pub fn take_wanted(&self) -> bool {
        self.wanted.replace(false)
    }

    /// Bytes of all entries held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn position(&self, index: u64) -> usize {
        usize::try_from(index - self.start.index - 1).expect("the log fits memory")
    }
}

impl Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.first.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.start.index {
            return Err(StorageError::Compacted.into());
        }
        assert!(
            high <= self.last() + 1,
            "entries up to {high} were asked for, the log ends at {}",
            self.last()
        );
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut taken = 0u64;
        let mut entries = Vec::new();
        for entry in self.entries.range(self.position(low)..self.position(high)) {
            taken = taken.saturating_add(wire::entry_bytes(entry));
            if taken > limit && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.start.index {
            return Ok(self.start.term);
        }
        if index < self.start.index {
            return Err(StorageError::Compacted.into());
        }
        match self.entries.get(self.position(index)) {
            Some(entry) => Ok(entry.term),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.start.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // Raft refuses a snapshot whose members do not include the receiver, and one that ends before the
        // log begins would not help it.
        let fitting = self.snapshot.as_ref().filter(|newest| {
            let members = &newest.conf_state;
            newest.entry.index >= request_index.max(self.start.index)
                && (members.voters.contains(&to) || members.learners.contains(&to))
        });
        let Some(newest) = fitting else {
            self.wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        };
        let mut snapshot = Snapshot::default();
        snapshot.set_data(newest.manifest.clone());
        let metadata = snapshot.mut_metadata();
        metadata.index = newest.entry.index;
        metadata.term = newest.entry.term;
        metadata.set_conf_state(newest.conf_state.clone());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests;
