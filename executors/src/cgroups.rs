//! Making, limiting and removing control groups.
//!
//! Tasks live in `<root>/attempts/<attempt name>`, their shims in `<root>/shims`. Looking at a group,
//! freezing and killing it is in [`berth_shim::group`], because shims do it too. The crate
//! `cgroups-rs` creates groups and sets limits; its reading and event parts are wrong on cgroup v2
//! and are not used.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_shim::group::Groups;

pub use mounts::Mounts;
pub use v1::V1;
pub use v2::V2;

mod controllers;
mod mounts;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

/// Where the groups of tasks stand below the root group. Not `tasks`: in cgroup v1 every group has a
/// file of that name.
const TASKS: &str = "attempts";
/// The group of the shims.
const SHIMS: &str = "shims";

/// Which control groups a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// cgroup v2 with its controllers.
    V2,
    /// cgroup v1 alone.
    V1,
    /// Controllers in v1, and a v2 tree without them beside it.
    Hybrid,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::V2 => "v2",
            Mode::V1 => "v1",
            Mode::Hybrid => "hybrid",
        })
    }
}

/// The limits of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Share of processor time in thousandths of a core; a weight against other groups.
    pub cpu_milli: u64,
    /// Whether the share is also a bound that idle processors do not lift.
    pub cpu_hard: bool,
    /// Bytes of memory past which the kernel kills; swap is not used on top. `None` for no limit.
    pub memory_max: Option<u64>,
    /// Processes and threads.
    pub pids_max: u64,
}

/// Why something with a control group did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory could not be made.
    #[error("cannot make the control group {path}: {source}")]
    Create { path: PathBuf, source: io::Error },
    /// A group of that name is there already.
    #[error("the control group {path} exists already")]
    Exists { path: PathBuf },
    /// A limit could not be set.
    #[error("cannot set the {limit} limit of the control group {path}: {cause}")]
    Limit { limit: &'static str, path: PathBuf, cause: String },
    /// A directory could not be removed for another reason than that it is in use.
    #[error("cannot remove the control group {path}: {source}")]
    Remove { path: PathBuf, source: io::Error },
    /// The groups could not be listed.
    #[error("cannot list the control groups in {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    /// This machine offers none that can be used; the text says what is missing.
    #[error("{0}")]
    Unavailable(String),
}

/// The control groups of this machine.
pub trait Cgroups: fmt::Debug + Send + Sync {
    /// Which kind they are.
    fn mode(&self) -> Mode;

    /// Makes the group of an attempt and sets its limits.
    ///
    /// # Errors
    /// [`Error::Exists`] when the attempt has a group already; else what the kernel refused, with
    /// nothing left behind.
    fn create(&self, name: &str, limits: &Limits) -> Result<Groups, Error>;

    /// The directories of an attempt's group, whether or not they exist.
    fn groups(&self, name: &str) -> Groups;

    /// Removes the group of an attempt; a group that is not there counts as removed. False when it is
    /// still in use: a dead process can stay in it for a moment, so try again later.
    ///
    /// # Errors
    /// The kernel refuses for another reason.
    fn remove(&self, name: &str) -> Result<bool, Error> {
        remove(&self.groups(name))
    }

    /// The attempts that have a group.
    ///
    /// # Errors
    /// The groups cannot be read.
    fn names(&self) -> Result<Vec<String>, Error>;

    /// Where shims move to leave the agent's own group.
    fn shim_groups(&self) -> Vec<PathBuf>;

    /// A group of the v2 tree, free of limits, in which a process can be born for a try; `None` where there is no such
    /// tree.
    fn trial_group(&self) -> Option<PathBuf>;

    /// The agent's own group in each hierarchy; at least one.
    fn roots(&self) -> Vec<PathBuf>;

    /// The agent's own group in the first hierarchy.
    fn root(&self) -> PathBuf {
        self.roots().swap_remove(0)
    }

    /// Removes the agent's own groups where nothing is in them any more.
    fn remove_root(&self) {
        for root in self.roots() {
            // A group that is in use stays, with those above it.
            for group in [root.join(TASKS), root.join(SHIMS), root] {
                let _ = std::fs::remove_dir(group);
            }
        }
    }
}

/// Locks a group for one process, until the file is closed; `None` when another has it.
pub(crate) fn lock(group: &Path) -> Option<File> {
    let file = File::open(group).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// Takes up the control groups of this machine, below the group `root` (a path below the mount, such
/// as `berth`), and makes the groups above those of tasks.
///
/// # Errors
/// [`Error::Unavailable`] and others, worded to be shown to an operator.
pub fn detect(root: &str) -> Result<Arc<dyn Cgroups>, Error> {
    let mounts = Mounts::read()?;
    match mounts.mode() {
        Ok(Mode::V2) => Ok(Arc::new(V2::new(&mounts, root)?)),
        Ok(Mode::V1 | Mode::Hybrid) => Ok(Arc::new(V1::new(&mounts, root)?)),
        Err(missing) => Err(Error::Unavailable(missing)),
    }
}

/// Makes a directory that must not be there.
fn make(path: &Path) -> Result<(), Error> {
    std::fs::create_dir(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Create { path: path.to_owned(), source },
    })
}

/// Makes a directory and those above it, where they are missing.
fn make_all(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Create { path: path.to_owned(), source })
}

fn remove(groups: &Groups) -> Result<bool, Error> {
    let mut removed = true;
    for path in groups.paths() {
        match std::fs::remove_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => removed = false,
            Err(source) => return Err(Error::Remove { path: path.to_owned(), source }),
        }
    }
    Ok(removed)
}

/// The names of the directories in one.
fn children(path: &Path) -> Result<Vec<String>, Error> {
    let error = |source| Error::List { path: path.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
