//! An agent is killed while fifty tasks run; the next one finds the same processes and all their true exits. Where the data
//! directory was wiped in between, they have no record any more, and the next one ends them. Where no next one comes, tasks
//! on a leash end by themselves.
//!
//! One binary: the test, the agent that is killed, and the shims. The leader is played by the drive loop.

#![allow(clippy::print_stdout, reason = "the killed agent says so when its tasks run")]
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use berth_agent::clock::Now;
use berth_agent::disk::Files;
use berth_agent::executor_events;
use berth_agent::message::{Desired, Fence, FromAgent, Intent, Launch, Order, Program, Said, ToAgent};
use berth_agent::retention::Retention;
use berth_agent::session::SessionId;
use berth_agent::supervisor::{Config, Input, Opened, Output, Supervisor};
use berth_core::command::AttemptUpdate;
use berth_core::id::{AttemptHandle, ClusterId, EntryId, JournalId, NodeEpoch, RunId};
use berth_core::job_spec::{ExecutorKind, OnDisconnect, STOP_AFTER_MIN};
use berth_core::model::NodeFacts;
use berth_core::reason::EndReason;
use berth_core::time::Millis;
use berth_executors::exec::{self, ExecExecutor, IsolationChoice};
use berth_executors::executor::{Event, Executor, Health, Isolation};
use berth_proto::convert::order::{Labels, Limits};

const TASKS: u64 = 50;
/// The attempt that does not go on without contact.
const LEASHED: u64 = TASKS + 1;
const PATIENCE: Duration = Duration::from_secs(60);
/// The first argument that makes this program the agent to be killed.
const AGENT: &str = "agent-to-be-killed";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if berth_shim::is_shim(&args) {
        return berth_shim::main(&args);
    }
    match args.get(1).and_then(|argument| argument.to_str()) {
        Some("--list") => {}
        Some(AGENT) => {
            let text = |place: usize| args[place].to_str().unwrap();
            first_life(Path::new(&args[2]), text(3), text(4).parse().unwrap());
        }
        Some(_) | None => {
            a_killed_agents_tasks_go_on_and_their_exits_are_true();
            println!("a_killed_agents_tasks_go_on_and_their_exits_are_true: ok");
            what_runs_without_a_record_is_killed_after_a_minute();
            println!("what_runs_without_a_record_is_killed_after_a_minute: ok");
            a_task_on_a_leash_ends_though_its_agent_is_gone();
            println!("a_task_on_a_leash_ends_though_its_agent_is_gone: ok");
        }
    }
    ExitCode::SUCCESS
}

/// Starts the tasks, says when all of them run, and waits to be killed.
fn first_life(data_dir: &Path, group: &str, tasks: u64) {
    let mut agent = Agent::up(data_dir, group);
    agent.welcome();
    agent.desire((1..=tasks).map(|attempt| order(attempt, data_dir)).collect());
    agent.drive(|agent| agent.started.len() == usize::try_from(tasks).unwrap());
    println!("running");
    std::thread::sleep(PATIENCE);
}

