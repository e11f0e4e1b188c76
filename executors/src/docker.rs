//! The docker executor: attempts as containers of a Docker engine on this machine.
//!
//! ```text
//! start, stop, remove, recover --> keeper thread --one task an attempt--> engine's socket
//!                                    |  probes the engine, sweeps by label      |
//!  agent <--Started, Ended ----------+      log/stdout.N, log/stderr.N <--------+
//! ```
//!
//! The truth about an attempt is at the engine and on disk: the container with its labels,
//! `container.rec` (it was begun), `exit.rec` (it is over). A container goes when its end is
//! acknowledged, never before. Its output is pumped into the same segments that shims write, so it
//! stays when the container goes; the engine ends a last line that has no line break.
//!
//! First form: images are never pulled, and containers have no network but loopback. Every container
//! runs without capabilities and without new privileges, on a read-only root with a private `/tmp`,
//! under an init; as user 65534 unless its image names another than root. It can write to the run's
//! directory, to its own directory, which is the working directory unless the image has one, and to
//! the file of `BERTH_OUTPUT`.
//!
//! The engine tells an exit by signal n as code 128 + n, the same as a program that exits with that
//! code; both are told as the signal. An OOM is told by the engine, never guessed.
//!
//! Containers of this agent that belong to no attempt are removed, and so are those that an earlier data directory of the
//! same node in the same cluster has left behind (`docs/adr/0013`).
//!
//! An engine that is slow or silent delays what it is asked for and nothing else: no call of the executor waits for it
//! longer than half a second, and the keeper goes on with its commands meanwhile.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::time::Millis;
use berth_shim::process::boot_id;
use berth_shim::record::LogSizes;
use tokio::sync::{Notify, watch};

use crate::executor::{EventSink, Executor, Found, Health, Home, Kind, Launch};

use engine::Engine;
use keeper::{Command, Keeper};

mod attempt;
mod container;
mod engine;
mod keeper;
mod left_behind;
mod output_log;
mod program;
mod recovery;
mod sight;
mod trace;
mod usage;
mod writable;

/// Where engines listen unless told otherwise.
const USUAL_SOCKET: &str = "/var/run/docker.sock";
/// Commands that may wait for the keeper; beyond it the sender waits.
const COMMANDS_QUEUED: usize = 4096;
/// How long the first look at the engine is waited for: the agent must dial within its lease, whatever the engine does.
const FIRST_PROBE: Duration = Duration::from_millis(500);
/// How long the keeper may take to say what became of earlier attempts. It waits for the engine far shorter than that,
/// so what is left is reading files.
const RECOVERY: Duration = Duration::from_secs(10);

/// How often all containers are listed, usually.
pub const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// What the executor is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// The engine's socket, as `unix:///path` or a plain path. `None`: what `DOCKER_HOST` says, else
    /// `/var/run/docker.sock`.
    pub host: Option<String>,
    /// Whose containers these are, in their names and labels: the id of the agent's journal, so that no two agents of
    /// one engine take each other's for their own, whatever their nodes are called.
    pub agent: String,
    /// The node's name, in a label for people.
    pub node: String,
    /// Bounds of the logs; the engine's own copy is bounded alike.
    pub log: LogSizes,
    /// How often all containers are listed: the safety net under every wait. One that belongs to no known attempt in
    /// three lists is removed, since it may be on its way in the first; and so is one that an earlier data directory of
    /// this node has left behind.
    pub sweep_every: Duration,
}

/// What the tasks of the attempts share; nothing in it changes.
#[derive(Debug)]
struct Shared {
    config: Config,
    engine: Engine,
    sink: EventSink,
    /// Of the machine; `None` where the kernel does not tell.
    boot_id: Option<String>,
}

/// Runs attempts as containers. See the module's text. Dropping it leaves containers as they are.
#[derive(Debug)]
pub struct DockerExecutor {
    health: watch::Receiver<Health>,
    /// `None` once it is being dropped, which is how the keeper learns of it.
    commands: Option<SyncSender<Command>>,
    wake: Arc<Notify>,
    keeper: Option<JoinHandle<()>>,
    /// The attempts that this executor knows, until they are removed.
    known: HashMap<AttemptHandle, String>,
}

