//! The durable log: entries, hard state, identity, and what peers have been seen, in one redb database.
//!
//! One [`WriteBatch`], or several that wait together, is one durable transaction. Whatever
//! [`LogStore::write`] has returned from is there after any crash. What the disk gives back otherwise than it
//! was written is [`Error::Damaged`] on opening; no error here is ever tried again.

mod read;
mod tail;
mod witness;

use std::collections::BTreeSet;
use std::io::ErrorKind;

use berth_core::id::EntryId;
use raft::eraftpb::{Entry, HardState, Message};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition,
    WriteTransaction,
};

use crate::raft::identity::Identity;
use crate::raft::membership::MemberId;
use crate::raft::wire;

pub use tail::Tail;

use witness::Witness;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const INCARNATIONS: TableDefinition<'_, u64, u64> = TableDefinition::new("incarnations");
const IDENTITY: &str = "identity";
const HARD_STATE: &str = "hard_state";
const START: &str = "start";
/// Ids of first members that this one has not met; see [`LogStore::met`].
const UNMET: &str = "unmet";
const FORMAT: &str = "format";
/// Rises with every transaction; compared with the witness.
const SEQUENCE: &str = "sequence";
/// Raised when an older version could no longer read what is written.
const FORMAT_NOW: u8 = 3;
/// The log is read once, at the start; the cache only has to hold the pages that appends touch.
const CACHE_BYTES: usize = 32 << 20;

/// Why the log could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk gave back other bytes than were written.
    #[error(
        "the log of this member is damaged ({what}). It may have forgotten votes and entries it has \
         confirmed, so it must not act under its id again: on a healthy member run `berth operator remove`, \
         empty this data directory, then `berth operator add` and start with the new id"
    )]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The disk or the database refused.
    #[error("the log store failed while {doing}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<redb::Error>,
    },
    /// Another release wrote this directory.
    #[error(
        "the data directory was written by another release: its log has format {found}, and this one reads {FORMAT_NOW}"
    )]
    Format {
        /// What was found.
        found: u8,
    },
    /// The directory belongs to a member already.
    #[error("the data directory already belongs to member {} of cluster {}", .0.member, .0.cluster)]
    Taken(Identity),
}

impl Error {
    pub(crate) fn new(doing: &'static str, source: impl Into<redb::Error>) -> Self {
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

    fn io(doing: &'static str, error: std::io::Error) -> Self {
        Self::new(doing, redb::Error::Io(error))
    }

    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

/// What has to be on disk before its messages may leave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteBatch {
    /// Rises with each batch; reported back to the driver when this and all before it are durable.
    pub number: u64,
    /// A snapshot replaces the log: drop all entries, begin after this one.
    pub reset: Option<EntryId>,
    /// Entries to append; those they overlap are replaced, later ones dropped.
    pub entries: Vec<Entry>,
    /// Term, vote and commit index.
    pub hard_state: Option<HardState>,
    /// Entries up to and with this one are in a durable snapshot and may go.
    pub compact: Option<EntryId>,
    /// To be sent once the batch is durable.
    pub messages: Vec<Message>,
}

impl WriteBatch {
    /// Whether there is something to write; a batch may carry messages only, which wait for earlier ones.
    pub fn writes(&self) -> bool {
        self.reset.is_some()
            || !self.entries.is_empty()
            || self.hard_state.is_some()
            || self.compact.is_some()
    }
}

/// What the disk remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// Who this member is; `None` in a new directory.
    pub identity: Option<Identity>,
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// First members of the cluster that this one, which is also one, has never met.
    pub unmet: BTreeSet<MemberId>,
    /// The entry before the first one.
    pub start: EntryId,
    /// The log, without gaps.
    pub entries: Vec<Entry>,
}

/// The log on disk.
#[derive(Debug)]
pub struct LogStore {
    database: Database,
    witness: Witness,
}

impl LogStore {
    /// Opens the log, checks every byte of it, and hands back what it holds.
    pub fn open(backend: impl StorageBackend) -> Result<(Self, Recovered), Error> {
        const DOING: &str = "opening it";
        let (witness, behind) = Witness::split(backend);
        let confirmed = witness.last().map_err(|error| Error::io(DOING, error))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(behind)
            .map_err(|error| Error::new(DOING, error))?;
        let store = Self { database, witness };
        let found = store.prepare()?;
        if found < confirmed {
            return Err(Error::damaged(format!(
                "transaction {confirmed} was confirmed, the last one that can be read is {found}"
            )));
        }
        let recovered = read::everything(&store.database)?;
        Ok((store, recovered))
    }

