//! The state machine that the log is replicated for: the core's state behind the bytes of entries.

use std::collections::VecDeque;
use std::sync::Arc;

use berth_core::apply::apply;
use berth_core::command::Command;
use berth_core::id::EntryId;
use berth_core::reply::Applied;
use berth_core::state::State;
use berth_proto::convert::{envelope, snapshot};

use crate::raft::machine::{CHUNK_BYTES_MAX, RestoreError, StateMachine, View};

/// The hash of the state is kept at every such index, for members to be compared.
pub const HASH_EVERY: u64 = 10_000;
/// How many of these hashes are kept.
const HASHES_KEPT: usize = 16;

/// The core's state, fed with entries.
#[derive(Debug)]
pub struct Machine {
    state: State,
    hashes: VecDeque<(u64, u128)>,
}

impl Machine {
    /// A machine before its first entry.
    pub fn new() -> Machine {
        Machine { state: State::new(), hashes: VecDeque::new() }
    }

    /// The state as it is now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The latest index at which the hash was kept, and the hash.
    pub fn checkpoint(&self) -> Option<(u64, u128)> {
        self.hashes.back().copied()
    }

    fn keep_hash(&mut self, index: u64) {
        if index.is_multiple_of(HASH_EVERY) {
            if self.hashes.len() == HASHES_KEPT {
                self.hashes.pop_front();
            }
            self.hashes.push_back((index, self.state.hash()));
        }
    }

    /// # Panics
    /// When this member's state differs from the leader's: it must not serve or vote on with it.
    fn check_hash(&self, index: u64, expected: u128) {
        let kept = self.hashes.iter().find(|(at, _)| *at == index);
        if let Some((_, hash)) = kept {
            assert_eq!(
                *hash, expected,
                "the state of this member differs from the leader's at log index {index}; remove the member with \
                 `berth operator remove` and add it anew with an empty data directory"
            );
        }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Machine::new()
    }
}

impl StateMachine for Machine {
    type Outcome = Arc<Applied>;
    type View = StateView;

    fn apply(&mut self, entry: EntryId, data: &[u8]) -> Arc<Applied> {
        // The store checks every entry's checksum, so what cannot be read was written by a release with other
        // commands. To pass it over would make this member differ.
        let envelope = envelope::decode(data)
            .unwrap_or_else(|error| panic!("entry {} cannot be read by this release: {error}", entry.index));
        if let Command::CheckHash { index, hash } = envelope.command {
            self.check_hash(index, hash);
        }
        let applied = apply(&mut self.state, entry, envelope);
        self.keep_hash(entry.index);
        Arc::new(applied)
    }

    fn on_term_start(&mut self, entry: EntryId) {
        self.keep_hash(entry.index);
    }

    fn view(&self) -> StateView {
        StateView(self.state.clone())
    }

    fn state_hash(&self) -> u128 {
        self.state.hash()
    }

    fn feature_level(&self) -> u32 {
        self.state.tables().header.feature_level
    }

    fn restore(chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Self, RestoreError> {
        let tables = snapshot::decode(chunks).map_err(|error| RestoreError(error.to_string()))?;
        Ok(Machine { state: State::from_tables(tables), hashes: VecDeque::new() })
    }
}

/// A state frozen at one index.
#[derive(Debug, Clone)]
pub struct StateView(State);

impl View for StateView {
    fn chunks(&self) -> Box<dyn Iterator<Item = Vec<u8>> + '_> {
        Box::new(
            snapshot::encode(self.0.tables()).inspect(|chunk| debug_assert!(chunk.len() <= CHUNK_BYTES_MAX)),
        )
    }
}
