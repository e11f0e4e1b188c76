use berth_core::command::AttemptUpdate;
use berth_core::id::EntryId;
use berth_core::job_spec::{ExecutorKind, OnDisconnect};
use berth_core::time::Timestamp;

use super::*;
use crate::attempts::Forgotten;
use crate::journal::State;
use crate::planned::{a_launch, start, stop};

const GENERATION: EntryId = EntryId { term: 1, index: 1 };

fn an_attempt(number: u64) -> Attempt {
    Attempt {
        name: format!("a{number}"),
        launch: Some(Box::new(a_launch())),
        kept: true,
        state: State::default(),
        stopping: false,
        unwanted: false,
        end: None,
    }
}

fn ended(number: u64) -> Attempt {
    let end = AttemptUpdate::Ended {
        reason: EndReason::Succeeded,
        started: None,
        at: Timestamp(1),
        output: Vec::new(),
        usage: Default::default(),
    };
    Attempt { end: Some(end), ..an_attempt(number) }
}

/// 1 runs, 2 is stopping, 3 is over, 4 is forgotten, 5 was never heard of.
fn observed() -> Attempts {
    let mut attempts = Attempts::default();
    attempts.insert(AttemptHandle(1), an_attempt(1));
    attempts.insert(AttemptHandle(2), Attempt { stopping: true, ..an_attempt(2) });
    attempts.insert(AttemptHandle(3), ended(3));
    let forgotten = Forgotten { name: "a4".into(), kind: ExecutorKind::Fake, at: Timestamp(1) };
    attempts.insert_forgotten(AttemptHandle(4), forgotten);
    attempts
}

fn changes(set: Vec<Order>) -> Desired {
    Desired { generation: GENERATION, set, ..Desired::default() }
}

fn whole(set: Vec<Order>) -> Desired {
    Desired { full: true, ..changes(set) }
}

fn actions(desired: Desired) -> Vec<Action> {
    reconcile(&observed(), |_| false, desired)
}

fn a_stop(attempt: u64) -> Action {
    Action::Stop { attempt: AttemptHandle(attempt), grace: Millis(500), cause: StopCause::Ordered }
}

#[test]
fn each_order_has_its_action() {
    let table = [
        (start(1), None),
        (stop(1), Some(a_stop(1))),
        (start(2), None),
        (stop(2), None),
        (start(3), None),
        (stop(3), None),
        (start(4), Some(Action::RefuseStart { attempt: AttemptHandle(4), name: "a4".into() })),
        (start(5), Some(Action::Start(start(5)))),
        (
            stop(5),
            Some(Action::ReportNeverStarted {
                attempt: AttemptHandle(5),
                name: "a5".into(),
                reason: EndReason::Preempted,
            }),
        ),
    ];
    for (order, expected) in table {
        assert_eq!(actions(changes(vec![order.clone()])), Vec::from_iter(expected), "{order:?}");
    }
}

#[test]
fn what_a_whole_set_does_not_name_is_stopped_or_forgotten() {
    let all = actions(whole(vec![]));
    let expected = [
        Action::Abandon { attempt: AttemptHandle(1) },
        Action::Abandon { attempt: AttemptHandle(2) },
        Action::Forget { attempt: AttemptHandle(3) },
    ];
    assert_eq!(all, expected);
    assert_eq!(actions(changes(vec![])), []);
}

#[test]
fn an_end_that_the_server_does_not_know_any_more_is_reported_again() {
    let others = || vec![start(1), start(2)];
    let set = || whole([others(), vec![start(3)]].concat());
    assert_eq!(actions(set()), [Action::ReportAgain { attempt: AttemptHandle(3) }]);
    assert_eq!(reconcile(&observed(), |_| true, set()), []);
}

#[test]
fn forgetting_drops_what_is_over_and_stops_what_is_not() {
    let forget = (1..=5).map(AttemptHandle).collect();
    let expected = [
        Action::Abandon { attempt: AttemptHandle(1) },
        Action::Abandon { attempt: AttemptHandle(2) },
        Action::Forget { attempt: AttemptHandle(3) },
    ];
    assert_eq!(actions(Desired { forget, ..changes(vec![]) }), expected);
}

#[test]
fn a_directory_in_use_is_not_given_to_another_attempt() {
    let order = Order { name: "a1".into(), ..start(6) };
    assert!(matches!(actions(changes(vec![order]))[..], [Action::RefuseStart { .. }]));
}

#[test]
fn timeouts_count_from_the_start_and_leashes_from_the_last_contact() {
    let mut launch = a_launch();
    launch.timeout = Some(Millis(100));
    let timed = Attempt {
        launch: Some(Box::new(launch.clone())),
        state: State { started: Some((Timestamp(0), Boot(1_000))), stop: None },
        ..an_attempt(1)
    };
    launch.timeout = None;
    launch.on_disconnect = OnDisconnect::StopAfter(Millis(300));
    let leashed = Attempt { launch: Some(Box::new(launch)), ..an_attempt(2) };
    let mut attempts = Attempts::default();
    attempts.insert(AttemptHandle(1), timed);
    attempts.insert(AttemptHandle(2), leashed);
    attempts.insert(AttemptHandle(3), an_attempt(3));
    let causes = |now, contact| -> Vec<(u64, StopCause)> {
        let due = overdue(&attempts, Boot(now), Boot(contact));
        due.into_iter()
            .map(|action| match action {
                Action::Stop { attempt, cause, .. } => (attempt.0, cause),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(causes(1_099, 1_000), []);
    assert_eq!(causes(1_100, 1_000), [(1, StopCause::TimedOut)]);
    assert_eq!(causes(1_099, 799), [(2, StopCause::Disconnected)]);
    attempts.update(AttemptHandle(1), |attempt| attempt.stopping = true);
    assert_eq!(overdue(&attempts, Boot(9_999), Boot(9_999)), []);
}
