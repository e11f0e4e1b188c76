//! A whole member without threads, for simulations and tests: the same driver, log, snapshots and applier that
//! run in production, moved on by hand.
//!
//! The harness owns clock, network and disks. It feeds [`Member::step`], calls [`Member::turn`], and decides when
//! [`Member::write`], [`Member::apply`], [`Member::build`] and the fetching of snapshots make progress.

use std::collections::VecDeque;

use berth_core::id::EntryId;
use raft::eraftpb::Message;
use redb::StorageBackend;

use crate::raft::applier::{Applier, SnapshotJob};
use crate::raft::config::Settings;
use crate::raft::driver::{Answer, Driver, Fetch, Input, Status, Work};
use crate::raft::identity::Identity;
use crate::raft::machine::{Observer, StateMachine};
use crate::raft::membership::MemberId;
use crate::raft::recovery::{self, Birth};
use crate::raft::snapshots::{self, SnapshotStore, StoredChunk};
use crate::raft::store::{self, LogStore, WriteBatch};

/// One member and all that it has still to do.
pub struct Member<M: StateMachine> {
    identity: Identity,
    pub(super) driver: Driver<M::Outcome>,
    log: LogStore,
    snapshots: SnapshotStore,
    applier: Applier<M>,
    writes: VecDeque<WriteBatch>,
    work: VecDeque<Work>,
    job: Option<SnapshotJob<M::View>>,
    fetch: Option<Fetching>,
    messages: Vec<Message>,
    answers: Vec<Answer<M::Outcome>>,
}

struct Fetching {
    fetch: Fetch,
    next: u32,
}

