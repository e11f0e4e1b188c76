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

    /// Takes a view for a snapshot if it is time for one. While `hold` is set, because a follower still fetches the
    /// last, only one that was asked for is taken, or one that cannot wait any longer. Report its end with [`Applier::snapshot_ended`].
    pub fn snapshot_due(&mut self, hold: bool) -> Option<SnapshotJob<M::View>> {
        let grown = self.entries >= self.policy.every_entries || self.bytes >= self.policy.every_bytes;
        let holding = hold && self.bytes < self.policy.hold_bytes_max;
        if self.building || self.entries == 0 || !(self.asked || (grown && !holding)) {
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
        // The same may have been fetched while the log went on; it is as good, and must not be written over.
        if let Some(known) = snapshots.whole(self.header.entry.index)?
            && known.header == self.header
        {
            return Ok(known);
        }
        let mut writing = snapshots.write(self.header.clone())?;
        for chunk in self.view.chunks() {
            writing.push(&chunk)?;
        }
        writing.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::testing::Notebook;

    #[test]
    fn a_follower_that_fetches_does_not_put_off_the_next_snapshot_for_ever() {
        let policy = SnapshotPolicy { every_entries: 10, hold_bytes_max: 5_000, ..SnapshotPolicy::default() };
        let start = EntryId { term: 1, index: 1 };
        let mut applier =
            Applier::new(Notebook::default(), ClusterId(1), start, Membership::default(), policy);
        let entry = |index| Entry { term: 1, index, data: vec![0; 68].into(), ..Entry::default() };
        applier.apply(&(2..=41).map(entry).collect::<Vec<_>>());
        assert!(applier.snapshot_due(true).is_none(), "4,000 bytes may wait");
        applier.apply(&(42..=52).map(entry).collect::<Vec<_>>());
        assert!(applier.snapshot_due(true).is_some(), "5,100 bytes may not");
    }
}
