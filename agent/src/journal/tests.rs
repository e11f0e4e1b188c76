use berth_core::id::{ClusterId, NodeEpoch};
use berth_core::reason::EndReason;

use super::*;
use crate::disk::{Files, SimulatedDisk};
use crate::planned::start;

const FRESH: JournalId = JournalId(1);
const BOOT: &str = "boot-1";

fn open<D: Disk>(disk: D) -> (Journal<D>, Vec<Kept>) {
    Journal::open(disk, FRESH, BOOT).unwrap()
}

fn an_end() -> AttemptUpdate {
    AttemptUpdate::Ended {
        reason: EndReason::FailedExit(3),
        started: Some(Timestamp(5)),
        at: Timestamp(6),
        output: vec![0, 10, 13, 255],
        usage: berth_core::model::Usage::new(1 << 20, 12),
    }
}

#[test]
fn everything_noted_is_there_when_it_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let (mut journal, kept) = open(Files::new(home.path().to_owned()));
    assert_eq!(kept, []);
    let known = Known { cluster: Some(ClusterId(9)), cluster_epoch: 1, term: 4, epoch: NodeEpoch(8) };
    journal.learn(known).unwrap();
    journal.note_reported(17).unwrap();
    journal.note_contact(Boot(33)).unwrap();
    journal.take_on(&[&start(1), &start(2)]).unwrap();
    let state = State { started: Some((Timestamp(5), Boot(6))), stop: Some(StopCause::TimedOut) };
    journal.note_state("a1", &state).unwrap();
    journal.note_end("a1", AttemptHandle(1), &an_end()).unwrap();
    journal.note_forgotten("a2", Timestamp(7)).unwrap();
    drop(journal);

    let files = Files::new(home.path().to_owned());
    let (journal, kept) = Journal::open(files, JournalId(2), BOOT).unwrap();
    assert_eq!((journal.id(), *journal.known()), (FRESH, known));
    assert_eq!((journal.reported(), journal.contact()), (17, Some(Boot(33))));
    let boot_id = || BOOT.to_owned();
    let one = Kept { order: start(1), boot_id: boot_id(), state, end: Some(an_end()), forgotten: None };
    let two = Kept {
        order: start(2),
        boot_id: boot_id(),
        state: State::default(),
        end: None,
        forgotten: Some(Timestamp(7)),
    };
    assert_eq!(kept, [one, two]);
    let mut files = Files::new(home.path().to_owned());
    assert_eq!(identity(&mut files, JournalId(2)).unwrap(), FRESH);
    let (journal, _) = Journal::open(files, FRESH, "boot-2").unwrap();
    assert_eq!(journal.contact(), None, "the boot clock of another boot says nothing");
}

#[test]
fn an_attempt_whose_spec_is_torn_anywhere_was_never_taken_on() {
    let (mut journal, _) = open(SimulatedDisk::new());
    journal.take_on(&[&start(1)]).unwrap();
    let disk = journal.into_disk();
    let bytes = disk.read("attempts/a1/spec").unwrap().unwrap();
    for length in 0..bytes.len() {
        let mut torn = disk.clone();
        torn.write("attempts/a1/spec", &bytes[..length], Durability::Now).unwrap();
        let (journal, kept) = open(torn);
        assert_eq!(kept, []);
        assert_eq!(journal.into_disk().list(ATTEMPTS).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_flipped_bit_in_a_spec_of_which_nothing_was_begun_takes_the_attempt_away() {
    let (mut journal, _) = open(SimulatedDisk::new());
    journal.take_on(&[&start(1)]).unwrap();
    let disk = journal.into_disk();
    let bytes = disk.read("attempts/a1/spec").unwrap().unwrap();
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 4;
        let mut disk = disk.clone();
        disk.write("attempts/a1/spec", &flipped, Durability::Now).unwrap();
        match Journal::open(disk, FRESH, BOOT) {
            Ok((_, kept)) => assert_eq!(kept, [], "{place}"),
            // Another number of the form cannot be told from another release.
            Err(error) => {
                assert!(matches!(error, Error::NotUnderstood { .. }) && place == 14, "{place}: {error}")
            }
        }
    }
}

#[test]
fn a_spec_that_is_damaged_though_its_attempt_was_begun_keeps_the_agent_from_starting() {
    for trace in ["order.rec", "exit.rec", "container.rec", "log/stdout.0"] {
        let (mut journal, _) = open(SimulatedDisk::new());
        journal.take_on(&[&start(1), &start(2)]).unwrap();
        let mut disk = journal.into_disk();
        disk.write("attempts/a1/spec", b"berth-journal 1 ", Durability::Now).unwrap();
        disk.write(&format!("attempts/a1/{trace}"), b"", Durability::Now).unwrap();
        let error = Journal::open(disk.clone(), FRESH, BOOT).unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if path == "attempts/a1/spec"), "{error}");
        assert_eq!(disk.list(ATTEMPTS).unwrap(), ["a1", "a2"], "what may run must not be forgotten");
        // Of one that the server has forgotten nothing is needed.
        disk.write("attempts/a1/forgotten", &Forgotten(Timestamp(5)).encode(), Durability::Now).unwrap();
        assert_eq!(open(disk).1.len(), 1);
    }
}

