use super::house::{House, a_job, a_task, every, submit};
use crate::apply::retention::{DETAILS_KEPT, DETAILS_KEPT_CROWDED, REQUEST_KEPT, SUMMARY_KEPT};
use crate::command::Command;
use crate::id::RequestId;
use crate::job_spec::{Count, JobSpec, Overlap, TaskSpec};
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};
use crate::time::Millis;

#[test]
fn an_ended_run_becomes_a_summary_and_then_nothing() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[]), a_task("b", &[0])]));
    let id = house.state.run(run).id;
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end_with_output(attempt, EndReason::Succeeded, "k=v\n");
    let attempt = house.place(house.task(run, 1, 0), node).unwrap();
    house.end(attempt, EndReason::FailedExit(9));

    house.pass(DETAILS_KEPT);
    house.advance();
    let tables = house.state.tables();
    assert_eq!(
        (tables.runs.len(), tables.steps.len(), tables.tasks.len(), tables.attempts.len()),
        (0, 0, 0, 0)
    );
    assert!(tables.outputs.is_empty());
    let summary = tables.summaries.get(&id).unwrap();
    assert_eq!((summary.tasks, summary.succeeded, &summary.reason), (2, 1, &EndReason::FailedExit(9)));
    assert_eq!(house.ask(Command::CancelRun { run: id }), Reply::Done);

    house.pass(SUMMARY_KEPT);
    house.advance();
    assert!(house.state.tables().summaries.is_empty());
}

#[test]
fn the_records_of_runs_are_bounded_and_kept_for_less_time_when_there_are_many() {
    let mut house = House::new();
    house.state.limits.records = 8;
    let node = house.node("n1");
    let submit_one = |house: &mut House| {
        let spec =
            a_job("j", vec![a_task("a", &[]), a_task("b", &[0]), a_task("c", &[0]), a_task("d", &[0])]);
        house.apply(Some(RequestId(1)), submit(spec, Some(RequestId(house.now.0.into())))).reply
    };
    let run = house
        .run(a_job("j", vec![a_task("a", &[]), a_task("b", &[0]), a_task("c", &[0]), a_task("d", &[0])]));
    for step in 0..2 {
        let attempt = house.place(house.task(run, step, 0), node).unwrap();
        house.end(attempt, EndReason::Succeeded);
    }
    assert_eq!(house.state.records_of_runs(), 8);
    assert!(matches!(submit_one(&mut house), Reply::Refused(Refusal::Full { limit: 8, .. })));
    house.ask(Command::CancelRun { run: house.state.run(run).id });
    house.pass(DETAILS_KEPT_CROWDED);
    house.advance();
    assert_eq!(house.state.records_of_runs(), 0);
    assert!(matches!(submit_one(&mut house), Reply::Submitted { .. }));
}

#[test]
fn a_job_keeps_so_many_summaries_and_the_newest_of_them() {
    let mut house = House::new();
    let mut first = None;
    let most = house.state.limits.summaries_of_job;
    for _ in 0..most + 5 {
        let run = house.run(a_job("j", vec![a_task("a", &[])]));
        first.get_or_insert(house.state.run(run).id);
        house.ask(Command::CancelRun { run: house.state.run(run).id });
        house.pass(Millis(1));
    }
    house.pass(DETAILS_KEPT);
    house.advance();
    assert_eq!(house.state.tables().summaries.len(), most);
    assert!(house.state.tables().summaries.get(&first.unwrap()).is_none());
}

#[test]
fn the_answer_to_a_request_is_forgotten_after_a_day() {
    let mut house = House::new();
    let key = Some(RequestId(5));
    house.apply(key, submit(a_job("j", vec![a_task("a", &[])]), None));
    house.pass(REQUEST_KEPT);
    house.advance();
    assert!(house.state.tables().requests.is_empty());
    assert!(house.state.index().requests_by_age.is_empty());
}

#[test]
fn a_run_whose_summary_is_forgotten_while_it_collapses_gets_no_second_one() {
    let mut house = House::new();
    house.state.limits.transitions = 2;
    house.state.limits.summaries_of_job = 1;
    let node = house.node("n1");
    let run_once = |house: &mut House| {
        let array = TaskSpec { count: Count::Fixed(4), ..a_task("a", &[]) };
        let run = house.run(a_job("j", vec![array]));
        for index in 0..4 {
            let attempt = house.place(house.task(run, 0, index), node).unwrap();
            house.end(attempt, EndReason::Succeeded);
        }
        house.pass(Millis(1));
        run
    };
    let first = run_once(&mut house);
    let id = house.state.run(first).id;
    let second = run_once(&mut house);
    let newer = house.state.run(second).id;
    house.pass(DETAILS_KEPT);
    house.advance();
    assert!(house.state.tables().summaries.get(&id).is_some());
    house.advance();
    assert!(house.state.tables().summaries.get(&id).is_none(), "the newer one has taken its place");
    assert!(house.state.tables().runs.get(first).is_some(), "its records are not all gone");
    house.restore();
    house.advance_all();
    assert!(house.state.tables().runs.is_empty());
    let left: Vec<_> = house.state.tables().summaries.iter().map(|(id, _)| *id).collect();
    assert_eq!(left, [newer]);
}

#[test]
fn an_outcome_that_is_decided_is_counted_once_and_the_oldest_goes() {
    let mut house = House::new();
    house.state.limits.outcomes_of_job = 2;
    let spec =
        JobSpec { schedule: every(Millis(60_000), Overlap::Skip), ..a_job("s", vec![a_task("a", &[])]) };
    house.ask(submit(spec, None));
    for minutes in 1..6 {
        house.pass(Millis(60_000));
        let fires = crate::due::fires(&house.state, house.now, 10);
        house.ask(Command::Fire(fires));
        assert_eq!(house.state.tables().outcomes.len(), minutes.min(2));
    }
}
