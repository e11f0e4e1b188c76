//! What does not end when it is told to: supervisors that do not answer, processes that cannot be killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use berth_core::reason::EndReason;
use berth_core::time::Millis;
use berth_executors::cgroups::{self, Mounts};
use berth_executors::exec::IsolationChoice::{self, Best, Plain};
use berth_executors::executor::{Executor, Found, Health, Launch};
use berth_shim::process::Process;
use berth_shim::record::{EXIT_FILE, ExitRecord, RUN_FILE, Record};
use nix::sys::signal::Signal;

use crate::ends::{run_record, signal};
use crate::exec_ground::{Agent, ExecGround, has_cgroups, wait_for};

/// The letter of a process's state: `T` when it is stopped, `Z` when it is dead and not buried; none when it is gone.
fn state(process: Process) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
    let now = Process::of(process.pid).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next().filter(|_| now == process)
}

fn a_running_task(ground: &ExecGround, agent: &mut Agent) -> Launch {
    let launch = ground.script("exec sleep 300");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    run_record(&launch.dir);
    launch
}

/// Stops a task whose shim stands still. Gives how the task was when the shim was seen dead.
fn a_shim_that_stands_still(isolation: IsolationChoice) -> bool {
    let ground = ExecGround::new(isolation);
    let mut agent = ground.start();
    let launch = a_running_task(&ground, &mut agent);
    let run = run_record(&launch.dir);
    signal(run.shim.pid, Signal::SIGSTOP);
    wait_for("the shim's standstill", || state(run.shim) == Some('T'));
    agent.executor.stop(launch.attempt, Millis(0));
    let mut task_died_first = false;
    wait_for("the shim's death", || {
        let task_is_dead = matches!(state(run.task), Some('Z') | None);
        let shim_is_dead = matches!(state(run.shim), Some('Z') | None);
        task_died_first |= task_is_dead && !shim_is_dead;
        shim_is_dead
    });
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedSignal(9));
    wait_for("the task's death", || matches!(state(run.task), Some('Z') | None));
    assert!(!ExitRecord::read(&launch.dir.join(EXIT_FILE)).unwrap().unwrap().leftover);
    task_died_first
}

#[test]
fn of_a_shim_that_stands_still_the_group_is_killed_and_then_the_shim() {
    if has_cgroups().is_some() {
        assert!(a_shim_that_stands_still(Best), "the group is killed first");
    }
}

#[test]
fn a_plain_task_ends_with_its_shim_that_stands_still() {
    a_shim_that_stands_still(Plain);
}

#[test]
fn a_task_whose_shim_was_not_heard_can_be_stopped_after_a_restart() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let launch = a_running_task(&ground, &mut agent);
    drop(agent);
    // As if the disk had not taken it.
    fs::remove_file(launch.dir.join(RUN_FILE)).unwrap();
    let mut agent = ground.start();
    let found = agent.executor.recover(vec![launch.clone()]);
    assert!(matches!(found[..], [Found::Running { .. }]), "{found:?}");
    agent.executor.stop(launch.attempt, Millis::from_secs(60));
    // Its end tells when it truly began.
    agent.wait_started(&launch);
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedSignal(15));
}

#[test]
fn a_shim_that_was_not_heard_and_stands_still_is_killed() {
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let launch = a_running_task(&ground, &mut agent);
    let run = run_record(&launch.dir);
    drop(agent);
    fs::remove_file(launch.dir.join(RUN_FILE)).unwrap();
    signal(run.shim.pid, Signal::SIGSTOP);
    let mut agent = ground.start();
    agent.executor.recover(vec![launch.clone()]);
    agent.executor.stop(launch.attempt, Millis(0));
    agent.wait_ended(&launch);
    wait_for("the task's death", || matches!(state(run.task), Some('Z') | None));
}

/// A frozen group of the v1 freezer: the kernel keeps what is in it even from SIGKILL, as if it hung on a disk that
/// does not answer.
struct Freezer(PathBuf);

impl Freezer {
    fn new(name: &str) -> Option<Freezer> {
        let mounts = Mounts::read().unwrap();
        let Some(mount) = mounts.v1.get("freezer").filter(|_| has_cgroups().is_some()) else {
            eprintln!("SKIPPED: there is no v1 freezer to make processes that cannot be killed");
            return None;
        };
        let group = mount.join(name);
        fs::create_dir(&group).unwrap();
        Some(Freezer(group))
    }

