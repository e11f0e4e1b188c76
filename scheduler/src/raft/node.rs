//! A member in production: the driver on a thread of its own, and threads for disk, state and snapshots.
//!
//! ```text
//!   node thread    inputs (bounded) -> Driver -> outputs; ticks by time-out; never blocks on another thread
//!   writer thread  WriteBatch, all that wait together -> one durable transaction -> messages, Persisted
//!   apply thread   committed entries -> StateMachine -> Observer, watch of the applied entry -> Applied
//!   builder        a view -> SnapshotStore; lives as long as one snapshot takes
//! ```
//!
//! A disk error ends the member; a panic on any of its threads ends the process, because a member that lives
//! in part is worse than none.

mod apply;
mod budget;
mod handle;
mod inbox;
mod log_file;
mod threads;
mod turns;
mod writer;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use redb::DatabaseError;
use redb::backends::FileBackend;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::raft::config::Settings;
use crate::raft::driver::{self, Driver};
use crate::raft::identity::Identity;
use crate::raft::machine::{Observer, StateMachine};
use crate::raft::membership::MemberId;
use crate::raft::metrics::Metrics;
use crate::raft::recovery::{self, Birth};
use crate::raft::transport::{self, Admission, ForwardHandler, Refusal, Tasks, Transport};
use crate::raft::{snapshots, store};

pub use budget::Class;
pub use handle::NodeHandle;

/// Inputs that wait for the node thread. Past them raft messages are dropped and requests refused as busy. Their bytes
/// are bounded apart: of proposals by [`budget::Budget`], of raft messages in [`inbox`].
const INBOX_MAX: usize = 16_384;
/// In the directory from the moment on when it belongs to a member.
const FOUNDED: &str = "raft-founded";
/// Room for what the apply thread is told; the driver hands it at most four pieces of work at a time.
const APPLY_QUEUE: usize = 64;

/// How to run a member.
#[derive(Debug, Clone)]
pub struct Config {
    /// Holds `raft-log.redb` and `raft-snapshots.redb`; made if it is missing.
    pub directory: PathBuf,
    /// How a new directory becomes that of a member.
    pub birth: Birth,
    /// `host:port` where peers reach this member.
    pub address: String,
    /// Members known before the log tells of them: for one that joins.
    pub peers: Vec<(MemberId, String)>,
    /// Timings and limits.
    pub settings: Settings,
    /// For the election time-outs; drawn from the operating system once per start.
    pub seed: u64,
    /// Where the transport's tasks run.
    pub runtime: tokio::runtime::Handle,
    /// Ends the member.
    pub shutdown: CancellationToken,
}

/// What a member works with.
pub struct Deps<M, W> {
    /// The state that a cluster is born with: the same on all first members.
    pub initial: M,
    /// Hears of every change of the state.
    pub observer: W,
    /// Where peers connect.
    pub listener: TcpListener,
    /// Takes requests that other members forward.
    pub forward: Arc<dyn ForwardHandler>,
    /// Where the member writes down what it measures.
    pub metrics: Arc<Metrics>,
}

