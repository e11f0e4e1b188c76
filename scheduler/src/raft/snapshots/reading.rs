//! Reading chunks: for peers as they are stored, for the state machine unpacked and checked.

use prost::bytes::Bytes;
use redb::ReadableDatabase;

use super::{CHUNKS, Error, Manifest, SnapshotStore, WHOLE};
use crate::raft::machine::{CHUNK_BYTES_MAX, StateMachine};

/// A chunk as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChunk {
    /// Compressed.
    pub bytes: Bytes,
    /// Over the compressed bytes.
    pub crc32c: u32,
}

impl StoredChunk {
    /// A chunk whose bytes are known to be right.
    pub fn new(bytes: Bytes) -> Self {
        let crc32c = crc32c::crc32c(&bytes);
        Self { bytes, crc32c }
    }

    /// Whether the bytes are what the checksum says.
    pub fn is_sound(&self) -> bool {
        crc32c::crc32c(&self.bytes) == self.crc32c
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut record = self.crc32c.to_le_bytes().to_vec();
        record.extend_from_slice(&self.bytes);
        record
    }

    fn decode(record: &[u8]) -> Option<Self> {
        let (checksum, bytes) = record.split_first_chunk::<4>()?;
        Some(Self { bytes: Bytes::copy_from_slice(bytes), crc32c: u32::from_le_bytes(*checksum) })
    }
}

impl SnapshotStore {
    /// One chunk of a whole snapshot, for a peer.
    pub fn chunk(&self, index: u64, number: u32) -> Result<StoredChunk, Error> {
        const DOING: &str = "reading a chunk";
        let transaction = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
        let whole = transaction.open_table(WHOLE).map_err(|error| Error::new(DOING, error))?;
        if whole.get(index).map_err(|error| Error::new(DOING, error))?.is_none() {
            return Err(Error::Absent { index });
        }
        drop(whole);
        self.stored(index, number)?.ok_or(Error::Absent { index })
    }

    /// Rebuilds the state, checking every chunk, the whole, and the state that comes out.
    pub fn restore<M: StateMachine>(&self, manifest: &Manifest) -> Result<M, Error> {
        let index = manifest.header.entry.index;
        let mut hasher = blake3::Hasher::new();
        let mut failure = None;
        let mut numbers = 0..manifest.chunks;
        let mut chunks = std::iter::from_fn(|| {
            let number = numbers.next()?;
            match self.unpacked(index, number, &mut hasher) {
                Ok(chunk) => Some(chunk),
                Err(error) => {
                    failure = Some(error);
                    numbers = 0..0;
                    None
                }
            }
        });
        let machine = M::restore(&mut chunks);
        // A machine may stop before the last chunk; the rest counts for the hash all the same.
        while chunks.next().is_some() {}
        if let Some(error) = failure {
            return Err(error);
        }
        let machine = machine?;
        if hasher.finalize().as_bytes() != &manifest.blake3 {
            return Err(Error::damaged(format!("the snapshot at {index} does not match its hash")));
        }
        if machine.state_hash() != manifest.header.state_hash {
            return Err(Error::damaged(format!(
                "the state rebuilt at {index} is not the one that was saved"
            )));
        }
        Ok(machine)
    }

    pub(super) fn stored(&self, index: u64, number: u32) -> Result<Option<StoredChunk>, Error> {
        const DOING: &str = "reading a chunk";
        let transaction = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
        let table = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
        let Some(record) = table.get((index, number)).map_err(|error| Error::new(DOING, error))? else {
            return Ok(None);
        };
        let chunk = StoredChunk::decode(record.value()).filter(StoredChunk::is_sound).ok_or_else(|| {
            Error::damaged(format!("chunk {number} at {index} does not match its checksum"))
        })?;
        Ok(Some(chunk))
    }

    fn unpacked(&self, index: u64, number: u32, hasher: &mut blake3::Hasher) -> Result<Vec<u8>, Error> {
        let stored = self
            .stored(index, number)?
            .ok_or_else(|| Error::damaged(format!("chunk {number} at {index} is missing")))?;
        hasher.update(&stored.bytes);
        zstd::bulk::decompress(&stored.bytes, CHUNK_BYTES_MAX).map_err(Error::Compression)
    }
}
