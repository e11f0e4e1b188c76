//! What is left of attempts and runs on the disk. Slow, so it runs beside everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use berth_core::id::AttemptHandle;

/// The directories of runs.
#[derive(Debug)]
pub(super) struct Runs {
    /// Where they are.
    pub(super) dir: PathBuf,
    /// Those that known attempts use.
    pub(super) used: BTreeSet<PathBuf>,
    /// How long others stay after they were last written to.
    pub(super) keep: Duration,
}

/// Removes the directories of old runs; gives the sizes of the attempts' directories.
pub(super) fn look(
    forgotten: Vec<(AttemptHandle, PathBuf)>,
    runs: Option<Runs>,
) -> BTreeMap<AttemptHandle, u64> {
    if let Some(runs) = runs {
        remove_old(&runs);
    }
    forgotten.into_iter().map(|(attempt, dir)| (attempt, bytes_in(&dir))).collect()
}

fn remove_old(runs: &Runs) {
    let now = SystemTime::now();
    let entries = fs::read_dir(&runs.dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let idle = last_written(&path).and_then(|at| now.duration_since(at).ok());
        if runs.used.contains(&path) || idle.is_none_or(|idle| idle < runs.keep) {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::debug!(path = %path.display(), "the directory of an old run is removed"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the directory of an old run stays"),
        }
    }
}

/// When something was last added to a directory or to one in it; links are not followed.
fn last_written(path: &Path) -> Option<SystemTime> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let own = metadata.modified().ok()?;
    if !metadata.is_dir() {
        return Some(own);
    }
    let below = fs::read_dir(path).ok()?.flatten().filter_map(|entry| last_written(&entry.path()));
    below.max().map_or(Some(own), |newest| Some(newest.max(own)))
}

fn bytes_in(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_in(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_runs_that_nobody_uses_go_and_sizes_are_added_up() {
        let home = tempfile::tempdir().unwrap();
        for run in ["used", "old"] {
            fs::create_dir_all(home.path().join(run).join("deep")).unwrap();
            fs::write(home.path().join(run).join("deep/file"), [0; 100]).unwrap();
        }
        let runs = |keep| Runs { dir: home.path().to_owned(), used: [home.path().join("used")].into(), keep };
        look(Vec::new(), Some(runs(Duration::from_secs(3600))));
        assert!(home.path().join("old").exists());
        let sizes = look(vec![(AttemptHandle(1), home.path().join("used"))], Some(runs(Duration::ZERO)));
        assert!(!home.path().join("old").exists());
        assert!(home.path().join("used").exists());
        assert_eq!(sizes[&AttemptHandle(1)], 100);
    }
}
