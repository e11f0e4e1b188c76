//! Numbers about consensus, kept in atomics so that any thread can add and the scheduler can register them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of a [`Histogram`], in microseconds; one more bucket takes the rest.
pub const BUCKETS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// Durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many durations fell into each bucket, not cumulated; the last has no upper bound.
    pub fn counts(&self) -> [u64; BUCKETS_MICROS.len() + 1] {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed))
    }

    /// All durations together, in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros.load(Ordering::Relaxed)
    }
}

/// What the node measures about itself. Counters only grow; the rest are gauges.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Time of one durable write of the log.
    pub fsync: Histogram,
    /// Entries written to the log (counter).
    pub entries_written: AtomicU64,
    /// Writes handed to the disk and not finished (gauge).
    pub persist_lag_writes: AtomicU64,
    /// Entries committed and not applied (gauge).
    pub apply_lag_entries: AtomicU64,
    /// Bytes committed and not applied (gauge).
    pub apply_lag_bytes: AtomicU64,
    /// Proposals without an answer (gauge).
    pub proposals_in_flight: AtomicU64,
    /// Proposals refused because a budget was used up (counter).
    pub proposals_refused: AtomicU64,
    /// Changes of the leader that this member has seen (counter).
    pub leader_changes: AtomicU64,
    /// Messages to peers that found a full queue (counter).
    pub messages_dropped: AtomicU64,
    /// Snapshots written here or fetched (counter).
    pub snapshots: AtomicU64,
    /// Snapshots written here that did not give back their state (counter).
    pub snapshots_unreadable: AtomicU64,
    /// The current term (gauge).
    pub term: AtomicU64,
    /// The index of the last entry applied (gauge).
    pub applied: AtomicU64,
    /// The index of the last entry known to be committed (gauge).
    pub commit: AtomicU64,
}

impl Metrics {
    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }

    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}
