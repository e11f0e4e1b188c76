//! Launching: the control group, the order on disk, the shim's process.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use berth_core::reason::EndReason;
use berth_shim::group::Groups;
use berth_shim::process::Pidfd;
use berth_shim::record::{LeashOrder, ORDER_FILE, Order, Record};
use berth_shim::{DEFAULT_PATH, TMP_DIR, WORK_DIR};

use super::Machine;
use super::watcher::{Command, WatcherHandle};
use crate::cgroups::{self, Limits};
use crate::ending::{self, OUTPUT_FILE};
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
    #[error("cannot make {ORDER_FILE}: {0}")]
    Order(io::Error),
    #[error("cannot write {ORDER_FILE}: {0}")]
    Write(io::Error),
    #[error("cannot start the supervisor: {0}")]
    Spawn(io::Error),
}

impl Error {
    /// Whether the attempt's own group was made before this happened, so that something may be in it.
    fn leaves_group(&self, machine: &Machine) -> bool {
        machine.cgroups().is_some() && matches!(self, Error::Write(_) | Error::Spawn(_))
    }
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
                Command::NotStarted { attempt, reason, leaves_group: false }
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
                let reason = EndReason::StartFailed(error.to_string().into());
                Command::NotStarted { attempt, reason, leaves_group: error.leaves_group(&self.machine) }
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
        // A shim that was spawned and ended again can have begun the task: after either error the watcher clears the
        // group before it tells of the end.
        file.write_all(&order.encode()).map_err(Error::Write)?;
        self.spawn(launch, file).map_err(Error::Spawn)
    }

    fn order(&self, launch: &Launch) -> Result<Order, Error> {
        let executor::Program::Exec { command } = &launch.program else { return Err(Error::NotExec) };
        if command.first().is_none_or(String::is_empty) {
            return Err(Error::NoCommand);
        }
        let dir = launch.dir.to_str().ok_or_else(|| Error::DirName(launch.dir.display().to_string()))?;
        let mut environment = launch.env.clone();
        // What every program expects, and nothing of the agent's own: a task must not depend on how its agent was
        // started. The job has the last word.
        for (key, value) in [
            ("BERTH_OUTPUT", format!("{dir}/{OUTPUT_FILE}")),
            ("PATH", DEFAULT_PATH.to_owned()),
            ("HOME", format!("{dir}/{WORK_DIR}")),
            ("TMPDIR", format!("{dir}/{TMP_DIR}")),
        ] {
            if environment.iter().all(|(set, _)| set != key) {
                environment.push((key.to_owned(), value));
            }
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
            leash: launch.leash.as_ref().map(|leash| LeashOrder {
                span_ms: leash.span.0,
                grace_ms: leash.grace.0,
                contact: leash.contact.clone(),
            }),
            open_files: self.machine.config.open_files,
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
        let (pid, shim) = handle_on(child, Pidfd::of_child)?;
        Ok(Spawned { pid, shim, said })
    }
}

/// The pid of a child that was just spawned, which stays taken until the watcher has waited for it, and a handle on it.
/// Without a handle nobody would hear of its end, so then it is ended here, and its task with it.
fn handle_on(mut child: Child, open: impl FnOnce(i32) -> io::Result<Pidfd>) -> io::Result<(i32, Pidfd)> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other);
    let handle = pid.and_then(|pid| Ok((pid, open(pid)?)));
    if handle.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    handle
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

#[cfg(test)]
mod tests {
    use berth_shim::process::Process;

    use super::*;

    #[test]
    fn a_supervisor_that_cannot_be_watched_is_ended_before_the_launch_is_called_failed() {
        let child = Program::new("/bin/sleep").arg("300").spawn().unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        let refused = handle_on(child, |_| Err(io::Error::from_raw_os_error(libc_emfile())));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc_emfile()));
        assert_ne!(Process::of(process.pid).ok(), Some(process), "it is dead and buried");
    }

    fn libc_emfile() -> i32 {
        nix::errno::Errno::EMFILE as i32
    }
}
