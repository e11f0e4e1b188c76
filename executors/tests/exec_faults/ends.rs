//! How a task ends, and what ends with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};
use berth_executors::exec::IsolationChoice::{self, Best, Plain};
use berth_executors::executor::{Event, Executor, Found, Leash};
use berth_shim::clock;
use berth_shim::process::{Process, boot_id};
use berth_shim::record::{Contact, EXIT_FILE, RUN_FILE, Record, RunRecord};
use nix::sys::signal::Signal;

use crate::exec_ground::{ExecGround, PATIENCE, has_cgroups, wait_for};

/// The processes of this machine whose command line holds a text.
fn running(marker: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(marker)).count()
}

/// A length of sleep that no other test has, to find the process by.
fn marker(number: u32) -> String {
    format!("sleep 3{number}{}", std::process::id())
}

pub(crate) fn run_record(dir: &Path) -> RunRecord {
    wait_for("the run record", || RunRecord::read(&dir.join(RUN_FILE)).unwrap().is_some());
    RunRecord::read(&dir.join(RUN_FILE)).unwrap().unwrap()
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

fn daemons_end_with_their_task(isolation: IsolationChoice) {
    let ground = ExecGround::new(isolation);
    let mut agent = ground.start();
    let marker = marker(10);
    let script = format!(
        "for i in 1 2 3; do setsid sh -c '{marker} & {marker}' >/dev/null 2>&1 & done; sleep 0.1; exit 4"
    );
    let end = agent.end_of(&ground.script(&script));
    assert_eq!(end.reason, EndReason::FailedExit(4));
    assert_eq!(running(&marker), 0);
}

#[test]
fn daemons_end_with_an_isolated_task() {
    daemons_end_with_their_task(Best);
}

#[test]
fn daemons_end_with_a_plain_task() {
    daemons_end_with_their_task(Plain);
}

fn killed_supervisor(isolation: IsolationChoice, number: u32) {
    let ground = ExecGround::new(isolation);
    let mut agent = ground.start();
    let marker = marker(number);
    let launch = ground.script(&format!("{marker} & {marker}; wait"));
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    wait_for("the task", || running(&marker) >= 2);
    signal(run_record(&launch.dir).shim.pid, Signal::SIGKILL);
    let end = agent.wait_ended(&launch);
    assert_eq!(end.reason, EndReason::FailedSignal(9));
    wait_for("the task's death", || running(&marker) == 0);
    assert!(launch.dir.join(EXIT_FILE).exists());
}

#[test]
fn an_isolated_task_whose_supervisor_is_killed_ends_and_says_so() {
    killed_supervisor(Best, 21);
}

#[test]
fn a_plain_task_whose_supervisor_is_killed_ends_and_says_so() {
    killed_supervisor(Plain, 22);
}

#[test]
fn a_task_ends_with_the_process_it_is_tied_to() {
    for isolation in [Best, Plain] {
        let mut owner = Command::new("sleep").arg("300").spawn().unwrap();
        let mut ground = ExecGround::new(isolation);
        ground.end_with = Some(Process::of(i32::try_from(owner.id()).unwrap()).unwrap());
        let mut agent = ground.start();
        let launch = ground.script("trap '' TERM; while :; do sleep 300; done");
        agent.executor.start(launch.clone());
        agent.wait_started(&launch);
        let began = Instant::now();
        owner.kill().unwrap();
        owner.wait().unwrap();
        assert!(!agent.wait_ended(&launch).reason.is_success());
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

fn note_contact(file: &Path) {
    let contact = Contact { at_ms: clock::boot_ms(), boot_id: boot_id().unwrap() };
    contact.write_atomically(file).unwrap();
}

#[test]
fn a_task_on_a_leash_ends_though_no_agent_is_there() {
    for isolation in [Best, Plain] {
        let ground = ExecGround::new(isolation);
        let mut agent = ground.start();
        let contact = ground.path().join("contact");
        note_contact(&contact);
        let mut launch = ground.script("trap '' TERM; while :; do sleep 0.1; done");
        let (span, grace) = (Millis(1_000), Millis(300));
        launch.leash = Some(Leash { span, grace, contact: contact.clone() });
        agent.executor.start(launch.clone());
        agent.wait_started(&launch);
        drop(agent);
        // Whoever notes contact keeps it alive, for longer than it would live without.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            note_contact(&contact);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!launch.dir.join(EXIT_FILE).exists());
        let began = Instant::now();
        wait_for("the end of the leash", || launch.dir.join(EXIT_FILE).exists());
        assert!(began.elapsed() >= Duration::from_millis(1_000) && began.elapsed() < Duration::from_secs(10));
        let mut later = ground.start();
        match later.executor.recover(vec![launch.clone()]).pop() {
            Some(Found::Ended { end, .. }) => assert_eq!(end.reason, EndReason::NodeLost),
            // It leaves a moment after its record.
            Some(Found::Running { .. }) | None => panic!("not ended"),
        }
        later.executor.remove(launch.attempt);
    }
}

#[test]
fn a_task_past_its_memory_is_oom_killed_and_counted() {
    if has_cgroups().is_none() {
        return;
    }
    let ground = ExecGround::new(Best);
    let mut launch = ground.command(&["tail", "/dev/zero"]);
    launch.limits.memory_max = Some(32 << 20);
    let end = ground.start().end_of(&launch);
    assert_eq!(end.reason, EndReason::OomKilled);
    assert!(end.memory_peak > 16 << 20, "{end:?}");
}

#[test]
fn output_past_its_bound_fails_the_attempt_and_links_are_not_followed() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let exact = agent.end_of(&ground.script("head -c 65536 /dev/zero > $BERTH_OUTPUT"));
    assert_eq!((exact.reason, exact.output.len()), (EndReason::Succeeded, 65_536));
    let large = agent.end_of(&ground.script("head -c 65537 /dev/zero > $BERTH_OUTPUT"));
    assert_eq!(large.output.len(), 0);
    let why = "BERTH_OUTPUT: the output is larger than 65536 bytes";
    assert_eq!(large.reason, EndReason::PostconditionFailed(why.into()));
    let failed = agent.end_of(&ground.script("head -c 65537 /dev/zero > $BERTH_OUTPUT; exit 3"));
    assert_eq!(failed.reason, EndReason::FailedExit(3));
    let link = ground.script("exit 0");
    symlink("/etc/passwd", link.dir.join("output")).unwrap();
    assert_eq!(agent.end_of(&link).output, b"");
    let fifo = ground.script("mkfifo $BERTH_OUTPUT");
    assert_eq!(agent.end_of(&fifo).output, b"");
}

#[test]
fn a_stop_before_the_start_was_heard_still_ends_the_task() {
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let launch = ground.script("exec sleep 300");
    agent.executor.start(launch.clone());
    agent.executor.stop(launch.attempt, Millis::from_secs(60));
    let mut event = agent.events.recv_timeout(PATIENCE).unwrap();
    if let Event::Started { .. } = event {
        event = agent.events.recv_timeout(PATIENCE).unwrap();
    }
    let Event::Ended { end, .. } = event else { panic!("{event:?}") };
    assert!(!end.reason.is_success());
}

#[test]
fn a_bad_order_names_what_is_wrong() {
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    for (command, word) in [
        (vec!["./missing.sh"], "missing.sh"),
        (vec!["/etc/passwd"], "denied"),
        (vec![""], "empty"),
        (vec!["sh", "a\0b"], "NUL"),
    ] {
        let launch = ground.command(&command);
        agent.executor.start(launch.clone());
        let end = agent.wait_ended(&launch);
        let EndReason::StartFailed(cause) = &end.reason else { panic!("{:?}", end.reason) };
        assert!(cause.to_lowercase().contains(&word.to_lowercase()), "{cause}");
        assert_eq!(end.started, None::<Timestamp>);
    }
}
