use berth_core::id::{ClusterId, EntryId};

use super::{Error, Header, Manifest, SnapshotStore};
use crate::raft::applier::SnapshotJob;
use crate::raft::machine::StateMachine;
use crate::raft::membership::Membership;
use crate::raft::sim_disk::{Faults, SimDisk};
use crate::raft::testing::Notebook;

fn notebook(lines: usize) -> Notebook {
    Notebook::new(3, (0..lines).map(|line| format!("line {line}").into_bytes()).collect())
}

fn job(state: &Notebook, index: u64) -> SnapshotJob<Notebook> {
    let header = Header {
        cluster: ClusterId(1),
        entry: EntryId { term: 2, index },
        membership: Membership::first([(1, "a:1".to_owned())]),
        feature_level: 1,
        state_hash: state.state_hash(),
    };
    SnapshotJob { header, view: state.view() }
}

fn open(disk: &SimDisk) -> SnapshotStore {
    SnapshotStore::open::<Notebook>(disk.backend()).unwrap()
}

/// Moves chunks from one store to the other until none is missing, or until so many were moved.
fn fetch(from: &SnapshotStore, to: &SnapshotStore, manifest: &Manifest, most: u32) -> Result<u32, Error> {
    let mut next = to.receive(manifest)?;
    let mut moved = 0;
    while let Some(number) = next.filter(|_| moved < most) {
        let chunk = from.chunk(manifest.header.entry.index, number)?;
        next = to.receive_chunk(manifest, number, &chunk)?;
        moved += 1;
    }
    if next.is_none() {
        to.finish_receiving(manifest)?;
    }
    Ok(moved)
}

#[test]
fn a_snapshot_gives_back_the_state_and_replaces_the_one_before() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    job(&notebook(10), 5).write(&store).unwrap();
    let state = notebook(5_000);
    let manifest = job(&state, 9).write(&store).unwrap();
    disk.crash();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.newest().unwrap(), Some(manifest.clone()));
    assert_eq!(store.restore::<Notebook>(&manifest).unwrap(), state);
    assert!(matches!(store.chunk(5, 0), Err(Error::Absent { index: 5 })));
}

#[test]
fn a_snapshot_that_was_cut_short_never_was() {
    for moment in 0..60 {
        let disk = SimDisk::new(moment);
        let store = open(&disk);
        let first = job(&notebook(100), 5).write(&store).unwrap();
        disk.set_faults(Faults { dies_after: Some(moment), ..Faults::default() });
        let second = job(&notebook(4_000), 9).write(&store);
        disk.crash();
        drop(store);
        let store = open(&disk);
        let newest = store.newest().unwrap().unwrap();
        match second {
            Ok(second) => assert_eq!(newest, second),
            // The mark may have reached the disk although the answer did not come back.
            Err(_) => assert!(newest == first || newest.header.entry.index == 9),
        }
        store.restore::<Notebook>(&newest).unwrap();
    }
}

#[test]
fn fetching_goes_on_after_a_crash_where_it_was() {
    let source = open(&SimDisk::new(1));
    let state = notebook(64 * 100);
    let manifest = job(&state, 9).write(&source).unwrap();
    let disk = SimDisk::new(2);
    let store = open(&disk);
    fetch(&source, &store, &manifest, 50).unwrap();
    disk.crash();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.newest().unwrap(), None);
    let moved = fetch(&source, &store, &manifest, u32::MAX).unwrap();
    assert!(moved <= manifest.chunks - 48, "{moved} of {} chunks were fetched again", manifest.chunks);
    assert_eq!(store.restore::<Notebook>(&store.newest().unwrap().unwrap()).unwrap(), state);
}

#[test]
fn a_chunk_that_is_not_sound_is_refused() {
    let source = open(&SimDisk::new(1));
    let manifest = job(&notebook(1_000), 9).write(&source).unwrap();
    let store = open(&SimDisk::new(2));
    store.receive(&manifest).unwrap();
    let mut chunk = source.chunk(9, 0).unwrap();
    chunk.crc32c ^= 1;
    assert!(matches!(store.receive_chunk(&manifest, 0, &chunk), Err(Error::BadChunk { number: 0 })));
}

