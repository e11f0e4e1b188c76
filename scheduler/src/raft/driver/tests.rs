use std::panic::AssertUnwindSafe;

use raft::Storage as _;
use raft::eraftpb::{Entry, Message, MessageType};

use super::is_coherent;
use crate::raft::driver::{Answer, ChangeError, ChangeRequest, Input, ProposeError, ReadError};
use crate::raft::membership::Standing;
use crate::raft::snapshots::Manifest;
use crate::raft::testing::cluster::{Cluster, Weather};

const CALM: Weather = Weather { loss: 0, crash: 0, cut: 0, lies_about_sync: false };
const STORM: Weather = Weather { loss: 20, crash: 3, cut: 2, lies_about_sync: false };

#[test]
fn three_members_elect_one_leader_and_agree() {
    let mut cluster = Cluster::new(1, 3);
    cluster.run(3_000, &CALM, true);
    assert!(cluster.leader().is_some());
    cluster.heal_and_check();
}

#[test]
fn a_single_member_leads_itself() {
    let mut cluster = Cluster::new(1, 1);
    cluster.run(3_000, &CALM, true);
    cluster.crash(1, 100);
    cluster.heal_and_check();
}

#[test]
fn what_was_acknowledged_survives_crashes_loss_and_partitions() {
    for seed in 0..12 {
        let mut cluster = Cluster::new(seed, if seed % 3 == 0 { 5 } else { 3 });
        cluster.run(40_000, &STORM, true);
        cluster.heal_and_check();
    }
}

/// Seeds that once found something.
#[test]
fn old_mistakes_stay_found() {
    // A late rejection made raft-rs put old entries into a newer append, and the follower confirm too much.
    let mut cluster = Cluster::new(2012, 3);
    cluster.run(60_000, &STORM, true);
    cluster.heal_and_check();
}

#[test]
fn an_append_that_contradicts_itself_is_not_taken() {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    message.index = 781;
    assert!(is_coherent(&message));
    message
        .set_entries((746..=781).map(|index| Entry { index, ..Entry::default() }).collect::<Vec<_>>().into());
    assert!(!is_coherent(&message));
    message.index = 745;
    assert!(is_coherent(&message));
}

#[test]
fn a_run_is_repeated_exactly_by_its_seed() {
    let run = |seed| {
        let mut cluster = Cluster::new(seed, 3);
        cluster.run(20_000, &STORM, true);
        (cluster.acked, cluster.machines[&1].log.bytes())
    };
    assert!(run(5) == run(5));
}

#[test]
fn a_disk_that_lies_about_sync_is_found_out() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = (100..130).any(|seed| {
        std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut cluster = Cluster::new(seed, 3);
            cluster.run(30_000, &Weather { crash: 10, lies_about_sync: true, ..STORM }, true);
            cluster.heal_and_check();
        }))
        .is_err()
    });
    std::panic::set_hook(quiet);
    assert!(found);
}

#[test]
fn a_member_that_missed_too_much_gets_a_snapshot() {
    let mut cluster = Cluster::new(3, 3);
    cluster.run(2_000, &CALM, true);
    cluster.crash(3, 60_000);
    cluster.run(30_000, &CALM, true);
    cluster.heal_and_check();
}

/// Raft's message about a snapshot, as `leader` would send it.
fn offer(cluster: &mut Cluster, leader: u64, to: u64, manifest: &Manifest) -> Message {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgSnapshot);
    message.from = leader;
    message.to = to;
    message.term = cluster.member(leader).status().term;
    let snapshot = message.mut_snapshot();
    snapshot.set_data(manifest.encode().into());
    let metadata = snapshot.mut_metadata();
    metadata.index = manifest.header.entry.index;
    metadata.term = manifest.header.entry.term;
    metadata.set_conf_state(manifest.header.membership.conf_state());
    message
}

/// A cluster whose member 3 was away until it needed a snapshot, at the moment when raft has taken the snapshot
/// and the state machine has not.
fn installing() -> (Cluster, u64, Manifest) {
    let mut cluster = Cluster::new(3, 3);
    cluster.run(2_000, &CALM, true);
    cluster.crash(3, 60_000);
    cluster.run(30_000, &CALM, true);
    cluster.machines.get_mut(&3).unwrap().restart_at = 0;
    for _ in 0..10_000 {
        cluster.run(5, &CALM, false);
        if cluster.member(3).driver().is_installing() {
            let (leader, _) = cluster.leader().unwrap();
            let manifest = cluster.member(3).snapshots().newest().unwrap().unwrap();
            return (cluster, leader, manifest);
        }
    }
    panic!("member 3 never took a snapshot");
}

#[test]
fn a_snapshot_offered_again_while_it_is_installed_is_not_fetched_again() {
    let (mut cluster, leader, manifest) = installing();
    let again = offer(&mut cluster, leader, 3, &manifest);
    let member = cluster.member(3);
    member.step(Input::Message(again));
    member.turn().unwrap();
    assert_eq!(member.wants_chunk(), None);
    assert!(member.driver().is_installing());
    cluster.heal_and_check();
}

