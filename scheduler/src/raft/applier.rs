//! The state machine and the order in which the log reaches it.

use std::sync::Arc;

use berth_core::id::{ClusterId, EntryId};
use raft::eraftpb::{Entry, EntryType};

use crate::raft::config::SnapshotPolicy;
use crate::raft::driver::Applied;
use crate::raft::machine::{StateMachine, View};
use crate::raft::membership::{Change, Membership};
use crate::raft::snapshots::{self, Header, Manifest, SnapshotStore};
use crate::raft::wire;

/// Owns the state machine; gives it the committed entries in their order and nothing else.
#[derive(Debug)]
pub struct Applier<M> {
    machine: M,
    cluster: ClusterId,
    applied: EntryId,
    membership: Arc<Membership>,
    policy: SnapshotPolicy,
    /// What was applied since the last snapshot.
    entries: u64,
    bytes: u64,
    building: bool,
    asked: bool,
}

/// A snapshot to be written, from a view that nothing changes any more.
#[derive(Debug, Clone)]
pub struct SnapshotJob<V> {
    /// What it is of.
    pub header: Header,
    /// The state.
    pub view: V,
}

impl<M: StateMachine> Applier<M> {
    /// A machine that holds everything up to `applied`.
    pub fn new(
        machine: M,
        cluster: ClusterId,
        applied: EntryId,
        membership: Membership,
        policy: SnapshotPolicy,
    ) -> Self {
        let membership = Arc::new(membership);
        Self {
            machine,
            cluster,
            applied,
            membership,
            policy,
            entries: 0,
            bytes: 0,
            building: false,
            asked: false,
        }
    }

    /// Applies committed entries that follow those before.
    ///
    /// # Panics
    ///
    /// If they do not follow: the log would be broken.
    pub fn apply(&mut self, entries: &[Entry]) -> Applied<M::Outcome> {
        let mut done = Applied {
            entry: self.applied,
            outcomes: Vec::with_capacity(entries.len()),
            changes: Vec::new(),
            term_started: None,
            entries: u64::try_from(entries.len()).expect("a length fits 64 bits"),
            bytes: entries.iter().map(wire::entry_bytes).sum(),
            installed: None,
        };
        for entry in entries {
            assert_eq!(entry.index, self.applied.index + 1, "committed entries follow one another");
            let id = EntryId { term: entry.term, index: entry.index };
            match entry.get_entry_type() {
                EntryType::EntryNormal if entry.data.is_empty() => {
                    self.machine.on_term_start(id);
                    done.term_started = Some(id.term);
                }
                EntryType::EntryNormal => {
                    let outcome = self.machine.apply(id, &entry.data);
                    done.outcomes.push((id, outcome));
                }
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                    let change = Change::from_entry(entry)
                        .expect("a change of the membership is one that some version of this proposed");
                    let made = Arc::make_mut(&mut self.membership).apply(&change);
                    done.changes.push((id, change, made));
                }
            }
            self.applied = id;
        }
        self.entries += done.entries;
        self.bytes += done.bytes;
        done.entry = self.applied;
        done
    }

    /// Replaces the state by a snapshot that is whole.
    pub fn install(
        &mut self,
        snapshots: &SnapshotStore,
        manifest: &Manifest,
    ) -> Result<Applied<M::Outcome>, snapshots::Error> {
        self.machine = snapshots.restore(manifest)?;
        self.applied = manifest.header.entry;
        self.membership = Arc::new(manifest.header.membership.clone());
        self.entries = 0;
        self.bytes = 0;
        Ok(Applied {
            entry: self.applied,
            outcomes: Vec::new(),
            changes: Vec::new(),
            term_started: None,
            entries: 0,
            bytes: 0,
            installed: Some(manifest.header.membership.clone()),
        })
    }

    /// A follower needs a snapshot that is newer than the one there is.
    pub fn ask_for_snapshot(&mut self) {
        self.asked = true;
    }

    /// Takes a view for a snapshot if it is time for one. While `hold` is set only one that was asked for is
    /// taken: a follower still fetches the last. Report its end with [`Applier::snapshot_ended`].
    pub fn snapshot_due(&mut self, hold: bool) -> Option<SnapshotJob<M::View>> {
        let grown = self.entries >= self.policy.every_entries || self.bytes >= self.policy.every_bytes;
        if self.building || self.entries == 0 || !(self.asked || (grown && !hold)) {
            return None;
        }
        self.building = true;
        self.asked = false;
        self.entries = 0;
        self.bytes = 0;
        Some(SnapshotJob { header: self.header(), view: self.machine.view() })
    }

    /// The snapshot that was due is written, or could not be.
    pub fn snapshot_ended(&mut self) {
        self.building = false;
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The last entry it holds.
    pub fn applied(&self) -> EntryId {
        self.applied
    }

    /// The members at that entry.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    fn header(&self) -> Header {
        Header {
            cluster: self.cluster,
            entry: self.applied,
            membership: Membership::clone(&self.membership),
            feature_level: self.machine.feature_level(),
            state_hash: self.machine.state_hash(),
        }
    }
}

impl<V: View> SnapshotJob<V> {
    /// Writes the snapshot; takes long, and belongs on a thread of its own.
    pub fn write(&self, snapshots: &SnapshotStore) -> Result<Manifest, snapshots::Error> {
        let mut writing = snapshots.write(self.header.clone())?;
        for chunk in self.view.chunks() {
            writing.push(&chunk)?;
        }
        writing.finish()
    }
}
