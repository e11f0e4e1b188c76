//! Ending a task: the polite way, then the other.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::control::{Reply, Request};

/// Signals to the task, and when it is to be killed.
#[derive(Debug)]
pub(crate) struct Stopping {
    /// The shim's child: the init, which passes signals on, or the program itself.
    child: Pid,
    stopping: bool,
    kill_at: Option<Instant>,
}

impl Stopping {
    pub(crate) fn new(child: Pid) -> Stopping {
        Stopping { child, stopping: false, kill_at: None }
    }

    pub(crate) fn child(&self) -> i32 {
        self.child.as_raw()
    }

    /// True once the task was asked to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// When the grace of the last stop is over.
    pub(crate) fn kill_at(&self) -> Option<Instant> {
        self.kill_at
    }

    /// True once, when the grace is over.
    pub(crate) fn kill_is_due(&mut self) -> bool {
        let due = self.kill_at.is_some_and(|at| Instant::now() >= at);
        if due {
            self.kill_at = None;
        }
        due
    }

    /// Asks the task to end, and sets the time of its killing; a later stop can only make it sooner.
    pub(crate) fn stop(&mut self, grace: Duration) {
        // A grace beyond what the clock can hold is no bound at all.
        let kill_at = Instant::now().checked_add(grace);
        self.kill_at = match (self.kill_at, kill_at) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        };
        self.stopping = true;
        let _ = kill(self.child, Signal::SIGTERM);
    }

    /// Answers a request from the control socket.
    pub(crate) fn handle(&mut self, request: Request) -> Reply {
        match request {
            Request::Status => {
                let state = if self.stopping { "stopping" } else { "running" };
                Reply::Status(format!("state {state}\npid {}\n", self.child))
            }
            Request::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => match kill(self.child, signal) {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Refused(format!("cannot send signal {number}: {error}")),
                },
                Err(_) => Reply::Refused(format!("there is no signal {number}")),
            },
            Request::Stop { grace_ms } => {
                self.stop(Duration::from_millis(grace_ms));
                Reply::Done
            }
        }
    }

    /// Kills the child; with an init this ends the whole namespace.
    pub(crate) fn kill_child(&self) {
        let _ = kill(self.child, Signal::SIGKILL);
        let _ = killpg(self.child, Signal::SIGKILL);
    }

    /// Kills every descendant of this process. The shim adopts orphans, so none gets away by leaving
    /// its parent or its session. True when there was any.
    pub(crate) fn kill_descendants(&self) -> bool {
        let mut unseen = children(std::process::id());
        let mut any = false;
        while let Some(pid) = unseen.pop() {
            any = true;
            unseen.extend(children(pid));
            if let Ok(pid) = i32::try_from(pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        any
    }
}

/// The children of all threads of a process; none when it is gone.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}
