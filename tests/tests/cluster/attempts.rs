//! What runs on a node, as its data directory and the kernel tell.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use berth_shim::process::Process;
use berth_shim::record::{EXIT_FILE, RUN_FILE, Record as _, RunRecord};
use nix::sys::signal::Signal;

use crate::daemon::signal;

/// The attempts of which the agent with this data directory knows that they began, by name.
pub(crate) fn begun(data_dir: &Path) -> Result<BTreeMap<String, RunRecord>> {
    let mut begun = BTreeMap::new();
    for dir in directories(data_dir) {
        if let Some(record) = RunRecord::read(&dir.join(RUN_FILE))? {
            let name = dir.file_name().expect("it was listed").to_string_lossy().into_owned();
            begun.insert(name, record);
        }
    }
    Ok(begun)
}

/// Of those, the ones that have not ended.
pub(crate) fn running(data_dir: &Path) -> Result<BTreeMap<String, RunRecord>> {
    let mut all = begun(data_dir)?;
    all.retain(|name, record| !has_ended(data_dir, name) && lives(record.shim));
    Ok(all)
}

/// Whether the exit of an attempt is on record.
pub(crate) fn has_ended(data_dir: &Path, name: &str) -> bool {
    attempts(data_dir).join(name).join(EXIT_FILE).exists()
}

/// Whether it is still this very process; one that is over and not yet waited for has ended.
pub(crate) fn lives(process: Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    let state = stat.rfind(')').and_then(|end| stat[end + 1..].trim_start().chars().next());
    Process::of(process.pid).is_ok_and(|now| now == process) && state != Some('Z')
}

/// Kills the shims; their tasks end with them.
pub(crate) fn kill_all(data_dir: &Path) {
    for record in begun(data_dir).unwrap_or_default().into_values() {
        for process in [record.shim, record.task].into_iter().filter(|&process| lives(process)) {
            let _ = u32::try_from(process.pid).map(|pid| signal(pid, Signal::SIGKILL));
        }
    }
}

/// How many attempts the docker executor has begun there.
pub(crate) fn containers(data_dir: &Path) -> usize {
    directories(data_dir).iter().filter(|dir| dir.join("container.rec").exists()).count()
}

fn attempts(data_dir: &Path) -> PathBuf {
    data_dir.join("attempts")
}

fn directories(data_dir: &Path) -> Vec<PathBuf> {
    // The directory is made with the first attempt.
    let Ok(entries) = fs::read_dir(attempts(data_dir)) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
