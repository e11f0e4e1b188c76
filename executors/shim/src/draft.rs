//! Records whose room on the disk is taken before they are needed, so that a disk that the task itself filled does not
//! turn its true end into a lost one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::record::{self, Record};

/// Bytes taken for a record: more than any of them has.
const ROOM: i64 = 4096;

/// An open file with room for one record.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    path: PathBuf,
}

impl Draft {
    /// Makes the file, empty.
    ///
    /// # Errors
    /// It cannot be made, or the disk has no room for it.
    pub(crate) fn new(path: impl Into<PathBuf>) -> io::Result<Draft> {
        let path = path.into();
        let file = record::create(&path)?;
        match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, ROOM) {
            // A file system that cannot promise room is no reason not to run.
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Draft { file, path })
    }

    /// Writes the record in place and makes it durable.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, record: &impl Record) -> io::Result<()> {
        self.file.write_all_at(&record.encode(), 0)?;
        self.file.sync_data()
    }

    /// Writes the record and lets it appear, whole and durable, under its own name.
    ///
    /// # Errors
    /// The file cannot be written or renamed.
    pub(crate) fn publish(self, record: &impl Record, path: &Path) -> io::Result<()> {
        self.write(record)?;
        fs::rename(&self.path, path)?;
        record::sync_parent(path)
    }
}
