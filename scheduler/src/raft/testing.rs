//! A small state machine for the tests: it remembers everything it was told, in order.

pub(crate) mod cluster;

use std::sync::Arc;

use berth_core::id::EntryId;

use crate::raft::machine::{RestoreError, StateMachine, View};

/// A list of texts. An entry is answered with the number of texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Notebook {
    pub(crate) lines: Arc<Vec<Vec<u8>>>,
    pub(crate) terms: u64,
    hash: u128,
}

impl Notebook {
    pub(crate) fn new(terms: u64, lines: Vec<Vec<u8>>) -> Self {
        let hash = lines.iter().fold(0, |hash, line| chained(hash, line));
        Self { lines: Arc::new(lines), terms, hash }
    }
}

fn chained(hash: u128, line: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&hash.to_le_bytes());
    hasher.update(line);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

impl StateMachine for Notebook {
    type Outcome = usize;
    type View = Self;

    fn apply(&mut self, _: EntryId, data: &[u8]) -> usize {
        Arc::make_mut(&mut self.lines).push(data.to_vec());
        self.hash = chained(self.hash, data);
        self.lines.len()
    }

    fn on_term_start(&mut self, _: EntryId) {
        self.terms += 1;
    }

    fn view(&self) -> Self {
        self.clone()
    }

    fn state_hash(&self) -> u128 {
        self.hash ^ u128::from(self.terms)
    }

    fn feature_level(&self) -> u32 {
        1
    }

    fn restore(chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Self, RestoreError> {
        let first = chunks.next().ok_or_else(|| RestoreError("no chunks".to_owned()))?;
        let terms = first.try_into().map_err(|_| RestoreError("no count of terms".to_owned()))?;
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut rest = chunk.as_slice();
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let (line, after) = after.split_at(usize::try_from(u32::from_le_bytes(*length)).unwrap());
                lines.push(line.to_vec());
                rest = after;
            }
        }
        Ok(Self::new(u64::from_le_bytes(terms), lines))
    }
}

impl View for Notebook {
    fn chunks(&self) -> Box<dyn Iterator<Item = Vec<u8>> + '_> {
        let terms = std::iter::once(self.terms.to_le_bytes().to_vec());
        let lines = self.lines.chunks(64).map(|lines| {
            let mut chunk = Vec::new();
            for line in lines {
                chunk.extend_from_slice(&u32::try_from(line.len()).unwrap().to_le_bytes());
                chunk.extend_from_slice(line);
            }
            chunk
        });
        Box::new(terms.chain(lines))
    }
}
