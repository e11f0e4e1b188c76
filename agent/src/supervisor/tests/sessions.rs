//! The session: fence, reports, contact, dialing.

use berth_shim::record::Record as _;

use super::*;
use crate::message::Refusal;

#[test]
fn orders_of_another_cluster_an_older_term_or_another_registration_are_not_taken() {
    type Change = fn(&mut Fence);
    let cases: [Change; 4] = [
        |fence| fence.cluster = ClusterId(6),
        |fence| fence.term = 1,
        |fence| fence.epoch = NodeEpoch(1),
        |fence| fence.epoch = NodeEpoch(3),
    ];
    for change in cases {
        let mut bench = Bench::new();
        (bench.term, bench.epoch) = (2, 2);
        bench.welcome().unwrap();
        bench.desire(true, vec![]).unwrap();
        let mut fence = Fence { cluster: CLUSTER, cluster_epoch: 0, term: 2, epoch: NodeEpoch(2) };
        change(&mut fence);
        let generation = EntryId { term: 9, index: 99 };
        let desired = Desired { generation, set: vec![start(1)], ..Desired::default() };
        let session = bench.session.unwrap();
        bench.input(Input::Said(session, ToAgent::Fenced(fence, Said::Desired(desired)))).unwrap();
        assert_eq!(bench.world.starts(AttemptHandle(1)), 0);
        let figures = bench.supervisor().figures();
        assert_eq!((figures.refused, figures.connected), (1, false));
    }
}

#[test]
fn an_older_term_stays_refused_after_a_restart() {
    let mut bench = Bench::new();
    bench.term = 7;
    bench.welcome().unwrap();
    let mut disk = bench.down();
    disk.power_loss(1);
    bench.up(disk).unwrap();
    bench.term = 6;
    bench.welcome().unwrap();
    assert!(!bench.supervisor().figures().connected);
}

#[test]
fn older_changes_and_changes_before_the_whole_set_are_not_taken() {
    let mut bench = Bench::connected();
    bench.index -= 1;
    bench.desire(false, vec![start(1)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(1)), 0);
    let mut bench = Bench::new();
    bench.welcome().unwrap();
    bench.desire(false, vec![start(1)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(1)), 0);
    assert!(!bench.supervisor().figures().connected);
}

#[test]
fn a_version_in_parts_is_taken_when_it_is_whole() {
    let mut bench = Bench::connected();
    let generation = EntryId { term: 1, index: 50 };
    let part = |more, attempt| {
        Said::Desired(Desired { generation, full: true, more, set: vec![start(attempt)], forget: vec![] })
    };
    bench.say(part(true, 1)).unwrap();
    assert_eq!(bench.world.history().len(), 0);
    bench.say(part(false, 2)).unwrap();
    assert_eq!(bench.world.history().len(), 2);
}

#[test]
fn reports_are_batched_while_one_is_in_flight_and_sent_again_after_a_lost_session() {
    let mut bench = Bench::connected();
    bench.answers = false;
    bench.desire(false, vec![start(1), start(2), start(3)]).unwrap();
    let first = bench.reports.clone();
    assert_eq!(first.len(), 1, "the first goes at once");
    bench.pass(1_200).unwrap();
    assert_eq!(bench.reports, first);
    bench.input(Input::Disconnected(bench.session.unwrap())).unwrap();
    bench.answers = true;
    bench.reports.clear();
    bench.welcome().unwrap();
    let sent: Vec<(u64, u64)> =
        bench.reports.iter().map(|report| (report.sequence, report.attempt.0)).collect();
    assert_eq!(sent, [(1, 1), (2, 1), (3, 2), (4, 3)]);
    assert_eq!(bench.ends().iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(bench.supervisor().all_reported());
}

#[test]
fn a_report_without_an_answer_is_sent_again_in_the_same_session() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![]).unwrap();
    bench.answers = false;
    bench.desire(false, vec![stop(1)]).unwrap();
    assert_eq!(bench.reports.len(), 1);
    for _ in 0..7 {
        bench.pass(1_000).unwrap();
        let boot = Boot(bench.boot);
        bench.say(Said::HeartbeatAck { boot, lease: Millis(5_000) }).unwrap();
    }
    assert_eq!(bench.reports.len(), 2);
    assert_eq!(bench.reports[0], bench.reports[1]);
}

#[test]
fn a_leash_counts_from_the_sending_of_the_last_answered_heartbeat() {
    let mut bench = Bench::connected();
    let mut launch = a_launch();
    launch.program =
        crate::message::Program::Fake { runs_for: Millis(600_000), exit_code: 0, output: String::new() };
    let keep = start_of(2, launch.clone());
    launch.on_disconnect = OnDisconnect::StopAfter(Millis(10_000));
    bench.desire(false, vec![start_of(1, launch), keep]).unwrap();
    bench.pass(5_500).unwrap();
    // The last heartbeat that is answered was sent at 5,000.
    bench.answers = false;
    bench.pass(9_400).unwrap();
    assert_eq!(bench.world.running().len(), 2);
    bench.pass(200).unwrap();
    assert_eq!(bench.world.running(), [AttemptHandle(2)]);
    bench.answers = true;
    bench.session = None;
    bench.welcome().unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::NodeLost)]);
}

#[test]
fn a_leash_goes_on_over_a_restart_of_the_agent() {
    let mut bench = Bench::connected();
    let mut launch = a_launch();
    launch.program =
        crate::message::Program::Fake { runs_for: Millis(600_000), exit_code: 0, output: String::new() };
    launch.on_disconnect = OnDisconnect::StopAfter(Millis(10_000));
    bench.desire(false, vec![start_of(1, launch)]).unwrap();
    bench.pass(3_000).unwrap();
    let disk = bench.down();
    bench.pass(8_000).unwrap();
    bench.up(disk).unwrap();
    bench.pass(2_500).unwrap();
    assert_eq!(bench.world.running(), []);
}

