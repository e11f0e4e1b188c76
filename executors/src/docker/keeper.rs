//! The thread that keeps the connection, runs the tasks of all attempts and sweeps by label.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use tokio::runtime;
use tokio::select;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::attempt::{Attempt, Wish};
use super::engine::{self, Connection};
use super::recovery::Answer;
use super::{Shared, container, left_behind, recovery};
use crate::ending;
use crate::executor::{Event, Found, Health, Home, Launch};

/// How often the engine is looked for.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// How long containers are looked at after a restart of the agent, all together: the agent must dial within its lease.
/// The rest is taken for running, and its tasks find out more.
const LOOKING_MAX: Duration = Duration::from_millis(500);
/// Sweeps that must see a container of no known attempt before it is removed: one may be on its way.
const STRAY_SWEEPS: u32 = 3;
/// Containers that are being made and started at the same time; an engine does little more at once.
const STARTING_MAX: usize = 8;
/// Containers that are being removed at the same time.
const REMOVING_MAX: usize = 2;

/// What the keeper is told.
#[derive(Debug)]
pub(super) enum Command {
    /// An attempt is to start.
    Start(Box<Launch>),
    /// It was to be started though it is known.
    RefuseTwice { attempt: AttemptHandle },
    /// It is to end.
    Stop { attempt: AttemptHandle, grace: Millis },
    /// The end of the attempt with this name is acknowledged.
    Remove { name: String },
    /// The agent is this cluster's node.
    Welcomed(Home),
    /// What became of these is to be found out.
    Recover { known: Vec<Launch>, reply: SyncSender<Vec<Found>> },
}

/// The keeper. See the module's text.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    /// Told of the first look at the engine.
    probed: Option<SyncSender<()>>,
    /// Whether the engine is being looked for, or its containers listed.
    probing: bool,
    listing: bool,
    commands: Receiver<Command>,
    wake: Arc<Notify>,
    health: watch::Sender<Health>,
    tasks: JoinSet<Done>,
    attempts: HashMap<AttemptHandle, watch::Sender<Wish>>,
    /// The containers of attempts that are started and not yet acknowledged, by the attempts' names.
    held: BTreeMap<String, String>,
    /// Containers that could not be removed when they should; tried again after each probe.
    leaving: BTreeSet<String>,
    /// Containers of no known attempt, and how many sweeps have seen them. None are looked for before
    /// the agent has said what it knows.
    strays: Option<BTreeMap<String, u32>>,
    /// By whose right attempts are started.
    home: Option<Home>,
    starting: Arc<Semaphore>,
    removing: Arc<Semaphore>,
}

/// The executor is gone.
struct Gone;

