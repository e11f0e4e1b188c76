//! The file of the log, on ext4 and its like.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

/// Of one growth of the file at most this much is filled.
const FILL_MAX: u64 = 16 << 20;
/// Bytes filled with one write.
const FILL_STEP: usize = 256 << 10;

/// A file whose growth is filled with zeros. Otherwise the first write to each page has to find a block for it, and
/// the sync has to commit the file system's journal. Measured on ext4, for seven pages and a sync as redb commits
/// them: 0.58 ms at best on filled pages and 1.14 ms on holes, 303 and 214 commits a second beside other work.
#[derive(Debug)]
pub(super) struct LogFile {
    backend: FileBackend,
    file: File,
}

impl LogFile {
    pub(super) fn new(file: File) -> Result<LogFile, DatabaseError> {
        let second = file.try_clone().map_err(|error| DatabaseError::Storage(error.into()))?;
        Ok(LogFile { backend: FileBackend::new(file)?, file: second })
    }

    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; FILL_STEP];
        let mut at = from;
        while at < to {
            let step = usize::try_from(to - at).unwrap_or(FILL_STEP).min(FILL_STEP);
            self.file.write_all_at(&zeros[..step], at)?;
            at += step as u64;
        }
        Ok(())
    }
}

impl StorageBackend for LogFile {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.backend.len()?;
        self.backend.set_len(len)?;
        self.fill(before, len.min(before.saturating_add(FILL_MAX)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.backend.query_lock_range(start, end)
    }
}
