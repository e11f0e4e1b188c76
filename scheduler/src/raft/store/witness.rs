//! A note, in front of the database in the same file, of the last transaction that was confirmed.
//!
//! The database alone cannot tell a last transaction that never was confirmed, and was torn by a crash, from one
//! that was confirmed and damaged later: it falls back to the one before in both cases. With the note the second
//! is found out. The note itself is not synced: it survives the end of the process, and the next transaction
//! makes it durable.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

/// The database begins after this many bytes.
const OFFSET: u64 = 4_096;
/// Two notes, written in turn and in different sectors, so that a torn one leaves the other.
const SLOTS: [u64; 2] = [0, 2_048];
/// Sequence and checksum.
const NOTE_BYTES: usize = 12;

/// The storage of a log, and the notes in front of it.
#[derive(Debug)]
pub(super) struct Witness {
    storage: Arc<dyn StorageBackend>,
}

/// What the database sees.
#[derive(Debug)]
pub(super) struct Behind {
    storage: Arc<dyn StorageBackend>,
}

impl Witness {
    pub(super) fn split(storage: impl StorageBackend) -> (Self, Behind) {
        let storage: Arc<dyn StorageBackend> = Arc::new(storage);
        (Self { storage: Arc::clone(&storage) }, Behind { storage })
    }

    /// The sequence of the last transaction that is known to have been confirmed; 0 if none is.
    pub(super) fn last(&self) -> io::Result<u64> {
        let length = self.storage.len()?;
        let mut last = 0;
        for slot in SLOTS {
            let mut note = [0; NOTE_BYTES];
            if length < slot + 12 {
                break;
            }
            self.storage.read(slot, &mut note)?;
            let (sequence, checksum) = note.split_at(8);
            if crc32c::crc32c(sequence).to_le_bytes() == *checksum {
                let sequence = sequence.try_into().expect("the first eight bytes of twelve");
                last = last.max(u64::from_le_bytes(sequence));
            }
        }
        Ok(last)
    }

    /// Notes that this transaction is durable and about to be confirmed.
    pub(super) fn note(&self, sequence: u64) -> io::Result<()> {
        let mut note = [0; NOTE_BYTES];
        let bytes = sequence.to_le_bytes();
        note[..8].copy_from_slice(&bytes);
        note[8..].copy_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let slot = SLOTS[usize::from(sequence % 2 == 1)];
        self.storage.write(slot, &note)
    }
}

impl StorageBackend for Behind {
    fn len(&self) -> io::Result<u64> {
        Ok(self.storage.len()?.saturating_sub(OFFSET))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset + OFFSET, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len + OFFSET)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset + OFFSET, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