impl<M: StateMachine> std::fmt::Debug for Member<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What a disk did to a member: it has stopped and has to be opened again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// In the log.
    #[error(transparent)]
    Log(#[from] store::Error),
    /// In the snapshots.
    #[error(transparent)]
    Snapshots(#[from] snapshots::Error),
}

impl<M: StateMachine> Member<M> {
    /// Opens or makes a member.
    pub fn open(
        log: impl StorageBackend,
        snapshots: impl StorageBackend,
        birth: &Birth,
        initial: M,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, recovery::Error> {
        let opened = recovery::open(log, snapshots, birth, initial, settings, seed)?;
        let unmet = opened.start.unmet.clone();
        let mut driver = Driver::new(opened.start).expect("what was recovered is what raft starts from");
        // The harness's network knows no strangers.
        for peer in unmet {
            driver.step(Input::Met { peer });
        }
        Ok(Self {
            identity: opened.identity,
            driver,
            log: opened.log,
            snapshots: opened.snapshots,
            applier: opened.applier,
            writes: VecDeque::new(),
            work: VecDeque::new(),
            job: None,
            fetch: None,
            messages: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// Something happened. Follow with [`Member::turn`].
    pub fn step(&mut self, input: Input<M::Outcome>) {
        self.driver.step(input);
    }

    /// Lets the driver decide, and files what it wants done.
    pub fn turn(&mut self) -> Result<(), Error> {
        let output = self.driver.turn();
        self.messages.extend(output.messages);
        self.writes.extend(output.writes);
        self.work.extend(output.work);
        self.answers.extend(output.answers);
        if output.snapshot_wanted {
            self.applier.ask_for_snapshot();
            self.look_for_job();
        }
        if let Some(fetch) = output.fetch {
            match self.snapshots.receive(&fetch.manifest)? {
                Some(next) => self.fetch = Some(Fetching { fetch, next }),
                None => self.finish_fetch(&fetch)?,
            }
        }
        Ok(())
    }

    /// Whether a write waits for the disk.
    pub fn wants_write(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The disk writes all that waits, in one durable transaction.
    pub fn write(&mut self) -> Result<(), Error> {
        let batches: Vec<_> = self.writes.drain(..).collect();
        let Some(last) = batches.last() else { return Ok(()) };
        self.log.write(&batches)?;
        self.driver.step(Input::Persisted { number: last.number });
        self.messages.extend(batches.into_iter().flat_map(|batch| batch.messages));
        self.turn()
    }

    /// Whether committed entries wait for the state machine.
    pub fn wants_apply(&self) -> bool {
        !self.work.is_empty()
    }

    /// The state machine takes one piece of work.
    pub fn apply(&mut self, observer: &mut impl Observer<M>) -> Result<(), Error> {
        let Some(work) = self.work.pop_front() else { return Ok(()) };
        let applied = match work {
            Work::Entries(entries) => {
                let applied = self.applier.apply(&entries);
                observer.on_batch(self.applier.machine(), applied.entry, &applied.outcomes);
                applied
            }
            Work::Install(manifest) => {
                let applied = self.applier.install(&self.snapshots, &manifest)?;
                observer.on_restored(self.applier.machine(), applied.entry);
                applied
            }
        };
        self.driver.step(Input::Applied(applied));
        self.look_for_job();
        self.turn()
    }

    /// Whether a snapshot waits to be written.
    pub fn wants_build(&self) -> bool {
        self.job.is_some()
    }

    /// Writes the snapshot that waits.
    pub fn build(&mut self) -> Result<(), Error> {
        let Some(job) = self.job.take() else { return Ok(()) };
        let built = job.write(&self.snapshots);
        self.applier.snapshot_ended();
        match built {
            Ok(manifest) => self.driver.step(Input::SnapshotBuilt(manifest)),
            // A newer one was fetched meanwhile.
            Err(snapshots::Error::Absent { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.turn()
    }

    /// Which chunk of which snapshot is to be fetched next, and from whom.
    pub fn wants_chunk(&self) -> Option<(MemberId, EntryId, u32)> {
        let fetching = self.fetch.as_ref()?;
        Some((fetching.fetch.from, fetching.fetch.manifest.header.entry, fetching.next))
    }

    /// Gives a peer a chunk.
    pub fn serve_chunk(&mut self, peer: MemberId, index: u64, number: u32) -> Option<StoredChunk> {
        let chunk = self.snapshots.chunk(index, number).ok();
        self.driver.step(match chunk {
            Some(_) => Input::SnapshotServed { peer },
            None => Input::SnapshotMissing { peer, index },
        });
        chunk
    }

    /// Takes the chunk that was wanted, or the news that it is not to be had.
    pub fn take_chunk(
        &mut self,
        entry: EntryId,
        number: u32,
        chunk: Option<&StoredChunk>,
    ) -> Result<(), Error> {
        let wanted = self.fetch.take_if(|f| f.fetch.manifest.header.entry == entry && f.next == number);
        let Some(Fetching { fetch, .. }) = wanted else { return Ok(()) };
        let taken = match chunk {
            Some(chunk) => self.snapshots.receive_chunk(&fetch.manifest, number, chunk),
            None => Err(snapshots::Error::Absent { index: entry.index }),
        };
        match taken {
            Ok(Some(next)) => self.fetch = Some(Fetching { fetch, next }),
            Ok(None) => self.finish_fetch(&fetch)?,
            Err(
                snapshots::Error::Absent { .. }
                | snapshots::Error::BadChunk { .. }
                | snapshots::Error::Unreadable { .. },
            ) => {
                self.driver.step(Input::SnapshotNotFetched { entry });
            }
            Err(error) => return Err(error.into()),
        }
        self.turn()
    }

    /// Messages to be sent.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Answers to requests.
    pub fn take_answers(&mut self) -> Vec<Answer<M::Outcome>> {
        std::mem::take(&mut self.answers)
    }

    /// Does all that does not need a peer, at once.
    pub fn settle(&mut self, observer: &mut impl Observer<M>) -> Result<(), Error> {
        self.turn()?;
        while self.wants_write() || self.wants_apply() || self.wants_build() {
            self.write()?;
            self.apply(observer)?;
            self.build()?;
        }
        Ok(())
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it stands, as of the last turn.
    pub fn status(&self) -> &Status {
        self.driver.status()
    }

    /// Its state.
    pub fn machine(&self) -> &M {
        self.applier.machine()
    }

    /// The last entry its state holds.
    pub fn applied(&self) -> EntryId {
        self.applier.applied()
    }

    /// Its snapshots, for a look.
    pub fn snapshots(&self) -> &SnapshotStore {
        &self.snapshots
    }

    /// Its driver, for a look.
    pub fn driver(&self) -> &Driver<M::Outcome> {
        &self.driver
    }

    fn finish_fetch(&mut self, fetch: &Fetch) -> Result<(), Error> {
        let entry = fetch.manifest.header.entry;
        match self.snapshots.finish_receiving(&fetch.manifest) {
            Ok(manifest) => self.driver.step(Input::SnapshotFetched(manifest)),
            Err(
                snapshots::Error::Absent { .. }
                | snapshots::Error::BadChunk { .. }
                | snapshots::Error::Unreadable { .. },
            ) => {
                self.driver.step(Input::SnapshotNotFetched { entry });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn look_for_job(&mut self) {
        let hold = self.driver.is_sending_snapshot();
        if self.job.is_none() {
            self.job = self.applier.snapshot_due(hold);
        }
    }
}
