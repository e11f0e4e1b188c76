//! A data directory that belongs to one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The file inside the directory that carries the lock and, for people, the owner's process id.
const LOCK_FILE: &str = "LOCK";

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory could not be made.
    #[error("cannot create the data directory {}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The lock file could not be opened, locked or written.
    #[error("cannot lock the data directory {}", path.display())]
    Lock {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Another live process has the directory.
    #[error(
        "the data directory {} is in use by {}. Stop that process, or give this one a directory of its own with --data-dir",
        path.display(),
        owner(*pid)
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, when it has written its id already.
        pid: Option<u32>,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// A directory that this process holds until the value is dropped or the process ends, however it
/// ends: the lock is the kernel's (`flock`), not the file's existence.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory with mode 0700 where it is missing, and takes it.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it, [`Error::Create`] and [`Error::Lock`] when the
    /// system refuses.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        create_private(&path).map_err(|source| Error::Create { path: path.clone(), source })?;
        let failed = |source| Error::Lock { path: path.clone(), source };
        // Not truncated on opening: until the lock is ours the content is the owner's.
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Best effort: the id only makes the message better.
                let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(Error::InUse { path, pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory inside it; nothing is created.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

/// Creates `path` for its owner alone; parents get the usual mode. An existing directory is left
/// as it is, with a warning when others can read it.
fn create_private(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path)?;
            if !metadata.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            if metadata.permissions().mode() & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "the data directory can be read by other users; chmod 700 closes it");
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{DataDir, Error};

    #[test]
    fn a_new_directory_is_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDir::open(home.path().join("deep/data")).unwrap();
        let mode = fs::metadata(data.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
    }

    #[test]
    fn a_second_owner_is_refused_and_told_the_pid_of_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = DataDir::open(home.path().join("data")).unwrap();
        let error = DataDir::open(first.path()).unwrap_err();
        assert!(matches!(error, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
        assert!(error.to_string().contains("--data-dir"), "{error}");
        drop(first);
        DataDir::open(home.path().join("data")).unwrap();
    }

    #[test]
    fn the_lock_file_a_dead_owner_left_is_no_obstacle() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("LOCK"), "4000000000 and some more text\n").unwrap();
        let data = DataDir::open(home.path()).unwrap();
        let text = fs::read_to_string(data.join("LOCK")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_file_in_its_place_is_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        fs::write(&path, "").unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(matches!(&error, Error::Create { path: named, .. } if *named == path), "{error}");
    }
}
