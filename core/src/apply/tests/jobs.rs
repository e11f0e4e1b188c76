use super::house::{House, a_job, a_task, submit};
use crate::command::{AttemptUpdate, Command, Submit, TenantSpec};
use crate::event::Event;
use crate::id::RequestId;
use crate::job_spec::{Count, Retry, TaskSpec};
use crate::model::{StepState, TaskState};
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};
use crate::time::Millis;

#[test]
fn a_chain_runs_one_step_after_the_other() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("chain", vec![a_task("a", &[]), a_task("b", &[0])]));
    assert_eq!(house.state.step(house.step(run, 1)).state, StepState::Waiting);
    let first = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(first, EndReason::Succeeded);
    let second = house.place(house.task(run, 1, 0), node).unwrap();
    assert_eq!(house.end_of(run), None);
    house.end(second, EndReason::Succeeded);
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
    assert!(house.state.index().used_on(node).is_empty());
}

#[test]
fn a_failed_step_fails_all_that_come_after_it_and_the_run_with_its_reason() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("f", vec![a_task("a", &[]), a_task("b", &[0]), a_task("c", &[1])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::FailedExit(3));
    assert_eq!(house.end_of(run), Some(EndReason::FailedExit(3)));
    let last = house.state.step(house.step(run, 2));
    assert_eq!(last.first_failure.as_ref(), Some(&EndReason::UpstreamFailed));
}

#[test]
fn a_failed_attempt_is_tried_again_after_its_backoff_until_its_attempts_are_used_up() {
    let mut house = House::new();
    let node = house.node("n1");
    let retry = Retry { max_attempts: 2, initial: Millis(500), ..Retry::default() };
    let run = house.run(a_job("r", vec![TaskSpec { retry, ..a_task("a", &[]) }]));
    let task = house.task(run, 0, 0);
    let first = house.place(task, node).unwrap();
    house.end(first, EndReason::OomKilled);
    assert_eq!(house.state.task(task).state, TaskState::Backoff { until: house.now + Millis(500) });
    house.pass(Millis(499));
    house.advance();
    assert_eq!(house.place(task, node), None);
    house.pass(Millis(1));
    house.advance();
    let second = house.place(task, node).unwrap();
    assert_eq!(house.state.attempt(second).previous.get(), Some(first));
    house.end(second, EndReason::OomKilled);
    assert_eq!(house.end_of(run), Some(EndReason::OomKilled));
}

#[test]
fn an_array_has_records_only_for_indexes_that_were_placed() {
    let mut house = House::new();
    let node = house.node("n1");
    let big = TaskSpec { count: Count::Fixed(1_000_000), ..a_task("a", &[]) };
    let run = house.run(a_job("big", vec![big]));
    assert_eq!(house.state.tables().tasks.len(), 0);
    house.place(house.task(run, 0, 0), node).unwrap();
    assert_eq!(house.place(house.task(run, 0, 2), node), None, "indexes open in order");
    assert_eq!(house.state.tables().tasks.len(), 1);
    house.ask(Command::CancelRun { run: house.state.run(run).id });
    let attempt = house.state.task(house.task(run, 0, 0)).latest;
    house.end(attempt, EndReason::FailedSignal(15));
    assert_eq!(house.end_of(run), Some(EndReason::Cancelled("ann".into())));
}

#[test]
fn an_output_list_is_the_size_of_a_later_array() {
    let mut house = House::new();
    let node = house.node("n1");
    let count = Count::LengthOf { task: 0, key: "parts".into() };
    let tasks = vec![a_task("split", &[]), TaskSpec { count, ..a_task("each", &[0]) }];
    let run = house.run(a_job("w", tasks));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end_with_output(attempt, EndReason::Succeeded, "parts=a\nparts=b\nother=1\nparts=c\n");
    assert_eq!(house.state.step(house.step(run, 1)).size, 3);
}

#[test]
fn an_empty_output_list_makes_an_empty_array_that_succeeds() {
    let mut house = House::new();
    let node = house.node("n1");
    let count = Count::LengthOf { task: 0, key: "parts".into() };
    let tasks = vec![a_task("split", &[]), TaskSpec { count, ..a_task("each", &[0]) }];
    let run = house.run(a_job("w", tasks));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::Succeeded);
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
}

