//! Fetching a snapshot from a peer, chunk by chunk, across crashes.

use redb::{Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{CHUNKS, Error, Manifest, PARTIAL, SnapshotStore, StoredChunk, durability_of};

impl SnapshotStore {
    /// Gets ready to receive the snapshot and says which chunk is needed next; `None` if all are there. What
    /// was received of exactly this snapshot before is kept, everything else under way is dropped.
    ///
    /// A snapshot that is whole here is never touched, even if the peer has cut the same state into other chunks:
    /// its mark stands, and the state may be restored from it at this moment.
    pub fn receive(&self, manifest: &Manifest) -> Result<Option<u32>, Error> {
        const DOING: &str = "starting to fetch a snapshot";
        let index = manifest.header.entry.index;
        if self.whole_for(manifest)?.is_some() {
            return Ok(None);
        }
        let encoded = manifest.encode();
        self.transaction(DOING, Durability::Immediate, |transaction| {
            let mut partial = transaction.open_table(PARTIAL).map_err(|error| Error::new(DOING, error))?;
            let resumed = partial
                .get(index)
                .map_err(|error| Error::new(DOING, error))?
                .is_some_and(|known| known.value() == encoded);
            let mut dropped = Vec::new();
            partial
                .retain(|other, _| {
                    let keep = other == index && resumed;
                    if !keep {
                        dropped.push(other);
                    }
                    keep
                })
                .map_err(|error| Error::new(DOING, error))?;
            if !resumed {
                dropped.push(index);
                partial.insert(index, encoded.as_slice()).map_err(|error| Error::new(DOING, error))?;
            }
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            for other in dropped {
                chunks
                    .retain_in((other, 0)..=(other, u32::MAX), |_, _| false)
                    .map_err(|error| Error::new(DOING, error))?;
            }
            Ok(())
        })?;
        self.next_missing(manifest)
    }

    /// Takes a chunk from the peer and says which is needed next; `None` if all are there.
    pub fn receive_chunk(
        &self,
        manifest: &Manifest,
        number: u32,
        chunk: &StoredChunk,
    ) -> Result<Option<u32>, Error> {
        const DOING: &str = "fetching a snapshot";
        let index = manifest.header.entry.index;
        if number >= manifest.chunks || !chunk.is_sound() {
            return Err(Error::BadChunk { number });
        }
        self.transaction(DOING, durability_of(number), |transaction| {
            still_under_way(transaction, manifest, DOING)?;
            let mut chunks = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
            chunks
                .insert((index, number), chunk.encode().as_slice())
                .map_err(|error| Error::new(DOING, error))?;
            Ok(())
        })?;
        self.next_missing(manifest)
    }

    /// All chunks are there: reads the snapshot back and makes it whole. Gives its description, which differs from the
    /// peer's if the same state was whole here before.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is not what was announced.
    pub fn finish_receiving(&self, manifest: &Manifest) -> Result<Manifest, Error> {
        if let Some(known) = self.whole_for(manifest)? {
            return Ok(known);
        }
        const DOING: &str = "finishing a fetch";
        let under_way = |transaction: &WriteTransaction| still_under_way(transaction, manifest, DOING);
        self.transaction(DOING, Durability::None, under_way)?;
        // Another fetch may have begun meanwhile and have dropped the chunks of this one.
        self.mark_whole(manifest, under_way)?;
        Ok(manifest.clone())
    }

    /// The whole snapshot here of the same state at the same place of the log.
    fn whole_for(&self, manifest: &Manifest) -> Result<Option<Manifest>, Error> {
        let index = manifest.header.entry.index;
        let Some(known) = self.whole(index)? else { return Ok(None) };
        if known.header == manifest.header {
            return Ok(Some(known));
        }
        tracing::error!(log.index = index, "a peer offers another state at the index of a snapshot here");
        Err(Error::Absent { index })
    }

    fn next_missing(&self, manifest: &Manifest) -> Result<Option<u32>, Error> {
        const DOING: &str = "looking for missing chunks";
        let index = manifest.header.entry.index;
        let transaction = self.database.begin_read().map_err(|error| Error::new(DOING, error))?;
        let table = transaction.open_table(CHUNKS).map_err(|error| Error::new(DOING, error))?;
        // Chunks arrive in order, so the first gap is after the last one.
        let last = table
            .range((index, 0)..=(index, u32::MAX))
            .map_err(|error| Error::new(DOING, error))?
            .next_back()
            .transpose()
            .map_err(|error| Error::new(DOING, error))?;
        let next = last.map_or(0, |(key, _)| key.value().1 + 1);
        Ok((next < manifest.chunks).then_some(next))
    }
}

/// [`Error::Absent`] unless exactly this snapshot is being fetched.
fn still_under_way(
    transaction: &WriteTransaction,
    manifest: &Manifest,
    doing: &'static str,
) -> Result<(), Error> {
    let index = manifest.header.entry.index;
    let partial = transaction.open_table(PARTIAL).map_err(|error| Error::new(doing, error))?;
    let known = partial.get(index).map_err(|error| Error::new(doing, error))?;
    match known {
        Some(known) if known.value() == manifest.encode() => Ok(()),
        Some(_) | None => Err(Error::Absent { index }),
    }
}
