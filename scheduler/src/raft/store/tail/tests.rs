use berth_core::id::EntryId;
use raft::eraftpb::{Entry, HardState};

use super::Tail;
use crate::raft::config::SnapshotPolicy;
use crate::raft::membership::Membership;

/// Entries 1 to 100 of 132 bytes each.
fn tail() -> Tail {
    let entries = (1..=100)
        .map(|index| Entry { term: 1, index, data: vec![0; 100].into(), ..Entry::default() })
        .collect();
    Tail::new(EntryId::default(), entries, HardState::default(), &Membership::default())
}

fn policy(keep_entries: u64, keep_bytes: u64, keep_bytes_max: u64) -> SnapshotPolicy {
    SnapshotPolicy { keep_entries, keep_bytes, keep_bytes_max, ..SnapshotPolicy::default() }
}

fn compacted(slowest: u64, policy: &SnapshotPolicy) -> u64 {
    tail().compact(90, slowest, policy).map_or(0, |upto| upto.index)
}

#[test]
fn as_much_is_kept_as_both_numbers_ask_for() {
    assert_eq!(compacted(90, &policy(10, 0, u64::MAX)), 80);
    assert_eq!(compacted(90, &policy(10, 132 * 30, u64::MAX)), 60);
    assert_eq!(compacted(90, &policy(40, 132 * 30, u64::MAX)), 50);
}

#[test]
fn what_the_slowest_follower_lacks_is_kept_and_more_behind_it() {
    assert_eq!(compacted(50, &policy(10, 0, u64::MAX)), 40);
    assert_eq!(compacted(5, &policy(10, 0, u64::MAX)), 0);
}

#[test]
fn a_follower_that_is_too_slow_does_not_hold_the_log_past_the_ceiling() {
    assert_eq!(compacted(5, &policy(10, 0, 132 * 20)), 70);
    assert_eq!(compacted(90, &policy(1_000, 0, 132 * 20)), 70);
}
