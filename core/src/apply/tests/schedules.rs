use super::house::{House, a_job, a_task, every, submit};
use crate::command::{Command, Fire, FireDecision};
use crate::id::JobHandle;
use crate::job_spec::{JobSpec, Overlap, Schedule, When};
use crate::model::{OutcomeKind, Timer};
use crate::reason::{EndReason, SkipReason};
use crate::reply::Reply;
use crate::time::{Millis, Timestamp};

const MINUTE: Millis = Millis(60_000);

fn scheduled(house: &mut House, overlap: Overlap) -> JobHandle {
    let spec = JobSpec { schedule: every(MINUTE, overlap), ..a_job("s", vec![a_task("a", &[])]) };
    match house.ask(submit(spec, None)) {
        Reply::Submitted { job, run: None, .. } => job,
        other => panic!("{other:?}"),
    }
}

fn fire(house: &House, job: JobHandle, nominal: Timestamp) -> Fire {
    let cursor = house.state.job(job).cursor.unwrap();
    Fire {
        job,
        generation: cursor.generation,
        expected: cursor.last,
        decisions: vec![FireDecision { nominal, skip: None, count: 1 }],
        next: Some(nominal + MINUTE),
    }
}

#[test]
fn an_instant_is_fired_once_however_often_it_is_proposed() {
    let mut house = House::new();
    let job = scheduled(&mut house, Overlap::AllowAll);
    let next = house.state.job(job).cursor.unwrap().next.unwrap();
    assert_eq!(next, Timestamp(1_020_000), "the next whole minute");
    let fire = fire(&house, job, next);
    assert_eq!(house.ask(Command::Fire(vec![fire.clone()])), Reply::Fired { refused: vec![] });
    assert_eq!(house.ask(Command::Fire(vec![fire])), Reply::Fired { refused: vec![0] });
    assert_eq!(house.state.tables().runs.len(), 1);
    assert!(house.state.tables().timers.get(&(next + MINUTE, Timer::Fire(job))).is_some());
}

#[test]
fn a_fire_while_the_run_before_is_active_is_skipped_and_recorded() {
    let mut house = House::new();
    let job = scheduled(&mut house, Overlap::Skip);
    let first = house.state.job(job).cursor.unwrap().next.unwrap();
    let now = fire(&house, job, first);
    house.ask(Command::Fire(vec![now]));
    let again = fire(&house, job, first + MINUTE);
    house.ask(Command::Fire(vec![again]));
    assert_eq!(house.state.tables().runs.len(), 1);
    let outcome = house.state.tables().outcomes.get(&(job, first + MINUTE)).unwrap();
    assert_eq!(outcome.kind, OutcomeKind::Skipped(SkipReason::Overlap));
    let run = house.state.index().runs_of(job).next().unwrap();
    let node = house.node("n1");
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::Succeeded);
    let third = fire(&house, job, first + MINUTE + MINUTE);
    house.ask(Command::Fire(vec![third]));
    assert_eq!(house.state.tables().runs.len(), 2);
}

#[test]
fn a_changed_schedule_refuses_fires_of_the_old_one_and_fires_nothing_of_the_past() {
    let mut house = House::new();
    let job = scheduled(&mut house, Overlap::Skip);
    let next = house.state.job(job).cursor.unwrap().next.unwrap();
    let old = fire(&house, job, next);
    house.pass(Millis::from_secs(600));
    let spec = JobSpec {
        schedule: every(Millis::from_secs(10), Overlap::Skip),
        ..a_job("s", vec![a_task("a", &[])])
    };
    house.ask(submit(spec, None));
    assert_eq!(house.ask(Command::Fire(vec![old])), Reply::Fired { refused: vec![0] });
    let cursor = house.state.job(job).cursor.unwrap();
    assert_eq!(cursor.last, house.now);
    assert_eq!(cursor.next, Some(Timestamp(1_610_000)));
    assert_eq!(house.state.tables().timers.len(), 1);
}

#[test]
fn a_single_instant_fires_once_and_nothing_follows() {
    let mut house = House::new();
    let at = house.now + MINUTE;
    let schedule = Some(Schedule { when: When::At(at), overlap: Overlap::Skip });
    house.ask(submit(JobSpec { schedule, ..a_job("s", vec![a_task("a", &[])]) }, None));
    let job = house.state.job_named(house.state.tenant_named("default").unwrap(), "s").unwrap();
    let once = Fire { next: None, ..fire(&house, job, at) };
    house.pass(MINUTE);
    house.ask(Command::Fire(vec![once]));
    assert_eq!(house.state.job(job).cursor.unwrap().next, None);
    assert!(house.state.tables().timers.iter().all(|((_, timer), ())| !matches!(timer, Timer::Fire(_))));
}

#[test]
fn a_stopped_job_does_not_fire() {
    let mut house = House::new();
    let job = scheduled(&mut house, Overlap::Skip);
    let next = house.state.job(job).cursor.unwrap().next.unwrap();
    let stale = fire(&house, job, next);
    house.ask(Command::StopJob { tenant: "default".into(), job: "s".into() });
    assert_eq!(house.ask(Command::Fire(vec![stale])), Reply::Fired { refused: vec![0] });
    assert!(house.state.tables().timers.is_empty());
}

#[test]
fn fires_that_do_not_fit_into_one_entry_stay_due_and_none_is_decided_twice() {
    let mut house = House::new();
    house.state.limits.transitions = 5;
    let schedule = every(MINUTE, Overlap::AllowAll);
    let tasks = vec![a_task("a", &[]), a_task("b", &[])];
    house.ask(submit(JobSpec { schedule, ..a_job("s", tasks) }, None));
    house.pass(Millis(4 * 60_000));
    let mut entries = 0;
    loop {
        let fires = crate::due::fires(&house.state, house.now, 100);
        if fires.is_empty() {
            break;
        }
        let before = house.state.tables().runs.len();
        house.ask(Command::Fire(fires));
        let made = house.state.tables().runs.len() - before;
        assert!((1..=2).contains(&made), "{made} runs of two steps in one entry");
        entries += 1;
    }
    assert_eq!((entries, house.state.tables().runs.len(), house.state.tables().outcomes.len()), (2, 4, 4));
}

#[test]
fn a_fire_makes_no_run_when_the_cluster_is_full_and_says_so() {
    let mut house = House::new();
    house.state.limits.active_runs = 1;
    house.run(a_job("other", vec![a_task("a", &[])]));
    let job = scheduled(&mut house, Overlap::AllowAll);
    let nominal = house.state.job(job).cursor.unwrap().next.unwrap();
    let now = fire(&house, job, nominal);
    house.ask(Command::Fire(vec![now]));
    assert_eq!(house.state.tables().runs.len(), 1);
    let outcome = house.state.tables().outcomes.get(&(job, nominal)).unwrap();
    assert_eq!(outcome.kind, OutcomeKind::Skipped(SkipReason::Full));
}
