//! The life of one attempt: from the image to the exit record.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};
use berth_shim::clock;
use berth_shim::record::{ExitRecord, Outcome};
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::container::User;
use super::output_log::OutputLog;
use super::sight::{Over, Sight, see};
use super::trace::Trace;
use super::usage::Usage;
use super::writable::{self, Places};
use super::{Shared, container, engine, left_behind, program};
use crate::ending;
use crate::executor::{End, Event, Home, Launch, Program};

/// How soon a call is tried again that must succeed in the end.
const AGAIN: Duration = Duration::from_secs(1);
/// How soon a container is looked at again that was said not to run and yet does.
const RECHECK: Duration = Duration::from_millis(100);
/// How long after a kill the next one follows.
const KILL_AGAIN: Duration = Duration::from_secs(10);
/// How soon a full channel of events is tried again.
const SINK_FULL: Duration = Duration::from_millis(5);

/// What the keeper wants of an attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// It is to end, after this grace at most.
    pub(super) stop: Option<Millis>,
    /// Grows when the container should be looked at.
    pub(super) looks: u64,
}

/// One attempt. Its task ends with it, or with the executor.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) launch: Launch,
    pub(super) container: String,
    /// By whose right it is started; nothing for one that was started before.
    pub(super) home: Option<Home>,
    pub(super) wish: watch::Receiver<Wish>,
}

/// Nobody receives events any more: the agent ends.
#[derive(Debug)]
pub(super) struct Unheard;