impl DockerExecutor {
    /// Starts the thread and looks for the engine for half a second at most. An engine that takes longer is ready
    /// later, and without one the executor is unavailable until there is one.
    pub fn new(config: Config, sink: EventSink) -> DockerExecutor {
        let host = config.host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
        let host = host.unwrap_or_else(|| USUAL_SOCKET.to_owned());
        let (commands, queue) = sync_channel(COMMANDS_QUEUED);
        let (probed, first_probe) = sync_channel(1);
        let wake = Arc::new(Notify::new());
        let not_yet =
            Health::Unavailable { reason: format!("the Docker engine at {host} was not heard yet") };
        let (told, health) = watch::channel(not_yet);
        let (engine, connection) = Engine::new(&host);
        let shared = Arc::new(Shared { config, engine, sink, boot_id: boot_id().ok() });
        let keeper = Keeper::new(shared, connection, queue, Arc::clone(&wake), told);
        let keeper = thread::Builder::new()
            .name("docker-keep".to_owned())
            .spawn(move || keeper.run(probed))
            .expect("threads can be started at start-up");
        let _ = first_probe.recv_timeout(FIRST_PROBE);
        let known = HashMap::new();
        DockerExecutor { health, commands: Some(commands), wake, keeper: Some(keeper), known }
    }

    fn send(&self, command: Command) {
        // The keeper outlives its queue.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
        self.wake.notify_one();
    }
}

impl Executor for DockerExecutor {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    fn recover(&mut self, known: Vec<Launch>) -> Vec<Found> {
        let (reply, answer) = sync_channel(1);
        self.send(Command::Recover { known: known.clone(), reply });
        let found = answer.recv_timeout(RECOVERY).unwrap_or_else(|_| {
            // To call those that were begun lost would start them a second time elsewhere. The keeper tells their ends
            // when it knows them.
            tracing::error!("the keeper of containers does not answer: what was begun is taken for running");
            let boot_id = boot_id().ok();
            let answers = known.iter().map(|launch| recovery::without_engine(launch, boot_id.as_deref()));
            answers.filter_map(|answer| answer.found).collect()
        });
        let names: HashMap<_, _> = known.into_iter().map(|launch| (launch.attempt, launch.name)).collect();
        for one in &found {
            let (Found::Running { attempt, .. } | Found::Ended { attempt, .. }) = one;
            self.known.extend(names.get(attempt).map(|name| (*attempt, name.clone())));
        }
        found
    }

    fn start(&mut self, launch: Launch) {
        if self.known.contains_key(&launch.attempt) {
            self.send(Command::RefuseTwice { attempt: launch.attempt });
            return;
        }
        self.known.insert(launch.attempt, launch.name.clone());
        self.send(Command::Start(Box::new(launch)));
    }

    fn welcomed(&mut self, home: Home) {
        self.send(Command::Welcomed(home));
    }

    fn stop(&mut self, attempt: AttemptHandle, grace: Millis) {
        self.send(Command::Stop { attempt, grace });
    }

    fn remove(&mut self, attempt: AttemptHandle) {
        if let Some(name) = self.known.remove(&attempt) {
            self.send(Command::Remove { name });
        }
    }
}

impl Drop for DockerExecutor {
    fn drop(&mut self) {
        self.commands = None;
        self.wake.notify_one();
        // Waited for, so that the next executor is the only writer of the logs. It waits for nothing
        // but files.
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

/// The path of a socket that a host names; an error says what is wrong with it.
fn socket_of(host: &str) -> Result<PathBuf, String> {
    let path = host.strip_prefix("unix://").unwrap_or(host);
    if path.starts_with('/') {
        Ok(path.into())
    } else {
        Err(format!(
            "`{host}` is not a socket of this machine, and containers of another one could not use its files: \
             give a path as in unix://{USUAL_SOCKET}"
        ))
    }
}
