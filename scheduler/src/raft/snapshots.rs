//! Snapshots in chunks, in a database of their own.
//!
//! A snapshot comes into being chunk by chunk, from the state here or from a peer, and is one only when the last
//! transaction has set its mark. There is the newest whole one, and at most one more under way each from the
//! state and from a peer; what was fetched before a crash need not be fetched again.
//!
//! Before it gets its mark, a snapshot is read back into a state and compared with the one it is of: it takes the
//! place of the last one that is known to be good, and the log behind it goes.

mod manifest;
mod reading;
mod receiving;

use std::io::ErrorKind;

use berth_core::id::EntryId;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};

use crate::raft::machine::{CHUNK_BYTES_MAX, StateMachine};

pub use manifest::{Header, Manifest, NotAManifest};
pub use reading::StoredChunk;

/// (index of the snapshot, number of the chunk) to checksum and compressed bytes.
const CHUNKS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("chunks");
/// Index to the manifest of a whole snapshot.
const WHOLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("whole");
/// Index to the manifest of a snapshot that is being fetched.
const PARTIAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("partial");
const CACHE_BYTES: usize = 64 << 20;
/// Chunks between two syncs. A crash while fetching loses at most these.
const CHUNKS_PER_SYNC: u32 = 16;
/// Fast, and better than the default level at what matters here: the disk is the limit.
const ZSTD_LEVEL: i32 = 1;

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk gave back other bytes than were written.
    #[error(
        "the snapshots of this member are damaged ({what}); the log before them is gone. On a healthy member run \
         `berth operator remove`, empty this data directory, then `berth operator add` and start with the new id"
    )]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The disk or the database refused.
    #[error("the snapshot store failed while {doing}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<redb::Error>,
    },
    /// There is no whole snapshot at this index, or none under way; a newer one may have taken its place.
    #[error("there is no such snapshot at index {index}")]
    Absent {
        /// The index asked for.
        index: u64,
    },
    /// A chunk of a view is longer than the machine may make it.
    #[error("a chunk has {bytes} bytes, {CHUNK_BYTES_MAX} are allowed")]
    ChunkTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A chunk from a peer does not match its checksum or number.
    #[error("chunk {number} from the peer is not what was announced")]
    BadChunk {
        /// Its number.
        number: u32,
    },
    /// The state could not be compressed or decompressed.
    #[error("compression failed")]
    Compression(#[source] std::io::Error),
    /// A snapshot was written or fetched, and does not give back the state it is of. The one before it stays.
    #[error("the snapshot at index {index} does not give back the state it is of, and is not kept")]
    Unreadable {
        /// Its place in the log.
        index: u64,
        /// What was found.
        #[source]
        source: Box<Error>,
    },
    /// The chunks do not make a state.
    #[error(transparent)]
    Restore(#[from] crate::raft::machine::RestoreError),
}

impl Error {
    fn new(doing: &'static str, source: impl Into<redb::Error>) -> Self {
        match source.into() {
            redb::Error::Corrupted(what) => Self::Damaged { what },
            // Also bytes that do not even look like a database, and a file that is cut short.
            redb::Error::Io(error)
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged { what: error.to_string() }
            }
            source => Self::Failed { doing, source: Box::new(source) },
        }
    }

    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

/// Rebuilds the state that a snapshot is of.
type ReadBack = fn(&SnapshotStore, &Manifest) -> Result<(), Error>;

/// All snapshots of one member.
#[derive(Debug)]
pub struct SnapshotStore {
    database: Database,
    read_back: ReadBack,
}

/// A snapshot that is being written from the state.
#[derive(Debug)]
pub struct Writing<'a> {
    store: &'a SnapshotStore,
    header: Header,
    chunks: u32,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl SnapshotStore {
    /// Opens the store of a member with such a machine, and clears away what was being written from the state when it
    /// was last closed.
    pub fn open<M: StateMachine>(backend: impl StorageBackend) -> Result<Self, Error> {
        const DOING: &str = "opening it";
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(|error| Error::new(DOING, error))?;
        let store = Self { database, read_back: |store, manifest| store.restore::<M>(manifest).map(drop) };
        store.transaction(DOING, Durability::Immediate, |transaction| {
            let whole = transaction.open_table(WHOLE).map_err(|error| Error::new(DOING, error))?;
            let partial = transaction.open_table(PARTIAL).map_err(|error| Error::new(DOING, error))?;
            let mut known = Vec::new();
            for table in [&whole, &partial] {
                for row in table.iter().map_err(|error| Error::new(DOING, error))? {
                    known.push(row.map_err(|error| Error::new(DOING, error))?.0.value());
                }
            }
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            chunks.retain(|key, _| known.contains(&key.0)).map_err(|error| Error::new(DOING, error))
        })?;
        Ok(store)
    }

    /// The newest whole snapshot.
    pub fn newest(&self) -> Result<Option<Manifest>, Error> {
        const DOING: &str = "looking for the newest snapshot";
        let transaction = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
        let table = transaction.open_table(WHOLE).map_err(|error| Error::new(DOING, error))?;
        let last = table.last().map_err(|error| Error::new(DOING, error))?;
        last.map(|(_, bytes)| described(bytes.value())).transpose()
    }

    /// The whole snapshot at this index.
    pub fn whole(&self, index: u64) -> Result<Option<Manifest>, Error> {
        const DOING: &str = "looking for a snapshot";
        let transaction = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
        let table = transaction.open_table(WHOLE).map_err(|error| Error::new(DOING, error))?;
        let found = table.get(index).map_err(|error| Error::new(DOING, error))?;
        found.map(|bytes| described(bytes.value())).transpose()
    }

    /// Forgets everything: used when a directory turns out not to belong to any member yet.
    pub fn clear(&self) -> Result<(), Error> {
        const DOING: &str = "clearing it";
        self.transaction(DOING, Durability::Immediate, |transaction| {
            for table in [WHOLE, PARTIAL] {
                let mut table = transaction.open_table(table).map_err(|error| Error::new(DOING, error))?;
                table.retain(|_, _| false).map_err(|error| Error::new(DOING, error))?;
            }
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            chunks.retain(|_, _| false).map_err(|error| Error::new(DOING, error))
        })
    }

    /// Starts to write a snapshot of the state, of which none may be whole at this index.
    pub fn write(&self, header: Header) -> Result<Writing<'_>, Error> {
        self.drop_chunks(header.entry.index, Durability::None)?;
        Ok(Writing { store: self, header, chunks: 0, bytes: 0, hasher: blake3::Hasher::new() })
    }

    /// Forgets what is there of a snapshot that is not whole.
    fn drop_chunks(&self, index: u64, durability: Durability) -> Result<(), Error> {
        const DOING: &str = "dropping chunks";
        self.transaction(DOING, durability, |transaction| {
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            chunks
                .retain_in((index, 0)..=(index, u32::MAX), |_, _| false)
                .map_err(|error| Error::new(DOING, error))?;
            let mut partial = transaction.open_table(PARTIAL).map_err(|error| Error::new(DOING, error))?;
            partial.remove(index).map_err(|error| Error::new(DOING, error))?;
            Ok(())
        })
    }

    /// Reads back a snapshot whose chunks are all there, sets its mark and deletes all older ones. One that does not
    /// give back its state is dropped: [`Error::Unreadable`].
    fn mark_whole(
        &self,
        manifest: &Manifest,
        check: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const DOING: &str = "marking a snapshot as whole";
        let index = manifest.header.entry.index;
        match (self.read_back)(self, manifest) {
            Ok(()) => {}
            Err(error @ Error::Failed { .. }) => return Err(error),
            Err(error) => {
                self.drop_chunks(index, Durability::Immediate)?;
                return Err(Error::Unreadable { index, source: Box::new(error) });
            }
        }
        self.transaction(DOING, Durability::Immediate, |transaction| {
            check(transaction)?;
            let mut whole = transaction.open_table(WHOLE).map_err(|error| Error::new(DOING, error))?;
            whole.retain_in(..index, |_, _| false).map_err(|error| Error::new(DOING, error))?;
            whole.insert(index, manifest.encode().as_slice()).map_err(|error| Error::new(DOING, error))?;
            let mut partial = transaction.open_table(PARTIAL).map_err(|error| Error::new(DOING, error))?;
            partial.retain_in(..=index, |_, _| false).map_err(|error| Error::new(DOING, error))?;
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            chunks.retain_in(..(index, 0), |_, _| false).map_err(|error| Error::new(DOING, error))
        })
    }

    fn put(&self, index: u64, number: u32, stored: &StoredChunk) -> Result<(), Error> {
        const DOING: &str = "writing a chunk";
        self.transaction(DOING, durability_of(number), |transaction| {
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            chunks
                .insert((index, number), stored.encode().as_slice())
                .map_err(|error| Error::new(DOING, error))?;
            Ok(())
        })
    }

    fn transaction<T>(
        &self,
        doing: &'static str,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut transaction = self.database.begin_write().map_err(|error| Error::new(doing, error))?;
        transaction.set_durability(durability).map_err(|error| Error::new(doing, error))?;
        let done = change(&transaction)?;
        transaction.commit().map_err(|error| Error::new(doing, error))?;
        Ok(done)
    }
}

