//! Removes the control groups of agents that are gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::signal;

const MOUNT: &str = "/sys/fs/cgroup";
/// A killed process can stay in its group for a moment.
const WITHIN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(10);

/// Kills whatever is left in the groups whose names begin so, and removes them.
pub(crate) fn remove(prefix: &str) {
    let began = Instant::now();
    for root in roots(prefix) {
        while root.exists() && !remove_below(&root) && began.elapsed() < WITHIN {
            thread::sleep(AGAIN);
        }
    }
}

/// The groups of that name: one below the mount with version 2, else one below each hierarchy.
fn roots(prefix: &str) -> Vec<PathBuf> {
    let mount = Path::new(MOUNT);
    let hierarchies = folders(mount);
    let all = hierarchies.iter().flat_map(|hierarchy| folders(hierarchy)).chain(folders(mount));
    all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect()
}

fn remove_below(group: &Path) -> bool {
    for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
        let _ = pid.parse().map(|pid| signal(pid, Signal::SIGKILL));
    }
    let all = folders(group).iter().all(|below| remove_below(below));
    all && fs::remove_dir(group).is_ok()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