#[test]
fn a_leash_counts_from_the_last_contact_also_when_the_agent_dies_at_once() {
    let mut bench = Bench::connected();
    let mut launch = a_launch();
    launch.program =
        crate::message::Program::Fake { runs_for: Millis(600_000), exit_code: 0, output: String::new() };
    launch.on_disconnect = OnDisconnect::StopAfter(Millis(10_000));
    // As long as nobody is on a leash, nobody notes the contact.
    bench.pass(3_600_000).unwrap();
    bench.desire(false, vec![start_of(1, launch)]).unwrap();
    let contact = bench.supervisor().session.contact();
    let disk = bench.down();
    let noted = berth_shim::record::Contact::decode(&disk.read(journal::CONTACT).unwrap().unwrap()).unwrap();
    assert_eq!((noted.at_ms, noted.boot_id.as_str()), (contact.0, "boot"));
    bench.pass(8_000).unwrap();
    bench.up(disk).unwrap();
    assert_eq!(bench.world.running().len(), 1);
    bench.pass(2_000).unwrap();
    assert_eq!(bench.world.running(), []);
}

#[test]
fn a_silent_leader_is_left_before_the_lease_ends() {
    let mut bench = Bench::connected();
    bench.answers = false;
    bench.dialed.clear();
    bench.pass(3_100).unwrap();
    assert_eq!(bench.dialed, ["s2:1"]);
}

#[test]
fn a_refusal_leads_to_the_leader_and_three_dead_servers_are_tried_at_once() {
    let mut bench = Bench::new();
    let refusal = Refusal {
        code: RefusalCode::NotLeader,
        message: String::new(),
        leader: Some("leader:1".into()),
        retry_after: Millis(0),
    };
    let session = bench.session.unwrap();
    bench.input(Input::Connected(session)).unwrap();
    bench.input(Input::Said(session, ToAgent::Refused(refusal))).unwrap();
    assert_eq!(bench.dialed, ["s1:1", "leader:1"]);
    for _ in 0..2 {
        bench.input(Input::Disconnected(bench.session.unwrap())).unwrap();
    }
    assert_eq!(bench.dialed, ["s1:1", "leader:1", "s2:1", "s3:1"]);
    bench.input(Input::Disconnected(bench.session.unwrap())).unwrap();
    assert!(bench.supervisor().wake() <= Boot(50));
}

#[test]
fn a_connection_that_does_not_come_about_is_given_up() {
    let mut bench = Bench::new();
    bench.pass(2_000).unwrap();
    assert_eq!(bench.dialed, ["s1:1", "s2:1"]);
    bench.input(Input::Connected(bench.session.unwrap())).unwrap();
    bench.pass(5_000).unwrap();
    assert_eq!(bench.dialed, ["s1:1", "s2:1", "s3:1"]);
}

#[test]
fn what_is_late_of_an_earlier_connection_is_passed_over() {
    let mut bench = Bench::connected();
    let late = SessionId(bench.session.unwrap().0 - 1);
    bench.input(Input::Disconnected(late)).unwrap();
    let said = bench.fenced(Said::ReportsAck { up_to: 99 });
    bench.input(Input::Said(late, said)).unwrap();
    assert!(bench.supervisor().figures().connected);
    assert_eq!(bench.supervisor().hello().reported, 0);
}

#[test]
fn changed_facts_are_told_once() {
    let mut bench = Bench::connected();
    let facts = NodeFacts { run_dirs: "/elsewhere".into(), ..NodeFacts::default() };
    for _ in 0..2 {
        bench.input(Input::Facts(Box::new(facts.clone()))).unwrap();
    }
    let told = bench.sent.iter().filter(|message| matches!(message, FromAgent::FactsChanged(_)));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_session_goes_on_when_its_node_is_registered_anew() {
    let mut bench = Bench::connected();
    bench.answers = false;
    bench.desire(false, vec![start(1)]).unwrap();
    let reports = |bench: &Bench| {
        let told = bench.sent.iter().filter_map(|message| match message {
            FromAgent::Reports { epoch, .. } => Some(*epoch),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let before = reports(&bench);
    assert!(!before.is_empty(), "the start is reported");
    bench.epoch += 1;
    let welcome = Said::Welcome { lease: Millis(5_000), heartbeat: Millis(1_000), reported: 0 };
    let said = bench.fenced(welcome);
    bench.input(Input::Said(bench.session.unwrap(), said)).unwrap();
    let figures = bench.supervisor().figures();
    assert_eq!((figures.refused, figures.connected), (0, true));
    let again = reports(&bench);
    assert_eq!(again.len(), before.len() + 1, "what may have been refused is sent again");
    assert_eq!(again.last(), Some(&NodeEpoch(bench.epoch)));
}

#[test]
fn a_report_that_waits_for_a_session_does_not_keep_the_agent_awake() {
    let mut bench = Bench::connected();
    bench.answers = false;
    bench.desire(false, vec![stop(1)]).unwrap();
    let mut wakes = 0;
    let end = bench.boot + 20_000;
    while bench.boot < end {
        let wake = bench.supervisor().wake().0;
        assert!(wake > bench.boot, "the agent wants to be woken in the past");
        bench.boot = wake;
        bench.input(Input::Tick).unwrap();
        wakes += 1;
    }
    assert!(wakes < 100, "{wakes}");
}
