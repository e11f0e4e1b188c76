//! Servers and agents as processes, in one temporary directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use berth_client::api::{MemberRole, NodeState, StatusReply, TenantSpec};
use berth_client::{Client, Config};
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::waiting::until;
use crate::{attempts, control_groups, ports, programs};

/// Within what a cluster of a loaded machine gets ready.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(20);

/// Held by the one cluster that exists.
static ALONE: Mutex<()> = Mutex::new(());

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    pub(crate) agents: Vec<Agent>,
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// A server, whether or not it runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) id: u64,
    pub(crate) clients: SocketAddr,
    pub(crate) peers: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) daemon: Option<Daemon>,
}

/// An agent, whether or not it runs.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) metrics: SocketAddr,
    cpu: String,
    cgroup: String,
    /// The socket of its Docker engine, if it offers one; to be set before a start.
    pub(crate) docker: Option<PathBuf>,
    pub(crate) daemon: Option<Daemon>,
}

/// Runs a test with a cluster of so many servers, if any, and the tenant `default`. When it fails, the logs are shown.
pub(crate) fn with_cluster(servers: u64, test: impl AsyncFnOnce(&mut Cluster) -> Result<()>) {
    // Built before the clock of any test runs.
    programs::program("berth");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let mut cluster = Cluster::new(servers).expect("a cluster can be set up");
        let result = match cluster.begin().await {
            Ok(()) => test(&mut cluster).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            panic!("{error:#}");
        }
    });
}

