//! Attempts whose program has ended while processes of theirs are still there: stuck in the kernel, where even SIGKILL
//! waits, usually on a disk or a network mount that does not answer. Their end is not told before they are gone, so
//! that nobody counts their memory as free or starts the task again beside them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use berth_core::id::AttemptHandle;
use berth_core::time::Timestamp;
use berth_shim::group::Groups;

use super::Machine;
use crate::executor::End;

/// How long what was killed may take to go before an operator is told. A large process takes a while to be torn down.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// How often those that are stuck are killed again.
const KILL_EVERY: Duration = Duration::from_secs(1);

/// How many attempts have processes that are stuck, for the executor's health.
#[derive(Debug, Default)]
pub(super) struct Stuck(AtomicUsize);

impl Stuck {
    /// In words; `None` when there is none.
    pub(super) fn words(&self) -> Option<String> {
        let attempts = match self.0.load(Ordering::Relaxed) {
            0 => return None,
            1 => "1 attempt has".to_owned(),
            many => format!("{many} attempts have"),
        };
        Some(format!("{attempts} ended but for processes that cannot be killed (stuck in the kernel)"))
    }
}

/// One such attempt.
#[derive(Debug)]
pub(super) struct Straggler {
    pub(super) attempt: AttemptHandle,
    pub(super) name: String,
    /// The start that was told, if it was.
    pub(super) told: Option<Timestamp>,
    pub(super) end: End,
    since: Instant,
    kill_at: Instant,
    stuck: bool,
}

impl Straggler {
    pub(super) fn new(attempt: AttemptHandle, name: String, told: Option<Timestamp>, end: End) -> Straggler {
        let now = Instant::now();
        Straggler { attempt, name, told, end, since: now, kill_at: now, stuck: false }
    }

    /// Whether anything of it is still there. Kills it again from time to time, and says once that it is stuck.
    fn is_there(&mut self, groups: &Groups, now: Instant) -> bool {
        let seen = if now >= self.kill_at {
            self.kill_at = now + KILL_EVERY;
            groups.kill(Duration::ZERO).map(|gone| !gone)
        } else {
            groups.populated()
        };
        // A group that cannot be read may hold anything.
        let there = *seen.as_ref().unwrap_or(&true);
        if there && !self.stuck && now >= self.since + STUCK_AFTER {
            self.stuck = true;
            let (name, error) = (&self.name, seen.err().map(tracing::field::display));
            let pids = groups.pids().unwrap_or_default();
            tracing::error!(
                name,
                ?pids,
                error,
                "what is left of an attempt cannot be killed; its end is told when it is gone"
            );
        } else if self.stuck && !there {
            tracing::info!(name = self.name, "what was left of an attempt is gone at last");
        }
        there
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Stragglers(Vec<Straggler>);

impl Stragglers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one that is over; gives it back if it is over for good. Without control groups nothing tells.
    pub(super) fn admit(&mut self, machine: &Machine, mut over: Straggler) -> Option<Straggler> {
        let groups = machine.cgroups().map(|cgroups| cgroups.groups(&over.name));
        if groups.is_some_and(|groups| over.is_there(&groups, Instant::now())) {
            self.0.push(over);
            return None;
        }
        Some(over)
    }

    /// Looks at all, and takes out those of which nothing is left.
    pub(super) fn gone(&mut self, machine: &Machine, now: Instant) -> Vec<Straggler> {
        let Some(cgroups) = machine.cgroups() else { return std::mem::take(&mut self.0) };
        let gone = self.0.extract_if(.., |over| !over.is_there(&cgroups.groups(&over.name), now)).collect();
        let stuck = self.0.iter().filter(|over| over.stuck).count();
        machine.stuck.0.store(stuck, Ordering::Relaxed);
        gone
    }
}
