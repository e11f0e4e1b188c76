//! Reading the whole log back, with every check there is.

use std::collections::BTreeSet;

use berth_core::id::EntryId;
use raft::eraftpb::{Entry, HardState};
use redb::{Database, ReadableDatabase, ReadableTable};

use super::{ENTRIES, Error, HARD_STATE, IDENTITY, META, Recovered, START, decode_id, unsealed};
use crate::raft::identity::Identity;
use crate::raft::wire;

const DOING: &str = "reading it";

pub(super) fn everything(database: &Database) -> Result<Recovered, Error> {
    let transaction = database.begin_read().map_err(|error| Error::new(DOING, error))?;
    let meta = transaction.open_table(META).map_err(|error| Error::new(DOING, error))?;
    let read = |key: &str| -> Result<Option<Vec<u8>>, Error> {
        Ok(meta.get(key).map_err(|error| Error::new(DOING, error))?.map(|value| value.value().to_vec()))
    };

    let Some(identity) = read(IDENTITY)? else {
        return Ok(Recovered {
            identity: None,
            hard_state: HardState::default(),
            unmet: BTreeSet::new(),
            start: EntryId::default(),
            entries: Vec::new(),
        });
    };
    let identity = Identity::decode(&identity).map_err(|_| Error::damaged("the identity cannot be read"))?;
    let start = read(START)?
        .as_deref()
        .and_then(decode_id)
        .ok_or_else(|| Error::damaged("the place where the log begins cannot be read"))?;
    let hard_state = read(HARD_STATE)?
        .as_deref()
        .and_then(unsealed)
        .and_then(|bytes| wire::decode_hard_state(bytes).ok())
        .ok_or_else(|| Error::damaged("term and vote cannot be read"))?;

    let rows = transaction.open_table(ENTRIES).map_err(|error| Error::new(DOING, error))?;
    let mut entries = Vec::new();
    let mut before = start;
    for row in rows.iter().map_err(|error| Error::new(DOING, error))? {
        let (index, record) = row.map_err(|error| Error::new(DOING, error))?;
        let entry = checked(index.value(), record.value(), before)?;
        before = EntryId { term: entry.term, index: entry.index };
        entries.push(entry);
    }
    if before.term > hard_state.term {
        return Err(Error::damaged(format!("entry {} is of a later term than was stored", before.index)));
    }
    if hard_state.commit > before.index {
        return Err(Error::damaged(format!(
            "the log ends at {} but {} was known to be committed",
            before.index, hard_state.commit
        )));
    }
    let unmet = super::unmet(&meta, DOING)?;
    Ok(Recovered { identity: Some(identity), hard_state, unmet, start, entries })
}

fn checked(index: u64, record: &[u8], before: EntryId) -> Result<Entry, Error> {
    let entry = unsealed(record)
        .and_then(|bytes| wire::decode_entry(bytes).ok())
        .ok_or_else(|| Error::damaged(format!("entry {index} does not match its checksum")))?;
    if entry.index != index || index != before.index + 1 {
        return Err(Error::damaged(format!("entry {} is missing", before.index + 1)));
    }
    if entry.term < before.term {
        return Err(Error::damaged(format!("entry {index} is of an earlier term than the one before")));
    }
    Ok(entry)
}
