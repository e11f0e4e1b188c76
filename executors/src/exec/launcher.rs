//! Launching: the control group, the order on disk, the shim's process.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use berth_core::reason::EndReason;
use berth_shim::group::Groups;
use berth_shim::process::Pidfd;
use berth_shim::record::{ORDER_FILE, Order, Record};

use super::ending::OUTPUT_FILE;
use super::watcher::{Command, WatcherHandle};
use super::{Machine, ending};
use crate::cgroups::{self, Limits};
use crate::executor::{self, Launch};

/// One launch, and whether it was stopped before it began.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) launch: Launch,
    pub(super) stopped: Arc<AtomicBool>,
}

/// A shim that was spawned.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: i32,
    pub(super) shim: Pidfd,
    /// Where it says `started` or `failed`.
    pub(super) said: PipeReader,
}

/// A launch that came to nothing.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it was started once already: its directory holds {ORDER_FILE}")]
    StartedBefore,
    #[error("the exec executor cannot run this kind of program")]
    NotExec,
    #[error("the command is empty")]
    NoCommand,
    #[error("the directory {0} has a name that is no text")]
    DirName(String),
    #[error("{0}")]
    Group(#[from] cgroups::Error),
    #[error("cannot write {ORDER_FILE}: {0}")]
    Order(io::Error),
    #[error("cannot start the supervisor: {0}")]
    Spawn(io::Error),
}

/// A thread that launches.
#[derive(Debug)]
pub(super) struct Launcher {
    machine: Arc<Machine>,
    watcher: WatcherHandle,
}

impl Launcher {
    pub(super) fn new(machine: Arc<Machine>, watcher: WatcherHandle) -> Launcher {
        Launcher { machine, watcher }
    }

    /// Launches until the executor is gone.
    pub(super) fn run(self, queue: &Receiver<Work>) {
        while let Ok(Work { launch, stopped }) = queue.recv() {
            let attempt = launch.attempt;
            let command = if stopped.load(Ordering::Acquire) {
                let reason = EndReason::Cancelled("a stop before it began".into());
                Command::NotStarted { attempt, reason }
            } else {
                self.try_launch(&launch)
            };
            self.watcher.send(command);
        }
    }

    fn try_launch(&self, launch: &Launch) -> Command {
        let attempt = launch.attempt;
        match self.launch(launch) {
            Ok(spawned) => Command::Spawned { attempt, spawned },
            Err(error) => {
                if !matches!(error, Error::StartedBefore) {
                    // So that the log's readers and a restarted agent know the end as well.
                    ending::record_not_started(&launch.dir, &error.to_string());
                }
                Command::NotStarted { attempt, reason: EndReason::StartFailed(error.to_string().into()) }
            }
        }
    }

    fn launch(&self, launch: &Launch) -> Result<Spawned, Error> {
        let mut order = self.order(launch)?;
        // Made anew, or this attempt was started before; locked from here until the shim is gone, for
        // the lock belongs to the open file, which the shim inherits.
        let mut file = create_order(launch)?;
        file.lock().map_err(Error::Order)?;
        if let Some(cgroups) = self.machine.cgroups() {
            order.groups = cgroups.create(&launch.name, &limits(&launch.limits))?;
            order.shim_groups = cgroups.shim_groups();
        }
        let spawned = file
            .write_all(&order.encode())
            .map_err(Error::Order)
            .and_then(|()| self.spawn(launch, file).map_err(Error::Spawn));
        if let (Err(_), Some(cgroups)) = (&spawned, self.machine.cgroups()) {
            // The launch's own error is the one to tell; a group left behind shows as a rogue.
            let _ = cgroups.remove(&launch.name);
        }
        spawned
    }

    fn order(&self, launch: &Launch) -> Result<Order, Error> {
        let executor::Program::Exec { command } = &launch.program else { return Err(Error::NotExec) };
        if command.first().is_none_or(String::is_empty) {
            return Err(Error::NoCommand);
        }
        let dir = launch.dir.to_str().ok_or_else(|| Error::DirName(launch.dir.display().to_string()))?;
        let mut environment = launch.env.clone();
        if environment.iter().all(|(key, _)| key != "BERTH_OUTPUT") {
            environment.push(("BERTH_OUTPUT".to_owned(), format!("{dir}/{OUTPUT_FILE}")));
        }
        Ok(Order {
            attempt: launch.attempt.0,
            name: launch.name.clone(),
            boot_id: self.machine.boot_id.clone(),
            command: command.clone(),
            environment,
            namespaces: self.machine.isolation.namespaces,
            groups: Groups::default(),
            shim_groups: Vec::new(),
            end_with: self.machine.config.end_with,
            log: self.machine.config.log,
        })
    }

    /// Spawns the shim. Nothing of this process runs between fork and exec, so a large agent does not
    /// make it slow; the shim's environment is empty, the task's is in the order.
    fn spawn(&self, launch: &Launch, order: File) -> io::Result<Spawned> {
        let (said, says) = io::pipe()?;
        let child = Program::new(&self.machine.config.shim_program)
            .arg(berth_shim::SHIM)
            .arg(&launch.dir)
            .env_clear()
            .stdin(order)
            .stdout(says)
            .stderr(Stdio::null())
            .spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // The watcher waits for it; until then the pid stays taken.
        Ok(Spawned { pid, shim: Pidfd::of_child(pid)?, said })
    }
}

fn create_order(launch: &Launch) -> Result<File, Error> {
    let path = launch.dir.join(ORDER_FILE);
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::StartedBefore),
        Err(error) => Err(Error::Order(error)),
    }
}

fn limits(limits: &executor::Limits) -> Limits {
    Limits {
        cpu_milli: limits.cpu_milli,
        cpu_hard: false,
        memory_max: limits.memory_max,
        pids_max: limits.pids_max,
    }
}
