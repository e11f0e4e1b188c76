use super::house::{House, a_job, a_task, submit};
use crate::apply::retention::{DETAILS_KEPT, REQUEST_KEPT, SUMMARIES_OF_JOB_MAX, SUMMARY_KEPT};
use crate::command::Command;
use crate::id::RequestId;
use crate::reason::EndReason;
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
    assert_eq!(house.ask(Command::CancelRun { run: id }), crate::reply::Reply::Done);

    house.pass(SUMMARY_KEPT);
    house.advance();
    assert!(house.state.tables().summaries.is_empty());
}

#[test]
fn a_job_keeps_so_many_summaries_and_the_newest_of_them() {
    let mut house = House::new();
    let mut first = None;
    for _ in 0..SUMMARIES_OF_JOB_MAX + 5 {
        let run = house.run(a_job("j", vec![a_task("a", &[])]));
        first.get_or_insert(house.state.run(run).id);
        house.ask(Command::CancelRun { run: house.state.run(run).id });
        house.pass(Millis(1));
    }
    house.pass(DETAILS_KEPT);
    house.advance();
    assert_eq!(house.state.tables().summaries.len(), SUMMARIES_OF_JOB_MAX);
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
