use super::house::{House, a_job, a_node, a_task, submit};
use crate::command::{AttemptReport, AttemptUpdate, Command, DrainOrder, NodeReport, Placement};
use crate::id::{JournalId, NodeEpoch};
use crate::job_spec::{ExecutorKind, OnDisconnect, ProgramSpec, TaskSpec};
use crate::model::{Files, NodeState, TaskState};
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};
use crate::template::Template;
use crate::time::Millis;

#[test]
fn a_lost_node_returns_its_tasks_to_the_queue() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[])]));
    let task = house.task(run, 0, 0);
    let attempt = house.place(task, node).unwrap();
    let epoch = house.state.node(node).epoch;
    house.ask(Command::LoseNode { node, epoch });
    assert_eq!(house.state.task(task).state, TaskState::Ready);
    assert!(!house.state.attempt(attempt).is_live());
    assert_eq!(house.place(task, node), None, "a lost node takes nothing");
    let other = house.node("n2");
    let second = house.place(task, other).unwrap();
    house.end(second, EndReason::FailedExit(1));
    assert_eq!(house.end_of(run), Some(EndReason::FailedExit(1)), "the lost attempt did not count");
}

#[test]
fn an_agent_that_comes_back_keeps_its_attempts_under_a_new_epoch() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    let old = house.state.node(node).epoch;
    assert_eq!(house.node("n1"), node);
    assert!(house.state.attempt(attempt).is_live());
    let lost = house.ask(Command::LoseNode { node, epoch: old });
    assert_eq!(lost, Reply::Refused(Refusal::StaleEpoch));
    let ended = AttemptUpdate::Ended {
        reason: EndReason::Succeeded,
        started: None,
        at: house.now,
        output: vec![],
        usage: crate::model::Usage::default(),
    };
    let report = NodeReport {
        node,
        epoch: old,
        journal: JournalId(1),
        reports: vec![AttemptReport { sequence: 1, attempt, update: ended }],
    };
    assert_eq!(house.ask(Command::Report(report)), Reply::Refused(Refusal::StaleEpoch));
    house.end(attempt, EndReason::Succeeded);
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
}

#[test]
fn reports_behind_a_missing_one_are_refused_whole_until_it_is_sent() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[]), a_task("b", &[])]));
    let first = house.place(house.task(run, 0, 0), node).unwrap();
    let second = house.place(house.task(run, 1, 0), node).unwrap();
    let at = house.now;
    let report = |sequence, attempt| AttemptReport {
        sequence,
        attempt,
        update: AttemptUpdate::Ended {
            reason: EndReason::Succeeded,
            started: None,
            at,
            output: vec![],
            usage: crate::model::Usage::default(),
        },
    };
    let missing = |expected| Reply::Refused(Refusal::ReportMissing { expected });
    assert_eq!(house.report_all(node, vec![report(2, second)]), missing(1));
    assert_eq!(house.report_all(node, vec![report(1, first), report(3, second)]), missing(2));
    assert!(house.state.attempt(first).is_live(), "nothing of it is taken");
    assert_eq!(house.state.node(node).reported, 0);
    assert_eq!(house.report_all(node, vec![report(1, first)]), Reply::Reported { up_to: 1 });
    let both = vec![report(1, first), report(2, second)];
    assert_eq!(house.report_all(node, both), Reply::Reported { up_to: 2 });
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
}

#[test]
fn another_journal_counts_its_reports_from_one() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[])]));
    let task = house.task(run, 0, 0);
    let attempt = house.place(task, node).unwrap();
    house.report(attempt, AttemptUpdate::Started { at: house.now });
    let wiped = crate::command::Registration { journal: JournalId(2), ..a_node("n1") };
    house.ask(Command::RegisterNode(wiped));
    let again = house.place(task, node).unwrap();
    let update = AttemptUpdate::Started { at: house.now };
    let next = AttemptReport { sequence: 2, attempt: again, update: update.clone() };
    assert_eq!(house.report_all(node, vec![next]), Reply::Refused(Refusal::ReportMissing { expected: 1 }));
    assert_eq!(house.report(again, update), Reply::Reported { up_to: 1 });
}

#[test]
fn an_agent_with_a_wiped_directory_has_lost_its_attempts() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[])]));
    let task = house.task(run, 0, 0);
    house.place(task, node).unwrap();
    let wiped = crate::command::Registration { journal: JournalId(2), ..a_node("n1") };
    house.ask(Command::RegisterNode(wiped));
    assert_eq!(house.state.task(task).state, TaskState::Ready);
}

