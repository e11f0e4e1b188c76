//! Snapshots between members: raft's message carries a description only, the chunks are fetched by the
//! follower, and raft sees the message when they are all there.

use std::collections::BTreeMap;

use berth_core::id::EntryId;
use raft::SnapshotStatus;
use raft::eraftpb::Message;

use super::{Driver, Fetch, MemberId};
use crate::raft::snapshots::Manifest;

#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// The message of a leader whose snapshot is being fetched.
    held: Option<Held>,
    /// The snapshot that raft has taken and the state machine has not yet.
    installing: Option<u64>,
    /// Offered while another one was being installed, and looked at afterwards.
    deferred: Option<Message>,
    /// Followers that fetch from here, and when they last gave a sign.
    receivers: BTreeMap<MemberId, u64>,
}

#[derive(Debug)]
struct Held {
    entry: EntryId,
    message: Message,
    fetched: bool,
}

impl Snapshots {
    pub(super) fn installing(&mut self, index: u64) {
        self.installing = Some(index);
    }

    pub(super) fn installed(&mut self, index: u64) {
        self.installing.take_if(|awaited| *awaited <= index);
    }

    pub(super) fn is_sending(&self) -> bool {
        !self.receivers.is_empty()
    }

    pub(super) fn sent(&mut self, peer: MemberId, tick: u64) {
        self.receivers.insert(peer, tick);
    }

    pub(super) fn forget_receivers(&mut self) {
        self.receivers.clear();
    }
}

impl<O> Driver<O> {
    pub(super) fn on_snapshot_message(&mut self, message: Message) {
        let Ok(manifest) = Manifest::decode(message.get_snapshot().get_data()) else {
            tracing::warn!(peer = message.from, "a snapshot was announced that this version cannot read");
            return;
        };
        let entry = manifest.header.entry;
        let metadata = message.get_snapshot().get_metadata();
        if (metadata.index, metadata.term) != (entry.index, entry.term) || message.term < self.term() {
            return;
        }
        // What is known to be committed here needs no fetching, even if it is still being installed; raft tells
        // the leader so.
        if entry.index <= self.raw.raft.raft_log.committed {
            self.step_raw(message);
            return;
        }
        // A newer one that becomes whole would delete the one that the state is being restored from.
        if self.is_installing() {
            self.snapshots.deferred = Some(message);
            return;
        }
        let from = message.from;
        let same =
            self.snapshots.held.as_ref().is_some_and(|held| held.entry == entry && held.message.from == from);
        if same {
            let held = self.snapshots.held.as_mut().expect("it was just looked at");
            if !held.fetched {
                held.message = message;
            }
            return;
        }
        self.snapshots.held = Some(Held { entry, message, fetched: false });
        self.out.fetch = Some(Fetch { from, manifest });
    }

    /// Between taking a snapshot and having restored it.
    pub(in crate::raft) fn is_installing(&self) -> bool {
        self.snapshots.installing.is_some() || self.raw.raft.raft_log.unstable.snapshot.is_some()
    }

    pub(super) fn on_snapshot_fetched(&mut self, manifest: &Manifest) {
        // The one before is deleted, whatever raft makes of this one.
        self.describe(manifest);
        let entry = manifest.header.entry;
        if let Some(held) = self.snapshots.held.as_mut().filter(|held| held.entry == entry) {
            // The same state may have been whole here before, in other chunks than the leader's.
            held.message.mut_snapshot().set_data(manifest.encode().into());
            held.fetched = true;
        }
        self.step_fetched();
    }

    /// Tells followers of this snapshot from now on, unless a newer one is known.
    fn describe(&mut self, manifest: &Manifest) {
        let entry = manifest.header.entry;
        let tail = self.raw.mut_store();
        if tail.described().is_none_or(|known| known.index <= entry.index) {
            let conf_state = manifest.header.membership.conf_state();
            tail.describe_snapshot(entry, conf_state, manifest.encode().into());
        }
    }

    /// Shows raft a snapshot that is all there; one at a time.
    pub(super) fn step_fetched(&mut self) {
        if self.is_installing() {
            return;
        }
        if let Some(held) = self.snapshots.held.take_if(|held| held.fetched) {
            self.step_raw(held.message);
        }
        if let Some(message) = self.snapshots.deferred.take() {
            self.on_snapshot_message(message);
        }
    }

    pub(super) fn on_snapshot_not_fetched(&mut self, entry: EntryId) {
        self.snapshots.held.take_if(|held| held.entry == entry && !held.fetched);
    }

    pub(super) fn on_snapshot_built(&mut self, manifest: &Manifest) {
        let entry = manifest.header.entry;
        // A snapshot that was fetched meanwhile may be newer.
        if entry.index <= self.raw.store().start().index {
            return;
        }
        self.describe(manifest);
        let covered = entry.index.min(self.applied.index);
        let slowest = self.slowest_live_match().unwrap_or(covered);
        let policy = self.settings.snapshots.clone();
        if let Some(upto) = self.raw.mut_store().compact(covered, slowest, &policy) {
            self.queue_compaction(upto);
        }
    }

    pub(super) fn on_snapshot_served(&mut self, peer: MemberId) {
        if let Some(since) = self.snapshots.receivers.get_mut(&peer) {
            *since = self.tick;
        }
    }

    /// What cannot be given is not offered again; the next one is made from the state.
    pub(super) fn on_snapshot_missing(&mut self, peer: MemberId, index: u64) {
        self.raw.mut_store().forget_snapshot(index);
        self.on_snapshot_failed(peer);
    }

    /// Raft waits for ever for a follower whose snapshot nobody reports on.
    pub(super) fn on_snapshot_failed(&mut self, peer: MemberId) {
        if self.snapshots.receivers.remove(&peer).is_some() {
            self.with_raw(|raw| raw.report_snapshot(peer, SnapshotStatus::Failure));
        }
    }

    pub(super) fn expire_snapshots(&mut self) {
        let oldest = self.tick.saturating_sub(self.settings.snapshot_timeout_ticks);
        let progress = self.raw.raft.prs();
        let (mut done, mut silent) = (Vec::new(), Vec::new());
        for (peer, since) in &self.snapshots.receivers {
            let waits =
                progress.get(*peer).is_some_and(|progress| progress.state == raft::ProgressState::Snapshot);
            if !waits {
                done.push(*peer);
            } else if *since < oldest {
                silent.push(*peer);
            }
        }
        for peer in done {
            self.snapshots.receivers.remove(&peer);
        }
        for peer in silent {
            self.on_snapshot_failed(peer);
        }
    }
}
