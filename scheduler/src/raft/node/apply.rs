//! The apply thread: owns the state, publishes it, and has snapshots written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use berth_core::id::EntryId;
use tokio::sync::watch;

use crate::raft::applier::{Applier, SnapshotJob};
use crate::raft::driver::{Input, Work};
use crate::raft::machine::{Observer, StateMachine};
use crate::raft::metrics::Metrics;
use crate::raft::node::inbox::Inbox;
use crate::raft::node::{Fatal, threads};
use crate::raft::snapshots::{self, SnapshotStore};

/// How often the apply thread looks for the end and for a wanted snapshot when there is no work.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// What the apply thread is told.
pub(super) enum ApplyInput {
    /// The next piece of work.
    Work(Work),
    /// The builder is done.
    SnapshotEnded,
}

pub(super) struct Apply<M: StateMachine, W> {
    pub(super) applier: Applier<M>,
    pub(super) observer: W,
    pub(super) snapshots: Arc<SnapshotStore>,
    pub(super) work: Receiver<ApplyInput>,
    /// For the builder, to say that it is done. Holding it here keeps `work` open, so the end is heard of by the
    /// token.
    pub(super) queue: SyncSender<ApplyInput>,
    pub(super) applied: watch::Sender<EntryId>,
    pub(super) inbox: Inbox<M::Outcome>,
    /// A follower still fetches the last snapshot.
    pub(super) hold_snapshots: Arc<AtomicBool>,
    /// A follower needs a newer snapshot. No message, so that the node thread never waits for room to say so.
    pub(super) snapshot_wanted: Arc<AtomicBool>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) end: threads::End,
}

impl<M: StateMachine, W: Observer<M>> Apply<M, W> {
    pub(super) fn run(mut self) {
        while !self.end.has_come() {
            let going_on = match self.work.recv_timeout(LOOK_AROUND) {
                Ok(ApplyInput::Work(work)) => self.apply(work),
                Ok(ApplyInput::SnapshotEnded) => {
                    self.applier.snapshot_ended();
                    true
                }
                Err(_) => true,
            };
            if !going_on {
                return;
            }
            if self.snapshot_wanted.swap(false, Ordering::Relaxed) {
                self.applier.ask_for_snapshot();
            }
            if let Some(job) = self.applier.snapshot_due(self.hold_snapshots.load(Ordering::Relaxed)) {
                self.build(job);
            }
        }
    }

    fn apply(&mut self, work: Work) -> bool {
        let applied = match work {
            Work::Entries(entries) => {
                let applied = self.applier.apply(&entries);
                self.observer.on_batch(self.applier.machine(), applied.entry, &applied.outcomes);
                applied
            }
            Work::Install(manifest) => match self.applier.install(&self.snapshots, &manifest) {
                Ok(applied) => {
                    self.observer.on_restored(self.applier.machine(), applied.entry);
                    applied
                }
                Err(error) => {
                    self.end.with(Fatal::Snapshots(error));
                    return false;
                }
            },
        };
        Metrics::set(&self.metrics.applied, applied.entry.index);
        self.applied.send_replace(applied.entry);
        self.inbox.report(Input::Applied(applied))
    }

    fn build(&self, job: SnapshotJob<M::View>) {
        let snapshots = Arc::clone(&self.snapshots);
        let (queue, inbox, metrics) = (self.queue.clone(), self.inbox.clone(), Arc::clone(&self.metrics));
        let started = threads::start("raft-snapshot", move || {
            match job.write(&snapshots) {
                Ok(manifest) => {
                    Metrics::add(&metrics.snapshots, 1);
                    inbox.report(Input::SnapshotBuilt(manifest));
                }
                // A newer one was fetched meanwhile.
                Err(snapshots::Error::Absent { .. }) => {}
                // The log stays as it is; the state of another time may fare better.
                Err(error @ snapshots::Error::Unreadable { .. }) => {
                    Metrics::add(&metrics.snapshots_unreadable, 1);
                    tracing::error!(error = &error as &dyn std::error::Error, "no snapshot could be taken");
                }
                Err(error) => inbox.fail(Fatal::Snapshots(error)),
            }
            // If the apply thread has ended there is nobody to tell.
            let _ = queue.send(ApplyInput::SnapshotEnded);
        });
        if let Err(error) = started {
            tracing::error!(error = &error as &dyn std::error::Error, "no thread for a snapshot");
            let _ = self.queue.try_send(ApplyInput::SnapshotEnded);
        }
    }
}
