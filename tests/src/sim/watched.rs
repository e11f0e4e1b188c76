//! The production state machine, with the ledger looking on.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use berth_core::id::EntryId;
use berth_core::reply::Applied;
use berth_scheduler::machine::{Machine, StateView};
use berth_scheduler::publish::Publisher;
use berth_scheduler::raft::machine::{Observer, RestoreError, StateMachine};

use super::ledger::Ledger;

/// The one ledger of a simulation, which all members write to. Everything is on one thread; the lock is there because
/// a state machine may be sent to another.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(crate) fn new(ledger: Ledger) -> Shared {
        Shared(Arc::new(Mutex::new(ledger)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state machine of one member.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Machine,
    /// Set when the machine is handed to its member.
    ledger: OnceLock<Shared>,
}

impl Watched {
    pub(crate) fn new(ledger: Shared) -> Watched {
        Watched { inner: Machine::new(), ledger: OnceLock::from(ledger) }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.inner
    }
}

impl StateMachine for Watched {
    type Outcome = Arc<Applied>;
    type View = StateView;

    fn apply(&mut self, entry: EntryId, data: &[u8]) -> Arc<Applied> {
        let Some(ledger) = self.ledger.get() else { return self.inner.apply(entry, data) };
        let mut ledger = ledger.lock();
        if ledger.knows(entry.index) {
            let outcome = self.inner.apply(entry, data);
            ledger.compare(entry, data, self.inner.state());
            return outcome;
        }
        let before = self.inner.state().clone();
        let outcome = self.inner.apply(entry, data);
        ledger.first_applied(entry, data, &before, self.inner.state(), &outcome);
        outcome
    }

    fn on_term_start(&mut self, entry: EntryId) {
        self.inner.on_term_start(entry);
        if let Some(ledger) = self.ledger.get() {
            let mut ledger = ledger.lock();
            if !ledger.knows(entry.index) {
                ledger.first_term_start(entry, self.inner.state());
            } else {
                ledger.compare(entry, &[], self.inner.state());
            }
        }
    }

    fn view(&self) -> StateView {
        self.inner.view()
    }

    fn state_hash(&self) -> u128 {
        self.inner.state_hash()
    }

    fn feature_level(&self) -> u32 {
        self.inner.feature_level()
    }

    fn restore(chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Self, RestoreError> {
        Ok(Watched { inner: Machine::restore(chunks)?, ledger: OnceLock::new() })
    }
}

/// Publishes views as the server does, and tells the ledger of states that came from a snapshot.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) publisher: Publisher,
    pub(crate) ledger: Shared,
    /// Snapshots taken as the state.
    pub(crate) restored: u64,
}

impl Observer<Watched> for Watcher {
    fn on_batch(&mut self, machine: &Watched, applied: EntryId, outcomes: &[(EntryId, Arc<Applied>)]) {
        self.publisher.on_batch(&machine.inner, applied, outcomes);
    }

    fn on_restored(&mut self, machine: &Watched, applied: EntryId) {
        self.restored += 1;
        // A machine that was made here has its ledger already.
        let _ = machine.ledger.set(self.ledger.clone());
        self.ledger.lock().restored(applied, machine.inner.state());
        self.publisher.on_restored(&machine.inner, applied);
    }
}
