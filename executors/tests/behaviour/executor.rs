//! The exec executor over these groups, with its shim and init.

use std::fs;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::Millis;
use berth_executors::cgroups;
use berth_executors::exec::{Config, ExecExecutor, IsolationChoice};
use berth_executors::executor::{End, Event, Executor, Health, Isolation, Launch, Limits, Program};
use berth_shim::group::Groups;
use berth_shim::process::boot_id;
use berth_shim::record::LogSizes;

use crate::{Case, deeds, root, wait_for};

pub(crate) const CASES: &[Case] = &[
    ("the_executor_runs_tasks_in_groups", runs_in_groups),
    ("an_oom_is_the_reason_of_the_end", oom_is_the_reason),
    ("daemons_end_with_the_task", daemons_end_with_the_task),
    ("a_stop_ends_the_task", a_stop_ends_the_task),
];

const PATIENCE: Duration = Duration::from_secs(60);

struct Run {
    executor: ExecExecutor,
    events: Receiver<Event>,
    dir: tempfile::TempDir,
}

impl Run {
    fn new() -> Run {
        let (sink, events) = sync_channel(100);
        let config = Config {
            shim_program: std::env::current_exe().unwrap(),
            cgroup_root: root(),
            isolation: IsolationChoice::Best,
            end_with: None,
            open_files: None,
            log: LogSizes::default(),
            launchers: 1,
        };
        Run { executor: ExecExecutor::new(config, sink), events, dir: tempfile::tempdir().unwrap() }
    }

    /// Starts a deed as an attempt and waits for its start.
    fn start(&mut self, deed: &str) -> Launch {
        let launch = Launch {
            attempt: AttemptHandle(1),
            name: "case".to_owned(),
            dir: self.dir.path().to_owned(),
            boot_id: boot_id().unwrap(),
            program: Program::Exec { command: deeds::command(deed) },
            env: Vec::new(),
            run_dir: None,
            limits: Limits { cpu_milli: 500, memory_max: Some(64 << 20), pids_max: 100 },
            leash: None,
        };
        self.executor.start(launch.clone());
        match self.events.recv_timeout(PATIENCE).unwrap() {
            Event::Started { .. } => launch,
            Event::Ended { end, .. } => panic!("ended without a start: {end:?}"),
        }
    }

    fn end(&mut self) -> End {
        match self.events.recv_timeout(PATIENCE).unwrap() {
            Event::Ended { end, .. } => end,
            other @ Event::Started { .. } => panic!("not an end: {other:?}"),
        }
    }

    fn groups(&self) -> Groups {
        cgroups::detect(&root()).unwrap().groups("case")
    }

    fn wait_clean(&self) {
        let cgroups = cgroups::detect(&root()).unwrap();
        wait_for("the group's removal", || !cgroups.names().unwrap().contains(&"case".to_owned()));
    }
}

fn runs_in_groups() {
    let mut run = Run::new();
    match run.executor.health() {
        Health::Ready { detail, missing } => {
            println!("       isolation: {detail}");
            assert!(!missing.contains(&Isolation::ControlGroups));
        }
        Health::Unavailable { reason } => panic!("{reason}"),
    }
    run.start("burn 200");
    assert!(run.groups().populated().unwrap());
    for path in run.groups().paths() {
        assert!(!fs::read_to_string(path.join("cgroup.procs")).unwrap().is_empty(), "{}", path.display());
    }
    let end = run.end();
    assert_eq!(end.reason, EndReason::Succeeded);
    assert!(end.cpu_ms >= 20 && end.memory_peak > 0, "{end:?}");
    run.wait_clean();
    let mut run = Run::new();
    run.start("exit 7");
    assert_eq!(run.end().reason, EndReason::FailedExit(7));
    run.wait_clean();
}

fn oom_is_the_reason() {
    let mut run = Run::new();
    run.start("hog 200");
    let end = run.end();
    assert_eq!(end.reason, EndReason::OomKilled);
    run.wait_clean();
}

fn daemons_end_with_the_task() {
    let mut run = Run::new();
    run.start("daemons 20");
    assert_eq!(run.end().reason, EndReason::Succeeded);
    run.wait_clean();
}

fn a_stop_ends_the_task() {
    let mut run = Run::new();
    let launch = run.start("sleep");
    run.executor.stop(launch.attempt, Millis::from_secs(30));
    assert_eq!(run.end().reason, EndReason::FailedSignal(15));
    run.wait_clean();
}
