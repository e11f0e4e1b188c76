//! Making what a container may write to writable for its user.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use berth_shim::WORK_DIR;
use nix::unistd::{Gid, Uid};

use super::container::User;
use crate::ending::OUTPUT_FILE;
use crate::executor::Launch;

/// What everyone may do with a directory.
const ALL: u32 = 0o777;

/// A path that could not be made ready.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {path} writable for the container: {source}")]
pub(super) struct Error {
    path: PathBuf,
    source: io::Error,
}

/// The places of an attempt that its container may write to, at the same path inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) task: PathBuf,
    pub(super) output: PathBuf,
    pub(super) run: Option<PathBuf>,
}

impl Places {
    /// Where they are.
    pub(super) fn of(launch: &Launch) -> io::Result<Places> {
        let dir = std::path::absolute(&launch.dir)?;
        let run = launch.run_dir.as_ref().map(std::path::absolute).transpose()?;
        Ok(Places { task: dir.join(WORK_DIR), output: dir.join(OUTPUT_FILE), run })
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.task, &self.output].into_iter().chain(&self.run)
    }

    /// Makes them, for this user.
    pub(super) fn prepare(&self, user: &User) -> Result<(), Error> {
        make(&self.task, fs::create_dir_all(&self.task), |path| give(path, user, 0o700))?;
        let output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.output);
        make(&self.output, output.map(|_| ()), |path| give(path, user, 0o600))?;
        match &self.run {
            Some(run) => make(run, Ok(()), |path| share(path, user)),
            None => Ok(()),
        }
    }
}

fn make(path: &Path, made: io::Result<()>, give: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    made.and_then(|()| give(path)).map_err(|source| Error { path: path.to_owned(), source })
}

/// Hands a path to the user; where that is not allowed, or the user's number is not known, everyone
/// may write. The attempt's directory above it keeps others of this machine out.
fn give(path: &Path, user: &User, mode: u32) -> io::Result<()> {
    let mode = match user.id {
        Some(id) if own(path, id).is_ok() => mode,
        Some(_) | None => mode | (mode >> 3) | (mode >> 6),
    };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The run's directory is shared by tasks of different users: the first that is not root owns it, and
/// when there are more, everyone may write.
fn share(path: &Path, user: &User) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.mode() & 0o003 == 0o003 || user.id.is_some_and(|(uid, _)| uid == found.uid()) {
        return Ok(());
    }
    match user.id {
        Some(id) if found.uid() == 0 && own(path, id).is_ok() => Ok(()),
        Some(_) | None => fs::set_permissions(path, Permissions::from_mode(ALL)),
    }
}

fn own(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    Ok(nix::unistd::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}
