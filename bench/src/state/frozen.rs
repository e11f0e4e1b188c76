//! Snapshots, written and read by the production store while the state goes on.

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_core::id::ClusterId;
use berth_core::state::State;
use berth_proto::convert::snapshot;
use berth_scheduler::machine::Machine;
use berth_scheduler::raft::applier::SnapshotJob;
use berth_scheduler::raft::machine::{StateMachine, View};
use berth_scheduler::raft::membership::Membership;
use berth_scheduler::raft::snapshots::{Header, Manifest, SnapshotStore};
use redb::backends::FileBackend;

use super::feed::{Feed, Measured};
use super::fleet::Fleet;
use super::work::{self, Grain};

/// A snapshot that was written.
pub(super) struct Written {
    manifest: Manifest,
    took: Duration,
}

/// How long it took to read a snapshot back.
pub(super) struct Restored {
    pub(super) whole: Duration,
    pub(super) decode: Duration,
    pub(super) index: Duration,
}

/// The production store, on a file in this directory.
pub(super) fn store(directory: &Path) -> Result<SnapshotStore> {
    let path = directory.join("snapshots.redb");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok(SnapshotStore::open::<Machine>(FileBackend::new(file)?)?)
}

/// Works on while snapshots are written on another thread, until as many commands as asked for were applied
/// during them. What is applied when none is being written is not counted.
pub(super) fn write_meanwhile(
    store: &SnapshotStore,
    fleet: &mut Fleet,
    feed: &mut Feed,
    commands: usize,
) -> Result<(Measured, Written)> {
    let mut during = Measured::default();
    loop {
        let job = job(feed);
        let written = std::thread::scope(|threads| -> Result<Written> {
            let writer = threads.spawn(move || {
                let began = Instant::now();
                job.write(store).map(|manifest| Written { manifest, took: began.elapsed() })
            });
            while !writer.is_finished() {
                work::round(fleet, feed, Grain::COALESCED, &mut during);
            }
            Ok(writer.join().ok().context("the thread that writes snapshots panicked")??)
        })?;
        if during.commands() >= commands {
            return Ok((during, written));
        }
    }
}

fn job(feed: &Feed) -> SnapshotJob<<Machine as StateMachine>::View> {
    let machine = feed.machine();
    let header = Header {
        cluster: ClusterId(1),
        entry: feed.applied(),
        membership: Membership::first([(1, "127.0.0.1:1".to_owned())]),
        feature_level: machine.feature_level(),
        state_hash: machine.state_hash(),
    };
    SnapshotJob { header, view: machine.view() }
}

/// Writes the state as it is now and reads it back, which has to give the same state.
pub(super) fn restore(store: &SnapshotStore, feed: &Feed) -> Result<Restored> {
    let machine = feed.machine();
    let manifest = job(feed).write(store)?;
    let began = Instant::now();
    let restored: Machine = store.restore(&manifest)?;
    let whole = began.elapsed();
    ensure!(restored.state_hash() == machine.state_hash(), "the restored state differs");
    drop(restored);

    let chunks: Vec<Vec<u8>> = machine.view().chunks().collect();
    let began = Instant::now();
    let tables = snapshot::decode(chunks)?;
    let decode = began.elapsed();
    let began = Instant::now();
    let state = State::from_tables(tables);
    let index = began.elapsed();
    ensure!(state.index() == machine.state().index(), "the restored index differs");
    Ok(Restored { whole, decode, index })
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.manifest.bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{mib:.1} MiB in {} chunks, written in {:.2} s",
            self.manifest.chunks,
            self.took.as_secs_f64()
        )
    }
}