    /// Makes the tables if they are missing, and says which transaction is the last.
    fn prepare(&self) -> Result<u64, Error> {
        const DOING: &str = "preparing it";
        let transaction = self.database.begin_write().map_err(|error| Error::new(DOING, error))?;
        let found = {
            transaction.open_table(ENTRIES).map_err(|error| Error::new(DOING, error))?;
            transaction.open_table(INCARNATIONS).map_err(|error| Error::new(DOING, error))?;
            let mut meta = transaction.open_table(META).map_err(|error| Error::new(DOING, error))?;
            let format = meta.get(FORMAT).map_err(|error| Error::new(DOING, error))?;
            let format = format.map(|format| format.value().to_vec());
            match format.as_deref() {
                None => put(&mut meta, FORMAT, &[FORMAT_NOW], DOING)?,
                Some([FORMAT_NOW]) => {}
                Some([found]) => return Err(Error::Format { found: *found }),
                Some(_) => return Err(Error::damaged("the format has the wrong length")),
            }
            sequence(&meta, DOING)?
        };
        transaction.commit().map_err(|error| Error::new(DOING, error))?;
        Ok(found)
    }

    /// Makes a new directory that of a member, with the log beginning after `start`. Done once. `unmet` are the other
    /// first members if it is itself one.
    pub fn found(
        &self,
        identity: &Identity,
        start: EntryId,
        unmet: &BTreeSet<MemberId>,
    ) -> Result<(), Error> {
        const DOING: &str = "writing the identity";
        let hard_state = HardState { term: start.term, commit: start.index, ..HardState::default() };
        self.transaction(DOING, |transaction| {
            let mut meta = transaction.open_table(META).map_err(|error| Error::new(DOING, error))?;
            let before = meta.get(IDENTITY).map_err(|error| Error::new(DOING, error))?;
            if let Some(before) = before {
                let taken = Identity::decode(before.value())
                    .map_err(|_| Error::damaged("the identity cannot be read"))?;
                return Err(Error::Taken(taken));
            }
            drop(before);
            put(&mut meta, IDENTITY, &identity.encode(), DOING)?;
            put(&mut meta, START, &encode_id(start), DOING)?;
            put(&mut meta, UNMET, &encode_ids(unmet), DOING)?;
            put(&mut meta, HARD_STATE, &sealed(wire::encode_hard_state(&hard_state)), DOING)
        })
    }

    /// Remembers for good that a peer knows this member's incarnation and this one knows the peer's.
    pub fn met(&self, member: MemberId) -> Result<(), Error> {
        const DOING: &str = "remembering that a peer was met";
        {
            let reading = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
            let meta = reading.open_table(META).map_err(|error| Error::new(DOING, error))?;
            if !unmet(&meta, DOING)?.contains(&member) {
                return Ok(());
            }
        }
        self.transaction(DOING, |transaction| {
            let mut meta = transaction.open_table(META).map_err(|error| Error::new(DOING, error))?;
            let mut left = unmet(&meta, DOING)?;
            left.remove(&member);
            put(&mut meta, UNMET, &encode_ids(&left), DOING)
        })
    }

    /// Writes the batches in their order in one durable transaction. After an error the store must not be
    /// used again.
    pub fn write(&self, batches: &[WriteBatch]) -> Result<(), Error> {
        const DOING: &str = "appending";
        if !batches.iter().any(WriteBatch::writes) {
            return Ok(());
        }
        self.transaction(DOING, |transaction| {
            let mut rows = transaction.open_table(ENTRIES).map_err(|error| Error::new(DOING, error))?;
            let mut meta = transaction.open_table(META).map_err(|error| Error::new(DOING, error))?;
            for batch in batches {
                write_batch(&mut rows, &mut meta, batch).map_err(|error| Error::new(DOING, error))?;
            }
            match batches.iter().rev().find_map(|batch| batch.hard_state.as_ref()) {
                Some(state) => put(&mut meta, HARD_STATE, &sealed(wire::encode_hard_state(state)), DOING),
                None => Ok(()),
            }
        })
    }

