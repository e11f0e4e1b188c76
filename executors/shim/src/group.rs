//! Reading, freezing and killing control groups, on cgroup v1, v2 and hybrid machines.
//!
//! Making groups and setting their limits is the agent's part; a shim and an agent look at them and
//! end them through this module. On a hybrid machine each task is in v1 groups for its limits and in
//! a group of the otherwise empty v2 tree for membership, kill and freeze, which v1 does badly.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::record::Fields;

#[cfg(test)]
mod tests;

/// The groups of one task. Empty where there are none to be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// Its group in the cgroup v2 tree.
    pub unified: Option<PathBuf>,
    /// Its groups in v1 hierarchies, by controller.
    pub v1: BTreeMap<String, PathBuf>,
}

/// What a task's groups have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use, in bytes.
    pub memory: u64,
    /// The most that was in use at once, in bytes.
    pub memory_peak: u64,
    /// Processor time used, in microseconds.
    pub cpu_us: u64,
    /// Processes and threads now.
    pub pids: u64,
    /// Processes that the kernel killed at the memory limit.
    pub oom_kills: u64,
}

impl Groups {
    /// True when the task has no groups.
    pub fn is_empty(&self) -> bool {
        self.unified.is_none() && self.v1.is_empty()
    }

    /// Every directory, v2 first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.unified.iter().chain(self.v1.values()).map(PathBuf::as_path)
    }

    /// The pids in the group, without those that this pid namespace cannot see.
    ///
    /// # Errors
    /// The group cannot be read. A group that is gone has none.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let Some(group) = self.paths().next() else { return Ok(Vec::new()) };
        let text = match fs::read_to_string(group.join("cgroup.procs")) {
            Ok(text) => text,
            Err(error) if gone(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0).collect())
    }

    /// Whether any process is in the group or below it.
    ///
    /// # Errors
    /// The group cannot be read. A group that is gone is empty.
    pub fn populated(&self) -> io::Result<bool> {
        let Some(unified) = &self.unified else { return Ok(!self.pids()?.is_empty()) };
        match fs::read_to_string(unified.join("cgroup.events")) {
            Ok(text) => Ok(counter(&text, "populated") != Some(0)),
            Err(error) if gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Kills every process in the group and waits until none is left; false when some are still
    /// there after `patience` (a process stuck in the kernel).
    ///
    /// # Errors
    /// The group cannot be read or written.
    pub fn kill(&self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        while self.populated()? {
            if !self.kill_at_once()? {
                self.kill_each()?;
            }
            if !self.populated()? {
                break;
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Stops every process of the group where it is, or lets them go on.
    ///
    /// # Errors
    /// `Unsupported` when there is neither a v2 group nor a v1 freezer.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        if let Some(unified) = &self.unified {
            return fs::write(unified.join("cgroup.freeze"), if frozen { "1" } else { "0" });
        }
        match self.v1.get("freezer") {
            Some(group) => fs::write(group.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" }),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "no freezer")),
        }
    }

    /// The counters. What cannot be read counts as zero.
    pub fn usage(&self) -> Usage {
        if self.v1.is_empty() { self.usage_v2() } else { self.usage_v1() }
    }

    /// Adds the groups to a record.
    pub(crate) fn put(&self, fields: &mut Fields) {
        fields.put_some("unified", self.unified.as_ref().map(|path| path.display()));
        for (controller, path) in &self.v1 {
            fields.put("v1", format_args!("{controller} {}", path.display()));
        }
    }

    /// The groups in a record.
    pub(crate) fn take(fields: &Fields) -> Groups {
        let v1 = fields.all("v1").filter_map(|line| line.split_once(' '));
        Groups {
            unified: fields.all("unified").next().map(PathBuf::from),
            v1: v1.map(|(controller, path)| (controller.to_owned(), path.into())).collect(),
        }
    }

    /// Kills all at once where the kernel can (5.14 and later); false where it cannot.
    fn kill_at_once(&self) -> io::Result<bool> {
        let Some(unified) = &self.unified else { return Ok(false) };
        match fs::write(unified.join("cgroup.kill"), "1") {
            Ok(()) => Ok(true),
            Err(error) if gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Kills one by one, frozen, so that none can fork away. A signal to a frozen v1 group waits
    /// until it is thawed.
    fn kill_each(&self) -> io::Result<()> {
        let frozen = self.freeze(true).is_ok();
        let killed = self.pids().map(|pids| {
            for pid in pids {
                // One that has just ended is as good as killed.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        });
        // Whatever came of that: what stands still can never end.
        let thawed = if frozen { self.freeze(false) } else { Ok(()) };
        killed.and(thawed)
    }

    fn usage_v2(&self) -> Usage {
        let Some(group) = &self.unified else { return Usage::default() };
        let memory = number(&group.join("memory.current"));
        Usage {
            memory,
            // Before 5.19 there is no peak; what is in use now is the best that is known.
            memory_peak: number(&group.join("memory.peak")).max(memory),
            cpu_us: counter_in(&group.join("cpu.stat"), "usage_usec"),
            pids: number(&group.join("pids.current")),
            oom_kills: counter_in(&group.join("memory.events"), "oom_kill"),
        }
    }

    fn usage_v1(&self) -> Usage {
        let mut usage = Usage::default();
        if let Some(group) = self.v1.get("memory") {
            usage.memory = number(&group.join("memory.usage_in_bytes"));
            usage.memory_peak = number(&group.join("memory.max_usage_in_bytes"));
            usage.oom_kills = counter_in(&group.join("memory.oom_control"), "oom_kill");
        }
        if let Some(group) = self.v1.get("pids") {
            usage.pids = number(&group.join("pids.current"));
        }
        usage.cpu_us = match (&self.unified, self.v1.get("cpuacct")) {
            (Some(group), _) => counter_in(&group.join("cpu.stat"), "usage_usec"),
            (None, Some(group)) => number(&group.join("cpuacct.usage")) / 1000,
            (None, None) => 0,
        };
        usage
    }
}

/// The group was removed: opening says so with one error, using an open file with another.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn counter_in(path: &Path, key: &str) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| counter(&text, key)).unwrap_or(0)
}

fn counter(text: &str, key: &str) -> Option<u64> {
    text.lines().filter_map(|line| line.split_once(' ')).find(|(k, _)| *k == key)?.1.trim().parse().ok()
}
