//! A ground on which tests run the exec executor: a directory and a control group of their own, both
//! gone at the end; what is left of either fails the test.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use berth_core::id::AttemptHandle;
use berth_executors::cgroups::{self, Mode, Mounts};
use berth_executors::contract::{Ground, Harness, Work};
use berth_executors::exec::{Config, ExecExecutor, IsolationChoice};
use berth_executors::executor::{End, Event, EventSink, Executor, Launch, Limits, Program};
use berth_shim::log::{Chunk, Reader, Stream};
use berth_shim::process::{Process, boot_id};
use berth_shim::record::LogSizes;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Grounds of one test process, counted to tell their control groups apart.
static GROUNDS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct ExecGround {
    dir: tempfile::TempDir,
    ground: Ground,
    pub(crate) cgroup_root: String,
    pub(crate) isolation: IsolationChoice,
    pub(crate) end_with: Option<Process>,
    pub(crate) open_files: Option<u64>,
    pub(crate) log: LogSizes,
}

impl ExecGround {
    pub(crate) fn new(isolation: IsolationChoice) -> ExecGround {
        let dir = tempfile::tempdir().unwrap();
        let number = GROUNDS.fetch_add(1, Ordering::Relaxed);
        let cgroup_root = format!("berth-test-{}-{number}", std::process::id());
        let ground = Ground::new(dir.path().to_owned());
        ExecGround {
            dir,
            ground,
            cgroup_root,
            isolation,
            end_with: None,
            open_files: None,
            log: LogSizes::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn exec(&self, sink: EventSink) -> ExecExecutor {
        let config = Config {
            shim_program: env!("CARGO_BIN_EXE_berth-shim").into(),
            cgroup_root: self.cgroup_root.clone(),
            isolation: self.isolation,
            end_with: self.end_with,
            open_files: self.open_files,
            log: self.log,
            launchers: 4,
        };
        ExecExecutor::new(config, sink)
    }

    pub(crate) fn start(&self) -> Agent {
        let (sink, events) = sync_channel(65_536);
        Agent { executor: self.exec(sink), events }
    }

    /// A launch of a shell script.
    pub(crate) fn script(&self, script: &str) -> Launch {
        self.command(&["/bin/sh", "-c", script])
    }

    pub(crate) fn command(&self, command: &[&str]) -> Launch {
        let (attempt, dir) = self.ground.new_attempt();
        Launch {
            attempt,
            name: format!("run.step.0.{attempt}"),
            dir,
            boot_id: boot_id().unwrap(),
            program: Program::Exec { command: command.iter().map(ToString::to_string).collect() },
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            run_dir: None,
            limits: Limits { cpu_milli: 100, memory_max: Some(256 << 20), pids_max: 64 },
            leash: None,
        }
    }

    pub(crate) fn log_of(&self, launch: &Launch, stream: Stream) -> Vec<u8> {
        let mut reader = Reader::new(&launch.dir, stream, 0);
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            match reader.read(&mut buffer).unwrap() {
                Chunk::Data { bytes, .. } => all.extend_from_slice(&buffer[..bytes]),
                Chunk::Gap { .. } => {}
                Chunk::Wait | Chunk::End => return all,
            }
        }
    }

    /// The agent's groups that there are, one in each hierarchy.
    pub(crate) fn groups(cgroup_root: &str) -> Vec<PathBuf> {
        let mounts = Mounts::read().unwrap();
        let mut dirs: Vec<PathBuf> =
            mounts.v1.values().chain(&mounts.unified).map(|mount| mount.join(cgroup_root)).collect();
        dirs.sort();
        dirs.dedup();
        dirs.retain(|dir| dir.exists());
        dirs
    }

    /// Removes the groups above those of tasks in every hierarchy; fails when one is still in use.
    pub(crate) fn remove_groups(cgroup_root: &str) {
        let dirs = ExecGround::groups(cgroup_root);
        let deadline = Instant::now() + PATIENCE;
        for dir in dirs.iter().flat_map(|dir| ["attempts", "shims", ""].map(|below| dir.join(below))) {
            while let Err(error) = std::fs::remove_dir(&dir) {
                // An executor that ended with nothing left has removed them itself.
                if error.kind() == std::io::ErrorKind::NotFound {
                    break;
                }
                if std::thread::panicking() {
                    return;
                }
                assert!(Instant::now() < deadline, "left over: {}: {error}", dir.display());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for ExecGround {
    fn drop(&mut self) {
        ExecGround::remove_groups(&self.cgroup_root);
    }
}

impl Harness for ExecGround {
    fn executor(&self, sink: EventSink) -> Box<dyn Executor> {
        Box::new(self.exec(sink))
    }

    fn program(&self, work: Work) -> Option<Program> {
        let script = match work {
            Work::Exit(code) => format!("exit {code}"),
            Work::KillItself => "kill -9 $$".to_owned(),
            Work::Sleep => "exec sleep 300".to_owned(),
            Work::IgnoreTerm => "trap '' TERM; echo ready; while :; do sleep 300; done".to_owned(),
            Work::Output(text) => format!("printf '%s' '{text}' > \"$BERTH_OUTPUT\""),
            Work::Print(text) => format!("echo '{text}'"),
            Work::Missing => return Some(Program::Exec { command: vec!["no-such-program".to_owned()] }),
        };
        Some(Program::Exec { command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script] })
    }

    fn new_attempt(&self) -> (AttemptHandle, PathBuf) {
        self.ground.new_attempt()
    }

    fn log(&self, launch: &Launch) -> Vec<u8> {
        self.log_of(launch, Stream::Stdout)
    }

    fn outlives_executor(&self) -> bool {
        true
    }
}

/// An executor and what it told.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) executor: ExecExecutor,
    pub(crate) events: Receiver<Event>,
}

impl Agent {
    pub(crate) fn wait_started(&self, launch: &Launch) {
        match self.events.recv_timeout(PATIENCE).unwrap() {
            Event::Started { attempt, .. } => assert_eq!(attempt, launch.attempt),
            other @ Event::Ended { .. } => panic!("expected a start, not {other:?}"),
        }
    }

    pub(crate) fn wait_ended(&self, launch: &Launch) -> End {
        match self.events.recv_timeout(PATIENCE).unwrap() {
            Event::Ended { attempt, end } => {
                assert_eq!(attempt, launch.attempt);
                end
            }
            other @ Event::Started { .. } => panic!("expected an end, not {other:?}"),
        }
    }

    /// Runs to the end.
    pub(crate) fn end_of(&mut self, launch: &Launch) -> End {
        self.executor.start(launch.clone());
        self.wait_started(launch);
        self.wait_ended(launch)
    }
}

/// Whether this machine and user have control groups to test with; says so loudly if not.
pub(crate) fn has_cgroups() -> Option<Mode> {
    let root = format!("berth-test-probe-{}", std::process::id());
    let found = cgroups::detect(&root);
    ExecGround::remove_groups(&root);
    match found {
        Ok(cgroups) => Some(cgroups.mode()),
        Err(error) => {
            eprintln!("SKIPPED: no control groups to test with: {error}");
            None
        }
    }
}

/// Waits for a condition.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