    /// One durable transaction, with the next sequence, and noted once it is durable.
    fn transaction(
        &self,
        doing: &'static str,
        change: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut transaction = self.database.begin_write().map_err(|error| Error::new(doing, error))?;
        transaction.set_durability(Durability::Immediate).map_err(|error| Error::new(doing, error))?;
        change(&transaction)?;
        let next = {
            let mut meta = transaction.open_table(META).map_err(|error| Error::new(doing, error))?;
            let next = sequence(&meta, doing)? + 1;
            put(&mut meta, SEQUENCE, &next.to_le_bytes(), doing)?;
            next
        };
        transaction.commit().map_err(|error| Error::new(doing, error))?;
        self.witness.note(next).map_err(|error| Error::io(doing, error))
    }

    /// Remembers under which incarnation a peer was first seen, for good, and returns it: a peer that shows
    /// up with another one has lost its memory.
    pub fn remember_incarnation(&self, member: MemberId, incarnation: u64) -> Result<u64, Error> {
        const DOING: &str = "remembering a peer";
        let known = {
            let reading = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
            let table = reading.open_table(INCARNATIONS).map_err(|error| Error::new(DOING, error))?;
            table.get(member).map_err(|error| Error::new(DOING, error))?.map(|known| known.value())
        };
        if let Some(known) = known {
            return Ok(known);
        }
        self.transaction(DOING, |transaction| {
            let mut table = transaction.open_table(INCARNATIONS).map_err(|error| Error::new(DOING, error))?;
            table.insert(member, incarnation).map_err(|error| Error::new(DOING, error))?;
            Ok(())
        })?;
        Ok(incarnation)
    }
}

fn write_batch(
    rows: &mut Table<'_, u64, &'static [u8]>,
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    batch: &WriteBatch,
) -> Result<(), redb::StorageError> {
    if let Some(start) = batch.reset {
        rows.retain(|_, _| false)?;
        meta.insert(START, encode_id(start).as_slice())?;
    }
    for entry in &batch.entries {
        rows.insert(entry.index, sealed(wire::encode_entry(entry)).as_slice())?;
    }
    if let Some(last) = batch.entries.last() {
        rows.retain_in(last.index + 1.., |_, _| false)?;
    }
    if let Some(compact) = batch.compact {
        rows.retain_in(..=compact.index, |_, _| false)?;
        meta.insert(START, encode_id(compact).as_slice())?;
    }
    Ok(())
}

fn put(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    key: &str,
    value: &[u8],
    doing: &'static str,
) -> Result<(), Error> {
    meta.insert(key, value).map_err(|error| Error::new(doing, error))?;
    Ok(())
}

fn sequence(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    doing: &'static str,
) -> Result<u64, Error> {
    let Some(value) = meta.get(SEQUENCE).map_err(|error| Error::new(doing, error))? else { return Ok(0) };
    let bytes = value.value().try_into().map_err(|_| Error::damaged("the sequence has the wrong length"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// The bytes behind their checksum.
fn sealed(bytes: Vec<u8>) -> Vec<u8> {
    let mut record = Vec::with_capacity(bytes.len() + 4);
    record.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    record.extend_from_slice(&bytes);
    record
}

/// The bytes without their checksum, if it is right.
fn unsealed(record: &[u8]) -> Option<&[u8]> {
    let (checksum, bytes) = record.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*checksum) == crc32c::crc32c(bytes)).then_some(bytes)
}

fn unmet(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    doing: &'static str,
) -> Result<BTreeSet<MemberId>, Error> {
    match meta.get(UNMET).map_err(|error| Error::new(doing, error))? {
        Some(record) => decode_ids(record.value())
            .ok_or_else(|| Error::damaged("the list of members that were not met cannot be read")),
        None => Ok(BTreeSet::new()),
    }
}

fn encode_ids(ids: &BTreeSet<MemberId>) -> Vec<u8> {
    sealed(ids.iter().flat_map(|id| id.to_le_bytes()).collect())
}

fn decode_ids(record: &[u8]) -> Option<BTreeSet<MemberId>> {
    let (ids, rest) = unsealed(record)?.as_chunks::<8>();
    rest.is_empty().then(|| ids.iter().map(|id| u64::from_le_bytes(*id)).collect())
}

fn encode_id(id: EntryId) -> Vec<u8> {
    let mut bytes = id.term.to_le_bytes().to_vec();
    bytes.extend_from_slice(&id.index.to_le_bytes());
    sealed(bytes)
}

fn decode_id(record: &[u8]) -> Option<EntryId> {
    let bytes: &[u8; 16] = unsealed(record)?.try_into().ok()?;
    let (term, index) = bytes.split_first_chunk::<8>()?;
    Some(EntryId { term: u64::from_le_bytes(*term), index: u64::from_le_bytes(index.try_into().ok()?) })
}

#[cfg(test)]
mod tests;
