use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use berth_client::api::NodeState;
use berth_client::{Client, Config};
use berth_executors::cgroups::Mounts;

/// How long a cluster may take until its agent is ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a process may take to stop in order.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Three servers and an agent as processes of the product's binary, on loopback.
pub(crate) struct Cluster {
    /// The servers, then the agent.
    processes: Vec<Process>,
    endpoints: Vec<String>,
    /// The control group of the agent.
    group: String,
}

/// Processor time that the cluster has used, with all programs that it started and that have ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) servers: Duration,
    pub(crate) agent: Duration,
}

/// A process that is stopped with its owner.
struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Cluster {
    /// Starts everything below a directory and waits until the agent offers to run programs.
    pub(crate) async fn start(directory: &Path) -> Result<Cluster> {
        let berth = binary()?;
        let ports = free_ports(6)?;
        let (clients, peers) = ports.split_at(3);
        let members: Vec<String> =
            (1..).zip(peers).map(|(id, port)| format!("{id}=127.0.0.1:{port}")).collect();
        let endpoints = clients.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let agent = format!("bench-{}", std::process::id());
        let group = format!("berth-{agent}");
        let mut cluster = Cluster { processes: Vec::new(), endpoints, group };
        for (at, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let name = format!("server-{}", at + 1);
            let mut command = Command::new(&berth);
            command
                .args(["server", "--id", &(at + 1).to_string(), "--member", &members.join(",")])
                .args([
                    "--listen",
                    &format!("127.0.0.1:{client}"),
                    "--peer-listen",
                    &format!("127.0.0.1:{peer}"),
                ])
                .args(["--metrics-listen", "127.0.0.1:0"])
                .arg("--data-dir")
                .arg(directory.join(&name));
            cluster.processes.push(Process::start(&name, command, directory)?);
        }
        let mut command = Command::new(&berth);
        command
            .args(["agent", "--name", &agent, "--server", &cluster.endpoints.join(",")])
            .args(["--metrics-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory.join("agent"));
        cluster.processes.push(Process::start("agent", command, directory)?);
        cluster.until_ready().await?;
        Ok(cluster)
    }

    /// A client that knows all servers.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::connect(Config::new(self.endpoints.clone()))?)
    }

    /// Stops everything in order, the agent first.
    pub(crate) fn stop(mut self) -> Result<()> {
        while let Some(mut process) = self.processes.pop() {
            process.stop()?;
        }
        self.remove_groups()
    }

    /// The processor time used so far.
    pub(crate) fn used(&self) -> Result<Used> {
        let mut used = Used::default();
        let Some((agent, servers)) = self.processes.split_last() else { return Ok(used) };
        for server in servers {
            used.servers += server.used()?;
        }
        used.agent = agent.used()?;
        Ok(used)
    }

    /// An agent leaves its control groups for its next start; here there is none.
    fn remove_groups(&self) -> Result<()> {
        let mounts = Mounts::read()?;
        for mount in mounts.v1.values().chain(&mounts.unified) {
            let group = mount.join(&self.group);
            for path in [group.join("attempts"), group.join("shims"), group] {
                // Controllers that are mounted together have one directory.
                if path.exists() {
                    std::fs::remove_dir(&path).with_context(|| format!("{} is in use", path.display()))?;
                }
            }
        }
        Ok(())
    }

    async fn until_ready(&mut self) -> Result<()> {
        let client = self.client()?;
        let began = Instant::now();
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            // Until there is a leader the client has no answer.
            let nodes = client.nodes().collect().await.unwrap_or_default();
            let ready = |node: &berth_client::api::NodeView| {
                let facts = node.facts.as_ref();
                node.state() == NodeState::Ready
                    && facts.is_some_and(|facts| facts.executors.iter().any(|executor| executor.ready))
            };
            if nodes.iter().any(ready) {
                return Ok(());
            }
            ensure!(began.elapsed() < READY_MAX, "no agent is ready after {} s", READY_MAX.as_secs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Process {
    fn start(name: &str, mut command: Command, directory: &Path) -> Result<Process> {
        let log = directory.join(format!("{name}.log"));
        let child = command
            .env("BERTH_LOG_FILTER", "warn")
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    /// Fails with what it wrote when it has ended.
    fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            bail!("{} ended with {status}:\n{text}", self.name);
        }
        Ok(())
    }

    /// The processor time of the process and of its children that have ended: four fields of its `stat`, in ticks
    /// of a hundredth of a second.
    fn used(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = text.rsplit_once(')').context("a process without a name")?;
        let ticks = fields.split_whitespace().skip(11).take(4).map(str::parse::<u64>);
        Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
    }

    /// Asks it to stop, and waits.
    fn stop(&mut self) -> Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(asked.success(), "cannot ask {} to stop", self.name);
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not stop", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only matters when something failed; a process that was stopped has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The product's binary, which is built next to this one.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("berth");
    ensure!(path.exists(), "{} is missing: start this with `cargo xtask bench launch`", path.display());
    Ok(path)
}

/// Ports that were free a moment ago. All are held until all are known, so that none is given out twice.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
