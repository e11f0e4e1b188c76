//! One attempt as the watcher sees it.

use std::io::{PipeReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use berth_core::time::{Millis, Timestamp};
use berth_shim::control::{Client, Request};
use berth_shim::group::Groups;
use berth_shim::process::Pidfd;

use super::recovery;

/// How long after its grace a task is left to its shim before the agent kills it itself.
const SHIM_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes read of a shim's line.
const LINE_MAX: usize = 1024;

/// What is known of an attempt that is not over.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) started: Option<Timestamp>,
    pub(super) stage: Stage,
    /// The shim's last word, if it said that it failed.
    pub(super) failed: Option<String>,
    /// A shim that this process spawned, for it to bury.
    pub(super) child: Option<i32>,
    /// A stop that the shim was not told yet.
    stop: Option<Millis>,
    /// When to kill without the shim's help, and how hard.
    pub(super) force: Option<(Instant, Force)>,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// A launcher has it; the flag keeps it from being launched.
    Queued { stopped: Arc<AtomicBool> },
    /// Its shim lives but nothing is heard of it: the agent was restarted before it said anything, or it cannot be
    /// waited on. Its directory is looked at instead.
    Unheard,
    /// Its shim runs. `said` is there until the shim has said that the task began.
    Supervised { shim: Pidfd, said: Option<PipeReader> },
}

/// What is tried next when a stopped task does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    /// Kill the task's group.
    Group,
    /// Kill the shim, with which the task ends.
    Shim,
}

/// What a shim said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Started(Timestamp),
    /// It failed, or hung up: its record says more.
    Nothing,
}

impl Watched {
    pub(super) fn new(name: String, dir: PathBuf, stage: Stage) -> Watched {
        Watched { name, dir, started: None, stage, failed: None, child: None, stop: None, force: None }
    }

    /// Whether something about it is to be looked at from time to time.
    pub(super) fn needs_a_look(&self) -> bool {
        self.force.is_some() || matches!(self.stage, Stage::Unheard)
    }

    /// Asks the attempt to end; kept for later when its shim does not listen yet.
    pub(super) fn stop(&mut self, grace: Millis) {
        if let Stage::Queued { stopped } = &self.stage {
            stopped.store(true, Ordering::Release);
        }
        let grace = self.stop.map_or(grace, |earlier| earlier.min(grace));
        self.stop = Some(grace);
        self.pass_stop_on();
        let force_at =
            Instant::now() + Duration::from(grace).min(Duration::from_secs(1 << 30)) + SHIM_PATIENCE;
        if self.force.is_none_or(|(at, _)| force_at < at) {
            self.force = Some((force_at, Force::Group));
        }
    }

    /// Tells the shim of a stop that is due.
    pub(super) fn pass_stop_on(&mut self) {
        let Some(Millis(grace_ms)) = self.stop else { return };
        // One that is not heard may have begun all the same; if it has not, the request waits in its socket.
        if self.started.is_none() && !matches!(self.stage, Stage::Unheard) {
            return;
        }
        match Client::connect(&self.dir).and_then(|mut shim| shim.tell(Request::Stop { grace_ms })) {
            Ok(()) => self.stop = None,
            // A shim that does not listen any more is ending; if not, force comes later.
            Err(error) => tracing::debug!(name = self.name, %error, "a shim cannot be told to stop"),
        }
    }

    /// Reads the shim's line. It is short and written at once, so it comes in one read.
    pub(super) fn listen(&mut self) -> Said {
        let Stage::Supervised { said: slot, .. } = &mut self.stage else { return Said::Nothing };
        let Some(mut pipe) = slot.take() else { return Said::Nothing };
        let mut line = [0; LINE_MAX];
        let count = pipe.read(&mut line).unwrap_or(0);
        let line = String::from_utf8_lossy(&line[..count]);
        self.failed = line.strip_prefix("failed ").map(|cause| cause.trim_end().to_owned());
        let started = line.strip_prefix("started ").and_then(|ms| ms.trim_end().parse().ok());
        started.map_or(Said::Nothing, |ms| Said::Started(Timestamp(ms)))
    }

    /// Uses force if its time has come.
    pub(super) fn force(&mut self, groups: Option<Groups>, now: Instant) {
        let Some((at, force)) = self.force else { return };
        if at > now {
            return;
        }
        let later = now + SHIM_PATIENCE;
        if let Stage::Queued { .. } = self.stage {
            // Not launched any more, unless it is just being launched.
            self.force = Some((later, force));
            return;
        }
        tracing::warn!(name = self.name, ?force, "a task outlived its grace and its shim's help");
        self.force = match (force, &self.stage) {
            (_, Stage::Queued { .. }) => None,
            (Force::Group, _) => {
                // Only the order to die; whether it worked shows at the next look.
                let _ = groups.map(|groups| groups.kill(Duration::ZERO));
                Some((later, Force::Shim))
            }
            (Force::Shim, Stage::Supervised { shim, .. }) => {
                let _ = shim.signal(9);
                None
            }
            (Force::Shim, Stage::Unheard) => match recovery::shim_of(&self.dir).map(|shim| shim.signal(9)) {
                Some(Ok(())) => None,
                Some(Err(_)) | None => Some((later, Force::Shim)),
            },
        };
    }
}