#[test]
fn a_newer_snapshot_waits_until_the_one_before_is_installed() {
    let (mut cluster, leader, manifest) = installing();
    let mut newer = manifest.clone();
    newer.header.entry.index += 1_000;
    let offered = offer(&mut cluster, leader, 3, &newer);
    let member = cluster.member(3);
    member.step(Input::Message(offered));
    member.turn().unwrap();
    assert_eq!(member.wants_chunk(), None);
    member.settle(&mut ()).unwrap();
    assert!(!member.driver().is_installing());
    assert_eq!(member.wants_chunk(), Some((leader, newer.header.entry, 0)));
    cluster.heal_and_check();
}

#[test]
fn a_snapshot_that_was_fetched_is_offered_even_if_raft_ignored_it() {
    let mut cluster = Cluster::new(6, 3);
    cluster.run(10_000, &CALM, true);
    let driver = &mut cluster.member(1).driver;
    let mut fetched = Manifest::decode(driver.raw.store().snapshot(0, 2).unwrap().get_data()).unwrap();
    fetched.header.entry.index += 1;
    driver.step(Input::SnapshotFetched(fetched.clone()));
    assert_eq!(driver.raw.store().described(), Some(fetched.header.entry));
}

#[test]
fn a_snapshot_that_is_gone_is_not_offered_again_and_a_new_one_is_made() {
    let mut cluster = Cluster::new(6, 3);
    cluster.run(10_000, &CALM, true);
    let (leader, _) = cluster.leader().unwrap();
    let peer = leader % 3 + 1;
    let member = cluster.member(leader);
    let index = member.driver.raw.store().described().unwrap().index;
    member.step(Input::SnapshotMissing { peer, index: index - 1 });
    assert_eq!(member.driver.raw.store().described().unwrap().index, index, "that was another one");
    member.step(Input::SnapshotMissing { peer, index });
    assert_eq!(member.driver.raw.store().described(), None);
    member.turn().unwrap();
    member.settle(&mut ()).unwrap();
    assert!(member.driver.raw.store().described().unwrap().index > index);
}

#[test]
fn a_new_member_follows_and_then_votes() {
    let mut cluster = Cluster::new(4, 3);
    cluster.run(20_000, &CALM, true);
    cluster.change(ChangeRequest::Add { address: "member-4:1".into() });
    cluster.run(200, &CALM, true);
    let id = match cluster.changes.pop() {
        Some(Answer::Change { result: Ok(done), .. }) => done.id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id, 4);
    cluster.join(4);
    cluster.run(5_000, &CALM, true);
    let (leader, _) = cluster.leader().unwrap();
    let membership = cluster.member(leader).status().membership.clone();
    assert_eq!(membership.get(4).unwrap().standing, Standing::Voter);
    cluster.heal_and_check();
    assert!(cluster.member(4).applied().index > 0);
}

#[test]
fn a_change_of_the_members_that_was_made_before_is_answered_as_before() {
    let mut cluster = Cluster::new(4, 3);
    cluster.run(20_000, &CALM, true);
    let mut ask = |change: ChangeRequest| {
        cluster.change(change);
        cluster.run(200, &CALM, true);
        match cluster.changes.pop() {
            Some(Answer::Change { result, .. }) => result.map(|done| done.id),
            other => panic!("{other:?}"),
        }
    };
    let add = || ChangeRequest::Add { address: "member-4:1".into() };
    assert_eq!(ask(add()), Ok(4));
    assert_eq!(ask(add()), Ok(4), "a learner's address");
    assert_eq!(ask(ChangeRequest::Remove { id: 4 }), Ok(4));
    assert_eq!(ask(ChangeRequest::Remove { id: 4 }), Ok(4));
    assert_eq!(ask(ChangeRequest::Remove { id: 9 }), Err(ChangeError::NoSuchMember { id: 9 }));
    assert_eq!(
        ask(ChangeRequest::Add { address: "member-1:1".into() }),
        Err(ChangeError::AddressTaken { id: 1 })
    );
    assert_eq!(ask(add()), Ok(5), "no id is given twice");
}

#[test]
fn members_come_and_go_under_faults() {
    for seed in 40..46 {
        let mut cluster = Cluster::new(seed, 3);
        cluster.run(5_000, &CALM, true);
        cluster.change(ChangeRequest::Add { address: "member-4:1".into() });
        cluster.run(1_000, &CALM, true);
        cluster.join(4);
        cluster.run(30_000, &STORM, true);
        cluster.run(10_000, &CALM, true);
        let (leader, _) = cluster.leader().unwrap();
        let gone = if leader == 1 { 2 } else { 1 };
        cluster.changes.clear();
        cluster.change(ChangeRequest::Remove { id: gone });
        cluster.run(1_000, &CALM, true);
        assert!(matches!(cluster.changes.pop(), Some(Answer::Change { result: Ok(_), .. })));
        cluster.run(20_000, &STORM, true);
        cluster.heal_and_check();
    }
}

