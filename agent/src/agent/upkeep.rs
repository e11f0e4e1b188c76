//! What is left of attempts and runs on the disk. Slow, so it runs beside everything else.
//!
//! Tasks chose what stands there, so nothing here is as large as they made it: walks keep a bounded list of what is
//! still to be looked at, and no directory is open while another is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use berth_core::id::AttemptHandle;

use crate::disk::trash;

/// Where directories of runs are until they are deleted; the runs can be on another file system than the rest.
const RUNS_TRASH: &str = ".trash";
/// The most directories that a walk remembers for later. Those past it are not looked into.
const PENDING_MAX: usize = 10_000;

/// One turn of upkeep.
#[derive(Debug)]
pub(super) struct Work {
    /// Where directories of attempts are until they are deleted.
    pub(super) trash: PathBuf,
    /// Where the directories of runs are.
    pub(super) run_dirs: PathBuf,
    /// Whether those are this agent's to remove.
    pub(super) own_runs: bool,
    /// What is to be measured in this turn, if it is one of those.
    pub(super) measure: Option<Measure>,
}

/// What is measured.
#[derive(Debug)]
pub(super) struct Measure {
    /// The directories of forgotten attempts.
    pub(super) forgotten: Vec<(AttemptHandle, PathBuf)>,
    /// The directories of runs that known attempts use.
    pub(super) used: BTreeSet<PathBuf>,
    /// How long others stay after they were last written to.
    pub(super) keep: Duration,
}

/// What came of a turn.
#[derive(Debug)]
pub(super) struct Done {
    /// The bytes in each of the measured directories.
    pub(super) sizes: Option<BTreeMap<AttemptHandle, u64>>,
    /// Directories that cannot be deleted.
    pub(super) stuck: u64,
}

impl Work {
    /// Does it. `stop` is asked often, and ends it early.
    pub(super) fn run(self, stop: impl Fn() -> bool) -> Done {
        let sizes = self.measure.map(|measure| {
            if self.own_runs {
                put_old_runs_aside(&self.run_dirs, &measure, &stop);
            }
            measure.forgotten.into_iter().map(|(attempt, dir)| (attempt, bytes_in(&dir, &stop))).collect()
        });
        // Half a measurement would look like room.
        let sizes = sizes.filter(|_| !stop());
        let mut stuck = empty(&self.trash, &stop);
        if self.own_runs {
            stuck += empty(&self.run_dirs.join(RUNS_TRASH), &stop);
        }
        Done { sizes, stuck }
    }
}

fn empty(trash: &Path, stop: impl Fn() -> bool) -> u64 {
    let emptied = trash::empty(trash, stop);
    if let Some((path, error)) = emptied.error {
        let (stuck, path) = (emptied.stuck, path.display());
        tracing::warn!(stuck, %path, %error, "directories that are not needed any more cannot be deleted");
    }
    emptied.stuck
}

fn put_old_runs_aside(dir: &Path, measure: &Measure, stop: &impl Fn() -> bool) {
    let now = SystemTime::now();
    let trash = dir.join(RUNS_TRASH);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| *path != trash) {
        if stop() {
            return;
        }
        if measure.used.contains(&path) {
            continue;
        }
        let idle = last_written(&path, stop).and_then(|at| now.duration_since(at).ok());
        if idle.is_none_or(|idle| idle < measure.keep) {
            continue;
        }
        match trash::discard(&path, &trash) {
            Ok(()) => tracing::debug!(path = %path.display(), "the directory of an old run is removed"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the directory of an old run stays"),
        }
    }
}

/// When something was last added to a directory or to one in it; links are not followed.
fn last_written(path: &Path, stop: &impl Fn() -> bool) -> Option<SystemTime> {
    let mut newest = None;
    walk(path, stop, |metadata| newest = newest.max(metadata.modified().ok()));
    newest
}

fn bytes_in(path: &Path, stop: &impl Fn() -> bool) -> u64 {
    let mut bytes = 0;
    walk(path, stop, |metadata| {
        if !metadata.is_dir() {
            bytes += metadata.len();
        }
    });
    bytes
}

/// Shows everything in a directory and itself.
fn walk(path: &Path, stop: &impl Fn() -> bool, mut show: impl FnMut(&Metadata)) {
    let mut pending = Vec::new();
    let mut look = |path: PathBuf, pending: &mut Vec<PathBuf>| {
        let Ok(metadata) = fs::symlink_metadata(&path) else { return };
        show(&metadata);
        if metadata.is_dir() && pending.len() < PENDING_MAX {
            pending.push(path);
        }
    };
    look(path.to_owned(), &mut pending);
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if stop() {
                return;
            }
            look(entry.path(), &mut pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_runs_that_nobody_uses_go_and_sizes_are_added_up() {
        let home = tempfile::tempdir().unwrap();
        let runs = home.path().join("runs");
        for run in ["used", "old"] {
            fs::create_dir_all(runs.join(run).join("deep")).unwrap();
            fs::write(runs.join(run).join("deep/file"), [0; 100]).unwrap();
        }
        let turn = |keep| {
            let forgotten = vec![(AttemptHandle(1), runs.join("used"))];
            let measure = Some(Measure { forgotten, used: [runs.join("used")].into(), keep });
            let trash = home.path().join("trash");
            Work { trash, run_dirs: runs.clone(), own_runs: true, measure }.run(|| false)
        };
        turn(Duration::from_secs(3600));
        assert!(runs.join("old").exists());
        let done = turn(Duration::ZERO);
        assert!(!runs.join("old").exists());
        assert!(runs.join("used").exists());
        assert_eq!(fs::read_dir(runs.join(RUNS_TRASH)).unwrap().count(), 0);
        assert_eq!((done.sizes.unwrap()[&AttemptHandle(1)], done.stuck), (100, 0));
    }
}
