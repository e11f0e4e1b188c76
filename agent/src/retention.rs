//! What is left of forgotten attempts, and how long it stays: a pure choice.

use std::collections::BTreeMap;

use berth_core::id::AttemptHandle;
use berth_core::time::{Millis, Timestamp};

use crate::attempts::Attempts;

/// The most attempts whose directories are removed in one step.
const STEP: usize = 32;

/// How long the directories of forgotten attempts, with their logs, stay. Whichever bound is reached first counts;
/// the oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long after they were forgotten.
    pub keep: Millis,
    /// How many bytes all of them may take.
    pub bytes: u64,
    /// How many there may be.
    pub attempts: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { keep: Millis::from_secs(24 * 3600), bytes: 10 << 30, attempts: 10_000 }
    }
}

/// Those that are too old or too many; a few of them at a time.
pub fn over_age(attempts: &Attempts, now: Timestamp, retention: Retention) -> Vec<AttemptHandle> {
    let surplus = attempts.by_age().len().saturating_sub(retention.attempts);
    attempts
        .by_age()
        .take(STEP)
        .enumerate()
        .take_while(|(place, (at, _))| *place < surplus || *at + retention.keep <= now)
        .map(|(_, (_, attempt))| attempt)
        .collect()
}

/// Those that take too much room together with the younger ones.
pub fn over_bytes(
    attempts: &Attempts,
    sizes: &BTreeMap<AttemptHandle, u64>,
    retention: Retention,
) -> Vec<AttemptHandle> {
    let total: u64 = sizes.values().sum();
    let mut surplus = total.saturating_sub(retention.bytes);
    let mut over = Vec::new();
    for (_, attempt) in attempts.by_age() {
        if surplus == 0 {
            break;
        }
        surplus = surplus.saturating_sub(sizes.get(&attempt).copied().unwrap_or(0));
        over.push(attempt);
    }
    over
}

#[cfg(test)]
mod tests {
    use berth_core::job_spec::ExecutorKind;

    use super::*;
    use crate::attempts::Forgotten;

    fn three() -> Attempts {
        let mut attempts = Attempts::default();
        for n in 1..=3 {
            let forgotten =
                Forgotten { name: format!("a{n}"), kind: ExecutorKind::Exec, at: Timestamp(n * 1000) };
            attempts.insert_forgotten(AttemptHandle(10 - n), forgotten);
        }
        attempts
    }

    fn retention() -> Retention {
        Retention { keep: Millis(10_000), bytes: 100, attempts: 10 }
    }

    #[test]
    fn the_old_and_the_surplus_go_oldest_first() {
        let attempts = three();
        assert_eq!(over_age(&attempts, Timestamp(5_000), retention()), []);
        let old = [AttemptHandle(9), AttemptHandle(8)];
        assert_eq!(over_age(&attempts, Timestamp(12_000), retention()), old);
        let few = Retention { attempts: 1, ..retention() };
        assert_eq!(over_age(&attempts, Timestamp(5_000), few), old);
    }

    #[test]
    fn the_oldest_make_room() {
        let attempts = three();
        let sizes = [(AttemptHandle(9), 10), (AttemptHandle(8), 60), (AttemptHandle(7), 80)].into();
        assert_eq!(over_bytes(&attempts, &sizes, retention()), [AttemptHandle(9), AttemptHandle(8)]);
    }
}
