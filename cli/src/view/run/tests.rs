use berth_client::api::{
    AttemptState, AttemptView, EndReason, TaskState, WaitReason, end_reason, wait_reason,
};

use super::*;

const NOW: u64 = 1_785_499_439_000;

fn step(name: &str, state: StepState, size: Option<u32>, succeeded: u32) -> StepView {
    StepView { name: name.into(), state: state.into(), size, succeeded, ..StepView::default() }
}

fn exit(number: i32) -> Option<EndReason> {
    Some(EndReason { kind: end_reason::Kind::FailedExit.into(), number, ..EndReason::default() })
}

fn wait(kind: wait_reason::Kind, text: &str) -> Option<WaitReason> {
    Some(WaitReason { kind: kind.into(), text: text.into(), ..WaitReason::default() })
}

fn a_run() -> RunView {
    let count = StepView {
        array: true,
        live: 4,
        ready: 1,
        wait: wait(wait_reason::Kind::Quota, "acme uses 4 of 4 cpu; a task that ends makes room"),
        ..step("count", StepState::Open, Some(8), 3)
    };
    let merge = StepView {
        wait: wait(wait_reason::Kind::Dependency, "waits for count"),
        ..step("merge", StepState::Waiting, Some(1), 0)
    };
    RunView {
        id: "3kd9f2m7q0xw4vbn8zr5h1tjye".into(),
        tenant: "acme".into(),
        job: "wordcount".into(),
        version: 2,
        state: RunState::Active.into(),
        cause: "manual".into(),
        nominal_ms: NOW - 65_000,
        created_ms: NOW - 65_000,
        steps: vec![step("split", StepState::Succeeded, Some(1), 1), count, merge],
        tasks: 10,
        tasks_succeeded: 4,
        tasks_running: 4,
        ..RunView::default()
    }
}

#[test]
fn a_run_shows_its_steps_and_what_would_unblock_them() {
    insta::assert_snapshot!(show(&a_run(), &[], NOW), @r"
    run      3kd9f2m7q0xw4vbn8zr5h1tjye
    job      acme/wordcount, version 2
    state    active
    cause    manual
    created  2026-07-31T12:02:54Z (1m ago)
    took     1m05s

    STEP     STATE      DONE  RUNNING  READY  RETRY  FAILED  WHY
    split    succeeded   1/1        -      -      -       -
    count[]  running     3/8        4      1      -       -  quota: acme uses 4 of 4 cpu; a task that ends makes room
    merge    waiting     0/1        -      -      -       -  dependency: waits for count
    ");
}

#[test]
fn a_failed_task_says_why_with_its_last_lines() {
    let mut run = a_run();
    run.state = RunState::Ended.into();
    run.reason = exit(3);
    run.ended_ms = Some(NOW - 60_000);
    let upstream = EndReason { kind: end_reason::Kind::UpstreamFailed.into(), ..EndReason::default() };
    run.steps = vec![
        StepView { failed: 1, first_failure: exit(3), ..step("load", StepState::Failed, Some(1), 0) },
        StepView { first_failure: Some(upstream), ..step("publish", StepState::Failed, Some(4), 0) },
    ];
    let attempt = AttemptView {
        number: 2,
        node: "node-1".into(),
        state: AttemptState::Ended.into(),
        ..AttemptView::default()
    };
    let task = TaskView {
        name: "load".into(),
        state: TaskState::Ended.into(),
        reason: exit(3),
        attempts: vec![attempt],
        ..TaskView::default()
    };
    let stderr = Some(vec!["no such table: orders".into(), "\x1b[31mgiving up".into()]);
    insta::assert_snapshot!(show(&run, &[FailedTask { task, stderr }], NOW), @r"
    run      3kd9f2m7q0xw4vbn8zr5h1tjye
    job      acme/wordcount, version 2
    state    ended: failed(exit code 3)
    cause    manual
    created  2026-07-31T12:02:54Z (1m ago)
    took     5.0s

    STEP     STATE    DONE  FAILED  WHY
    load     failed    0/1       1  failed(exit code 3)
    publish  not run   0/4       -  upstream_failed

    load, attempt 2 on node-1: failed(exit code 3)
      | no such table: orders
      | \x1b[31mgiving up
    ");
}

#[test]
fn runs_are_listed_with_how_they_stand() {
    let mut over = a_run();
    over.state = RunState::Ended.into();
    over.reason = exit(1);
    over.ended_ms = Some(NOW - 1_000);
    insta::assert_snapshot!(list(&[a_run(), over], NOW), @r"
    RUN                         JOB             STATE                TASKS  CAUSE   CREATED  TOOK
    3kd9f2m7q0xw4vbn8zr5h1tjye  acme/wordcount  active               4/10   manual  1m ago   1m05s
    3kd9f2m7q0xw4vbn8zr5h1tjye  acme/wordcount  failed(exit code 1)  4/10   manual  1m ago   1m04s
    ");
}

#[test]
fn tasks_are_listed_with_node_and_reason() {
    let attempt = AttemptView {
        number: 1,
        node: "node-1".into(),
        started_ms: Some(NOW - 4_200),
        ..AttemptView::default()
    };
    let running = TaskView {
        name: "count".into(),
        index: 3,
        array: true,
        state: TaskState::Running.into(),
        attempts: vec![attempt],
        ..TaskView::default()
    };
    let mut retry = wait(wait_reason::Kind::Retry, "it failed and is tried again").unwrap();
    retry.at_ms = Some(NOW + 20_000);
    let waiting = TaskView {
        name: "load".into(),
        state: TaskState::Waiting.into(),
        wait: Some(retry),
        ..TaskView::default()
    };
    insta::assert_snapshot!(tasks(&[running, waiting], NOW), @r"
    TASK      STATE    ATTEMPT  NODE    TOOK  WHY
    count[3]  running        1  node-1  4.2s
    load      waiting        -  -             retry: it failed and is tried again in 20s
    ");
}