/// An agent in a process of its own, killed once its tasks run.
fn live_and_be_killed(home: &Path, group: &str, tasks: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([AGENT.as_ref(), home.as_os_str(), group.as_ref(), tasks.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "running\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn a_killed_agents_tasks_go_on_and_their_exits_are_true() {
    let home = tempfile::tempdir().unwrap();
    let group = format!("berth-killed-{}", std::process::id());
    live_and_be_killed(home.path(), &group, TASKS);
    // Some end while no agent is there, the others only when the next one has found them.
    let release = |number: u64| std::fs::write(home.path().join(format!("go{number}")), "").unwrap();
    (1..=TASKS / 2).for_each(release);

    let began = Instant::now();
    let mut agent = Agent::up(home.path(), &group);
    println!("taken up in {} ms", began.elapsed().as_millis());
    (TASKS / 2 + 1..=TASKS).for_each(release);
    agent.welcome();
    agent.desire((1..=TASKS).map(|attempt| order(attempt, home.path())).collect());
    agent.drive(|agent| agent.ends.len() == usize::try_from(TASKS).unwrap());
    assert_eq!(agent.executor.rogues(), Vec::<String>::new());
    for attempt in 1..=TASKS {
        let expected = match i32::try_from(attempt % 7).unwrap() {
            0 => EndReason::Succeeded,
            code => EndReason::FailedExit(code),
        };
        assert_eq!(agent.ends[&attempt], expected, "attempt {attempt}");
        let lives = std::fs::read_to_string(home.path().join(format!("lives{attempt}"))).unwrap();
        assert_eq!(lives, "x", "attempt {attempt} was started more than once");
    }
    agent.forget();
    drop(agent);
    remove_groups(Path::new("/sys/fs/cgroup"), &group);
}

fn what_runs_without_a_record_is_killed_after_a_minute() {
    let home = tempfile::tempdir().unwrap();
    let group = format!("berth-wiped-{}", std::process::id());
    live_and_be_killed(home.path(), &group, 2);
    let wiped = tempfile::tempdir().unwrap();
    let mut agent = Agent::up(wiped.path(), &group);
    let rogues = agent.executor.rogues();
    if lacks_control_groups(&agent.executor) {
        println!("SKIPPED: without control groups nothing tells what runs without a record");
        (1..=2).for_each(|number| std::fs::write(home.path().join(format!("go{number}")), "").unwrap());
        return;
    }
    assert_eq!(rogues, ["a1", "a2"]);
    agent.input(Input::Rogues(ExecutorKind::Exec, rogues.clone()));
    assert_eq!(agent.supervisor.figures().rogues, 2);
    agent.later = Millis(59_000);
    let seen = agent.executor.rogues();
    agent.input(Input::Rogues(ExecutorKind::Exec, seen));
    assert_eq!(
        (agent.killed.len(), agent.executor.rogues()),
        (0, rogues.clone()),
        "they are let live for a while"
    );

    agent.later = Millis(61_000);
    agent.input(Input::Rogues(ExecutorKind::Exec, rogues.clone()));
    assert_eq!(agent.killed, rogues);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = agent.executor.rogues();
        agent.input(Input::Rogues(ExecutorKind::Exec, left.clone()));
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?} still run");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(agent.supervisor.figures().rogues, 0);
    drop(agent);
    remove_groups(Path::new("/sys/fs/cgroup"), &group);
}

fn a_task_on_a_leash_ends_though_its_agent_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let group = format!("berth-leash-{}", std::process::id());
    live_and_be_killed(home.path(), &group, LEASHED);
    let began = Instant::now();
    let record = |attempt: u64| home.path().join(format!("attempts/a{attempt}/exit.rec"));
    while !record(LEASHED).exists() {
        assert!(began.elapsed() < PATIENCE, "it still runs");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("ended {} ms after its agent", began.elapsed().as_millis());
    assert!(began.elapsed() > Duration::from_secs(3), "it was stopped too soon");
    assert!(!record(1).exists(), "the others go on");
    (1..LEASHED).for_each(|number| std::fs::write(home.path().join(format!("go{number}")), "").unwrap());
    let mut agent = Agent::up(home.path(), &group);
    agent.welcome();
    agent.desire((1..=LEASHED).map(|attempt| order(attempt, home.path())).collect());
    agent.drive(|agent| agent.ends.len() == usize::try_from(LEASHED).unwrap());
    assert_eq!(agent.ends[&LEASHED], EndReason::NodeLost);
    agent.forget();
    drop(agent);
    remove_groups(Path::new("/sys/fs/cgroup"), &group);
}

fn lacks_control_groups(executor: &ExecExecutor) -> bool {
    matches!(executor.health(), Health::Ready { missing, .. } if missing.contains(&Isolation::ControlGroups))
}

/// Removes the empty control groups of this run, as soon as the last shim has left them.
fn remove_groups(dir: &Path, group: &str) {
    let dirs = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect::<Vec<_>>()
    };
    for mount in dirs(dir).into_iter().chain([dir.to_owned()]) {
        let root = mount.join(group);
        let deadline = Instant::now() + PATIENCE;
        while root.exists() && Instant::now() < deadline {
            for child in dirs(&root).into_iter().flat_map(|child| dirs(&child).into_iter().chain([child])) {
                // It may still be in use, or gone already; the loop goes on until the root is gone.
                let _ = std::fs::remove_dir(child);
            }
            if std::fs::remove_dir(&root).is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert!(!root.exists(), "{} is left over", root.display());
    }
}

/// Marks that it began, waits to be released, and ends with a code of its own.
fn order(attempt: u64, dir: &Path) -> Order {
    let script = format!(
        "printf x >> {0}/lives{attempt}; until [ -e {0}/go{attempt} ]; do sleep 0.05; done; exit {1}",
        dir.display(),
        attempt % 7
    );
    let launch = Launch {
        program: Program::Exec { command: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec() },
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        limits: Limits { cpu_milli: Some(10), memory_max: None, pids: 16 },
        run_dir: None,
        timeout: None,
        stop_grace: Millis(100),
        on_disconnect: match attempt {
            LEASHED => OnDisconnect::StopAfter(STOP_AFTER_MIN),
            _ => OnDisconnect::Keep,
        },
        labels: Labels {
            tenant: "t".into(),
            job: "j".into(),
            run: RunId(1),
            task: "a".into(),
            index: 0,
            number: 1,
        },
    };
    let (attempt, name) = (AttemptHandle(attempt), format!("a{attempt}"));
    Order { attempt, incarnation: 0, name, intent: Intent::Start(Box::new(launch)) }
}

struct Agent {
    supervisor: Supervisor<Files>,
    executor: ExecExecutor,
    events: Receiver<Event>,
    session: SessionId,
    index: u64,
    started: BTreeMap<u64, ()>,
    ends: BTreeMap<u64, EndReason>,
    /// What was to be killed.
    killed: Vec<String>,
    /// How far its clock goes ahead of the machine's.
    later: Millis,
}

impl Agent {
    fn up(data_dir: &Path, group: &str) -> Agent {
        let (sink, events) = executor_events();
        let executor = exec::Config {
            shim_program: std::env::current_exe().unwrap(),
            cgroup_root: group.to_owned(),
            isolation: IsolationChoice::Best,
            end_with: None,
            open_files: None,
            log: Default::default(),
            launchers: 2,
        };
        let mut executor = ExecExecutor::new(executor, sink);
        let config = Config {
            node: "n1".into(),
            version: "0".into(),
            servers: vec!["leader:1".into()],
            incarnation: 1,
            fresh_journal: JournalId(1),
            boot_id: berth_shim::process::boot_id().unwrap(),
            seed: 1,
            data_dir: data_dir.to_owned(),
            run_dirs: data_dir.join("runs"),
            kinds: [ExecutorKind::Exec].into(),
            facts: NodeFacts::default(),
            retention: Retention::default(),
        };
        let opened = Opened::open(config, Files::new(data_dir.to_owned())).unwrap();
        let found = executor.recover(opened.known(ExecutorKind::Exec));
        let supervisor = opened.resume(found, Now::read()).unwrap();
        let (session, index) = (SessionId(0), 1);
        let (started, ends, killed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Agent { supervisor, executor, events, session, index, started, ends, killed, later: Millis(0) }
    }

    fn input(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = Now::read();
            let now = Now { boot: now.boot + self.later, ..now };
            for output in self.supervisor.handle(input, now).unwrap() {
                match output {
                    Output::Dial { session, .. } => self.session = session,
                    Output::Send { message: FromAgent::Reports { reports, .. }, .. } => {
                        let up_to = reports.last().unwrap().sequence;
                        for report in reports {
                            let attempt = report.attempt.0;
                            match report.update {
                                AttemptUpdate::Started { .. } => drop(self.started.insert(attempt, ())),
                                AttemptUpdate::Ended { reason, .. } => {
                                    drop(self.ends.insert(attempt, reason))
                                }
                            }
                        }
                        inputs.push(self.said(Said::ReportsAck { up_to }));
                    }
                    Output::Send { message: FromAgent::Heartbeat { boot, .. }, .. } => {
                        inputs.push(self.said(Said::HeartbeatAck { boot, lease: Millis(5_000) }));
                    }
                    Output::Send { .. } | Output::Welcomed { .. } => {}
                    // A clock that is put ahead is a silence to the session.
                    Output::HangUp { .. } => assert!(self.later > Millis(0), "the session broke"),
                    Output::Start { launch, .. } => self.executor.start(*launch),
                    Output::Stop { attempt, grace, .. } => self.executor.stop(attempt, grace),
                    Output::Remove { attempt, .. } => self.executor.remove(attempt),
                    Output::KillRogue { name, .. } => {
                        self.executor.kill_rogue(&name);
                        self.killed.push(name);
                    }
                }
            }
        }
    }

    fn said(&self, said: Said) -> Input {
        let fence = Fence { cluster: ClusterId(1), cluster_epoch: 0, term: 1, epoch: NodeEpoch(1) };
        Input::Said(self.session, ToAgent::Fenced(fence, said))
    }

    fn welcome(&mut self) {
        self.input(Input::Tick);
        self.input(Input::Connected(self.session));
        let reported = 0;
        let said = Said::Welcome { lease: Millis(5_000), heartbeat: Millis(1_000), reported };
        self.input(self.said(said));
    }

    fn desire(&mut self, set: Vec<Order>) {
        self.index += 1;
        let generation = EntryId { term: 1, index: self.index };
        let desired = Desired { generation, full: true, set, ..Desired::default() };
        self.input(self.said(Said::Desired(desired)));
    }

    fn drive(&mut self, done: impl Fn(&Agent) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "{} started, ends: {:?}", self.started.len(), self.ends);
            match self.events.recv_timeout(Duration::from_millis(100)) {
                Ok(event) => self.input(Input::Executor(event)),
                Err(_) => self.input(Input::Tick),
            }
        }
    }

    /// Lets go of everything, as a leader that has taken all ends.
    fn forget(&mut self) {
        self.desire(Vec::new());
        assert_eq!(self.supervisor.figures().ended, 0);
    }
}