#[test]
fn chunks_that_do_not_make_the_announced_snapshot_are_refused_together() {
    let source = open(&SimDisk::new(1));
    let manifest = job(&notebook(1_000), 9).write(&source).unwrap();
    let announced = Manifest { blake3: [7; 32], ..manifest };
    let store = open(&SimDisk::new(2));
    assert!(matches!(fetch(&source, &store, &announced, u32::MAX), Err(Error::Unreadable { .. })));
    assert_eq!(store.newest().unwrap(), None);
    assert_eq!(store.receive(&announced).unwrap(), Some(0), "it begins again at the first chunk");
}

#[test]
fn a_snapshot_that_is_whole_keeps_its_chunks_when_it_is_offered_again() {
    let source = open(&SimDisk::new(1));
    let state = notebook(1_000);
    let manifest = job(&state, 9).write(&source).unwrap();
    let disk = SimDisk::new(2);
    let store = open(&disk);
    job(&notebook(10), 5).write(&store).unwrap();
    fetch(&source, &store, &manifest, u32::MAX).unwrap();
    assert_eq!(store.receive(&manifest).unwrap(), None, "nothing is missing");
    // Another leader may have cut the same state into other chunks.
    let other = Manifest { chunks: manifest.chunks + 1, blake3: [7; 32], ..manifest.clone() };
    assert_eq!(store.receive(&other).unwrap(), None, "nothing is missing");
    assert_eq!(store.finish_receiving(&other).unwrap(), manifest, "the one that is here counts");
    assert_eq!(job(&state, 9).write(&store).unwrap(), manifest, "it is not written over");
    disk.crash();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.newest().unwrap(), Some(manifest.clone()));
    assert_eq!(store.restore::<Notebook>(&manifest).unwrap(), state);
}

#[test]
fn a_snapshot_that_does_not_give_back_its_state_leaves_the_one_before_in_place() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let state = notebook(100);
    let good = job(&state, 5).write(&store).unwrap();
    let mut other = job(&notebook(200), 9);
    other.header.state_hash ^= 1;
    assert!(matches!(other.write(&store), Err(Error::Unreadable { index: 9, .. })));
    let mut garbled = store.write(other.header.clone()).unwrap();
    garbled.push(b"no state").unwrap();
    assert!(matches!(garbled.finish(), Err(Error::Unreadable { index: 9, .. })));
    disk.crash();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.newest().unwrap(), Some(good.clone()));
    assert_eq!(store.restore::<Notebook>(&good).unwrap(), state);
    job(&notebook(200), 9).write(&store).unwrap();
}

#[test]
fn another_state_at_the_index_of_a_whole_snapshot_is_refused() {
    let store = open(&SimDisk::new(1));
    let state = notebook(100);
    let manifest = job(&state, 9).write(&store).unwrap();
    let mut lying = manifest.clone();
    lying.header.state_hash ^= 1;
    assert!(matches!(store.receive(&lying), Err(Error::Absent { index: 9 })));
    assert_eq!(store.restore::<Notebook>(&manifest).unwrap(), state);
}

#[test]
fn a_fetch_that_another_one_replaced_does_not_become_whole() {
    let source = open(&SimDisk::new(1));
    let first = job(&notebook(1_000), 9).write(&source).unwrap();
    let store = open(&SimDisk::new(2));
    store.receive(&first).unwrap();
    for number in 0..first.chunks {
        store.receive_chunk(&first, number, &source.chunk(9, number).unwrap()).unwrap();
    }
    let second = job(&notebook(2_000), 12).write(&source).unwrap();
    store.receive(&second).unwrap();
    assert!(matches!(store.finish_receiving(&first), Err(Error::Absent { index: 9 })));
    assert_eq!(store.newest().unwrap(), None);
}

#[test]
fn a_snapshot_older_than_one_that_was_fetched_is_not_needed() {
    let source = open(&SimDisk::new(1));
    let fetched = job(&notebook(1_000), 9).write(&source).unwrap();
    let store = open(&SimDisk::new(2));
    let own = job(&notebook(10), 5);
    let mut writing = store.write(own.header.clone()).unwrap();
    fetch(&source, &store, &fetched, u32::MAX).unwrap();
    writing.push(b"late").unwrap();
    assert!(matches!(writing.finish(), Err(Error::Absent { index: 5 })));
    assert_eq!(store.newest().unwrap(), Some(fetched));
}

#[test]
fn a_state_that_does_not_match_its_hash_is_not_taken() {
    let store = open(&SimDisk::new(1));
    let mut manifest = job(&notebook(10), 5).write(&store).unwrap();
    manifest.header.state_hash ^= 1;
    assert!(matches!(store.restore::<Notebook>(&manifest), Err(Error::Damaged { .. })));
}