impl<M, W> std::fmt::Debug for Deps<M, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// Why a member did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory or a file in it could not be opened.
    #[error("cannot open {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What the files hold does not make a member.
    #[error(transparent)]
    Recovery(#[from] recovery::Error),
    /// Raft does not take what was recovered.
    #[error(transparent)]
    Driver(#[from] driver::StartError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Why a running member has ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The log could not be written. Nothing that was not durable has been confirmed to anyone.
    #[error("the log could not be written; this member stops and may be started again")]
    Log(#[source] store::Error),
    /// A snapshot could not be written or read.
    #[error("a snapshot could not be written or read; this member stops")]
    Snapshots(#[source] snapshots::Error),
    /// The log says that this member was removed.
    #[error(
        "member {member} was removed from the cluster; to bring this machine back empty its data directory, run \
         `berth operator add` on another member, and start with the new id"
    )]
    Removed {
        /// This member.
        member: MemberId,
    },
    /// A peer says that this member must not act under its id any more.
    #[error("member {by} refuses this member")]
    Refused {
        /// The peer.
        by: MemberId,
        /// Why.
        #[source]
        refusal: Refusal,
    },
}

/// A running member. Dropping it does not end it; the shutdown token does.
#[derive(Debug)]
pub struct Node {
    threads: Vec<JoinHandle<()>>,
    tasks: Tasks,
    fatal: Arc<OnceLock<Fatal>>,
}

impl Node {
    /// Opens the files, checks them, rebuilds the state and joins the consensus. Blocks as long as that takes.
    pub fn start<M: StateMachine, W: Observer<M>>(
        config: Config,
        deps: Deps<M, W>,
    ) -> Result<(Self, NodeHandle<M::Outcome>), StartError> {
        let Deps { initial, mut observer, listener, forward, metrics } = deps;
        make_directory(&config.directory)?;
        // A log that is empty although it once was not has lost its votes. One whose first start was cut short is
        // only begun again.
        let founded = config.directory.join(FOUNDED);
        let birth = if founded.exists() { &Birth::Existing } else { &config.birth };
        let opened = recovery::open(
            file(&config.directory.join("raft-log.redb"), log_file::LogFile::new)?,
            file(&config.directory.join("raft-snapshots.redb"), FileBackend::new)?,
            birth,
            initial,
            &config.settings,
            config.seed,
        )?;
        recovery::check(&opened.identity, &config.birth)?;
        mark(&founded)?;
        let identity = opened.identity.clone();
        if !opened.start.unmet.is_empty() {
            tracing::info!(members = ?opened.start.unmet, "this member waits to meet these first members");
        }
        let (log, snapshots) = (Arc::new(opened.log), Arc::new(opened.snapshots));
        observer.on_restored(opened.applier.machine(), opened.applier.applied());
        let driver = Driver::new(opened.start)?;

        let (inbox, inputs) = sync_channel(INBOX_MAX);
        let (write_queue, writes) = sync_channel(config.settings.writes_max * 2 + 16);
        let (apply_queue, work) = sync_channel(APPLY_QUEUE);
        let (status_in, status) = watch::channel(driver.status().clone());
        let (applied_in, applied) = watch::channel(opened.applier.applied());
        let tasks = Tasks {
            runtime: config.runtime.clone(),
            shutdown: config.shutdown.clone(),
            tracker: TaskTracker::new(),
        };
        let budget = budget::Budget::new(&config.settings);
        let inbox = inbox::Inbox::new(inbox, budget, Arc::clone(&metrics));
        let admission = Admission::new(identity.clone(), Arc::clone(&log), status.clone());
        let local = Arc::new(inbox.clone());
        let transport = Transport::new(&identity, &config.address, admission, local, tasks.clone());
        transport.set_members(&driver.status().membership, &config.peers);
        transport::serve(&transport, listener, Arc::clone(&snapshots), forward);

        let fatal = Arc::new(OnceLock::new());
        let end = threads::End { fatal: Arc::clone(&fatal), shutdown: config.shutdown.clone() };
        let hold_snapshots = Arc::new(AtomicBool::new(false));
        let snapshot_wanted = Arc::new(AtomicBool::new(false));
        let turns = turns::Turns {
            driver,
            inputs,
            inbox: inbox.clone(),
            write_queue,
            apply_queue: apply_queue.clone(),
            status: status_in,
            fetcher: transport.fetcher(Arc::clone(&snapshots)),
            transport: transport.clone(),
            member: identity.member,
            known: config.peers.clone(),
            hold_snapshots: Arc::clone(&hold_snapshots),
            snapshot_wanted: Arc::clone(&snapshot_wanted),
            metrics: Arc::clone(&metrics),
            end: end.clone(),
            tick: std::time::Duration::from_millis(config.settings.tick_ms),
            waiting: turns::Waiting::default(),
        };
        let writer = writer::Writer {
            log,
            writes,
            transport: transport.clone(),
            inbox: inbox.clone(),
            metrics: Arc::clone(&metrics),
            end: end.clone(),
        };
        let apply = apply::Apply {
            applier: opened.applier,
            observer,
            snapshots,
            work,
            queue: apply_queue,
            applied: applied_in,
            inbox: inbox.clone(),
            hold_snapshots,
            snapshot_wanted,
            metrics,
            end,
        };
        let threads = vec![
            threads::start("raft-writer", move || writer.run())?,
            threads::start("raft-apply", move || apply.run())?,
            threads::start("raft-node", move || turns.run())?,
        ];
        let handle = NodeHandle::new(inbox, status, applied, transport, identity);
        Ok((Self { threads, tasks, fatal }, handle))
    }

    /// Waits until the member has ended: because of shutdown, or by itself, and then says why. Its files are
    /// closed afterwards, once all handles are gone.
    pub async fn ended(self) -> Result<(), Fatal> {
        let Self { threads, tasks, fatal } = self;
        tasks.shutdown.cancelled().await;
        tasks.tracker.close();
        tasks.tracker.wait().await;
        let joined = tasks.runtime.spawn_blocking(move || {
            for thread in threads {
                // A panic over there has ended the process.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
        match Arc::try_unwrap(fatal).ok().and_then(OnceLock::into_inner) {
            Some(fatal) => Err(fatal),
            None => Ok(()),
        }
    }
}

fn make_directory(path: &Path) -> Result<(), StartError> {
    std::fs::create_dir_all(path).map_err(|source| StartError::File { path: path.to_owned(), source })
}

fn mark(path: &Path) -> Result<(), StartError> {
    let made = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let failed = |source| StartError::File { path: path.to_owned(), source };
    made.and_then(|file| file.sync_all()).map_err(failed)
}

fn file<B>(path: &Path, backend: fn(File) -> Result<B, DatabaseError>) -> Result<B, StartError> {
    let failed = |source| StartError::File { path: path.to_owned(), source };
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    backend(file).map_err(|error| failed(std::io::Error::other(error)))
}

/// Who a new member is to be: the id as given, the incarnation drawn.
pub fn new_identity(cluster: berth_core::id::ClusterId, member: MemberId, random: u64) -> Identity {
    Identity { cluster, member, incarnation: random }
}

#[cfg(test)]
mod tests;
