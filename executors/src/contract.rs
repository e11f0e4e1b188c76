//! The suite that every executor passes: what the agent may rely on, whatever runs the attempt.
//!
//! A test file implements [`Harness`] for its executor and calls [`contract_suite!`](crate::contract_suite),
//! which makes one test of each rule.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};

use crate::executor::{End, Event, EventSink, Executor, Found, Health, Launch, Limits, Program};

/// What a task of the suite does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Ends at once with this exit code.
    Exit(i32),
    /// Ends itself with SIGKILL.
    KillItself,
    /// Runs for minutes; ends on SIGTERM.
    Sleep,
    /// Runs for minutes; ignores SIGTERM. Prints `ready` when it does.
    IgnoreTerm,
    /// Writes this text to the file named by `BERTH_OUTPUT`.
    Output(&'static str),
    /// Prints this text to standard output.
    Print(&'static str),
    /// Is a program that does not exist, called `no-such-program`.
    Missing,
}

/// What the suite needs to know of an executor.
pub trait Harness {
    /// A new executor over the same ground: what an earlier one left, it can find.
    fn executor(&self, sink: EventSink) -> Box<dyn Executor>;

    /// The program for this work; `None` where the executor has no such thing.
    fn program(&self, work: Work) -> Option<Program>;

    /// An attempt that was never used, and its directory, which exists.
    fn new_attempt(&self) -> (AttemptHandle, PathBuf);

    /// What the attempt's log of standard output holds now.
    fn log(&self, launch: &Launch) -> Vec<u8>;

    /// Whether attempts go on without their executor.
    fn outlives_executor(&self) -> bool;

    /// How long anything may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

/// Makes one test of each rule of the suite, for the harness that the expression gives.
#[macro_export]
macro_rules! contract_suite {
    ($harness:expr) => {
        $crate::contract_suite!(@each $harness;
            it_is_ready,
            a_task_starts_and_then_ends,
            the_exit_code_is_the_programs_own,
            death_by_a_signal_is_told,
            a_missing_program_is_a_start_failure_that_names_it,
            a_stop_ends_a_task_within_its_grace,
            a_task_that_ignores_a_stop_is_killed_after_its_grace,
            stopping_an_unknown_attempt_does_nothing,
            a_second_start_is_refused,
            a_start_on_the_traces_of_an_earlier_one_is_refused,
            a_new_executor_finds_what_runs_and_what_ended,
            an_attempt_without_trace_is_not_found,
            the_output_comes_with_the_end,
            what_a_task_prints_is_in_its_log,
            many_tasks_at_once_each_have_their_own_end,
        );
    };
    (@each $harness:expr; $($rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $rule() {
                $crate::contract::$rule(&$harness);
            }
        )*
    };
}

/// An executor under test, and what it told.
struct Run<'h> {
    harness: &'h dyn Harness,
    executor: Box<dyn Executor>,
    events: Receiver<Event>,
}

impl<'h> Run<'h> {
    fn new(harness: &'h dyn Harness) -> Run<'h> {
        let (sink, events) = sync_channel(1024);
        Run { harness, executor: harness.executor(sink), events }
    }

    fn launch(&self, work: Work) -> Option<Launch> {
        let program = self.harness.program(work)?;
        let (attempt, dir) = self.harness.new_attempt();
        Some(Launch {
            attempt,
            name: format!("contract.task.0.{attempt}"),
            dir,
            boot_id: berth_shim::process::boot_id().expect("/proc is mounted"),
            program,
            env: Vec::new(),
            run_dir: None,
            limits: Limits { cpu_milli: 100, memory_max: Some(256 << 20), pids_max: 64 },
            leash: None,
        })
    }

    /// Starts the work; `None` where the executor has no such thing.
    fn start(&mut self, work: Work) -> Option<Launch> {
        let launch = self.launch(work)?;
        self.executor.start(launch.clone());
        Some(launch)
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(self.harness.patience()).expect("an event in time")
    }

    fn wait_started(&self, launch: &Launch) -> Timestamp {
        match self.next() {
            Event::Started { attempt, at } if attempt == launch.attempt => at,
            other => panic!("expected the start of {}, not {other:?}", launch.attempt),
        }
    }

    fn wait_ended(&self, launch: &Launch) -> End {
        match self.next() {
            Event::Ended { attempt, end } if attempt == launch.attempt => end,
            other => panic!("expected the end of {}, not {other:?}", launch.attempt),
        }
    }

    /// Runs the work to its end; `None` where the executor has no such thing.
    fn end_of(&mut self, work: Work) -> Option<End> {
        let launch = self.start(work)?;
        let started = self.wait_started(&launch);
        let end = self.wait_ended(&launch);
        assert_eq!(end.started, Some(started));
        assert!(end.finished >= started);
        Some(end)
    }

    /// Waits until the task of the launch has printed a text.
    fn wait_printed(&self, launch: &Launch, text: &str) {
        let deadline = Instant::now() + self.harness.patience();
        while !String::from_utf8_lossy(&self.harness.log(launch)).contains(text) {
            assert!(Instant::now() < deadline, "`{text}` was not printed in time");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop_and_wait(&mut self, launch: &Launch) {
        self.executor.stop(launch.attempt, Millis(0));
        self.wait_ended(launch);
    }
}

/// It takes work, and says with what isolation.
pub fn it_is_ready(harness: &dyn Harness) {
    match Run::new(harness).executor.health() {
        Health::Ready { detail, .. } => assert!(!detail.is_empty()),
        Health::Unavailable { reason } => panic!("the executor under test is unavailable: {reason}"),
    }
}

/// `Started` comes first, `Ended` second, and nothing after.
pub fn a_task_starts_and_then_ends(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let end = run.end_of(Work::Exit(0)).expect("every executor has exit codes");
    assert_eq!(end.reason, EndReason::Succeeded);
    assert!(run.events.recv_timeout(Duration::from_millis(50)).is_err());
}

/// Whatever it is.
pub fn the_exit_code_is_the_programs_own(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    for code in [1, 3, 127] {
        let end = run.end_of(Work::Exit(code)).expect("every executor has exit codes");
        assert_eq!(end.reason, EndReason::FailedExit(code));
    }
}

/// And not hidden in an exit code.
pub fn death_by_a_signal_is_told(harness: &dyn Harness) {
    if let Some(end) = Run::new(harness).end_of(Work::KillItself) {
        assert_eq!(end.reason, EndReason::FailedSignal(9));
    }
}

/// There is no start then, and the text helps.
pub fn a_missing_program_is_a_start_failure_that_names_it(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let Some(launch) = run.start(Work::Missing) else { return };
    let end = run.wait_ended(&launch);
    assert_eq!(end.started, None);
    match end.reason {
        EndReason::StartFailed(cause) => assert!(cause.contains("no-such-program"), "{cause}"),
        other => panic!("expected start_failed, not {other}"),
    }
}

/// A task that obeys does not wait for the grace to pass.
pub fn a_stop_ends_a_task_within_its_grace(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let launch = run.start(Work::Sleep).expect("every executor can run for long");
    run.wait_started(&launch);
    run.executor.stop(launch.attempt, Millis::from_secs(600));
    assert!(!run.wait_ended(&launch).reason.is_success());
}

/// Grace is the longest it lives.
pub fn a_task_that_ignores_a_stop_is_killed_after_its_grace(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let Some(launch) = run.start(Work::IgnoreTerm) else { return };
    run.wait_started(&launch);
    run.wait_printed(&launch, "ready");
    let stopped = Instant::now();
    run.executor.stop(launch.attempt, Millis(300));
    let end = run.wait_ended(&launch);
    assert!(stopped.elapsed() >= Duration::from_millis(300));
    assert_eq!(end.reason, EndReason::FailedSignal(9));
}

/// Not even an event.
pub fn stopping_an_unknown_attempt_does_nothing(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let (attempt, _) = harness.new_attempt();
    run.executor.stop(attempt, Millis(0));
    run.executor.remove(attempt);
    assert!(run.events.recv_timeout(Duration::from_millis(100)).is_err());
}

/// The first goes on.
pub fn a_second_start_is_refused(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let launch = run.start(Work::Sleep).expect("every executor can run for long");
    run.wait_started(&launch);
    run.executor.start(launch.clone());
    let refusal = run.wait_ended(&launch);
    assert!(matches!(refusal.reason, EndReason::StartFailed(_)), "{}", refusal.reason);
    assert_eq!(refusal.started, None);
    run.stop_and_wait(&launch);
}

/// Also by an executor that does not remember it.
pub fn a_start_on_the_traces_of_an_earlier_one_is_refused(harness: &dyn Harness) {
    if !harness.outlives_executor() {
        return;
    }
    let mut run = Run::new(harness);
    let launch = run.start(Work::Exit(0)).expect("every executor has exit codes");
    run.wait_started(&launch);
    run.wait_ended(&launch);
    let mut later = Run::new(harness);
    later.executor.start(launch.clone());
    let refusal = later.wait_ended(&launch);
    assert!(matches!(refusal.reason, EndReason::StartFailed(_)), "{}", refusal.reason);
}

/// The one with its true start, the other with its true end; and what runs can be stopped.
pub fn a_new_executor_finds_what_runs_and_what_ended(harness: &dyn Harness) {
    if !harness.outlives_executor() {
        return;
    }
    let mut run = Run::new(harness);
    let runs = run.start(Work::Sleep).expect("every executor can run for long");
    let started = run.wait_started(&runs);
    let ended = run.start(Work::Exit(3)).expect("every executor has exit codes");
    run.wait_started(&ended);
    run.wait_ended(&ended);
    drop(run);

    let mut later = Run::new(harness);
    let found = later.executor.recover(vec![runs.clone(), ended.clone()]);
    assert_eq!(found.len(), 2, "{found:?}");
    for one in found {
        match one {
            Found::Running { attempt, started: at } => {
                assert_eq!((attempt, at), (runs.attempt, started));
            }
            Found::Ended { attempt, end } => {
                assert_eq!(attempt, ended.attempt);
                assert_eq!(end.reason, EndReason::FailedExit(3));
            }
        }
    }
    later.stop_and_wait(&runs);
}

/// It was never begun, and may be.
pub fn an_attempt_without_trace_is_not_found(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let launch = run.launch(Work::Exit(0)).expect("every executor has exit codes");
    assert_eq!(run.executor.recover(vec![launch]), vec![]);
}

/// Byte for byte.
pub fn the_output_comes_with_the_end(harness: &dyn Harness) {
    if let Some(end) = Run::new(harness).end_of(Work::Output("[\"a\",\"b\"]")) {
        assert_eq!(end.reason, EndReason::Succeeded);
        assert_eq!(String::from_utf8_lossy(&end.output), "[\"a\",\"b\"]");
    }
}

/// All of it, by the time the end is told.
pub fn what_a_task_prints_is_in_its_log(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let Some(launch) = run.start(Work::Print("hello from the task")) else { return };
    run.wait_started(&launch);
    run.wait_ended(&launch);
    assert_eq!(String::from_utf8_lossy(&harness.log(&launch)).trim_end(), "hello from the task");
}

/// None is lost or mixed up.
pub fn many_tasks_at_once_each_have_their_own_end(harness: &dyn Harness) {
    let mut run = Run::new(harness);
    let mut expected = std::collections::HashMap::new();
    for code in 0..20 {
        let launch = run.start(Work::Exit(code)).expect("every executor has exit codes");
        let reason = if code == 0 { EndReason::Succeeded } else { EndReason::FailedExit(code) };
        expected.insert(launch.attempt, reason);
    }
    let mut started = std::collections::HashSet::new();
    while !expected.is_empty() {
        match run.next() {
            Event::Started { attempt, .. } => assert!(started.insert(attempt)),
            Event::Ended { attempt, end } => {
                assert!(started.contains(&attempt));
                assert_eq!(Some(end.reason), expected.remove(&attempt));
            }
        }
    }
}

/// A directory for attempts that goes with the value; for harnesses.
#[derive(Debug)]
pub struct Ground {
    root: PathBuf,
    next: std::sync::atomic::AtomicU64,
}

impl Ground {
    /// Below an existing directory.
    pub fn new(root: PathBuf) -> Ground {
        Ground { root, next: std::sync::atomic::AtomicU64::new(1) }
    }

    /// The next attempt and its new directory.
    pub fn new_attempt(&self) -> (AttemptHandle, PathBuf) {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = self.root.join(number.to_string());
        fs::create_dir_all(&dir).expect("the test's directory can be written");
        (AttemptHandle(number), dir)
    }
}