/// What a task has done.
#[derive(Debug)]
enum Done {
    /// It saw this attempt through, or nobody listens any more.
    Attempt(AttemptHandle),
    /// The container is gone.
    Removed,
    /// The container could not be removed now.
    NotRemoved(String),
    /// It told what it had to.
    Told,
    /// It has looked for the engine.
    Probed(Health),
    /// The engine has told of all containers of this agent and those left behind on its node, or has not.
    Listed(Result<Vec<ContainerSummary>, engine::Error>),
}

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: Connection,
        commands: Receiver<Command>,
        wake: Arc<Notify>,
        health: watch::Sender<Health>,
    ) -> Keeper {
        Keeper {
            shared,
            connection: Arc::new(connection),
            probed: None,
            probing: false,
            listing: false,
            commands,
            wake,
            health,
            tasks: JoinSet::new(),
            attempts: HashMap::new(),
            held: BTreeMap::new(),
            leaving: BTreeSet::new(),
            strays: None,
            home: None,
            starting: Arc::new(Semaphore::new(STARTING_MAX)),
            removing: Arc::new(Semaphore::new(REMOVING_MAX)),
        }
    }

    /// Keeps until the executor is gone. Says when it has looked for the engine once.
    pub(super) fn run(mut self, probed: SyncSender<()>) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("descriptors are free at start-up");
        runtime.block_on(async {
            self.probed = Some(probed);
            self.probe();
            let (mut probes, mut sweeps) = (interval(PROBE_EVERY), interval(self.shared.config.sweep_every));
            probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
            sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            probes.reset();
            sweeps.reset();
            let wake = Arc::clone(&self.wake);
            loop {
                select! {
                    () = wake.notified() => if let Err(Gone) = self.obey_all().await { return },
                    _ = probes.tick() => self.probe(),
                    _ = sweeps.tick() => self.list(),
                    Some(done) = self.tasks.join_next() => match done {
                        Ok(done) => self.done(done),
                        Err(error) => tracing::error!(%error, "the task of a container failed"),
                    },
                }
            }
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Attempt(attempt) => {
                self.attempts.remove(&attempt);
            }
            Done::NotRemoved(container) => {
                self.leaving.insert(container);
            }
            Done::Removed | Done::Told => {}
            Done::Probed(now) => self.has_probed(&now),
            Done::Listed(listed) => {
                self.listing = false;
                if let Ok(listed) = listed {
                    self.sweep(&listed);
                }
            }
        }
    }

    /// Looks for the engine, unless that is under way.
    fn probe(&mut self) {
        if !std::mem::replace(&mut self.probing, true) {
            let connection = Arc::clone(&self.connection);
            self.tasks.spawn(async move { Done::Probed(connection.probe().await) });
        }
    }

    fn has_probed(&mut self, now: &Health) {
        self.probing = false;
        let before = self.health.send_replace(now.clone());
        match (&before, now) {
            (Health::Ready { .. }, Health::Unavailable { reason }) => {
                tracing::warn!(reason, "docker is gone")
            }
            (Health::Unavailable { .. }, Health::Ready { detail, .. }) => {
                tracing::info!(detail, "docker is ready");
                // Its tasks may wait for what the engine has forgotten.
                self.look_at_all();
            }
            (Health::Ready { .. }, Health::Ready { .. })
            | (Health::Unavailable { .. }, Health::Unavailable { .. }) => {}
        }
        if let Some(probed) = self.probed.take() {
            // Nobody may wait for it any more.
            let _ = probed.try_send(());
        }
        self.remove_leaving();
    }

    async fn obey_all(&mut self) -> Result<(), Gone> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command).await,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Start(launch) => {
                let starting = Arc::clone(&self.starting);
                let (handle, attempt) = self.attempt(*launch);
                self.tasks.spawn(async move {
                    // Nobody listens any more: there is nothing left to do.
                    let _ = attempt.start(starting).await;
                    Done::Attempt(handle)
                });
            }
            Command::RefuseTwice { attempt } => {
                let reason = EndReason::StartFailed("it was started once already".into());
                let (end, shared) = (ending::not_started(reason), Arc::clone(&self.shared));
                self.tasks.spawn(async move {
                    let _ = shared.emit(Event::Ended { attempt, end }).await;
                    Done::Told
                });
            }
            Command::Stop { attempt, grace } => {
                if let Some(wish) = self.attempts.get(&attempt) {
                    wish.send_modify(|wish| wish.stop = Some(grace));
                }
            }
            Command::Remove { name } => {
                let held = self.held.remove(&name);
                self.remove(held.unwrap_or_else(|| container::name(&self.shared.config, &name)));
            }
            Command::Welcomed(home) => self.home = Some(home),
            Command::Recover { known, reply } => {
                let found = self.recover(known).await;
                if let Err(TrySendError::Full(found) | TrySendError::Disconnected(found)) =
                    reply.try_send(found)
                {
                    self.tell_late(found);
                }
            }
        }
    }

    /// A new attempt, held until it is acknowledged.
    fn attempt(&mut self, launch: Launch) -> (AttemptHandle, Attempt) {
        let handle = launch.attempt;
        let container = container::of_attempt(&self.shared.config, &launch);
        let (sender, wish) = watch::channel(Wish::default());
        self.attempts.insert(handle, sender);
        self.held.insert(launch.name.clone(), container.clone());
        let (shared, home) = (Arc::clone(&self.shared), self.home);
        (handle, Attempt { shared, launch, container, home, wish })
    }

    async fn recover(&mut self, known: Vec<Launch>) -> Vec<Found> {
        let answers = recovery::look_at_all(&self.shared, &known, LOOKING_MAX).await;
        let mut found = Vec::with_capacity(known.len());
        for (launch, Answer { found: answer, began }) in known.into_iter().zip(answers) {
            match answer {
                None => continue,
                Some(Found::Running { attempt, .. }) => self.adopt(launch, began, attempt),
                Some(Found::Ended { .. }) => {
                    let container = container::of_attempt(&self.shared.config, &launch);
                    self.held.insert(launch.name, container);
                }
            }
            found.extend(answer);
        }
        self.strays.get_or_insert_default();
        found
    }

    /// Tells the ends that were found when nobody waited for them any more.
    fn tell_late(&mut self, found: Vec<Found>) {
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            for one in found {
                let Found::Ended { attempt, end } = one else { continue };
                if shared.emit(Event::Ended { attempt, end }).await.is_err() {
                    break;
                }
            }
            Done::Told
        });
    }

    fn adopt(&mut self, launch: Launch, began: Option<Timestamp>, handle: AttemptHandle) {
        let (_, attempt) = self.attempt(launch);
        self.tasks.spawn(async move {
            let _ = attempt.watch(began).await;
            Done::Attempt(handle)
        });
    }

    /// Has a container removed, and again later when that does not work.
    fn remove(&mut self, container: String) {
        let (shared, removing) = (Arc::clone(&self.shared), Arc::clone(&self.removing));
        self.tasks.spawn(async move {
            let _permit = removing.acquire().await;
            match shared.engine.remove(&container).await {
                Ok(()) => Done::Removed,
                Err(error) => {
                    tracing::debug!(container, %error, "a container is removed later");
                    Done::NotRemoved(container)
                }
            }
        });
    }

    fn remove_leaving(&mut self) {
        for container in std::mem::take(&mut self.leaving) {
            self.remove(container);
        }
    }

    fn look_at_all(&self) {
        self.attempts.values().for_each(|wish| wish.send_modify(|wish| wish.looks += 1));
    }

    /// Has all containers listed for a sweep, unless that is under way.
    fn list(&mut self) {
        if !std::mem::replace(&mut self.listing, true) {
            let (shared, home) = (Arc::clone(&self.shared), self.home);
            self.tasks.spawn(async move { Done::Listed(list(&shared, home).await) });
        }
    }

    /// Has every attempt looked at whose container does not run, and removes containers that nobody
    /// knows.
    fn sweep(&mut self, listed: &[ContainerSummary]) {
        self.look_at_all();
        let Some(before) = &mut self.strays else { return };
        let mut strays = BTreeMap::new();
        let held: BTreeSet<&String> = self.held.values().collect();
        for (name, runs) in listed.iter().filter_map(named).filter(|(name, _)| !held.contains(name)) {
            let seen = before.get(&name).map_or(1, |seen| seen + 1);
            if seen == STRAY_SWEEPS {
                tracing::error!(container = name, runs, "a container of no known attempt is removed");
                self.leaving.insert(name);
            } else {
                strays.insert(name, seen);
            }
        }
        *before = strays;
        self.remove_leaving();
    }
}

async fn list(shared: &Shared, home: Option<Home>) -> Result<Vec<ContainerSummary>, engine::Error> {
    let mut listed = shared.engine.list(&container::labels_of_agent(&shared.config)).await?;
    if let Some(home) = home {
        listed.extend(left_behind::list(shared, home).await?);
    }
    Ok(listed)
}

/// The name of a listed container, and whether it runs.
fn named(listed: &ContainerSummary) -> Option<(String, bool)> {
    Some((container::listed_name(listed)?, listed.state == Some(ContainerSummaryStateEnum::RUNNING)))
}
