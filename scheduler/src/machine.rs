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
    hashes: Arc<VecDeque<(u64, u128)>>,
}

impl Machine {
    /// A machine before its first entry.
    pub fn new() -> Machine {
        Machine { state: State::new(), hashes: Arc::default() }
    }

    /// The state as it is now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The latest index at which the hash was kept, and the hash.
    pub fn checkpoint(&self) -> Option<(u64, u128)> {
        self.hashes.back().copied()
    }

    /// The hashes that are kept, with their indexes in order.
    pub fn hashes(&self) -> Arc<VecDeque<(u64, u128)>> {
        Arc::clone(&self.hashes)
    }

    fn keep_hash(&mut self, index: u64) {
        if index.is_multiple_of(HASH_EVERY) {
            let hashes = Arc::make_mut(&mut self.hashes);
            if hashes.len() == HASHES_KEPT {
                hashes.pop_front();
            }
            hashes.push_back((index, self.state.hash()));
        }
    }

    /// Says that this member or the leader is wrong. Which of them it is only a majority can say: to stop here would let
    /// one leader whose state differs stop all the others, again after each start.
    fn check_hash(&self, index: u64, expected: u128) {
        if self.hashes.iter().any(|(at, hash)| *at == index && *hash != expected) {
            tracing::error!(log.index = index, "the state of this member differs from the leader's");
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
        Ok(Machine { state: State::from_tables(tables), hashes: Arc::default() })
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

#[cfg(test)]
mod tests {
    use berth_core::command::Origin;
    use berth_core::time::Timestamp;

    use super::*;
    use crate::log::Request;

    #[test]
    fn a_leader_whose_state_differs_does_not_stop_the_others() {
        let mut machine = Machine::new();
        machine.keep_hash(HASH_EVERY);
        let command = Command::CheckHash { index: HASH_EVERY, hash: machine.state.hash() ^ 1 };
        let request = Request { key: None, actor: "leader".into(), origin: Origin::Leader, command };
        let envelope = request.into_envelope(&machine.state, 1, Timestamp(1));
        let entry = EntryId { term: 1, index: HASH_EVERY + 1 };
        machine.apply(entry, &envelope::encode(&envelope));
        assert_eq!(machine.checkpoint().map(|(index, _)| index), Some(HASH_EVERY));
    }
}
