use std::panic::{AssertUnwindSafe, catch_unwind};

use berth_core::id::{ClusterId, EntryId};
use raft::eraftpb::{Entry, HardState};

use super::{Error, LogStore, Recovered, WriteBatch};
use crate::raft::identity::Identity;
use crate::raft::sim_disk::{Faults, SimDisk};

fn identity() -> Identity {
    Identity { cluster: ClusterId(9), member: 1, incarnation: 77 }
}

fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    indexes
        .map(|index| Entry {
            term,
            index,
            data: format!("{term}/{index}").repeat(20).into(),
            ..Entry::default()
        })
        .collect()
}

fn hard_state(term: u64, commit: u64) -> HardState {
    HardState { term, vote: 1, commit, ..HardState::default() }
}

fn batch(term: u64, indexes: std::ops::RangeInclusive<u64>) -> WriteBatch {
    let commit = indexes.start() - 1;
    WriteBatch {
        number: 1,
        entries: entries(term, indexes),
        hard_state: Some(hard_state(term, commit)),
        ..WriteBatch::default()
    }
}

fn founded(disk: &SimDisk) -> LogStore {
    let (store, recovered) = LogStore::open(disk.backend()).unwrap();
    assert_eq!(recovered.identity, None);
    store.found(&identity(), EntryId::default(), &[2, 3].into()).unwrap();
    store
}

fn reopened(disk: &SimDisk) -> Recovered {
    LogStore::open(disk.backend()).unwrap().1
}

#[test]
fn what_was_written_is_there_after_the_power_went_at_any_moment() {
    for seed in 0..150 {
        let disk = SimDisk::new(seed);
        let store = founded(&disk);
        let mut confirmed = Vec::new();
        disk.set_faults(Faults { dies_after: Some(seed), ..Faults::default() });
        let mut attempted = Vec::new();
        for start in (1..200).step_by(5) {
            attempted = entries(2, start..=start + 4);
            if store.write(&[batch(2, start..=start + 4)]).is_err() {
                break;
            }
            confirmed.append(&mut attempted);
        }
        disk.crash();
        drop(store);
        let recovered = reopened(&disk);
        assert_eq!(recovered.identity, Some(identity()));
        let (kept, more) = recovered.entries.split_at(confirmed.len().min(recovered.entries.len()));
        assert_eq!(kept, confirmed, "seed {seed}");
        assert!(more.is_empty() || more == attempted, "a transaction is kept whole or not at all");
    }
}

#[test]
fn entries_that_overlap_replace_what_was_there() {
    let disk = SimDisk::new(1);
    let store = founded(&disk);
    store.write(&[batch(2, 1..=10)]).unwrap();
    store.write(&[batch(3, 5..=6)]).unwrap();
    drop(store);
    let recovered = reopened(&disk);
    let expected = [entries(2, 1..=4), entries(3, 5..=6)].concat();
    assert_eq!(recovered.entries, expected);
    assert_eq!(recovered.hard_state, hard_state(3, 4));
}

#[test]
fn a_compacted_log_begins_after_what_the_snapshot_covers() {
    let disk = SimDisk::new(1);
    let store = founded(&disk);
    store.write(&[batch(2, 1..=10)]).unwrap();
    let upto = EntryId { term: 2, index: 7 };
    store.write(&[WriteBatch { compact: Some(upto), ..WriteBatch::default() }]).unwrap();
    drop(store);
    let recovered = reopened(&disk);
    assert_eq!(recovered.start, upto);
    assert_eq!(recovered.entries, entries(2, 8..=10));
}