fn described(bytes: &[u8]) -> Result<Manifest, Error> {
    Manifest::decode(bytes).map_err(|_| Error::damaged("a manifest cannot be read"))
}

/// Of the transaction that takes the chunk with this number.
fn durability_of(number: u32) -> Durability {
    if number % CHUNKS_PER_SYNC == CHUNKS_PER_SYNC - 1 { Durability::Immediate } else { Durability::None }
}

impl Writing<'_> {
    /// Adds the next chunk of the state.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(Error::ChunkTooLong { bytes: chunk.len() });
        }
        let compressed = zstd::bulk::compress(chunk, ZSTD_LEVEL).map_err(Error::Compression)?;
        self.hasher.update(&compressed);
        self.bytes += u64::try_from(compressed.len()).expect("a length fits 64 bits");
        let stored = StoredChunk::new(compressed.into());
        self.store.put(self.header.entry.index, self.chunks, &stored)?;
        self.chunks += 1;
        Ok(())
    }

    /// All chunks are in: reads the snapshot back, makes it durable and whole, and deletes the one before it. Needs
    /// room for a second state meanwhile.
    ///
    /// # Errors
    /// [`Error::Absent`] if a newer one became whole in the meantime: then this one is not needed.
    /// [`Error::Unreadable`] if it does not give back its state.
    pub fn finish(self) -> Result<Manifest, Error> {
        let index = self.header.entry.index;
        if self.store.newest()?.is_some_and(|newest| newest.header.entry.index > index) {
            return Err(Error::Absent { index });
        }
        let manifest = Manifest {
            header: self.header,
            chunks: self.chunks,
            bytes: self.bytes,
            blake3: *self.hasher.finalize().as_bytes(),
        };
        self.store.mark_whole(&manifest, |_| Ok(()))?;
        Ok(manifest)
    }

    /// The place in the log that this snapshot stands for.
    pub fn entry(&self) -> EntryId {
        self.header.entry
    }
}

#[cfg(test)]
mod tests;
