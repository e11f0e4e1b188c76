use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};

use berth_core::command::{AttemptReport, AttemptUpdate};
use berth_core::id::{ClusterId, EntryId, NodeEpoch};
use berth_core::job_spec::OnDisconnect;
use berth_core::reason::EndReason;
use berth_executors::executor::Executor;
use berth_executors::fake::{FakeExecutor, World};

use berth_core::model::NodeFacts;
use berth_executors::executor::Event;

use super::*;
use crate::disk::SimulatedDisk;
use crate::message::{Desired, Fence, Order, RefusalCode, Said};
use crate::planned::{a_launch, start, start_of, stop};
use crate::retention::Retention;
use crate::session::SessionId;

mod crashes;
mod sessions;

const CLUSTER: ClusterId = ClusterId(5);

fn config() -> Config {
    Config {
        node: "n1".into(),
        version: "0".into(),
        servers: vec!["s1:1".into(), "s2:1".into(), "s3:1".into()],
        incarnation: 1,
        fresh_journal: JournalId(77),
        boot_id: "boot".into(),
        seed: 3,
        data_dir: "/data".into(),
        run_dirs: "/data/runs".into(),
        kinds: [ExecutorKind::Fake].into(),
        facts: NodeFacts::default(),
        retention: Retention::default(),
    }
}

/// One agent over a simulated world and disk, and the leader's side of its session.
struct Bench {
    supervisor: Option<Supervisor<SimulatedDisk>>,
    executor: Option<FakeExecutor>,
    events: Receiver<Event>,
    world: World,
    boot: u64,
    boot_id: String,
    session: Option<SessionId>,
    term: u64,
    epoch: u64,
    index: u64,
    /// Reports up to this number are taken.
    reported: u64,
    /// Every report that came, in order.
    reports: Vec<AttemptReport>,
    dialed: Vec<String>,
    /// Rogues that were to be killed.
    killed: Vec<(ExecutorKind, String)>,
    sent: Vec<FromAgent>,
    /// Answers reports and heartbeats by itself.
    answers: bool,
}

impl Bench {
    fn new() -> Bench {
        let world = World::simulated(Timestamp(1_000_000));
        let mut bench = Bench {
            supervisor: None,
            executor: None,
            events: sync_channel(1).1,
            world,
            boot: 0,
            boot_id: "boot".into(),
            session: None,
            term: 1,
            epoch: 1,
            index: 10,
            reported: 0,
            reports: Vec::new(),
            dialed: Vec::new(),
            killed: Vec::new(),
            sent: Vec::new(),
            answers: true,
        };
        bench.up(SimulatedDisk::new()).unwrap();
        bench
    }

    fn now(&self) -> Now {
        Now { boot: Boot(self.boot), wall: Timestamp(1_000_000 + self.boot) }
    }

    /// The agent's process starts.
    fn up(&mut self, disk: SimulatedDisk) -> Result<(), journal::Error> {
        let (sink, events) = sync_channel(1024);
        let mut executor = FakeExecutor::simulated(self.world.clone(), sink);
        self.events = events;
        let config = Config { boot_id: self.boot_id.clone(), ..config() };
        let opened = Opened::open(config, disk)?;
        let found = executor.recover(opened.known(ExecutorKind::Fake));
        self.supervisor = Some(opened.resume(found, self.now())?);
        self.executor = Some(executor);
        self.input(Input::Tick)
    }

    /// The agent's process dies; what runs goes on.
    fn down(&mut self) -> SimulatedDisk {
        self.executor = None;
        self.session = None;
        self.supervisor.take().unwrap().into_disk()
    }

    fn supervisor(&mut self) -> &mut Supervisor<SimulatedDisk> {
        self.supervisor.as_mut().unwrap()
    }

