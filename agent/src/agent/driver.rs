//! The loop that owns the supervisor and the executors, and performs the outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::job_spec::ExecutorKind;
use berth_core::reason::EndReason;
use berth_daemon::tasks::{OnFailure, Tasks};
use berth_executors::executor::{End, Event, Executor, Health, Home, Launch};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::connection::{self, Connection};
use super::meters::Meters;
use super::{AgentHandle, Cancel, Config, Core, Request, until, upkeep};
use crate::clock::Now;
use crate::disk::TRASH;
use crate::inventory::Inventory;
use crate::journal;
use crate::logs::Sources;
use crate::session::SessionId;
use crate::supervisor::{Input, Output};
use crate::wire;

/// How often the machine is looked at again.
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// How often while an executor is not ready, and first: the start waits for no slow one.
const PROBE_AGAIN: Duration = Duration::from_secs(5);
/// How often executors are asked for what belongs to no attempt.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often the trash is emptied.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);
/// In every so many of these turns what is left of attempts and runs is measured, too.
const MEASURE_EVERY: u64 = 20;
/// How long the stop of all attempts may take; longer than their longest grace.
const STOP_MAX: Duration = Duration::from_secs(8);
/// How long the agent waits at its end for the leader to take the last reports.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What a driver is made of.
pub(super) struct Deps {
    pub(super) supervisor: Core,
    pub(super) executors: Vec<Box<dyn Executor>>,
    /// Those that get new work. The others see the attempts through that they have.
    pub(super) offered: BTreeSet<ExecutorKind>,
    pub(super) inventory: Inventory,
    pub(super) config: Config,
    pub(super) sources: Sources,
    pub(super) meters: Meters,
    pub(super) handle: AgentHandle,
    pub(super) tasks: Tasks,
}

/// The loop that owns everything.
pub(super) struct Driver {
    deps: Deps,
    executors: BTreeMap<ExecutorKind, Box<dyn Executor>>,
    /// The connection in use.
    connection: Option<Connection>,
    probe_at: Instant,
    upkeep_at: Instant,
    sweep_at: Instant,
    upkeep_turn: u64,
    /// Held by the upkeep that is under way: a slow one delays the next one and nothing else.
    upkeep_free: Arc<Semaphore>,
}

/// Why the loop goes on.
enum Woken {
    Request(Option<Request>),
    Time,
    Stop,
}