#[test]
fn a_torn_spec_that_no_executor_was_told_of_is_put_aside_whatever_the_next_agent_noted() {
    let (mut journal, _) = open(SimulatedDisk::new());
    journal.take_on(&[&start(1)]).unwrap();
    journal.note_state("a1", &State { started: None, stop: Some(StopCause::Ordered) }).unwrap();
    journal.note_end("a1", AttemptHandle(1), &an_end()).unwrap();
    let mut disk = journal.into_disk();
    disk.write("attempts/a1/end.new", b"", Durability::Later).unwrap();
    disk.write("attempts/a1/spec", b"berth-journal 1 ", Durability::Now).unwrap();
    assert_eq!(open(disk).1, []);
}

#[test]
fn a_damaged_head_keeps_the_agent_from_starting_as_another() {
    let (journal, _) = open(SimulatedDisk::new());
    let disk = journal.into_disk();
    let bytes = disk.read(JOURNAL).unwrap().unwrap();
    let flipped = |place: usize| {
        let mut flipped = bytes.clone();
        flipped[place] ^= 4;
        flipped
    };
    for broken in
        [Vec::new(), bytes[..9].to_vec(), bytes[..bytes.len() - 1].to_vec(), flipped(bytes.len() - 2)]
    {
        let mut disk = disk.clone();
        disk.write(JOURNAL, &broken, Durability::Now).unwrap();
        let error = Journal::open(disk, JournalId(2), BOOT).unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if path == JOURNAL), "{error}");
    }
}

#[test]
fn what_another_release_wrote_keeps_the_agent_from_starting_and_stays() {
    let (mut journal, _) = open(SimulatedDisk::new());
    journal.take_on(&[&start(1)]).unwrap();
    let disk = journal.into_disk();
    let of_release_2 = |path: &str, from: &str, to: &str| {
        let bytes = disk.read(path).unwrap().unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    let odd_order = wire::Order { attempt: 1, name: "a1".into(), ..wire::Order::default() };
    let spec = "attempts/a1/spec";
    for (path, bytes) in [
        ("journal", of_release_2("journal", "berth-record 1", "berth-record 2")),
        (spec, of_release_2(spec, "berth-journal 1", "berth-journal 2")),
        (spec, frame::seal(BOOT, &odd_order.encode_to_vec())),
        (spec, frame::seal(BOOT, b"\xff\xff\xff")),
        (spec, frame::seal(BOOT, &order::to_proto(&start(2)).encode_to_vec())),
        ("attempts/a1/end", frame::seal(BOOT, &wire::AttemptReport::default().encode_to_vec())),
    ] {
        let mut disk = disk.clone();
        disk.write(path, &bytes, Durability::Now).unwrap();
        let error = Journal::open(disk, JournalId(2), BOOT).unwrap_err();
        assert!(matches!(&error, Error::NotUnderstood { path: named, .. } if named == path), "{error}");
        assert!(error.to_string().contains("start the release that wrote it"), "{error}");
    }
}

#[test]
fn the_term_and_the_specs_survive_a_loss_of_power() {
    for seed in 0..50 {
        let (mut journal, _) = open(SimulatedDisk::new());
        let known = Known { cluster: Some(ClusterId(9)), cluster_epoch: 1, term: 4, epoch: NodeEpoch(8) };
        journal.learn(known).unwrap();
        journal.take_on(&[&start(1)]).unwrap();
        journal.note_end("a1", AttemptHandle(1), &an_end()).unwrap();
        journal.note_reported(3).unwrap();
        let mut disk = journal.into_disk();
        disk.power_loss(seed);
        let (journal, kept) = open(disk);
        assert_eq!(*journal.known(), known);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].order, start(1));
    }
}