    fn input(&mut self, input: Input) -> Result<(), journal::Error> {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.now();
            let outputs = self.supervisor().handle(input, now)?;
            for output in outputs {
                self.perform(output, &mut inputs);
            }
            inputs.extend(self.events.try_iter().map(Input::Executor));
        }
        Ok(())
    }

    fn perform(&mut self, output: Output, inputs: &mut std::collections::VecDeque<Input>) {
        match output {
            Output::Dial { session, address } => {
                self.dialed.push(address);
                self.session = Some(session);
            }
            Output::Send { session, message } => {
                self.sent.push(message.clone());
                match message {
                    FromAgent::Heartbeat { boot, .. } if self.answers => {
                        let said = Said::HeartbeatAck { boot, lease: Millis(5_000) };
                        inputs.push_back(Input::Said(session, self.fenced(said)));
                    }
                    FromAgent::Reports { reports, .. } => {
                        self.reports.extend(reports.clone());
                        if self.answers {
                            self.reported = reports.last().unwrap().sequence.max(self.reported);
                            let said = Said::ReportsAck { up_to: self.reported };
                            inputs.push_back(Input::Said(session, self.fenced(said)));
                        }
                    }
                    FromAgent::Hello(_) | FromAgent::Heartbeat { .. } | FromAgent::FactsChanged(_) => {}
                }
            }
            Output::Welcomed { .. } => {}
            Output::HangUp { session } => {
                if self.session == Some(session) {
                    self.session = None;
                }
            }
            Output::Start { launch, .. } => self.executor.as_mut().unwrap().start(*launch),
            Output::Stop { attempt, grace, .. } => self.executor.as_mut().unwrap().stop(attempt, grace),
            Output::KillRogue { kind, name } => self.killed.push((kind, name)),
            Output::Remove { attempt, .. } => self.executor.as_mut().unwrap().remove(attempt),
        }
    }

    fn fenced(&self, said: Said) -> ToAgent {
        let (cluster, term, epoch) = (CLUSTER, self.term, NodeEpoch(self.epoch));
        ToAgent::Fenced(Fence { cluster, cluster_epoch: 0, term, epoch }, said)
    }

    fn say(&mut self, said: Said) -> Result<(), journal::Error> {
        let session = self.session.expect("a session");
        let said = self.fenced(said);
        self.input(Input::Said(session, said))
    }

    /// Waits for a dial, connects and welcomes.
    fn welcome(&mut self) -> Result<(), journal::Error> {
        while self.session.is_none() {
            self.pass(50)?;
        }
        self.input(Input::Connected(self.session.unwrap()))?;
        let welcome =
            Said::Welcome { lease: Millis(5_000), heartbeat: Millis(1_000), reported: self.reported };
        self.say(welcome)
    }

    fn desire(&mut self, full: bool, set: Vec<Order>) -> Result<(), journal::Error> {
        self.index += 1;
        let generation = EntryId { term: self.term, index: self.index };
        self.say(Said::Desired(Desired { generation, full, more: false, set, forget: Vec::new() }))
    }

    fn forget(&mut self, attempt: u64) -> Result<(), journal::Error> {
        self.index += 1;
        let generation = EntryId { term: self.term, index: self.index };
        let forget = vec![AttemptHandle(attempt)];
        self.say(Said::Desired(Desired { generation, forget, ..Desired::default() }))
    }

    /// Lets time pass, waking the agent when it wants to be woken.
    fn pass(&mut self, ms: u64) -> Result<(), journal::Error> {
        let end = self.boot + ms;
        while self.boot < end {
            let wake = self.supervisor.as_ref().map_or(end, |supervisor| supervisor.wake().0);
            let due = self.world.next_end().map_or(end, |due| due.0 - 1_000_000);
            self.boot = wake.min(due).clamp(self.boot + 1, end);
            self.world.advance(self.now().wall);
            if self.supervisor.is_some() {
                self.input(Input::Tick)?;
            }
        }
        Ok(())
    }

    /// Connected, with an empty set.
    fn connected() -> Bench {
        let mut bench = Bench::new();
        bench.welcome().unwrap();
        bench.desire(true, vec![]).unwrap();
        bench
    }

    fn ends(&self) -> Vec<(u64, EndReason)> {
        let ends = self.reports.iter().filter_map(|report| match &report.update {
            AttemptUpdate::Started { .. } => None,
            AttemptUpdate::Ended { reason, .. } => Some((report.attempt.0, reason.clone())),
        });
        ends.collect()
    }
}

#[test]
fn an_ordered_attempt_starts_ends_and_is_forgotten() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(1)), 1);
    assert!(matches!(bench.reports[0].update, AttemptUpdate::Started { at: Timestamp(1_000_000) }));
    bench.pass(1_500).unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::Succeeded)]);
    let numbers: Vec<u64> = bench.reports.iter().map(|report| report.sequence).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(bench.supervisor().locate(AttemptHandle(1)).unwrap().over);
    bench.forget(1).unwrap();
    let figures = bench.supervisor().figures();
    assert_eq!((figures.live, figures.ended, figures.forgotten), (0, 0, 1));
    bench.pass(25 * 3600 * 1000).unwrap();
    assert_eq!(bench.supervisor().figures().forgotten, 0);
    assert_eq!(bench.supervisor().locate(AttemptHandle(1)), None);
    assert_eq!(bench.down().list("attempts").unwrap(), Vec::<String>::new());
}

