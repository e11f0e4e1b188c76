//! The agent as it runs on a machine: sockets, clocks and executors around the [`Supervisor`].
//!
//! ```text
//! thread agent.supervisor: Driver { Supervisor, executors }  <── requests ── sessions, executors' events, handles
//!    └─ one task a connection: the session's stream, and the stream of logs beside it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use berth_core::id::{AttemptHandle, JournalId};
use berth_core::job_spec::ExecutorKind;
use berth_core::time::Millis;
use berth_daemon::metrics::Registry;
use berth_daemon::tasks::Tasks;
use berth_executors::executor::{Event, EventSink, Executor};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::disk::Files;
use crate::inventory::{Capacity, Inventory, SharedDir};
use crate::journal;
use crate::logs::{LogSource, Segments, Sources};
use crate::retention::Retention;
use crate::supervisor::{self, Figures, Input, Located, Opened, Supervisor};
use driver::Driver;

mod connection;
mod driver;
mod events;
mod log_stream;
mod meters;
mod upkeep;

/// Events of executors, or other requests, that may wait. Whoever has one more waits himself.
const QUEUE: usize = 1024;
/// Where the directories of runs are, if not on a shared directory.
const RUNS: &str = "runs";

/// What an agent is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name; unique in the cluster.
    pub node: String,
    /// The release of the program, for people.
    pub version: String,
    /// Where servers listen for agents, `host:port`; at least one.
    pub servers: Vec<String>,
    /// The data directory: it exists, and belongs to this process alone.
    pub data_dir: PathBuf,
    /// What the node offers, where the operator says so.
    pub capacity: Capacity,
    /// The operator's own facts about the node.
    pub attributes: BTreeMap<String, String>,
    /// The directory that other nodes see too. The directories of runs are on it, and the agent never removes them.
    pub shared_dir: Option<SharedDir>,
    /// How long logs of attempts stay after the server has forgotten them.
    pub retention: Retention,
    /// How long a run's directory that is not on a shared one stays after it was last written to and no attempt of the
    /// run is known any more.
    pub run_dirs_keep: Duration,
    /// True: the agent's end stops all attempts and waits for them, as `berth dev` wants it. False: they go on, and the
    /// next agent finds them.
    pub stop_tasks_at_end: bool,
}

impl Config {
    /// The defaults for everything that is not asked for here.
    pub fn new(node: impl Into<String>, servers: Vec<String>, data_dir: impl Into<PathBuf>) -> Config {
        Config {
            node: node.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            servers,
            data_dir: data_dir.into(),
            capacity: Capacity::default(),
            attributes: BTreeMap::new(),
            shared_dir: None,
            retention: Retention::default(),
            run_dirs_keep: Duration::from_secs(7 * 24 * 3600),
            stop_tasks_at_end: false,
        }
    }
}

/// Why an agent does not come up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nobody to dial.
    #[error("the agent needs the address of at least one server")]
    NoServers,
    /// A directory cannot be made or found.
    #[error("cannot use the directory {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The kernel does not tell what every agent needs.
    #[error("cannot read {what} from the kernel")]
    Kernel {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread of the agent")]
    Thread(#[source] io::Error),
}

/// What the driver is asked, by whom ever.
#[derive(Debug)]
enum Request {
    Input(Box<Input>),
    Locate(AttemptHandle, oneshot::Sender<Option<Located>>),
    Figures(oneshot::Sender<Figures>),
}

/// Asks a running agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentHandle {
    requests: mpsc::Sender<Request>,
}

impl AgentHandle {
    /// Where an attempt's logs are; `None` when it is not known or the agent has ended.
    pub async fn locate(&self, attempt: AttemptHandle) -> Option<Located> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Locate(attempt, answer)).await.ok()?;
        answered.await.ok().flatten()
    }

    /// Figures of the moment; `None` when the agent has ended.
    pub async fn figures(&self) -> Option<Figures> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Figures(answer)).await.ok()?;
        answered.await.ok()
    }

    async fn input(&self, input: Input) -> bool {
        self.requests.send(Request::Input(Box::new(input))).await.is_ok()
    }
}

/// The queue from executors to the agent: the sink is what executors are made with. Bounded; when it is full, the
/// threads of the executor wait.
pub fn executor_events() -> (EventSink, Receiver<Event>) {
    sync_channel(QUEUE)
}

/// Makes executors that are not offered. See [`Parts::retired`].
pub type RetiredExecutors = Box<dyn FnMut(ExecutorKind) -> Option<Box<dyn Executor>> + Send>;

/// The id of the journal of a data directory, which begins one if there is none: it names this agent wherever others
/// share something with it, whatever its node is called. The directory belongs to this process alone.
///
/// # Errors
/// The journal cannot be used.
pub fn identity(data_dir: &Path) -> Result<JournalId, Error> {
    Ok(journal::identity(&mut Files::new(data_dir.to_owned()), JournalId(random()?))?)
}