impl Cluster {
    fn new(servers: u64) -> Result<Cluster> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dir = tempfile::Builder::new().prefix("berth-test-").tempdir()?;
        dir.disable_cleanup(std::env::var_os("BERTH_TEST_KEEP").is_some());
        let server = |id| Server {
            id,
            clients: ports::free(),
            peers: ports::free(),
            metrics: ports::free(),
            data_dir: dir.path().join(format!("server-{id}")),
            daemon: None,
        };
        let servers = (1..=servers).map(server).collect();
        Ok(Cluster { servers, agents: Vec::new(), dir, _alone: alone })
    }

    async fn begin(&mut self) -> Result<()> {
        for at in 0..self.servers.len() {
            self.start_server(at)?;
        }
        if self.servers.is_empty() {
            return Ok(());
        }
        let client = self.client()?;
        let tenant = TenantSpec { name: "default".to_owned(), weight: 1, ..TenantSpec::default() };
        until("the first write", READY_WITHIN, async || Ok(Some(client.apply_tenant(tenant.clone()).await?)))
            .await
    }

    /// The directory that holds everything of the cluster.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the directories of runs are.
    pub(crate) fn shared(&self) -> PathBuf {
        self.path().join("shared")
    }

    /// A new directory for the tasks of a test.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The listeners of all servers, as `BERTH_SERVER` takes them.
    pub(crate) fn endpoints(&self) -> String {
        self.servers.iter().map(|server| server.clients.to_string()).collect::<Vec<_>>().join(",")
    }

    /// A client that knows all servers.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::connect(Config::new(self.servers.iter().map(|server| server.clients.to_string())))?)
    }

    /// The command line, with the servers of this cluster.
    pub(crate) fn command(&self) -> Command {
        let mut command = programs::command("berth");
        command.env("BERTH_SERVER", self.endpoints()).current_dir(self.path());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn berth(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command().args(arguments).stdin(Stdio::null()).output()?)
    }

    /// The first members, as `--member` takes them.
    pub(crate) fn members(&self) -> String {
        let members = self.servers.iter().map(|server| format!("{}={}", server.id, server.peers));
        members.collect::<Vec<_>>().join(",")
    }

    /// Starts a server as one of the first members, or again.
    pub(crate) fn start_server(&mut self, at: usize) -> Result<()> {
        let (id, peers, members) =
            (self.servers[at].id.to_string(), self.servers[at].peers.to_string(), self.members());
        self.start_server_with(at, &["--id", &id, "--peer-listen", &peers, "--member", &members])
    }

    /// Starts a server with these flags, which say who it is, besides the usual ones.
    pub(crate) fn start_server_with(&mut self, at: usize, flags: &[&str]) -> Result<()> {
        let log = self.path().join(format!("server-{at}.log"));
        let server = &mut self.servers[at];
        let mut command = programs::command("berth");
        command.args(["server", "--listen", &server.clients.to_string()]).args(flags).stdout(Stdio::null());
        command
            .args(["--metrics-listen", &server.metrics.to_string()])
            .arg("--data-dir")
            .arg(&server.data_dir);
        server.daemon = Some(Daemon::start(&format!("server {}", server.id), &mut command, &log)?);
        Ok(())
    }

    /// kill -9 for a server.
    pub(crate) fn kill_server(&mut self, at: usize) -> Result<()> {
        self.servers[at].daemon.take().context("this server does not run")?.kill()
    }

    /// What each server says of itself, if it answers.
    pub(crate) async fn status(&self) -> Result<Vec<Option<StatusReply>>> {
        let answers = self.client()?.status_of_each().await;
        Ok(answers.into_iter().map(|(_, answer)| answer.ok()).collect())
    }

    /// The place of the leader among the servers.
    pub(crate) async fn leader(&self) -> Result<usize> {
        until("a leader", READY_WITHIN, async || {
            let status = self.status().await?;
            let leads =
                |reply: &Option<StatusReply>| reply.as_ref().is_some_and(|r| r.role() == MemberRole::Leader);
            Ok(status.iter().position(leads))
        })
        .await
    }

    /// Waits until all servers have the same state.
    pub(crate) async fn agree(&self) -> Result<()> {
        until("the same state on all servers", READY_WITHIN, async || {
            let status: Option<Vec<StatusReply>> = self.status().await?.into_iter().collect();
            let Some(status) = status else { return Ok(None) };
            let same = status.windows(2).all(|two| {
                (two[0].applied_index, &two[0].state_hash) == (two[1].applied_index, &two[1].state_hash)
            });
            Ok(same.then_some(()))
        })
        .await
    }

    /// Starts a new agent and gives its place.
    pub(crate) fn add_agent(&mut self, name: &str, cpu: &str) -> Result<usize> {
        let cgroup = format!("berth-test-{}-{name}-", std::process::id());
        let data_dir = self.path().join(format!("agent-{name}-{}", self.agents.len()));
        self.agents.push(Agent {
            name: name.to_owned(),
            data_dir,
            metrics: ports::free(),
            cpu: cpu.to_owned(),
            cgroup,
            docker: None,
            daemon: None,
        });
        let at = self.agents.len() - 1;
        self.start_agent(at)?;
        Ok(at)
    }

    /// Starts an agent again.
    pub(crate) fn start_agent(&mut self, at: usize) -> Result<()> {
        let (endpoints, shared) = (self.endpoints(), self.shared());
        let agent = &mut self.agents[at];
        let log = agent.data_dir.with_extension("log");
        let mut command = programs::command("berth");
        command.args(["agent", "--metrics-listen", &agent.metrics.to_string(), "--name", &agent.name]);
        command.arg("--data-dir").arg(&agent.data_dir).arg("--shared-dir").arg(shared).stdout(Stdio::null());
        command.env("BERTH_SERVER", endpoints).env("BERTH_AGENT_CPU", &agent.cpu);
        command.env("BERTH_AGENT_CGROUP", &agent.cgroup).env("BERTH_AGENT_EXECUTORS", "exec");
        if let Some(socket) = &agent.docker {
            command.env("BERTH_AGENT_EXECUTORS", "exec,docker").env("BERTH_AGENT_DOCKER_SOCKET", socket);
        }
        agent.daemon = Some(Daemon::start(&format!("agent {}", agent.name), &mut command, &log)?);
        Ok(())
    }

    /// kill -9 for an agent; its tasks go on.
    pub(crate) fn kill_agent(&mut self, at: usize) -> Result<()> {
        self.agents[at].daemon.take().context("this agent does not run")?.kill()
    }

    /// Waits until a node is ready for work.
    pub(crate) async fn node_ready(&self, name: &str) -> Result<()> {
        let client = self.client()?;
        until(&format!("node {name}"), READY_WITHIN, async || {
            Ok((client.node(name).await?.state() == NodeState::Ready).then_some(()))
        })
        .await
    }

    fn show(&self) {
        let daemons = self.servers.iter().map(|server| &server.daemon);
        let daemons = daemons.chain(self.agents.iter().map(|agent| &agent.daemon));
        daemons.flatten().for_each(Daemon::show);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Without its agent nobody starts anything, and without shims nothing runs.
        self.daemon.take();
        attempts::kill_all(&self.data_dir);
        control_groups::remove(&self.cgroup);
    }
}