impl Driver {
    pub(super) fn new(mut deps: Deps) -> Driver {
        let executors = std::mem::take(&mut deps.executors);
        let executors = executors.into_iter().map(|executor| (executor.kind(), executor)).collect();
        let now = Instant::now();
        Driver {
            deps,
            executors,
            connection: None,
            probe_at: now + PROBE_AGAIN,
            upkeep_at: now + Duration::from_secs(5),
            sweep_at: now,
            upkeep_turn: 0,
            upkeep_free: Arc::new(Semaphore::new(1)),
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// The journal cannot be written: nothing may be done without it.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Request>,
        stop: Cancel,
    ) -> Result<(), journal::Error> {
        self.handle(Input::Tick)?;
        loop {
            self.deps.meters.show(self.deps.supervisor.figures());
            let woken = tokio::select! {
                biased;
                () = stop.cancelled() => Woken::Stop,
                request = inbox.recv() => Woken::Request(request),
                () = sleep_until(self.wake()) => Woken::Time,
            };
            match woken {
                Woken::Stop => break,
                Woken::Request(None) => break,
                Woken::Request(Some(request)) => self.answer(request)?,
                Woken::Time => self.time_has_passed()?,
            }
        }
        if self.deps.config.stop_tasks_at_end {
            self.stop_all(&mut inbox).await?;
        }
        Ok(())
    }

    /// Stops every attempt, and waits for their ends and for the leader to hear of them.
    async fn stop_all(&mut self, inbox: &mut mpsc::Receiver<Request>) -> Result<(), journal::Error> {
        self.handle(Input::StopAll)?;
        let begun = Instant::now();
        let mut idle_since = None;
        loop {
            let supervisor = &self.deps.supervisor;
            if supervisor.is_idle() && idle_since.is_none() {
                idle_since = Some(Instant::now());
            }
            let farewell = idle_since.map(|since| since + FAREWELL_MAX);
            if idle_since.is_some() && supervisor.all_reported() {
                return Ok(());
            }
            let end = farewell.unwrap_or(begun + STOP_MAX);
            if Instant::now() >= end {
                let (live, reports) = (supervisor.figures().live, supervisor.figures().reports);
                tracing::warn!(
                    live,
                    reports,
                    "the agent ends before all its attempts were over and reported"
                );
                return Ok(());
            }
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(request) => self.answer(request)?,
                    None => return Ok(()),
                },
                () = sleep_until(self.wake().min(end)) => self.time_has_passed()?,
            }
        }
    }

    fn wake(&self) -> Instant {
        let wake = Instant::now() + until(self.deps.supervisor.wake());
        wake.min(self.probe_at).min(self.upkeep_at).min(self.sweep_at)
    }

    fn answer(&mut self, request: Request) -> Result<(), journal::Error> {
        match request {
            Request::Input(input) => self.handle(*input)?,
            // Whoever asked and went away needs no answer.
            Request::Locate(attempt, answer) => drop(answer.send(self.deps.supervisor.locate(attempt))),
            Request::Figures(answer) => drop(answer.send(self.deps.supervisor.figures())),
        }
        Ok(())
    }

    fn time_has_passed(&mut self) -> Result<(), journal::Error> {
        let now = Instant::now();
        if now >= self.probe_at {
            let offered = self.executors.iter().filter(|(kind, _)| self.deps.offered.contains(kind));
            let health: Vec<_> = offered.map(|(kind, executor)| (*kind, executor.health())).collect();
            let all_ready = health.iter().all(|(_, health)| matches!(health, Health::Ready { .. }));
            self.probe_at = now + if all_ready { PROBE_EVERY } else { PROBE_AGAIN };
            let facts = Box::new(self.deps.inventory.facts(health.into_iter()));
            self.handle(Input::Facts(facts))?;
        }
        if now >= self.upkeep_at {
            self.upkeep_at = now + UPKEEP_EVERY;
            self.look_after_leftovers();
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY;
            self.sweep()?;
        }
        self.handle(Input::Tick)
    }

    /// Asks the executors for what belongs to no attempt.
    fn sweep(&mut self) -> Result<(), journal::Error> {
        let seen = self.executors.iter_mut().map(|(kind, executor)| (*kind, executor.rogues()));
        for (kind, names) in seen.collect::<Vec<_>>() {
            self.handle(Input::Rogues(kind, names))?;
        }
        Ok(())
    }

    /// Empties the trash, and now and then measures what is left of attempts and puts the directories of old runs
    /// aside, in the background.
    fn look_after_leftovers(&mut self) {
        let Ok(turn) = Arc::clone(&self.upkeep_free).try_acquire_owned() else { return };
        let measure = self.upkeep_turn.is_multiple_of(MEASURE_EVERY);
        self.upkeep_turn += 1;
        let mut work = upkeep::Work {
            trash: self.deps.config.data_dir.join(TRASH),
            run_dirs: self.deps.inventory.run_dirs.clone(),
            // Other nodes use a shared directory too, and nobody here knows for how long.
            own_runs: self.deps.inventory.shared.is_none(),
            measure: None,
        };
        if measure {
            let used = self.deps.supervisor.attempts().iter().filter_map(|(_, attempt)| {
                attempt.launch.as_ref()?.run_dir.as_ref().map(std::path::PathBuf::from)
            });
            let (used, keep) = (used.collect(), self.deps.config.run_dirs_keep);
            work.measure = Some(upkeep::Measure { forgotten: self.deps.supervisor.forgotten(), used, keep });
        }
        let (handle, stop, stuck) =
            (self.deps.handle.clone(), self.deps.tasks.token(), self.deps.meters.stuck());
        self.deps.tasks.spawn("agent.upkeep", OnFailure::Log, async move {
            let done = tokio::task::spawn_blocking(move || work.run(|| stop.is_cancelled())).await;
            let Ok(done) = done else { return };
            stuck.set(i64::try_from(done.stuck).unwrap_or(i64::MAX));
            if let Some(sizes) = done.sizes {
                handle.input(Input::Sizes(sizes)).await;
            }
            drop(turn);
        });
    }

    fn handle(&mut self, input: Input) -> Result<(), journal::Error> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.deps.supervisor.handle(input, Now::read())? {
                inputs.extend(self.perform(output));
            }
        }
        Ok(())
    }

    /// Does what the supervisor wants; gives what came of it at once.
    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Dial { session, address } => {
                let seat = connection::Seat {
                    session,
                    address,
                    node: self.deps.config.node.clone(),
                    handle: self.deps.handle.clone(),
                    sources: self.deps.sources.clone(),
                    tasks: self.deps.tasks.clone(),
                };
                self.connection = Some(Connection::open(seat));
                None
            }
            Output::Send { session, message } => {
                let connection = self.connection_of(session)?;
                let sent = connection.send(wire::to_leader(&message));
                (!sent).then(|| {
                    // The leader does not read; with a new session it gets the same again.
                    self.connection = None;
                    Input::Disconnected(session)
                })
            }
            Output::Welcomed { session, known } => {
                if let Some(connection) = self.connection_of(session) {
                    connection.welcomed(known);
                }
                if let Some(cluster) = known.cluster {
                    let home = Home { cluster, cluster_epoch: known.cluster_epoch, epoch: known.epoch };
                    self.executors.values_mut().for_each(|executor| executor.welcomed(home));
                }
                tracing::info!(
                    node = self.deps.config.node,
                    term = known.term,
                    "the leader has welcomed the agent"
                );
                None
            }
            Output::HangUp { session } => {
                if self.connection_of(session).is_some() {
                    self.connection = None;
                }
                None
            }
            Output::Start { kind, launch } => self.start(kind, *launch),
            Output::Stop { kind, attempt, grace } => {
                if let Some(executor) = self.executors.get_mut(&kind) {
                    executor.stop(attempt, grace);
                }
                None
            }
            Output::KillRogue { kind, name } => {
                if let Some(executor) = self.executors.get_mut(&kind) {
                    executor.kill_rogue(&name);
                }
                None
            }
            Output::Remove { kind, attempt } => {
                if let Some(executor) = self.executors.get_mut(&kind) {
                    executor.remove(attempt);
                }
                None
            }
        }
    }

    fn connection_of(&mut self, session: SessionId) -> Option<&mut Connection> {
        self.connection.as_mut().filter(|connection| connection.session() == session)
    }

    fn start(&mut self, kind: ExecutorKind, launch: Launch) -> Option<Input> {
        if let Some(dir) = &launch.run_dir
            && let Err(error) = fs::create_dir_all(dir)
        {
            let cause = format!("cannot make the run's directory {}: {error}", dir.display());
            return Some(failed(launch.attempt, cause));
        }
        match self.executors.get_mut(&kind) {
            Some(executor) => {
                executor.start(launch);
                None
            }
            None => Some(failed(launch.attempt, format!("the node has no {} executor", kind.word()))),
        }
    }
}

fn failed(attempt: AttemptHandle, cause: String) -> Input {
    let end = End {
        reason: EndReason::StartFailed(cause.into()),
        started: None,
        finished: Now::read().wall,
        memory_peak: 0,
        cpu_ms: 0,
        output: Vec::new(),
    };
    Input::Executor(Event::Ended { attempt, end })
}
