//! A ground on which tests run the docker executor against a real engine: a directory and labels of its own. The
//! containers are removed at the end.
//!
//! The engine is named by `BERTH_TEST_DOCKER_HOST`. Without it the tests skip and say so; under `CI=true` they fail.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use berth_core::id::AttemptHandle;
use berth_executors::contract::{Ground, Harness, Work};
use berth_executors::docker::{Config, DockerExecutor, SWEEP_EVERY};
use berth_executors::executor::{End, Event, EventSink, Executor, Launch, Limits, Program};
use berth_shim::log::{Chunk, Reader, Stream};
use berth_shim::process::boot_id;
use berth_shim::record::LogSizes;
use bollard::query_parameters::{ListContainersOptions, RemoveContainerOptions};
use bollard::{API_DEFAULT_VERSION, Docker};

/// A shared engine is slow: a container costs it a third of a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Grounds of one test process, counted to tell their labels apart.
static GROUNDS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct DockerGround {
    dir: tempfile::TempDir,
    ground: Ground,
    pub(crate) agent: String,
    pub(crate) host: String,
    image: String,
}

impl DockerGround {
    /// A ground; `None` where there is no engine to test with.
    pub(crate) fn new() -> Option<DockerGround> {
        let Ok(host) = std::env::var("BERTH_TEST_DOCKER_HOST") else {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
            assert!(!ci, "BERTH_TEST_DOCKER_HOST names no Docker engine, and CI must not skip");
            eprintln!("SKIPPED: no Docker engine: run `cargo xtask setup` and set BERTH_TEST_DOCKER_HOST");
            return None;
        };
        let image =
            std::env::var("BERTH_TEST_DOCKER_IMAGE").unwrap_or_else(|_| "berth-test:local".to_owned());
        let dir = tempfile::tempdir().unwrap();
        let number = GROUNDS.fetch_add(1, Ordering::Relaxed);
        let agent = format!("test-{}-{number}", std::process::id());
        let ground = Ground::new(dir.path().to_owned());
        Some(DockerGround { dir, ground, agent, host, image })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            host: Some(self.host.clone()),
            agent: self.agent.clone(),
            node: self.agent.clone(),
            log: LogSizes::default(),
            sweep_every: SWEEP_EVERY,
        }
    }

    pub(crate) fn docker(&self, sink: EventSink) -> DockerExecutor {
        DockerExecutor::new(self.config(), sink)
    }

    pub(crate) fn start(&self) -> Agent {
        let (sink, events) = sync_channel(1024);
        Agent { executor: self.docker(sink), events }
    }

    /// A launch of a shell script.
    pub(crate) fn script(&self, script: &str) -> Launch {
        self.command(&["sh", "-c", script])
    }

    pub(crate) fn command(&self, command: &[&str]) -> Launch {
        let (attempt, dir) = self.ground.new_attempt();
        Launch {
            attempt,
            name: format!("run.step.0.{attempt}"),
            dir,
            boot_id: boot_id().unwrap(),
            program: Program::Docker {
                image: self.image.clone(),
                command: command.iter().map(ToString::to_string).collect(),
            },
            env: Vec::new(),
            run_dir: None,
            limits: Limits { cpu_milli: 100, memory_max: Some(64 << 20), pids_max: 64 },
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

    /// The container's name.
    pub(crate) fn container(&self, launch: &Launch) -> String {
        format!("berth-{}-{}", self.agent, launch.name)
    }

    /// Talks to the engine beside the executor.
    pub(crate) fn engine<T>(&self, talk: impl AsyncFnOnce(Docker) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Docker::connect_with_unix(&self.host, 60, API_DEFAULT_VERSION).unwrap();
            talk(client.negotiate_version().await.unwrap()).await
        })
    }

    /// The names of this ground's containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        let filters = [("label".to_owned(), vec![format!("berth.agent={}", self.agent)])].into();
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.engine(async |docker| docker.list_containers(Some(options)).await.unwrap());
        let names = listed.into_iter().filter_map(|one| Some(one.names?.first()?[1..].to_owned()));
        names.collect()
    }
}

impl Drop for DockerGround {
    fn drop(&mut self) {
        for name in self.containers() {
            let options = RemoveContainerOptions { force: true, ..Default::default() };
            // One may be on its way out already.
            let _ = self.engine(async |docker| docker.remove_container(&name, Some(options)).await);
        }
    }
}

impl Harness for DockerGround {
    fn executor(&self, sink: EventSink) -> Box<dyn Executor> {
        Box::new(self.docker(sink))
    }

    fn program(&self, work: Work) -> Option<Program> {
        let script = match work {
            Work::Exit(code) => format!("exit {code}"),
            Work::KillItself => "kill -9 $$".to_owned(),
            Work::Sleep => "exec sleep 300".to_owned(),
            Work::IgnoreTerm => "trap '' TERM; echo ready; while :; do sleep 300; done".to_owned(),
            Work::Output(text) => format!("printf '%s' '{text}' > \"$BERTH_OUTPUT\""),
            Work::Print(text) => format!("echo '{text}'"),
            Work::Missing => {
                let command = vec!["no-such-program".to_owned()];
                return Some(Program::Docker { image: self.image.clone(), command });
            }
        };
        let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        Some(Program::Docker { image: self.image.clone(), command })
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

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

/// An executor and what it told.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) executor: DockerExecutor,
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

/// Waits for a condition.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