#[test]
fn a_task_that_its_lost_node_stops_by_itself_is_not_placed_before_it_must_have_stopped() {
    let mut house = House::new();
    let (first, second) = (house.node("n1"), house.node("n2"));
    let on_disconnect = OnDisconnect::StopAfter(Millis::from_secs(30));
    let leashed = TaskSpec { on_disconnect, stop_grace: Millis::from_secs(10), ..a_task("a", &[]) };
    let run = house.run(a_job("j", vec![leashed]));
    let task = house.task(run, 0, 0);
    house.place(task, first).unwrap();
    let epoch = house.state.node(first).epoch;
    house.ask(Command::LoseNode { node: first, epoch });
    house.pass(Millis(39_999));
    house.advance();
    assert_eq!(house.place(task, second), None);
    house.pass(Millis(1));
    house.advance();
    assert!(house.place(task, second).is_some());
}

#[test]
fn a_placement_of_an_older_epoch_is_refused_singly() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[]), a_task("b", &[])]));
    let epoch = house.state.node(node).epoch;
    let placements = vec![
        Placement { task: house.task(run, 0, 0), node, epoch: NodeEpoch(epoch.0 - 1) },
        Placement { task: house.task(run, 1, 0), node, epoch },
    ];
    let reply = house.ask(Command::Place(placements));
    assert_eq!(reply, Reply::Placed { refused: vec![(0, Refusal::StaleEpoch)] });
}

#[test]
fn a_node_takes_no_more_than_its_capacity_and_only_what_it_can_run() {
    let mut house = House::new();
    let node = house.node("n1");
    let big = TaskSpec { resources: [("cpu".into(), 3000)].into(), ..a_task("a", &[]) };
    let exec = ProgramSpec::Exec { command: vec![Template::literal("/bin/true")] };
    let run = house.run(a_job(
        "j",
        vec![
            big.clone(),
            TaskSpec { name: "b".into(), ..big },
            TaskSpec { program: exec, ..a_task("c", &[]) },
        ],
    ));
    assert!(house.place(house.task(run, 0, 0), node).is_some());
    assert_eq!(house.place(house.task(run, 1, 0), node), None);
    assert_eq!(
        house.state.class(house.state.step_class(house.state.step(house.step(run, 2)))).executor,
        ExecutorKind::Exec
    );
    assert_eq!(house.place(house.task(run, 2, 0), node), None);
}

#[test]
fn a_draining_node_takes_nothing_and_gives_back_its_attempts_at_the_deadline() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[]), a_task("b", &[])]));
    let task = house.task(run, 0, 0);
    let attempt = house.place(task, node).unwrap();
    let drain = Some(DrainOrder { stop_after: Some(Millis(1000)) });
    house.ask(Command::DrainNode { node: "n1".into(), drain });
    assert_eq!(house.place(house.task(run, 1, 0), node), None);
    house.pass(Millis(1000));
    house.advance();
    assert!(!house.may_be_stopped(attempt));
    house.end(attempt, EndReason::FailedSignal(15));
    assert_eq!(house.state.task(task).state, TaskState::Ready, "preempted, not failed");
    house.ask(Command::DrainNode { node: "n1".into(), drain: None });
    assert!(house.place(task, node).is_some());
}

#[test]
fn a_node_can_be_removed_only_when_it_is_out_of_service_and_empty_and_its_name_can_return() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    let remove = Command::RemoveNode { node: "n1".into() };
    assert_eq!(house.ask(remove.clone()), Reply::Refused(Refusal::NodeInService("n1".into())));
    house.ask(Command::DrainNode { node: "n1".into(), drain: Some(DrainOrder { stop_after: None }) });
    assert!(matches!(house.ask(remove.clone()), Reply::Refused(Refusal::NodeBusy { attempts: 1, .. })));
    house.end(attempt, EndReason::Succeeded);
    assert_eq!(house.ask(remove), Reply::Done);
    let again = house.node("n1");
    assert_ne!(again, node);
    assert_eq!(house.state.node(again).state, NodeState::Ready);
}

