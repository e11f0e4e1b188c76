use super::house::{House, a_job, a_task, every, submit};
use crate::command::{Command, Fire, FireDecision};
use crate::id::JobHandle;
use crate::job_spec::{JobSpec, Overlap, Schedule, When};
use crate::model::{Outcome, OutcomeKind, Timer};
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

/// A fire of an instant that is due.
fn fire(house: &mut House, job: JobHandle, nominal: Timestamp) -> Fire {
    house.now = house.now.max(nominal);
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
    let fire = fire(&mut house, job, next);
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
    let now = fire(&mut house, job, first);
    house.ask(Command::Fire(vec![now]));
    let again = fire(&mut house, job, first + MINUTE);
    house.ask(Command::Fire(vec![again]));
    assert_eq!(house.state.tables().runs.len(), 1);
    let outcome = house.state.tables().outcomes.get(&(job, first + MINUTE)).unwrap();
    assert_eq!(outcome.kind, OutcomeKind::Skipped(SkipReason::Overlap));
    let run = house.state.index().runs_of(job).next().unwrap();
    let node = house.node("n1");
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::Succeeded);
    let third = fire(&mut house, job, first + MINUTE + MINUTE);
    house.ask(Command::Fire(vec![third]));
    assert_eq!(house.state.tables().runs.len(), 2);
}

#[test]
fn a_changed_schedule_refuses_fires_of_the_old_one_and_fires_nothing_of_the_past() {
    let mut house = House::new();
    let job = scheduled(&mut house, Overlap::Skip);
    let next = house.state.job(job).cursor.unwrap().next.unwrap();
    let old = fire(&mut house, job, next);
    house.pass(Millis::from_secs(600));
    let spec = JobSpec {
        schedule: every(Millis::from_secs(10), Overlap::Skip),
        ..a_job("s", vec![a_task("a", &[])])
    };
    house.ask(submit(spec, None));
    assert_eq!(house.ask(Command::Fire(vec![old])), Reply::Fired { refused: vec![0] });
    let cursor = house.state.job(job).cursor.unwrap();
    assert_eq!(cursor.last, house.now);
    assert_eq!(cursor.next, Some(Timestamp(house.now.0 + 10_000)));
    assert_eq!(house.state.tables().timers.len(), 1);
    let dropped = Outcome { kind: OutcomeKind::Skipped(SkipReason::Superseded), count: 11 };
    let last = Timestamp(house.now.0 / 60_000 * 60_000);
    assert_eq!(house.state.tables().outcomes.get(&(job, last)), Some(&dropped), "and says so");
}

#[test]
fn what_is_not_due_by_the_time_of_the_state_is_not_fired_yet() {
    let mut house = House::new();
    let job = scheduled(&mut house, Overlap::AllowAll);
    let next = house.state.job(job).cursor.unwrap().next.unwrap();
    let before = house.now;
    let early = fire(&mut house, job, next);
    house.now = before;
    house.ask(Command::Fire(vec![early.clone()]));
    assert_eq!(house.state.tables().runs.len(), 0);
    assert_eq!(house.state.job(job).cursor.unwrap().next, Some(next), "it stays due");
    house.now = next;
    house.ask(Command::Fire(vec![early]));
    assert_eq!(house.state.tables().runs.len(), 1);
}

#[test]
fn a_single_instant_fires_once_and_nothing_follows() {
    let mut house = House::new();
    let at = house.now + MINUTE;
    let schedule = Some(Schedule { when: When::At(at), overlap: Overlap::Skip });
    house.ask(submit(JobSpec { schedule, ..a_job("s", vec![a_task("a", &[])]) }, None));
    let job = house.state.job_named(house.state.tenant_named("default").unwrap(), "s").unwrap();
    let once = Fire { next: None, ..fire(&mut house, job, at) };
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
    let stale = fire(&mut house, job, next);
    house.ask(Command::StopJob { tenant: "default".into(), job: "s".into() });
    assert_eq!(house.ask(Command::Fire(vec![stale])), Reply::Fired { refused: vec![0] });
    assert!(house.state.tables().timers.is_empty());
    let dropped = house.state.tables().outcomes.get(&(job, next)).unwrap();
    assert_eq!(dropped.kind, OutcomeKind::Skipped(SkipReason::Superseded));
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
    let now = fire(&mut house, job, nominal);
    house.ask(Command::Fire(vec![now]));
    assert_eq!(house.state.tables().runs.len(), 1);
    let outcome = house.state.tables().outcomes.get(&(job, nominal)).unwrap();
    assert_eq!(outcome.kind, OutcomeKind::Skipped(SkipReason::Full));
}