    fn hold(&self, pids: &[i32]) {
        for pid in pids {
            fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        }
        self.set("FROZEN");
        wait_for("the frost", || {
            fs::read_to_string(self.0.join("freezer.state")).unwrap().trim() == "FROZEN"
        });
    }

    fn set(&self, state: &str) {
        fs::write(self.0.join("freezer.state"), state).unwrap();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.set("THAWED");
        wait_for("the freezer's removal", || fs::remove_dir(&self.0).is_ok());
    }
}

fn health(agent: &Agent) -> String {
    match agent.executor.health() {
        Health::Ready { detail, .. } => detail,
        Health::Unavailable { reason } => panic!("{reason}"),
    }
}

fn wait_told_in_the_health(agent: &Agent) {
    wait_for("a word in the health", || health(agent).contains("1 attempt has ended but for processes"));
    let quiet = agent.events.recv_timeout(Duration::from_millis(200));
    assert_eq!(quiet, Err(RecvTimeoutError::Timeout), "it is not over while something of it is there");
}

fn leftover(dir: &Path) -> bool {
    ExitRecord::read(&dir.join(EXIT_FILE)).unwrap().unwrap().leftover
}

#[test]
fn without_control_groups_a_shim_stays_with_what_it_cannot_kill_and_the_end_is_told_after_that() {
    let Some(freezer) = Freezer::new(&format!("berth-test-stuck-plain-{}", std::process::id())) else {
        return;
    };
    let ground = ExecGround::new(Plain);
    let mut agent = ground.start();
    let launch =
        ground.script("setsid sleep 300 & echo $! > pid; until [ -e go ]; do sleep 0.01; done; exit 4");
    agent.executor.start(launch.clone());
    agent.wait_started(&launch);
    let pid = launch.dir.join("task/pid");
    wait_for("the daemon", || fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    let daemon = Process::of(fs::read_to_string(&pid).unwrap().trim().parse().unwrap()).unwrap();
    freezer.hold(&[daemon.pid]);
    fs::write(launch.dir.join("task/go"), "").unwrap();
    wait_for("the exit record", || launch.dir.join(EXIT_FILE).exists());
    assert!(leftover(&launch.dir));
    let quiet = |agent: &Agent| agent.events.recv_timeout(Duration::from_millis(200));
    assert_eq!(
        quiet(&agent),
        Err(RecvTimeoutError::Timeout),
        "it is not over while something of it is there"
    );
    drop(agent);

    // The next agent sees the same.
    let mut agent = ground.start();
    let found = agent.executor.recover(vec![launch.clone()]);
    assert!(matches!(found[..], [Found::Running { .. }]), "{found:?}");
    assert_eq!(quiet(&agent), Err(RecvTimeoutError::Timeout));
    assert!(state(daemon).is_some());
    freezer.set("THAWED");
    agent.wait_started(&launch);
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedExit(4));
    assert_eq!(state(daemon), None);
}

#[test]
fn the_end_of_an_attempt_is_told_when_nothing_of_it_is_left_and_meanwhile_the_health_says_so() {
    let Some(freezer) = Freezer::new(&format!("berth-test-stuck-{}", std::process::id())) else { return };
    let ground = ExecGround::new(Best);
    let mut agent = ground.start();
    let launch = a_running_task(&ground, &mut agent);
    let groups = cgroups::detect(&ground.cgroup_root).unwrap().groups(&launch.name);
    freezer.hold(&groups.pids().unwrap());
    signal(run_record(&launch.dir).shim.pid, Signal::SIGKILL);
    wait_told_in_the_health(&agent);
    assert!(leftover(&launch.dir));
    drop(agent);

    // The next agent sees the same.
    let mut agent = ground.start();
    let found = agent.executor.recover(vec![launch.clone()]);
    assert!(matches!(found[..], [Found::Running { .. }]), "{found:?}");
    wait_told_in_the_health(&agent);
    assert!(groups.populated().unwrap());
    freezer.set("THAWED");
    assert_eq!(agent.wait_ended(&launch).reason, EndReason::FailedSignal(9));
    assert!(!groups.populated().unwrap());
    wait_for("good health", || !health(&agent).contains("cannot be killed"));
}