#[test]
fn an_output_that_cannot_be_read_fails_the_task() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("w", vec![a_task("a", &[])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end_with_output(attempt, EndReason::Succeeded, "no equals sign");
    let why = "BERTH_OUTPUT: line 1 of the output is not key=value";
    assert_eq!(house.end_of(run), Some(EndReason::PostconditionFailed(why.into())));
}

#[test]
fn a_cancelled_run_ends_what_waits_and_stops_what_runs() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("c", vec![a_task("a", &[]), a_task("b", &[]), a_task("c", &[0])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    let applied = house.apply(None, Command::CancelRun { run: house.state.run(run).id });
    assert!(applied.events.contains(&Event::AttemptStopping { attempt, node }));
    assert_eq!(house.place(house.task(run, 1, 0), node), None);
    assert_eq!(house.end_of(run), None);
    house.end(attempt, EndReason::FailedSignal(15));
    assert_eq!(house.end_of(run), Some(EndReason::Cancelled("ann".into())));
}

#[test]
fn a_program_that_succeeds_while_it_is_stopped_has_succeeded() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("c", vec![a_task("a", &[])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.ask(Command::CancelRun { run: house.state.run(run).id });
    house.end(attempt, EndReason::Succeeded);
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
}

#[test]
fn the_same_key_has_one_effect_and_one_answer() {
    let mut house = House::new();
    let key = Some(RequestId(7));
    let command = submit(a_job("once", vec![a_task("a", &[])]), key);
    let first = house.apply(key, command.clone());
    let again = house.apply(key, command);
    assert_eq!(first.reply, again.reply);
    assert!(again.events.is_empty());
    assert_eq!(house.state.tables().runs.len(), 1);
    let other =
        house.apply(key, Command::ApplyTenant(TenantSpec { name: "x".into(), weight: 1, limit: [].into() }));
    assert_eq!(other.reply, Reply::Refused(Refusal::KeyReused));
}

#[test]
fn a_command_of_another_term_does_nothing() {
    let mut house = House::new();
    let before = house.state.hash();
    let envelope = crate::command::Envelope {
        format: 1,
        feature_level: 1,
        cluster_epoch: 1,
        term: 1,
        time: house.now,
        request: None,
        actor: "old leader".into(),
        origin: crate::command::Origin::Leader,
        command: Command::Advance,
    };
    let entry = crate::id::EntryId { term: 2, index: 1 };
    let applied = crate::apply::apply(&mut house.state, entry, envelope);
    assert_eq!(applied.reply, Reply::Refused(Refusal::StaleTerm));
    assert_eq!(house.state.hash(), before);
}

#[test]
fn only_a_changed_spec_makes_a_new_version_and_runs_keep_theirs() {
    let mut house = House::new();
    let run = house.run(a_job("v", vec![a_task("a", &[])]));
    let same = house.ask(submit(a_job("v", vec![a_task("a", &[])]), None));
    assert!(matches!(same, Reply::Submitted { version: 1, changed: false, run: None, .. }));
    let new = house.ask(submit(a_job("v", vec![a_task("b", &[])]), None));
    assert!(matches!(new, Reply::Submitted { version: 2, changed: true, .. }));
    assert_eq!(house.state.task_spec(house.state.step(house.step(run, 0))).name, "a");
}

#[test]
fn a_task_that_can_never_fit_its_tenant_is_refused_and_unknown_names_are_said() {
    let mut house = House::new();
    let limit = [("cpu".to_owned(), 500)].into();
    house.ask(Command::ApplyTenant(TenantSpec { name: "small".into(), weight: 1, limit }));
    let mut spec = a_job("j", vec![a_task("a", &[])]);
    spec.tenant = "small".into();
    assert!(matches!(
        house.ask(submit(spec.clone(), None)),
        Reply::Refused(Refusal::NeverFits { asked: 1000, .. })
    ));
    spec.tenant = "nobody".into();
    assert_eq!(house.ask(submit(spec, None)), Reply::Refused(Refusal::UnknownTenant("nobody".into())));
    let start = Submit { tenant: "small".into(), job: "j".into(), spec: None, start: Some(RequestId(1)) };
    assert!(matches!(house.ask(Command::Submit(start)), Reply::Refused(Refusal::UnknownJob { .. })));
}

#[test]
fn a_tenant_never_uses_more_than_its_limit() {
    let mut house = House::new();
    let node = house.node("n1");
    let limit = [("cpu".to_owned(), 2000)].into();
    house.ask(Command::ApplyTenant(TenantSpec { name: "t".into(), weight: 1, limit }));
    let mut spec = a_job("j", vec![TaskSpec { count: Count::Fixed(3), ..a_task("a", &[]) }]);
    spec.tenant = "t".into();
    let run = house.run(spec);
    let first = house.place(house.task(run, 0, 0), node).unwrap();
    house.place(house.task(run, 0, 1), node).unwrap();
    assert_eq!(house.place(house.task(run, 0, 2), node), None);
    house.end(first, EndReason::Succeeded);
    assert!(house.place(house.task(run, 0, 2), node).is_some());
}

#[test]
fn stopping_a_job_cancels_its_runs_and_applying_it_again_enables_it() {
    let mut house = House::new();
    let run = house.run(a_job("s", vec![a_task("a", &[])]));
    house.ask(Command::StopJob { tenant: "default".into(), job: "s".into() });
    assert_eq!(house.end_of(run), Some(EndReason::Cancelled("ann".into())));
    let job = house.state.run(run).job;
    assert!(!house.state.job(job).enabled);
    house.ask(submit(a_job("s", vec![a_task("a", &[])]), None));
    assert!(house.state.job(job).enabled);
}

#[test]
fn a_report_may_come_any_number_of_times_and_an_ended_attempt_stays_ended() {
    let mut house = House::new();
    let node = house.node("n1");
    let run = house.run(a_job("j", vec![a_task("a", &[])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.report(attempt, AttemptUpdate::Started { at: house.now });
    house.end(attempt, EndReason::Succeeded);
    let at = house.now;
    let failed = || AttemptUpdate::Ended {
        reason: EndReason::FailedExit(1),
        started: None,
        at,
        output: vec![],
        usage: crate::model::Usage::default(),
    };
    for sequence in 1..4 {
        let again = crate::command::AttemptReport { sequence, attempt, update: failed() };
        assert_eq!(house.report_all(node, vec![again]), Reply::Reported { up_to: sequence.max(2) });
    }
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
}

#[test]
fn a_long_cancel_goes_on_over_several_entries() {
    let mut house = House::new();
    let retry = Retry { max_attempts: 2, ..Retry::default() };
    let spec = TaskSpec { count: Count::Fixed(5000), resources: [].into(), retry, ..a_task("a", &[]) };
    let node = house.node("n1");
    let epoch = house.state.node(node).epoch;
    let run = house.run(a_job("long", vec![spec]));
    let placements =
        (0..5000).map(|index| crate::command::Placement { task: house.task(run, 0, index), node, epoch });
    let placements: Vec<_> = placements.collect();
    house.ask(Command::Place(placements));
    let attempts: Vec<_> = house.state.index().attempts_on(node).collect();
    let at = house.now;
    let ended = |attempt| AttemptUpdate::Ended {
        reason: EndReason::FailedExit(attempt),
        started: None,
        at,
        output: vec![],
        usage: crate::model::Usage::new(2_000, 3),
    };
    let reports = (1u64..).zip(&attempts).map(|(sequence, &attempt)| crate::command::AttemptReport {
        sequence,
        attempt,
        update: ended(1),
    });
    let journal = house.state.node(node).journal;
    house.ask(Command::Report(crate::command::NodeReport {
        node,
        epoch,
        journal,
        reports: reports.collect(),
    }));
    assert_eq!(house.state.step(house.step(run, 0)).backoff, 5000);
    let usage = house.state.tables().usages.get(&attempts[0]).unwrap();
    assert_eq!((usage.memory_peak(), usage.cpu_ms), (2_048, 3));
    house.ask(Command::CancelRun { run: house.state.run(run).id });
    assert_eq!(house.end_of(run), None);
    house.advance();
    assert_eq!(house.end_of(run), Some(EndReason::Cancelled("ann".into())));
}

#[test]
fn a_long_chain_of_empty_arrays_ends_at_once() {
    let mut house = House::new();
    let node = house.node("n1");
    let count = Count::LengthOf { task: 0, key: "none".into() };
    let mut tasks = vec![a_task("t0", &[])];
    for place in 1..4000u16 {
        let name = format!("t{place}");
        tasks.push(TaskSpec { count: count.clone(), ..a_task(&name, &[place - 1]) });
    }
    let run = house.run(a_job("chain", tasks));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end(attempt, EndReason::Succeeded);
    assert_eq!(house.end_of(run), Some(EndReason::Succeeded));
}

#[test]
fn a_request_that_is_asked_again_from_another_address_gets_the_first_answer() {
    let mut house = House::new();
    let key = RequestId(1);
    let command = || submit(a_job("j", vec![a_task("a", &[])]), Some(key));
    let first = house.apply_as("anonymous@10.0.0.1", Some(key), command());
    let again = house.apply_as("anonymous@10.0.0.2", Some(key), command());
    assert_eq!(first.reply, again.reply);
    let other = house.apply(Some(key), submit(a_job("k", vec![a_task("a", &[])]), None));
    assert_eq!(other.reply, Reply::Refused(Refusal::KeyReused));
}

#[test]
fn stopping_a_job_with_many_runs_goes_on_over_several_entries_and_spares_later_ones() {
    let mut house = House::new();
    house.state.limits.transitions = 3;
    let spec = || a_job("s", vec![a_task("a", &[])]);
    let runs: Vec<_> = (0..8).map(|_| house.run(spec())).collect();
    let applied = house.apply(None, Command::StopJob { tenant: "default".into(), job: "s".into() });
    let cancelled = applied.events.iter().filter(|event| matches!(event, Event::RunCancelling(_))).count();
    assert!((1..=3).contains(&cancelled), "{cancelled}");
    let later = house.run(spec());
    house.restore();
    for _ in 0..100 {
        if !crate::due::advance_needed(&house.state, house.now) {
            break;
        }
        house.apply_as("leader", None, Command::Advance);
    }
    for run in runs {
        assert_eq!(house.end_of(run), Some(EndReason::Cancelled("ann".into())));
    }
    assert_eq!(house.end_of(later), None);
    assert!(house.state.job(house.state.run(later).job).stopping.is_none());
}

#[test]
fn an_output_list_that_is_too_long_for_an_array_fails_the_step() {
    let mut house = House::new();
    house.state.limits.array = 2;
    let node = house.node("n1");
    let count = Count::LengthOf { task: 0, key: "k".into() };
    let each = TaskSpec { count, ..a_task("each", &[0]) };
    let run = house.run(a_job("w", vec![a_task("split", &[]), each, a_task("after", &[1])]));
    let attempt = house.place(house.task(run, 0, 0), node).unwrap();
    house.end_with_output(attempt, EndReason::Succeeded, "k=1\nk=2\nk=3\n");
    let end = house.end_of(run);
    assert!(matches!(&end, Some(EndReason::StartFailed(what)) if what.contains("3 values")), "{end:?}");
    let last = house.state.step(house.step(run, 2));
    assert_eq!(last.first_failure.as_ref(), Some(&EndReason::UpstreamFailed));
}

#[test]
fn request_classes_have_an_end_and_known_ones_are_taken_still() {
    let mut house = House::new();
    house.ask(submit(a_job("a", vec![a_task("a", &[])]), None));
    house.state.limits.classes = house.state.tables().classes.len();
    let other = TaskSpec { resources: [("cpu".to_owned(), 7)].into(), ..a_task("a", &[]) };
    let refused = house.ask(submit(a_job("b", vec![other]), None));
    assert!(matches!(refused, Reply::Refused(Refusal::Full { .. })), "{refused:?}");
    assert!(matches!(house.ask(submit(a_job("c", vec![a_task("x", &[])]), None)), Reply::Submitted { .. }));
}