/// Why an attempt was not started. The texts are for the user.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it was started once already")]
    StartedBefore,
    #[error("the docker executor cannot run this kind of program")]
    NotDocker,
    #[error("cannot note the start: {0}")]
    Trace(io::Error),
    #[error(
        "there is no image `{0}` on this node, and images are not pulled: bring it there (docker pull, docker load)"
    )]
    NoImage(String),
    #[error("{0}")]
    Place(#[from] writable::Error),
    #[error("{0}")]
    Unfit(String),
    #[error("{0}")]
    Engine(#[from] engine::Error),
    #[error("the engine could not start it: {0}")]
    NotStarted(String),
    #[error("a stop before it began")]
    Stopped,
}

impl Attempt {
    /// Starts it and sees it through.
    pub(super) async fn start(self, starting: Arc<Semaphore>) -> Result<(), Unheard> {
        let began = {
            let _permit = starting.acquire().await;
            self.begin().await
        };
        match began {
            Ok(started) => {
                self.trace(Some(started)).update(&self.launch.dir);
                self.shared.emit(Event::Started { attempt: self.launch.attempt, at: started }).await?;
                self.watch(Some(started)).await
            }
            Err(error) => {
                let (cause, reason) = match error {
                    Error::Stopped => (error.to_string(), EndReason::Cancelled(error.to_string().into())),
                    _ => (error.to_string(), EndReason::StartFailed(error.to_string().into())),
                };
                if !matches!(error, Error::StartedBefore) {
                    ending::record_not_started(&self.launch.dir, &cause);
                }
                self.tell(ending::not_started(reason)).await
            }
        }
    }

    fn trace(&self, started: Option<Timestamp>) -> Trace {
        Trace { container: self.container.clone(), boot_id: self.shared.boot_id.clone(), started }
    }

    async fn begin(&self) -> Result<Timestamp, Error> {
        let Program::Docker { image, command } = &self.launch.program else { return Err(Error::NotDocker) };
        self.trace(None).begin(&self.launch.dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::StartedBefore,
            _ => Error::Trace(error),
        })?;
        let (engine, config) = (&self.shared.engine, &self.shared.config);
        let found = engine.image(image).await.map_err(|error| match error.is_absent() {
            true => Error::NoImage(image.clone()),
            false => Error::Engine(error),
        })?;
        // From here on by its id: the name may come to mean another image at any time.
        let id =
            found.id.ok_or_else(|| Error::Unfit(format!("the engine gives no id of the image `{image}`")))?;
        let own = found.config.unwrap_or_default();
        // Its directory may have been wiped, the engine not.
        if !engine.list(&container::labels_of_attempt(config, &self.launch)).await?.is_empty() {
            return Err(Error::StartedBefore);
        }
        let places = Places::of(&self.launch).map_err(Error::Trace)?;
        places.prepare(&User::of(&own))?;
        let what = (image.as_str(), command.as_slice());
        let mut body =
            container::body(config, &self.launch, &id, what, &own, &places).map_err(Error::Unfit)?;
        if let Some(home) = self.home {
            body.labels.get_or_insert_default().extend(left_behind::labels(home));
        }
        engine.create(&self.container, body).await?;
        program::check(engine, &self.container, &self.launch, what, &own).await.map_err(Error::Unfit)?;
        if self.wish.borrow().stop.is_some() {
            return Err(Error::Stopped);
        }
        self.set_going().await
    }

    /// Starts the container that was made. An answer that did not come may still be a start, so that
    /// is found out, or made impossible.
    async fn set_going(&self) -> Result<Timestamp, Error> {
        let engine = &self.shared.engine;
        let refused = match engine.start(&self.container).await {
            Ok(()) => None,
            Err(engine::Error::Refused { message, .. }) => Some(message),
            Err(error) => Some(error.to_string()),
        };
        loop {
            match engine.inspect(&self.container).await {
                Ok(answer) => match see(answer) {
                    Sight::Running { started } | Sight::Over(Over { started, .. }) => return Ok(started),
                    Sight::NotStarted(said) => {
                        if engine.remove(&self.container).await.is_ok() {
                            return Err(Error::NotStarted(refused.unwrap_or(said)));
                        }
                    }
                },
                Err(error) if error.is_absent() => {
                    let gone = "its container was removed by somebody else".to_owned();
                    return Err(Error::NotStarted(refused.unwrap_or(gone)));
                }
                Err(error) => tracing::debug!(container = self.container, %error, "asked again"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Sees an attempt through that the agent takes for running. `began` is when it did, if that is certain: a container
    /// that is gone was killed then, and otherwise never began.
    pub(super) async fn watch(mut self, began: Option<Timestamp>) -> Result<(), Unheard> {
        let mut log = OutputLog::resume(&self.launch.dir, self.shared.config.log);
        let mut usage = Usage::default();
        let sight = {
            let (engine, container) = (self.shared.engine.clone(), self.container.clone());
            select! {
                sight = self.wait_for_end() => sight,
                () = log.follow(&engine, &container) => None,
                () = usage.follow(&engine, &container) => None,
            }
        };
        let end = match sight {
            Some(Sight::Over(over)) => {
                conclude(&self.shared, &self.launch, &self.container, log, (over, usage)).await
            }
            Some(Sight::NotStarted(_)) => {
                self.make_sure_it_never_runs().await;
                vanished(&self.launch, None, log)
            }
            Some(Sight::Running { .. }) | None => vanished(&self.launch, began, log),
        };
        self.tell(end).await
    }

    /// The call of an agent that is gone may still be under way in the engine.
    async fn make_sure_it_never_runs(&self) {
        while let Err(error) = self.shared.engine.remove(&self.container).await {
            tracing::debug!(container = self.container, %error, "a container is removed later");
            sleep(AGAIN).await;
        }
    }

    /// Waits until the container does not run, and stops it when asked to; `None` when it is gone.
    async fn wait_for_end(&mut self) -> Option<Sight> {
        let Attempt { shared, container, wish, .. } = self;
        let engine = &shared.engine;
        let mut kill_at: Option<Instant> = None;
        // The stop that the container has heard of, and the one whose grace runs.
        let (mut heard, mut timed) = (None, None);
        loop {
            let wanted = wish.borrow_and_update().stop;
            if let Some(grace) = wanted.filter(|_| timed != wanted) {
                let at = Instant::now() + Duration::from(grace);
                kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
                timed = wanted;
            }
            if heard != wanted && signal(engine, container, "SIGTERM").await {
                heard = wanted;
            }
            if kill_at.is_some_and(|at| at <= Instant::now()) {
                let killed = signal(engine, container, "SIGKILL").await;
                kill_at = Some(Instant::now() + if killed { KILL_AGAIN } else { AGAIN });
            }
            match engine.inspect(container).await {
                Ok(answer) => match see(answer) {
                    Sight::Running { .. } => {}
                    over => return Some(over),
                },
                Err(error) if error.is_absent() => return None,
                Err(error) => {
                    tracing::debug!(container, %error, "asked again");
                    sleep(AGAIN).await;
                    continue;
                }
            }
            select! {
                () = engine.wait(container) => sleep(RECHECK).await,
                () = until(kill_at) => {}
                () = until((heard != wanted).then(|| Instant::now() + AGAIN)) => {}
                changed = wish.changed() => if changed.is_err() { pending::<()>().await },
            }
        }
    }

    async fn tell(&self, end: End) -> Result<(), Unheard> {
        self.shared.emit(Event::Ended { attempt: self.launch.attempt, end }).await
    }
}

impl Shared {
    /// Hands out an event. Waits while the channel is full, without stopping other attempts.
    pub(super) async fn emit(&self, mut event: Event) -> Result<(), Unheard> {
        loop {
            event = match self.sink.try_send(event) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(event)) => event,
                Err(TrySendError::Disconnected(_)) => return Err(Unheard),
            };
            sleep(SINK_FULL).await;
        }
    }
}

/// Takes the rest of the log of a container that is over, and records its end.
async fn conclude(
    shared: &Shared,
    launch: &Launch,
    container: &str,
    mut log: OutputLog,
    (over, usage): (Over, Usage),
) -> End {
    log.take_rest(&shared.engine, container).await;
    let record = ExitRecord {
        outcome: over.outcome,
        oom: over.oom,
        started_ms: Some(over.started.0),
        finished_ms: over.finished.0,
        ran_ms: over.finished.since(over.started).0,
        memory_peak: usage.memory_peak,
        cpu_ms: usage.cpu_ms,
        log_lost: log.lost(),
        leftover: false,
        log_ends: log.ends(),
    };
    ending::write(&launch.dir, &record);
    ending::end(&launch.dir, record)
}

/// The end of an attempt whose container was removed by somebody else: an engine removes one that runs
/// only by force, which is a kill. The engine's log went with it.
pub(super) fn vanished(launch: &Launch, started: Option<Timestamp>, mut log: OutputLog) -> End {
    if started.is_some() {
        log.lose_rest();
    }
    let finished_ms = clock::wall_ms();
    let cause = "its container was never made, or removed before it began";
    let record = ExitRecord {
        outcome: started.map_or_else(|| Outcome::NotStarted(cause.to_owned()), |_| Outcome::Signalled(9)),
        oom: false,
        started_ms: started.map(|started| started.0),
        finished_ms,
        ran_ms: started.map_or(0, |started| finished_ms.saturating_sub(started.0)),
        memory_peak: 0,
        cpu_ms: 0,
        log_lost: log.lost(),
        leftover: false,
        log_ends: log.ends(),
    };
    ending::write(&launch.dir, &record);
    ending::end(&launch.dir, record)
}

/// Sends a signal; false when it may not have arrived.
async fn signal(engine: &engine::Engine, container: &str, signal: &str) -> bool {
    match engine.kill(container, signal).await {
        Ok(()) => true,
        // It does not run any more: the next look tells.
        Err(engine::Error::Refused { status: 404 | 409, .. }) => true,
        Err(error) => {
            tracing::debug!(container, signal, %error, "a container cannot be signalled yet");
            false
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
