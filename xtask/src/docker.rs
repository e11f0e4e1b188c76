//! A Docker engine for the tests: one that answers already, or a private one under `target/docker`.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command::{command, find, quiet};
use crate::http;
use crate::workspace;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// The kernel allows 108 bytes for the path of a socket, and containerd adds some of its own.
const SOCKET_PATH_MAX: usize = 70;

/// How long a private engine is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as this program, also when that is killed.
    Bound,
    /// Until [`Engine::stop_kept`].
    Kept,
}

impl Life {
    fn program(self, program: &str) -> Command {
        match self {
            // The kernel sends the engine a SIGTERM when its parent dies, however that happens.
            Self::Bound if find("setpriv").is_some() => command("setpriv", &["--pdeathsig", "TERM", program]),
            Self::Bound => command(program, &[]),
            Self::Kept => {
                let mut command = command(program, &[]);
                // Its own group, out of reach of a Ctrl-C on this terminal.
                command.process_group(0);
                command
            }
        }
    }
}

/// An engine that answers.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
    /// The process, when this program started it and is to stop it.
    own: Option<Child>,
}

impl Engine {
    /// An engine that answers: the one the environment names, the private one that `cargo xtask
    /// setup` left running, or the system's.
    pub(crate) fn running() -> Option<Self> {
        let named =
            ["BERTH_TEST_DOCKER_HOST", "DOCKER_HOST"].into_iter().filter_map(|name| env::var(name).ok());
        let named = named.filter_map(|host| host.strip_prefix("unix://").map(PathBuf::from));
        let usual = [folder().join("docker.sock"), "/var/run/docker.sock".into()];
        let socket = named.chain(usual).find(|socket| answers(socket))?;
        Some(Self { socket, own: None })
    }

    /// Starts a private engine: its own data, socket and process id file, no bridge and no firewall
    /// rules, so that it leaves nothing on the machine but `target/docker`.
    pub(crate) fn start(life: Life) -> Result<Self> {
        let folder = folder();
        fs::create_dir_all(&folder)?;
        clear_stale_pid(&folder)?;
        let socket = folder.join("docker.sock");
        let log_path = folder.join("dockerd.log");
        let log = File::create(&log_path)?;
        let dockerd = find("dockerd").context("no dockerd on this machine")?;
        let mut child = life
            .program(&dockerd.to_string_lossy())
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .arg("--pidfile")
            .arg(folder.join("dockerd.pid"))
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start dockerd")?;
        let began = Instant::now();
        while !answers(&socket) {
            if let Some(status) = child.try_wait()? {
                bail!("dockerd ended at once: {status}\n{}", tail(&log_path));
            }
            if began.elapsed() > STARTS_WITHIN {
                let _ = terminate(&mut child);
                bail!("dockerd did not answer within {} s\n{}", STARTS_WITHIN.as_secs(), tail(&log_path));
            }
            thread::sleep(POLL);
        }
        println!("started a Docker engine (process {}, log {})", child.id(), log_path.display());
        Ok(Self { socket, own: Some(child) })
    }

    /// What the tests find the engine by.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Lets a private engine run on after this program.
    pub(crate) fn keep(mut self) {
        self.own = None;
    }

    /// Stops the private engine that [`Engine::keep`] left running.
    pub(crate) fn stop_kept() -> Result<()> {
        let Some(pid) = private_pid(&folder()) else {
            println!("no private Docker engine is running");
            return Ok(());
        };
        quiet(&mut command("kill", &["-TERM", &pid.to_string()]))?;
        let began = Instant::now();
        while private_pid(&folder()).is_some() {
            anyhow::ensure!(began.elapsed() < STOPS_WITHIN, "process {pid} did not stop");
            thread::sleep(POLL);
        }
        println!("stopped the Docker engine (process {pid})");
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(child) = &mut self.own else { return };
        match terminate(child) {
            Ok(()) => println!("stopped the Docker engine"),
            Err(error) => {
                eprintln!("the Docker engine (process {}) was not stopped in order: {error:#}", child.id())
            }
        }
    }
}

/// SIGTERM, so that the engine ends its containers and its containerd; SIGKILL when it is late.
fn terminate(child: &mut Child) -> Result<()> {
    quiet(&mut command("kill", &["-TERM", &child.id().to_string()]))?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > STOPS_WITHIN {
            child.kill()?;
            child.wait()?;
            bail!("it had to be killed");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn folder() -> PathBuf {
    let folder = workspace::target().join("docker");
    if folder.as_os_str().len() <= SOCKET_PATH_MAX {
        folder
    } else {
        env::temp_dir().join("berth-test-docker")
    }
}

fn answers(socket: &Path) -> bool {
    socket.exists() && http::request(socket, "GET", "/_ping", b"").is_ok_and(|(status, _)| status == 200)
}

/// The process that the file of our private engine names, if that is still an engine.
fn private_pid(folder: &Path) -> Option<u32> {
    let pid = fs::read_to_string(folder.join("dockerd.pid")).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "dockerd").then_some(pid)
}

fn clear_stale_pid(folder: &Path) -> Result<()> {
    if let Some(pid) = private_pid(folder) {
        bail!("an engine of an earlier run (process {pid}) does not answer; end it with kill {pid}");
    }
    match fs::remove_file(folder.join("dockerd.pid")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