#[test]
fn an_order_that_comes_again_changes_nothing() {
    let mut bench = Bench::connected();
    for _ in 0..3 {
        bench.desire(false, vec![start(1)]).unwrap();
        bench.desire(true, vec![start(1)]).unwrap();
    }
    assert_eq!(bench.world.starts(AttemptHandle(1)), 1);
    bench.desire(false, vec![stop(1)]).unwrap();
    bench.desire(false, vec![stop(1)]).unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::FailedSignal(15))]);
}

#[test]
fn what_this_node_cannot_run_fails_to_start_and_says_why() {
    let mut bench = Bench::connected();
    let mut exec = a_launch();
    exec.program = crate::message::Program::Exec { command: vec!["true".into()] };
    let mut elsewhere = a_launch();
    elsewhere.run_dir = Some("/data/runs/../../etc".into());
    let mut here = a_launch();
    here.run_dir = Some("/data/runs/abc".into());
    let orders = vec![start_of(1, exec), start_of(2, elsewhere), start_of(3, here)];
    bench.desire(false, orders).unwrap();
    let causes: Vec<String> = bench.ends().into_iter().map(|(_, reason)| reason.to_string()).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes[0].contains("no exec executor"), "{causes:?}");
    assert!(causes[1].contains("run's directory"), "{causes:?}");
    assert_eq!(bench.world.starts(AttemptHandle(3)), 1);
}

#[test]
fn an_attempt_stopped_before_it_was_ever_started_ends_for_the_reason_of_the_stop() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![stop(1)]).unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::Preempted)]);
    assert_eq!(bench.world.starts(AttemptHandle(1)), 0);
    bench.desire(false, vec![start(1)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(1)), 0);
    bench.forget(1).unwrap();
    assert_eq!(bench.supervisor().figures().ended, 0);
}

#[test]
fn an_attempt_that_the_server_does_not_know_is_stopped_and_nobody_is_told() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1), start(2)]).unwrap();
    bench.desire(true, vec![start(2)]).unwrap();
    assert_eq!(bench.world.running(), [AttemptHandle(2)]);
    assert_eq!(bench.ends(), []);
    assert_eq!(bench.supervisor().figures().forgotten, 1);
}

#[test]
fn a_timeout_counts_from_the_start_and_survives_a_restart() {
    let mut bench = Bench::connected();
    let mut launch = a_launch();
    launch.timeout = Some(Millis(600));
    bench.desire(false, vec![start_of(1, launch)]).unwrap();
    bench.pass(400).unwrap();
    let disk = bench.down();
    bench.pass(100).unwrap();
    bench.up(disk).unwrap();
    bench.pass(99).unwrap();
    assert_eq!(bench.world.running().len(), 1);
    bench.pass(1).unwrap();
    assert_eq!(bench.world.running().len(), 0);
    bench.welcome().unwrap();
    assert_eq!(bench.ends(), [(1, EndReason::TimedOut)]);
}

#[test]
fn what_belongs_to_no_attempt_is_killed_after_a_minute_and_an_attempt_never() {
    let mut bench = Bench::connected();
    let order = start(1);
    bench.desire(false, vec![order.clone()]).unwrap();
    let seen = || Input::Rogues(ExecutorKind::Fake, vec!["left-over".into(), order.name.clone()]);
    bench.input(seen()).unwrap();
    assert_eq!(bench.supervisor().figures().rogues, 1);
    bench.pass(59_000).unwrap();
    bench.input(seen()).unwrap();
    assert_eq!(bench.killed, []);
    bench.pass(1_000).unwrap();
    bench.input(seen()).unwrap();
    assert_eq!(bench.killed, [(ExecutorKind::Fake, "left-over".to_owned())]);
    bench.input(Input::Rogues(ExecutorKind::Fake, Vec::new())).unwrap();
    assert_eq!(bench.supervisor().figures().rogues, 0);
}

#[test]
fn an_ending_agent_stops_all_and_starts_no_more() {
    let mut bench = Bench::connected();
    bench.desire(false, vec![start(1)]).unwrap();
    bench.input(Input::StopAll).unwrap();
    assert!(bench.supervisor().is_idle() && bench.supervisor().all_reported());
    assert_eq!(bench.ends(), [(1, EndReason::Preempted)]);
    bench.desire(false, vec![start(2)]).unwrap();
    assert_eq!(bench.world.starts(AttemptHandle(2)), 0);
}
