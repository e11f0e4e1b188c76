//! The one place where the configuration of this program becomes that of a server or an agent.
//!
//! Both run as tasks of the group they are given and end when its token is cancelled.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use berth_agent::agent::{self, Parts, executor_events};
use berth_agent::inventory::{Capacity, SharedDir};
use berth_agent::retention::Retention;
use berth_client::RequestKey;
use berth_core::id::{ClusterId, JournalId};
use berth_core::job_spec::ExecutorKind;
use berth_daemon::datadir::{self, DataDir};
use berth_daemon::metrics::{Endpoint, Health, Registry, Status};
use berth_daemon::open_files;
use berth_daemon::tasks::{OnFailure, Tasks};
use berth_executors::cgroups::Mounts;
use berth_executors::docker::{self, DockerExecutor};
use berth_executors::exec::{self, ExecExecutor, IsolationChoice};
use berth_executors::executor::{self, EventSink, Executor};
use berth_executors::fake::{FakeExecutor, World};
use berth_scheduler::config::{self as scheduler, Birth};
use berth_scheduler::leader;
use berth_scheduler::raft::config::Settings;
use berth_scheduler::rates::Pace;
use berth_scheduler::server::Server;
use berth_shim::process::Process;
use berth_shim::record::LogSizes;

use crate::config;
use crate::exit::Exit;
use crate::failure::Failure;

/// Threads that launch tasks, for each core.
const LAUNCHERS_PER_CORE: usize = 2;
/// The part of the agent's health that an orchestrator asks for.
const AGENT: &str = "agent";

/// A server that answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartedServer {
    /// Where clients and agents reach it; a port 0 of the configuration is resolved.
    pub(crate) clients: SocketAddr,
    /// Where `/metrics` is.
    pub(crate) metrics: SocketAddr,
}

/// An agent that has its data directory and dials its servers.
#[derive(Debug)]
pub(crate) struct StartedAgent {
    /// The node's name.
    pub(crate) name: String,
    /// Where `/metrics` is.
    pub(crate) metrics: SocketAddr,
    /// What the executors say where isolation of tasks is missing on this machine, for people; a line each.
    pub(crate) missing: Vec<String>,
    // Held until the end: it locks the directory.
    _data_dir: DataDir,
}

/// What becomes of tasks when their agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TasksOfAgent {
    /// They go on, for the agent's next start.
    Outlive,
    /// They are stopped; after a kill -9 of the agent their shims end them within 10 s.
    EndWithIt,
}

/// Starts a server; returns once it listens.
pub(crate) async fn start_server(config: &config::Server, tasks: &Tasks) -> Result<StartedServer, Failure> {
    open_files::raise()?;
    let (registry, health) = (Registry::new(), Health::new());
    let listen = config.metrics_listen;
    let metrics = match serve_metrics(listen, config.insecure, &registry, &health, tasks).await {
        Ok(metrics) => metrics,
        Err(failure) => return Err(in_use(&config.data_dir).unwrap_or(failure)),
    };
    let settings = scheduler::Config {
        data_dir: config.data_dir.clone(),
        listen: config.listen,
        advertise: config.advertise.clone(),
        peer_listen: config.peer_listen,
        insecure: config.insecure,
        birth: birth(config)?,
        leader: leader::Config::default(),
        raft: Settings::default(),
        pace: Pace::default(),
    };
    let server =
        Server::start(settings, tasks, &registry, &health).await.map_err(|error| cannot("server", &error))?;
    let clients = server.address();
    tasks.spawn("server", OnFailure::StopProcess, server.ended());
    Ok(StartedServer { clients, metrics })
}

/// A second start of the same server fails at its ports too; that its directory is in use is what helps.
fn in_use(data_dir: &Path) -> Option<Failure> {
    if !data_dir.is_dir() {
        return None;
    }
    let error =
        DataDir::open(data_dir).err().filter(|error| matches!(error, datadir::Error::InUse { .. }))?;
    Some(cannot("server", &error))
}

fn birth(config: &config::Server) -> Result<Birth, Failure> {
    let members = config::members(config).map_err(|why| Failure::new(Exit::InvalidSpec, None, why))?;
    let (id, cluster) = (config.id, config.cluster.clone());
    Ok(match &config.join {
        Some(joined) => {
            let cluster: ClusterId = joined.parse().map_err(|error| {
                Failure::new(
                    Exit::InvalidSpec,
                    None,
                    format!("`{joined}` is not the id of a cluster: {error}"),
                )
            })?;
            Birth::Join { id, cluster, members }
        }
        None if config.members.is_empty() => Birth::Alone { cluster },
        None => Birth::Together { cluster, id, members },
    })
}

