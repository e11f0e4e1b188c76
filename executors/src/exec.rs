//! The exec executor: attempts as processes of this machine, each with its own shim.
//!
//! ```text
//! start --> launcher threads: control group, order.rec, spawn --\
//! stop, remove, recover ---------------------------------------> watcher thread --> Started, Ended
//!                                  shims' pipes and pidfds -----/
//! ```
//!
//! The truth about an attempt is on disk and in the kernel: `order.rec` and its lock, `run.rec`,
//! `exit.rec`, the control group. Memory only makes it quick to find. This crate never forks: a shim
//! is spawned without any code between fork and exec, whatever the size of the agent.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::time::Millis;
use berth_shim::process::{Process, boot_id};
use berth_shim::record::LogSizes;

use crate::cgroups::{self, Cgroups};
use crate::executor::{EventSink, Executor, Found, Health, Kind, Launch};

use isolation::Isolation;
use launcher::{Launcher, Work};
use straggler::Stuck;
use watcher::{Command, Watcher, WatcherHandle};

mod isolation;
mod launcher;
mod lost;
mod recovery;
mod straggler;
mod watched;
mod watcher;

/// Launches that may wait for a launcher thread. A node has far fewer attempts than this; beyond it
/// `start` waits.
const LAUNCHES_QUEUED: usize = 16_384;
/// Rogues that may wait to be killed; beyond it they are passed over, and named again at the next look.
const ROGUES_QUEUED: usize = 64;
/// How long the group of a rogue may take to be empty after it was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How much of isolation to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationChoice {
    /// As much as this machine and this user allow.
    Best,
    /// None: plain children, as without root.
    Plain,
}

/// What the executor is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program that, with `__shim` as its first argument, is a shim: the `berth` binary itself.
    pub shim_program: PathBuf,
    /// The control group of this agent below the mount, such as `berth`. Two agents on one machine
    /// need two.
    pub cgroup_root: String,
    /// How much isolation to use.
    pub isolation: IsolationChoice,
    /// When this process ends, every task is stopped; for `berth dev`.
    pub end_with: Option<Process>,
    /// How many files a task may have open until it asks for more; `None` for as many as this process.
    pub open_files: Option<u64>,
    /// Bounds of the logs.
    pub log: LogSizes,
    /// Threads that launch; two for each core is plenty.
    pub launchers: usize,
}

/// What the executor's threads share; nothing in it changes but a count.
#[derive(Debug)]
struct Machine {
    config: Config,
    isolation: Isolation,
    boot_id: String,
    stuck: Stuck,
}

impl Machine {
    /// The control groups, where there are any to be used.
    fn cgroups(&self) -> Option<&dyn Cgroups> {
        self.isolation.cgroups.as_deref()
    }
}

/// Runs attempts as processes. See the module's text.
#[derive(Debug)]
pub struct ExecExecutor {
    machine: Arc<Machine>,
    health: Health,
    launchers: Vec<SyncSender<Work>>,
    next_launcher: usize,
    watcher: WatcherHandle,
    rogues: SyncSender<String>,
    /// The attempts that this executor knows, until they are removed.
    known: HashMap<AttemptHandle, String>,
    /// The lock on the agent's control group, once it is held.
    ownership: Option<File>,
}

impl ExecExecutor {
    /// Finds out what isolation there is and starts the threads. They end with the executor; tasks
    /// do not.
    pub fn new(config: Config, sink: EventSink) -> ExecExecutor {
        let isolation = Isolation::probe(&config);
        let boot_id = boot_id();
        let health = match (&boot_id, &isolation.unusable) {
            (Ok(_), Some(reason)) => Health::Unavailable { reason: reason.clone() },
            (Ok(_), None) => {
                Health::Ready { detail: isolation.detail.clone(), missing: isolation.missing.clone() }
            }
            (Err(error), _) => {
                Health::Unavailable { reason: format!("/proc cannot be read ({error}): is it mounted?") }
            }
        };
        let launchers = config.launchers.max(1);
        let machine = Arc::new(Machine {
            config,
            isolation,
            boot_id: boot_id.unwrap_or_default(),
            stuck: Stuck::default(),
        });
        let (watcher, handle) = Watcher::new(Arc::clone(&machine), sink);
        spawn("exec-watch", move || watcher.run());
        let launchers = (0..launchers)
            .map(|number| {
                let (work, queue) = sync_channel(LAUNCHES_QUEUED / launchers);
                let launcher = Launcher::new(Arc::clone(&machine), handle.clone());
                spawn(&format!("exec-launch-{number}"), move || launcher.run(&queue));
                work
            })
            .collect();
        let (rogues, queue) = sync_channel(ROGUES_QUEUED);
        let rogue_machine = Arc::clone(&machine);
        spawn("exec-rogue", move || rogue_machine.kill_rogues(&queue));
        ExecExecutor {
            machine,
            health,
            launchers,
            next_launcher: 0,
            watcher: handle,
            rogues,
            known: HashMap::new(),
            ownership: None,
        }
    }