/// What an agent is made of.
pub struct Parts {
    /// The executors that the node offers, one of a kind.
    pub executors: Vec<Box<dyn Executor>>,
    /// Makes the executor of a kind that the node does not offer; `None` where there can be none. It is asked for one
    /// when the journal has attempts of that kind: the operator may have changed his mind while they run.
    pub retired: RetiredExecutors,
    /// What they tell; see [`executor_events`].
    pub events: Receiver<Event>,
    /// Where logs are, for kinds of which the shim does not write them.
    pub log_sources: BTreeMap<ExecutorKind, Arc<dyn LogSource>>,
    /// For `/metrics`.
    pub registry: Registry,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<ExecutorKind> = self.executors.iter().map(|executor| executor.kind()).collect();
        f.debug_struct("Parts").field("executors", &kinds).finish_non_exhaustive()
    }
}

/// Starts an agent: reads its journal, asks the executors what became of its attempts, and then dials. It runs until
/// the group of tasks is stopped, or its journal cannot be written, which stops the process. Blocks for as long as
/// taking up earlier attempts takes; to be called within a tokio runtime with more than one thread.
///
/// # Errors
/// As [`Error`] lists.
pub fn start(config: Config, mut parts: Parts, tasks: &Tasks) -> Result<AgentHandle, Error> {
    if config.servers.is_empty() {
        return Err(Error::NoServers);
    }
    let inventory = inventory(&config)?;
    let offered: BTreeSet<ExecutorKind> = parts.executors.iter().map(|executor| executor.kind()).collect();
    let health = parts.executors.iter().map(|executor| (executor.kind(), executor.health()));
    let opened = Opened::open(
        supervisor::Config {
            node: config.node.clone(),
            version: config.version.clone(),
            servers: config.servers.clone(),
            incarnation: random()?,
            fresh_journal: JournalId(random()?),
            boot_id: boot_id()?,
            seed: u64::try_from(random()? >> 64).unwrap_or(0),
            data_dir: directory(config.data_dir.clone())?,
            run_dirs: inventory.run_dirs.clone(),
            kinds: offered.clone(),
            facts: inventory.facts(health),
            retention: config.retention,
        },
        Files::new(config.data_dir.clone()),
    )?;
    for kind in [ExecutorKind::Exec, ExecutorKind::Docker, ExecutorKind::Fake] {
        let left = if offered.contains(&kind) { 0 } else { opened.known(kind).len() };
        if left > 0 {
            tracing::warn!(
                executor = kind.word(),
                left,
                "there are attempts of a kind that is not offered any more"
            );
            parts.executors.extend((parts.retired)(kind));
        }
    }
    let found = parts.executors.iter_mut().flat_map(|executor| {
        let known = opened.known(executor.kind());
        executor.recover(known)
    });
    let found = found.collect();
    let supervisor = opened.resume(found, Now::read())?;
    let figures = supervisor.figures();
    tracing::info!(node = config.node, attempts = figures.live, "the agent is up");

    let (requests, inbox) = mpsc::channel(QUEUE);
    let handle = AgentHandle { requests };
    events::forward(parts.events, handle.clone(), tasks).map_err(Error::Thread)?;
    // Logs stay when an executor goes.
    let mut sources: Sources = [ExecutorKind::Exec, ExecutorKind::Docker, ExecutorKind::Fake]
        .map(|kind| (kind, Arc::new(Segments) as Arc<dyn LogSource>))
        .into();
    sources.extend(parts.log_sources);
    let driver = Driver::new(driver::Deps {
        supervisor,
        executors: parts.executors,
        offered,
        inventory,
        config,
        sources,
        meters: meters::Meters::new(&parts.registry),
        handle: handle.clone(),
        tasks: tasks.clone(),
    });
    let (stop, runtime) = (tasks.token(), runtime::Handle::current());
    let run = move || runtime.block_on(driver.run(inbox, stop));
    tasks.spawn_thread("agent.supervisor", run).map_err(Error::Thread)?;
    Ok(handle)
}

fn inventory(config: &Config) -> Result<Inventory, Error> {
    let (run_dirs, shared) = match &config.shared_dir {
        Some(shared) => (directory(shared.path.clone())?, Some(shared.name.clone())),
        None => (directory(config.data_dir.join(RUNS))?, None),
    };
    let (capacity, attributes) = (config.capacity, config.attributes.clone());
    Ok(Inventory { capacity, attributes, run_dirs, shared })
}

/// Makes a directory if it is not there, and gives its whole path.
fn directory(path: PathBuf) -> Result<PathBuf, Error> {
    let made = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
    made.map_err(|source| Error::Directory { path, source })
}

fn random() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|source| Error::Kernel { what: "random numbers", source })?;
    Ok(u128::from_be_bytes(bytes))
}

fn boot_id() -> Result<String, Error> {
    berth_shim::process::boot_id().map_err(|source| Error::Kernel { what: "the id of this boot", source })
}

/// The token of a connection: it ends when the last of its holders lets it go.
type Cancel = CancellationToken;

/// The span from now to an instant of the boot clock.
fn until(wake: crate::clock::Boot) -> Duration {
    let now = Now::read().boot;
    Duration::from(wake.since(now)).max(Duration::from(Millis(1)))
}

/// The logic over real files.
type Core = Supervisor<Files>;

#[cfg(test)]
mod tests;