#[test]
fn tasks_that_use_the_run_directory_stay_where_the_files_are() {
    let mut house = House::new();
    let (first, second) = (house.node("n1"), house.node("n2"));
    let env = vec![("DIR".to_owned(), Template::parse("${run.dir}").unwrap())];
    let task = |name| TaskSpec { env: env.clone(), ..a_task(name, &[]) };
    let run = house.run(a_job("j", vec![task("a"), task("b"), a_task("c", &[])]));
    house.place(house.task(run, 0, 0), first).unwrap();
    assert_eq!(house.state.run(run).files, Some(Files::Node(first)));
    assert_eq!(house.place(house.task(run, 1, 0), second), None);
    assert!(house.place(house.task(run, 2, 0), second).is_some(), "it does not use the directory");
    assert!(house.place(house.task(run, 1, 0), first).is_some());
}

#[test]
fn a_drain_that_is_called_off_stops_nothing_of_a_later_gentle_one() {
    let mut house = House::new();
    house.state.limits.transitions = 2;
    let node = house.node("n1");
    let run = house.run(a_job("j", (0..4).map(|place| a_task(&format!("t{place}"), &[])).collect()));
    let attempts: Vec<_> =
        (0..4).map(|place| house.place(house.task(run, place, 0), node).unwrap()).collect();
    let drain = |stop_after| Command::DrainNode { node: "n1".into(), drain: Some(DrainOrder { stop_after }) };
    house.ask(drain(Some(Millis(0))));
    let stopped = |house: &House| attempts.iter().filter(|attempt| !house.may_be_stopped(**attempt)).count();
    assert_eq!(stopped(&house), 2, "the others are left to a timer");
    house.ask(Command::DrainNode { node: "n1".into(), drain: None });
    house.ask(drain(None));
    house.advance_all();
    assert_eq!(stopped(&house), 2);
    house.ask(drain(Some(Millis(0))));
    house.advance_all();
    assert_eq!(stopped(&house), 4);
}

#[test]
fn an_agent_with_a_wiped_directory_comes_in_once_all_that_it_had_is_given_up() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", (0..4).map(|place| a_task(&format!("t{place}"), &[])).collect()));
    for place in 0..4 {
        house.place(house.task(run, place, 0), node).unwrap();
    }
    house.state.limits.transitions = 2;
    let wiped = Command::RegisterNode(crate::command::Registration { journal: JournalId(2), ..a_node("n1") });
    let busy = |attempts| Reply::Refused(Refusal::NodeBusy { node: "n1".into(), attempts });

    assert_eq!(house.ask(wiped.clone()), busy(2));
    house.advance_all();
    assert!(matches!(house.ask(wiped), Reply::Registered { .. }));
    assert_eq!(house.state.index().attempts_on(node).count(), 0);
}

#[test]
fn a_node_that_alone_has_the_files_of_an_active_run_is_not_removed() {
    let mut house = House::new();
    let node = house.node("n1");
    let env = vec![("DIR".to_owned(), Template::parse("${run.dir}").unwrap())];
    let task = |name, after: &[u16]| TaskSpec { env: env.clone(), ..a_task(name, after) };
    let run = house.run(a_job("j", vec![task("a", &[]), task("b", &[0])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::Succeeded);
    let epoch = house.state.node(node).epoch;
    house.ask(Command::LoseNode { node, epoch });
    let remove = || Command::RemoveNode { node: "n1".into() };
    let refused = Refusal::NodeHasFiles { node: "n1".into(), runs: 1 };
    assert_eq!(house.ask(remove()), Reply::Refused(refused));
    house.ask(Command::CancelRun { run: house.state.run(run).id });
    assert_eq!(house.ask(remove()), Reply::Done);
}

#[test]
fn names_of_resources_have_an_end_and_a_refused_registration_leaves_none() {
    let mut house = House::new();
    house.node("n1");
    let known = house.state.tables().resources.len();
    house.state.limits.resources = known + 1;
    let mut wide = a_node("n2");
    wide.facts.capacity.extend([("gpu".to_owned(), 1), ("tpu".to_owned(), 1)]);
    assert!(matches!(house.ask(Command::RegisterNode(wide)), Reply::Refused(Refusal::Full { .. })));
    assert_eq!(house.state.tables().resources.len(), known);
    house.node("n2");
    let asks = |name: &str| {
        let task = TaskSpec { resources: [(name.to_owned(), 1)].into(), ..a_task("a", &[]) };
        submit(a_job(name, vec![task]), None)
    };
    assert!(matches!(house.ask(asks("gpu")), Reply::Submitted { .. }));
    assert!(matches!(house.ask(asks("tpu")), Reply::Refused(Refusal::Full { .. })));
}