/// Starts an agent; returns once it is set up, whether or not a server answers.
pub(crate) async fn start_agent(
    config: &config::Agent,
    lifetime: TasksOfAgent,
    tasks: &Tasks,
) -> Result<StartedAgent, Failure> {
    let (registry, health) = (Registry::new(), Health::new());
    // First of all: a second start should say that the directory is in use, and not which port is.
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| cannot(AGENT, &error))?;
    let listen = config.metrics_listen;
    let metrics = serve_metrics(listen, config.insecure, &registry, &health, tasks).await?;
    let name = match &config.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let wrong = |why| Failure::new(Exit::InvalidSpec, None, why);
    let capacity = Capacity {
        cpu_milli: config.cpu_milli().map_err(wrong)?,
        memory: config.memory_bytes().map_err(wrong)?,
    };
    let settings = agent::Config {
        capacity,
        attributes: config.attributes.clone(),
        shared_dir: config
            .shared_dir
            .clone()
            .map(|path| SharedDir { path, name: config.shared_name.clone() }),
        retention: Retention { keep: config.keep_logs.millis(), ..Retention::default() },
        stop_tasks_at_end: lifetime == TasksOfAgent::EndWithIt,
        ..agent::Config::new(name.clone(), config.servers.clone(), data_dir.path())
    };
    let (sink, events) = executor_events();
    let maker = Maker {
        exec: exec_config(config, &name, lifetime)?,
        docker: docker_config(
            config,
            &name,
            agent::identity(data_dir.path()).map_err(|e| cannot(AGENT, &e))?,
        ),
        sink,
    };
    let kind = |word: &String| match word.as_str() {
        "docker" => ExecutorKind::Docker,
        "fake" => ExecutorKind::Fake,
        // The configuration was checked: nothing else is left.
        _ => ExecutorKind::Exec,
    };
    let executors: Vec<Box<dyn Executor>> =
        config.executors.iter().map(|word| maker.make(kind(word))).collect();
    let exec = executors.iter().filter(|executor| executor.kind() == executor::Kind::Exec);
    let missing = exec.flat_map(|exec| missing(&exec.health())).collect();
    let retired = Box::new(move |kind| Some(maker.make(kind)));
    let parts = Parts { executors, retired, events, log_sources: [].into(), registry };
    // It reads files and looks for earlier attempts.
    tokio::task::block_in_place(|| agent::start(settings, parts, tasks))
        .map_err(|error| cannot(AGENT, &error))?;
    health.report(AGENT, Status::Ready);
    Ok(StartedAgent { name, metrics, missing, _data_dir: data_dir })
}

/// Makes executors; one whose engine is missing is there and says so.
struct Maker {
    exec: exec::Config,
    docker: docker::Config,
    sink: EventSink,
}

impl Maker {
    fn make(&self, kind: ExecutorKind) -> Box<dyn Executor> {
        let sink = self.sink.clone();
        match kind {
            ExecutorKind::Exec => Box::new(ExecExecutor::new(self.exec.clone(), sink)),
            ExecutorKind::Docker => Box::new(DockerExecutor::new(self.docker.clone(), sink)),
            ExecutorKind::Fake => Box::new(FakeExecutor::real_time(World::real_time(), sink)),
        }
    }
}

fn docker_config(config: &config::Agent, name: &str, journal: JournalId) -> docker::Config {
    docker::Config {
        host: config.docker_socket.clone(),
        agent: journal.to_string(),
        node: name.to_owned(),
        log: LogSizes::default(),
        sweep_every: docker::SWEEP_EVERY,
    }
}

fn exec_config(config: &config::Agent, name: &str, lifetime: TasksOfAgent) -> Result<exec::Config, Failure> {
    let end_with = match lifetime {
        TasksOfAgent::EndWithIt => Some(Process::this()?),
        TasksOfAgent::Outlive => None,
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Ok(exec::Config {
        shim_program: std::env::current_exe()?,
        cgroup_root: config.cgroup.clone().unwrap_or_else(|| format!("berth-{name}")),
        isolation: IsolationChoice::Best,
        end_with,
        // Only this program needs more than it was started with.
        open_files: Some(open_files::raise()?),
        log: LogSizes::default(),
        launchers: cores * LAUNCHERS_PER_CORE,
    })
}

/// What the executor says of its isolation, where something is missing.
fn missing(health: &executor::Health) -> Vec<String> {
    match health {
        executor::Health::Ready { missing, .. } if missing.is_empty() => Vec::new(),
        executor::Health::Ready { detail, .. } => vec![detail.clone()],
        executor::Health::Unavailable { reason } => vec![format!("exec tasks cannot run: {reason}")],
    }
}

async fn serve_metrics(
    address: SocketAddr,
    insecure: bool,
    registry: &Registry,
    health: &Health,
    tasks: &Tasks,
) -> Result<SocketAddr, Failure> {
    let (endpoint, address) = Endpoint::bind(address, insecure, registry.clone(), health.clone())
        .await
        .map_err(|error| cannot("metrics listener", &error))?;
    tasks.spawn("metrics", OnFailure::StopProcess, endpoint.run(tasks.child_token()));
    Ok(address)
}

/// The host's name up to its first dot, as the name of a node.
fn host_name() -> Result<String, Failure> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let first = name.trim().split('.').next().unwrap_or_default();
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    Ok(first.chars().map(fits).collect())
}

/// A control group that no other process uses, for what lives as long as this process.
pub(crate) fn cgroup_of_this_process() -> String {
    let random = RequestKey::random().to_string();
    format!("berth-dev-{}-{}", std::process::id(), &random[..6])
}

/// Removes what is left of a control group that [`cgroup_of_this_process`] named, once nothing runs in it; as far as that
/// is possible, because an empty group harms nobody.
pub(crate) fn remove_cgroup(name: &str) {
    let Ok(mounts) = Mounts::read() else { return };
    for mount in mounts.unified.iter().chain(mounts.v1.values()) {
        remove_groups(&mount.join(name));
    }
}

/// A control group is removed like an empty directory, after those below it. What looks like its files is not there to be
/// removed.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// An error with all its causes.
fn cannot(what: &str, error: &dyn std::error::Error) -> Failure {
    let mut text = format!("the {what} cannot start: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\n{inner}"));
        cause = inner.source();
    }
    Failure::new(Exit::Other, None, text)
}