#[test]
fn a_removal_that_leaves_no_live_majority_is_refused() {
    let mut cluster = Cluster::new(9, 3);
    cluster.run(3_000, &CALM, true);
    let (leader, _) = cluster.leader().unwrap();
    let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    cluster.crash(others[0], 60_000);
    cluster.run(2_000, &CALM, true);
    cluster.change(ChangeRequest::Remove { id: others[1] });
    cluster.run(500, &CALM, true);
    assert!(matches!(
        cluster.changes.pop(),
        Some(Answer::Change { result: Err(ChangeError::NoLiveQuorum { .. }), .. })
    ));
    cluster.change(ChangeRequest::Remove { id: leader });
    cluster.run(500, &CALM, true);
    assert!(matches!(
        cluster.changes.pop(),
        Some(Answer::Change { result: Err(ChangeError::Leads { .. }), .. })
    ));
    cluster.change(ChangeRequest::Remove { id: others[0] });
    cluster.run(500, &CALM, true);
    assert!(matches!(cluster.changes.pop(), Some(Answer::Change { result: Ok(_), .. })));
}

#[test]
fn leadership_moves_on_request() {
    let mut cluster = Cluster::new(10, 3);
    cluster.run(3_000, &CALM, true);
    let (before, _) = cluster.leader().unwrap();
    cluster.member(before).step(Input::Transfer { request: 1, to: None });
    cluster.run(1_000, &CALM, true);
    let to = match cluster.changes.pop() {
        Some(Answer::Transfer { result: Ok(to), .. }) => to,
        other => panic!("{other:?}"),
    };
    assert_eq!(cluster.leader().unwrap().0, to);
    cluster.heal_and_check();
}

#[test]
fn a_proposal_is_refused_before_it_is_queued() {
    let mut cluster = Cluster::new(11, 3);
    cluster.run(3_000, &CALM, false);
    let (leader, term) = cluster.leader().unwrap();
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let refused = |cluster: &mut Cluster, at, term, bytes: usize| {
        let member = cluster.member(at);
        member.step(Input::Propose { request: 1, term, data: vec![1; bytes].into() });
        member.turn().unwrap();
        match member.take_answers().pop() {
            Some(Answer::Proposal { result: Err(error), .. }) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&mut cluster, follower, term, 1), ProposeError::NotLeader { leader: Some(leader) });
    assert_eq!(refused(&mut cluster, leader, term - 1, 1), ProposeError::NotLeader { leader: Some(leader) });
    let max = 1 << 20;
    assert_eq!(refused(&mut cluster, leader, term, max + 1), ProposeError::TooLarge { bytes: max + 1, max });
    for request in 0..64 {
        cluster.member(leader).step(Input::Propose { request, term, data: vec![1; max].into() });
    }
    assert_eq!(refused(&mut cluster, leader, term, 1), ProposeError::Busy { retry_after_ms: 100 });
}

#[test]
fn reads_that_wait_share_a_round_and_see_what_was_acknowledged() {
    let mut cluster = Cluster::new(12, 3);
    cluster.run(3_000, &CALM, true);
    let (leader, _) = cluster.leader().unwrap();
    let last = cluster.acked.last().unwrap().0.index;
    for request in 0..100 {
        cluster.member(leader).step(Input::Read { request });
    }
    cluster.run(200, &CALM, false);
    assert_eq!(cluster.reads.len(), 100);
    for read in &cluster.reads {
        assert!(matches!(read, Answer::Read { result: Ok(index), .. } if *index >= last), "{read:?}");
    }
}

#[test]
fn a_leader_without_followers_confirms_no_read() {
    let mut cluster = Cluster::new(13, 3);
    cluster.run(3_000, &CALM, true);
    let (leader, _) = cluster.leader().unwrap();
    for id in (1..=3).filter(|id| *id != leader) {
        cluster.crash(id, 60_000);
    }
    cluster.member(leader).step(Input::Read { request: 1 });
    cluster.run(3_000, &CALM, false);
    assert!(matches!(
        cluster.reads.pop(),
        Some(Answer::Read { result: Err(ReadError::Timeout | ReadError::NotLeader { .. }), .. })
    ));
}

/// For a night, with the seeds from `BERTH_SEED` on.
#[test]
#[ignore = "takes as long as one likes"]
fn many_seeds() {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap());
    let first = number("BERTH_SEED", 1_000);
    let mut acked = 0;
    for seed in first..first + number("BERTH_SEEDS", 100) {
        println!("seed {seed}");
        let mut cluster = Cluster::new(seed, if seed % 3 == 0 { 5 } else { 3 });
        cluster.run(30_000, &STORM, true);
        cluster.run(3_000, &CALM, true);
        let newcomer = cluster.machines.len() as u64 + 1;
        cluster.change(ChangeRequest::Add { address: format!("member-{newcomer}:1") });
        cluster.run(1_000, &CALM, true);
        if matches!(cluster.changes.pop(), Some(Answer::Change { result: Ok(_), .. })) {
            cluster.join(newcomer);
        }
        cluster.run(30_000, &STORM, true);
        cluster.heal_and_check();
        acked += cluster.acked.len();
    }
    println!("{acked} acknowledged entries");
}