#[test]
fn a_log_that_is_reset_forgets_everything_before() {
    let disk = SimDisk::new(1);
    let store = founded(&disk);
    store.write(&[batch(2, 1..=10)]).unwrap();
    let start = EntryId { term: 5, index: 500 };
    let reset =
        WriteBatch { reset: Some(start), hard_state: Some(hard_state(5, 500)), ..WriteBatch::default() };
    store.write(&[reset, batch(5, 501..=502)]).unwrap();
    drop(store);
    let recovered = reopened(&disk);
    assert_eq!(recovered.start, start);
    assert_eq!(recovered.entries, entries(5, 501..=502));
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let disk = SimDisk::new(1);
    let store = founded(&disk);
    for start in (1..400).step_by(20) {
        store.write(&[batch(2, start..=start + 19)]).unwrap();
    }
    disk.kill();
    drop(store);
    let image = disk.bytes();
    let sound = {
        let copy = SimDisk::holding(&image);
        reopened(&copy)
    };
    let (mut noticed, mut silent) = (0, Vec::new());
    let used = image.iter().rposition(|byte| *byte != 0).unwrap() * 8;
    for bit in (0..used).step_by(used / 700) {
        let copy = SimDisk::holding(&image);
        copy.flip(bit);
        match LogStore::open(copy.backend()) {
            Ok((_, recovered)) if recovered == sound => {}
            Ok((_, recovered)) => silent.push((bit / 8, recovered.entries.len())),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 50, "{noticed}");
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn a_failed_sync_is_an_error_and_nothing_is_confirmed() {
    let disk = SimDisk::new(3);
    let store = founded(&disk);
    store.write(&[batch(2, 1..=5)]).unwrap();
    disk.set_faults(Faults { fail_next_sync: true, ..Faults::default() });
    assert!(matches!(store.write(&[batch(2, 6..=9)]), Err(Error::Failed { .. })));
    assert!(store.write(&[batch(2, 6..=9)]).is_err(), "a store that failed takes nothing more");
    disk.crash();
    drop(store);
    assert_eq!(reopened(&disk).entries[..5], entries(2, 1..=5));
}

#[test]
fn a_full_disk_loses_nothing_that_was_confirmed() {
    for seed in 0..10 {
        let disk = SimDisk::new(seed);
        let store = founded(&disk);
        let room = u64::try_from(disk.bytes().len()).unwrap() + 64 * 1024 * seed;
        disk.set_faults(Faults { capacity: Some(room), ..Faults::default() });
        let mut confirmed = Vec::new();
        let mut start = 1;
        while store.write(&[batch(2, start..=start + 99)]).is_ok() && start < 20_000 {
            confirmed.extend(entries(2, start..=start + 99));
            start += 100;
        }
        assert!(start < 20_000, "the disk never was full");
        disk.crash();
        drop(store);
        let recovered = reopened(&disk);
        assert_eq!(recovered.entries[..confirmed.len()], confirmed);
    }
}

#[test]
fn a_directory_is_given_to_one_member_only() {
    let disk = SimDisk::new(4);
    let store = founded(&disk);
    let other = Identity { member: 2, ..identity() };
    assert!(
        matches!(store.found(&other, EntryId::default(), &[].into()), Err(Error::Taken(taken)) if taken == identity())
    );
}

#[test]
fn a_peer_that_was_met_stays_met() {
    let disk = SimDisk::new(4);
    let store = founded(&disk);
    store.met(3).unwrap();
    store.met(9).unwrap();
    disk.crash();
    drop(store);
    assert_eq!(reopened(&disk).unmet, [2].into());
}

#[test]
fn the_first_incarnation_of_a_peer_is_the_one_that_counts() {
    let disk = SimDisk::new(5);
    let store = founded(&disk);
    assert_eq!(store.remember_incarnation(2, 20).unwrap(), 20);
    assert_eq!(store.remember_incarnation(2, 21).unwrap(), 20);
    disk.crash();
    drop(store);
    let (store, _) = LogStore::open(disk.backend()).unwrap();
    assert_eq!(store.remember_incarnation(2, 22).unwrap(), 20);
}

#[test]
fn rubbish_is_no_log() {
    let disk = SimDisk::holding(&[0x5a; 1 << 20]);
    let opened = catch_unwind(AssertUnwindSafe(|| LogStore::open(disk.backend()).err()));
    assert!(matches!(opened, Ok(Some(_))));
}
