use std::env;
use std::future::pending;
use std::io;
use std::process::Command;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{OnFailure, Tasks};

const SOON: Duration = Duration::from_secs(20);
/// Set in the child process of a test that is about the end of the process.
const CHILD: &str = "BERTH_TEST_TASKS_CHILD";

#[tokio::test]
async fn shutdown_cancels_the_token_and_waits_for_every_task() {
    let tasks = Tasks::new();
    let (done, seen) = oneshot::channel();
    let token = tasks.token();
    tasks.spawn("test.patient", OnFailure::Log, async move {
        token.cancelled().await;
        tokio::task::yield_now().await;
        let _ = done.send(());
    });
    assert_eq!(tasks.names(), ["test.patient"]);
    tasks.shutdown(SOON).await.unwrap();
    seen.await.unwrap();
    assert!(tasks.names().is_empty());
}

#[tokio::test]
async fn a_task_that_does_not_stop_is_aborted_and_named() {
    let tasks = Tasks::new();
    let stuck = tasks.spawn("test.stuck", OnFailure::Log, pending::<()>());
    let late = tasks.shutdown(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(late.names, ["test.stuck"]);
    stuck.ended().await;
    assert!(tasks.names().is_empty());
}

#[tokio::test]
async fn a_failure_that_is_only_logged_stops_nothing() {
    let tasks = Tasks::new();
    tasks.spawn("test.request", OnFailure::Log, async { Err("hung up") }).ended().await;
    assert!(!tasks.token().is_cancelled());
    assert_eq!(tasks.failure(), None);
}

#[tokio::test]
async fn a_failure_the_process_cannot_live_with_begins_the_stop_of_all_groups() {
    let tasks = Tasks::new();
    let (first, second) = (tasks.group(), tasks.group());
    first.spawn("test.store", OnFailure::StopProcess, async { Err(io::Error::other("disk full")) });
    second.stopping().await;
    let failure = tasks.failure().unwrap();
    assert_eq!(failure.to_string(), "test.store failed: disk full");
}

#[tokio::test]
async fn a_group_stops_alone_and_leaves_its_parent_running() {
    let tasks = Tasks::new();
    let group = tasks.group();
    let token = group.token();
    group.spawn("test.member", OnFailure::Log, async move { token.cancelled().await });
    group.shutdown(SOON).await.unwrap();
    assert!(!tasks.token().is_cancelled());
}

#[tokio::test]
async fn shutdown_waits_for_threads_and_a_threads_error_stops_the_process() {
    let tasks = Tasks::new();
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    tasks.spawn_thread("test.thread", move || held.recv().map_err(|_| "nobody sent")).unwrap();
    let late = tasks.shutdown(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(late.names, ["test.thread"]);
    drop(release);
    tasks.shutdown(SOON).await.unwrap();
    assert_eq!(tasks.failure().unwrap().reason, "nobody sent");
}

#[tokio::test]
async fn a_logged_panic_ends_its_task_alone() {
    let tasks = Tasks::new();
    let work = async {
        assert!(tokio::task::id().to_string().is_empty(), "on purpose");
    };
    tasks.spawn("test.panics", OnFailure::Log, work).ended().await;
    assert!(!tasks.token().is_cancelled());
}

#[test]
fn a_panic_on_a_thread_aborts_the_process() {
    aborts("tasks::tests::a_panic_on_a_thread_aborts_the_process", |tasks| {
        tasks.spawn_thread("test.broken", || assert!(env::var_os(CHILD).is_none(), "on purpose")).unwrap();
    });
}

#[test]
fn a_panic_in_a_task_the_process_needs_aborts_it() {
    aborts("tasks::tests::a_panic_in_a_task_the_process_needs_aborts_it", |tasks| {
        let work = async { assert!(env::var_os(CHILD).is_none(), "on purpose") };
        tasks.spawn("test.broken", OnFailure::StopProcess, work);
    });
}

/// Runs the test called `name` again in a child process, where `start` starts what panics.
fn aborts(name: &str, start: impl FnOnce(&Tasks)) {
    use std::os::unix::process::ExitStatusExt as _;

    const SIGABRT: i32 = 6;
    if env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            start(&Tasks::new());
            tokio::time::sleep(SOON).await;
        });
        panic!("the process went on");
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(SIGABRT), "{child:?}");
}
