//! Counts what waits in a queue, where a bound on the number of messages alone would not bound memory.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What waits somewhere, in whatever unit.
#[derive(Debug, Default)]
pub(crate) struct Backlog(AtomicUsize);

impl Backlog {
    /// Adds to it, unless more than `max` would wait then.
    pub(crate) fn add(&self, amount: usize, max: usize) -> bool {
        let added = |now: usize| now.checked_add(amount).filter(|sum| *sum <= max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    /// What was added waits no longer.
    pub(crate) fn remove(&self, amount: usize) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }
}
