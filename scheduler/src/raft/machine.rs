//! What the log is replicated for.

use std::fmt::Debug;

use berth_core::id::EntryId;

/// Chunks of a snapshot are at most this long before compression.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// A deterministic machine: the same entries in the same order give the same state everywhere.
pub trait StateMachine: Sized + Send + 'static {
    /// What an entry came to; handed to whoever proposed it.
    type Outcome: Clone + Send + 'static;
    /// An immutable view of the state, cheap to take, from which a snapshot can be written.
    type View: View;

    /// Takes one entry, which has an answer whatever it asks for.
    ///
    /// # Panics
    /// When the bytes are none of an entry that this release knows: to pass one over would make this member differ.
    fn apply(&mut self, entry: EntryId, data: &[u8]) -> Self::Outcome;

    /// The first entry of a term, which carries nothing, has been applied.
    fn on_term_start(&mut self, entry: EntryId);

    /// The state as it is now.
    fn view(&self) -> Self::View;

    /// A hash of the state: equal on every member at an equal index.
    fn state_hash(&self) -> u128;

    /// The feature level that the state has reached.
    fn feature_level(&self) -> u32;

    /// Rebuilds a machine from the chunks of a view, in their order.
    fn restore(chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Self, RestoreError>;
}

/// A state frozen at one index.
pub trait View: Clone + Send + 'static {
    /// The state in pieces of at most [`CHUNK_BYTES_MAX`] bytes. Equal states give equal bytes.
    fn chunks(&self) -> Box<dyn Iterator<Item = Vec<u8>> + '_>;
}

/// The bytes of a snapshot do not make a state.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot does not hold a state this version can read: {0}")]
pub struct RestoreError(pub String);

/// Hears of every change of the state, on the thread that applies: publishes views and events, and must be
/// quick.
pub trait Observer<M: StateMachine>: Send + 'static {
    /// Entries were applied; `outcomes` are those of the proposals among them, in order.
    fn on_batch(&mut self, machine: &M, applied: EntryId, outcomes: &[(EntryId, M::Outcome)]);

    /// The state was rebuilt: at the start, or from a snapshot of a peer. What was derived from the former state
    /// is void.
    fn on_restored(&mut self, machine: &M, applied: EntryId);
}

/// Nobody listens.
impl<M: StateMachine> Observer<M> for () {
    fn on_batch(&mut self, _: &M, _: EntryId, _: &[(EntryId, M::Outcome)]) {}

    fn on_restored(&mut self, _: &M, _: EntryId) {}
}