    /// Whether the agent's control group is this executor's alone, so that what is in it and unknown is nobody's. Held
    /// until the executor ends. A second agent of the same name on the machine has other attempts, and must not touch
    /// those of the first.
    fn owns_groups(&mut self) -> bool {
        if self.ownership.is_none() {
            self.ownership = self.machine.cgroups().and_then(|cgroups| cgroups::lock(&cgroups.root()));
        }
        self.ownership.is_some()
    }
}

impl Machine {
    /// Kills one rogue after the other, until the executor is gone.
    fn kill_rogues(&self, names: &Receiver<String>) {
        while let Ok(name) = names.recv() {
            match self.kill_rogue(&name) {
                Ok(true) => tracing::warn!(name, "what belonged to no attempt is killed and removed"),
                Ok(false) => tracing::error!(name, "what belongs to no attempt is still there after a kill"),
                Err(error) => tracing::error!(name, %error, "what belongs to no attempt cannot be killed"),
            }
        }
    }

    /// Kills everything in a group and removes it. May take seconds. False when a process in it cannot be killed.
    fn kill_rogue(&self, name: &str) -> Result<bool, cgroups::Error> {
        let Some(cgroups) = self.cgroups() else { return Ok(true) };
        let groups = cgroups.groups(name);
        let path = groups.paths().next().map(PathBuf::from).unwrap_or_default();
        match groups.kill(KILL_PATIENCE) {
            Ok(true) => cgroups.remove(name),
            Ok(false) => Ok(false),
            Err(source) => Err(cgroups::Error::Remove { path, source }),
        }
    }
}

impl Executor for ExecExecutor {
    fn kind(&self) -> Kind {
        Kind::Exec
    }

    fn health(&self) -> Health {
        let mut health = self.health.clone();
        if let (Health::Ready { detail, .. }, Some(stuck)) = (&mut health, self.machine.stuck.words()) {
            *detail = format!("{detail}; {stuck}");
        }
        health
    }

    fn recover(&mut self, known: Vec<Launch>) -> Vec<Found> {
        for launch in &known {
            self.known.insert(launch.attempt, launch.name.clone());
        }
        recovery::recover(&self.machine, &self.watcher, known)
    }

    fn start(&mut self, launch: Launch) {
        if self.known.contains_key(&launch.attempt) {
            self.watcher.send(Command::RefuseTwice { attempt: launch.attempt });
            return;
        }
        self.known.insert(launch.attempt, launch.name.clone());
        let work = self.watcher.expect(launch);
        self.next_launcher = (self.next_launcher + 1) % self.launchers.len();
        // Launchers live as long as their queue, which is as long as this.
        let _ = self.launchers[self.next_launcher].send(work);
    }

    fn stop(&mut self, attempt: AttemptHandle, grace: Millis) {
        self.watcher.send(Command::Stop { attempt, grace });
    }

    fn remove(&mut self, attempt: AttemptHandle) {
        if let Some(name) = self.known.remove(&attempt) {
            self.watcher.send(Command::Remove { name });
        }
    }

    /// Control groups of attempts that this executor does not know. Without control groups nothing tells a rogue.
    fn rogues(&mut self) -> Vec<String> {
        if !self.owns_groups() {
            return Vec::new();
        }
        let mut names = match self.machine.cgroups().map_or(Ok(Vec::new()), Cgroups::names) {
            Ok(names) => names,
            Err(error) => {
                tracing::error!(%error, "the control groups cannot be looked at");
                Vec::new()
            }
        };
        let known: HashSet<&String> = self.known.values().collect();
        names.retain(|name| !known.contains(name));
        names
    }

    fn kill_rogue(&mut self, name: &str) {
        if self.rogues.try_send(name.to_owned()).is_err() {
            tracing::debug!(name, "others that belong to no attempt are killed first");
        }
    }
}

impl Drop for ExecExecutor {
    /// Leaves no empty control groups behind. Only when no attempt is known: one that a launcher has in hand needs them.
    fn drop(&mut self) {
        if self.known.is_empty()
            && self.owns_groups()
            && let Some(cgroups) = self.machine.cgroups()
        {
            cgroups.remove_root();
        }
    }
}

/// Starts a thread of the executor; only while the executor is made.
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.to_owned()).spawn(body).expect("threads can be started at start-up");
}
