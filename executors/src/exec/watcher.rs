//! The thread that watches all shims, owns what is known of their attempts, and sends every event.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};
use berth_shim::process::Pidfd;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::launcher::{Spawned, Work};
use super::straggler::{Straggler, Stragglers};
use super::watched::{Said, Stage, Watched};
use super::{Machine, lost, recovery};
use crate::ending;
use crate::executor::{Event, EventSink, Launch};

/// Commands that may wait for the watcher; beyond it the sender waits.
const COMMANDS_QUEUED: usize = 4096;
/// Readiness events taken from the kernel at a time.
const EVENTS_AT_ONCE: usize = 256;
/// How often what has no descriptor to wait on is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The epoll token of the wake-up descriptor.
const WAKE: u64 = 0;

/// What the watcher is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A launcher is about to get this attempt.
    Expect { attempt: AttemptHandle, name: String, dir: PathBuf, stopped: Arc<AtomicBool> },
    /// Its shim was spawned.
    Spawned { attempt: AttemptHandle, spawned: Spawned },
    /// It was not launched; its group may have been made, and something may be in it.
    NotStarted { attempt: AttemptHandle, reason: EndReason, leaves_group: bool },
    /// It was to be started though it is known.
    RefuseTwice { attempt: AttemptHandle },
    /// It was found running, with its shim.
    Adopt { attempt: AttemptHandle, name: String, dir: PathBuf, started: Timestamp, shim: Pidfd },
    /// Its shim lives but has not said anything.
    AdoptUnheard { attempt: AttemptHandle, name: String, dir: PathBuf },
    /// It was found over, but for what is still in its group.
    Straggle(Box<Straggler>),
    /// It is to end.
    Stop { attempt: AttemptHandle, grace: Millis },
    /// Its group is to go.
    Remove { name: String },
}

/// How others reach the watcher. The watcher ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(super) struct WatcherHandle {
    /// Dropped before the wake-up, so that the watcher sees the last handle go.
    commands: Option<SyncSender<Command>>,
    wake: Arc<EventFd>,
}

impl WatcherHandle {
    pub(super) fn send(&self, command: Command) {
        // The watcher outlives its handles, except when nobody listens to events any more.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
        let _ = self.wake.write(1);
    }

    /// Announces a launch, so that a stop can overtake it.
    pub(super) fn expect(&self, launch: Launch) -> Work {
        let stopped = Arc::new(AtomicBool::new(false));
        self.send(Command::Expect {
            attempt: launch.attempt,
            name: launch.name.clone(),
            dir: launch.dir.clone(),
            stopped: Arc::clone(&stopped),
        });
        Work { launch, stopped }
    }
}

impl Drop for WatcherHandle {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.wake.write(1);
    }
}

/// Which descriptor of an attempt an epoll token stands for.
#[derive(Debug, Clone, Copy)]
enum Source {
    Said(AttemptHandle),
    Shim(AttemptHandle),
}

/// The watcher. See the module's text.
#[derive(Debug)]
pub(super) struct Watcher {
    machine: Arc<Machine>,
    sink: EventSink,
    commands: Receiver<Command>,
    wake: Arc<EventFd>,
    epoll: Epoll,
    sources: HashMap<u64, Source>,
    next_token: u64,
    attempts: HashMap<AttemptHandle, Watched>,
    /// Attempts that are over but for processes that are still there.
    stragglers: Stragglers,
    /// Groups that were still in use when they were to be removed.
    lingering: Vec<String>,
    /// Shims of attempts that are over, not yet waited for.
    unburied: Vec<i32>,
    /// Whether there may be attempts that have to be looked at from time to time.
    looking: bool,
}

/// Nobody receives events any more: the agent ends.
struct Unheard;

impl Watcher {
    pub(super) fn new(machine: Arc<Machine>, sink: EventSink) -> (Watcher, WatcherHandle) {
        let (sender, commands) = sync_channel(COMMANDS_QUEUED);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_flags(flags).expect("descriptors are free at start-up"));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("descriptors are free at start-up");
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE)).expect("both were just made");
        let handle = WatcherHandle { commands: Some(sender), wake: Arc::clone(&wake) };
        let watcher = Watcher {
            machine,
            sink,
            commands,
            wake,
            epoll,
            sources: HashMap::new(),
            next_token: WAKE + 1,
            attempts: HashMap::new(),
            stragglers: Stragglers::default(),
            lingering: Vec::new(),
            unburied: Vec::new(),
            looking: false,
        };
        (watcher, handle)
    }

    /// Watches until every handle is gone, or nobody receives the events.
    pub(super) fn run(mut self) {
        let mut ready = [EpollEvent::empty(); EVENTS_AT_ONCE];
        let mut look_at = Instant::now();
        loop {
            let timeout = if self.must_look() { LOOK_EVERY } else { Duration::from_secs(3600) };
            let timeout = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::NONE);
            let count = self.epoll.wait(&mut ready, timeout).unwrap_or(0);
            for event in &ready[..count] {
                let source = self.sources.get(&event.data()).copied();
                let result = match source {
                    Some(Source::Said(attempt)) => self.hear(event.data(), attempt),
                    Some(Source::Shim(attempt)) => self.bury(event.data(), attempt),
                    None => Ok(()),
                };
                if result.is_err() {
                    return;
                }
            }
            let _ = self.wake.read();
            loop {
                match self.commands.try_recv() {
                    Ok(command) => match self.obey(command) {
                        Ok(()) => {}
                        Err(Unheard) => return,
                    },
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if self.must_look() && Instant::now() >= look_at {
                look_at = Instant::now() + LOOK_EVERY;
                if self.look().is_err() {
                    return;
                }
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), Unheard> {
        match command {
            Command::Expect { attempt, name, dir, stopped } => {
                self.attempts.insert(attempt, Watched::new(name, dir, Stage::Queued { stopped }));
            }
            Command::Spawned { attempt, spawned: Spawned { pid, shim, said } } => {
                let heard =
                    self.watch(&said, Source::Said(attempt)) && self.watch(&shim, Source::Shim(attempt));
                self.looking |= !heard;
                if let Some(watched) = self.attempts.get_mut(&attempt) {
                    watched.child = Some(pid);
                    let supervised = Stage::Supervised { shim, said: Some(said) };
                    watched.stage = if heard { supervised } else { Stage::Unheard };
                }
            }
            Command::NotStarted { attempt, reason, leaves_group } => {
                let end = ending::not_started(reason);
                return match self.attempts.remove(&attempt).filter(|_| leaves_group) {
                    Some(watched) => self.finish(Straggler::new(attempt, watched.name, None, end)),
                    None => self.emit(Event::Ended { attempt, end }),
                };
            }
            Command::RefuseTwice { attempt } => {
                let reason = EndReason::StartFailed("it was started once already".into());
                return self.emit(Event::Ended { attempt, end: ending::not_started(reason) });
            }
            Command::Adopt { attempt, name, dir, started, shim } => {
                let heard = self.watch(&shim, Source::Shim(attempt));
                self.looking |= !heard;
                let supervised = Stage::Supervised { shim, said: None };
                let mut watched = Watched::new(name, dir, if heard { supervised } else { Stage::Unheard });
                watched.started = Some(started);
                self.attempts.insert(attempt, watched);
            }
            Command::AdoptUnheard { attempt, name, dir } => {
                self.looking = true;
                self.attempts.insert(attempt, Watched::new(name, dir, Stage::Unheard));
            }
            Command::Straggle(over) => return self.finish(*over),
            Command::Stop { attempt, grace } => {
                if let Some(watched) = self.attempts.get_mut(&attempt) {
                    watched.stop(grace);
                    self.looking = true;
                }
            }
            Command::Remove { name } => self.remove_group(name),
        }
        Ok(())
    }

    /// The shim said something, or hung up.
    fn hear(&mut self, token: u64, attempt: AttemptHandle) -> Result<(), Unheard> {
        // The descriptor closes with the pipe that `listen` takes, and leaves the epoll set with it.
        self.sources.remove(&token);
        let Some(watched) = self.attempts.get_mut(&attempt) else { return Ok(()) };
        match watched.listen() {
            Said::Started(at) if watched.started.is_none() => {
                watched.started = Some(at);
                watched.pass_stop_on();
                self.emit(Event::Started { attempt, at })
            }
            Said::Started(_) | Said::Nothing => Ok(()),
        }
    }

    /// The shim has ended.
    fn bury(&mut self, token: u64, attempt: AttemptHandle) -> Result<(), Unheard> {
        self.sources.remove(&token);
        self.end(attempt)
    }

    /// Reads the end of an attempt whose shim is gone, and tells it when nothing of it is left.
    fn end(&mut self, attempt: AttemptHandle) -> Result<(), Unheard> {
        let Some(mut watched) = self.attempts.remove(&attempt) else { return Ok(()) };
        // It has ended or is about to. Those that an earlier agent process spawned are not ours to wait for.
        self.unburied.extend(watched.child);
        self.bury_the_dead();
        let end = ending::recorded(&watched.dir).unwrap_or_else(|| {
            // The news of its death can come before its last word.
            let heard = match watched.listen() {
                Said::Started(at) => Some(at),
                Said::Nothing => None,
            };
            let (boot_id, said) = (&self.machine.boot_id, watched.failed.as_deref());
            lost::lost(&watched.dir, boot_id, said, watched.started.or(heard))
        });
        self.finish(Straggler::new(attempt, watched.name, watched.started, end))
    }

    /// Tells the end of an attempt, now or when nothing of it is left.
    fn finish(&mut self, over: Straggler) -> Result<(), Unheard> {
        match self.stragglers.admit(&self.machine, over) {
            Some(over) => self.tell_end(over),
            None => Ok(()),
        }
    }

    fn bury_the_dead(&mut self) {
        let nothing_yet = |pid: &i32| {
            matches!(waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
        };
        self.unburied.retain(nothing_yet);
    }

    fn tell_end(&mut self, over: Straggler) -> Result<(), Unheard> {
        let Straggler { attempt, name, told, end, .. } = over;
        self.remove_group(name);
        // A short task can end before its beginning was heard.
        if let (None, Some(at)) = (told, end.started) {
            self.emit(Event::Started { attempt, at })?;
        }
        self.emit(Event::Ended { attempt, end })
    }

    fn emit(&self, event: Event) -> Result<(), Unheard> {
        self.sink.send(event).map_err(|_| Unheard)
    }

    /// Waits for something to happen with a descriptor; false when that cannot be.
    fn watch(&mut self, fd: impl AsFd, source: Source) -> bool {
        let token = self.next_token;
        self.next_token += 1;
        // Fails only when the kernel has no memory, or the operator allows almost no epoll watches.
        match self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            Ok(()) => {
                self.sources.insert(token, source);
                true
            }
            Err(error) => {
                tracing::error!(%error, ?source, "a shim cannot be waited on; its directory is looked at instead");
                false
            }
        }
    }

    fn remove_group(&mut self, name: String) {
        let Some(cgroups) = self.machine.cgroups() else { return };
        match cgroups.remove(&name) {
            Ok(true) => {}
            Ok(false) => self.lingering.push(name),
            Err(error) => tracing::error!(name, %error, "a control group cannot be removed"),
        }
    }

    /// Whether anything has to be looked at from time to time.
    fn must_look(&self) -> bool {
        let idle = self.lingering.is_empty() && self.stragglers.is_empty() && self.unburied.is_empty();
        self.looking || !idle
    }

    /// Looks at what has no descriptor to wait on.
    fn look(&mut self) -> Result<(), Unheard> {
        for name in std::mem::take(&mut self.lingering) {
            self.remove_group(name);
        }
        self.bury_the_dead();
        let now = Instant::now();
        for over in self.stragglers.gone(&self.machine, now) {
            self.tell_end(over)?;
        }
        for watched in self.attempts.values_mut() {
            let groups = self.machine.cgroups().map(|cgroups| cgroups.groups(&watched.name));
            watched.force(groups, now);
        }
        let unheard: Vec<AttemptHandle> = self
            .attempts
            .iter()
            .filter(|(_, watched)| matches!(watched.stage, Stage::Unheard))
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in unheard {
            let Some(watched) = self.attempts.get_mut(&attempt) else { continue };
            match recovery::look(&watched.dir) {
                recovery::Sight::Unheard => watched.pass_stop_on(),
                recovery::Sight::Running { shim, started } => {
                    let told = watched.started.replace(started).is_some();
                    watched.pass_stop_on();
                    if self.watch(&shim, Source::Shim(attempt))
                        && let Some(watched) = self.attempts.get_mut(&attempt)
                    {
                        watched.stage = Stage::Supervised { shim, said: None };
                    }
                    if !told {
                        self.emit(Event::Started { attempt, at: started })?;
                    }
                }
                recovery::Sight::Recorded(_) | recovery::Sight::Gone | recovery::Sight::Nothing => {
                    self.end(attempt)?;
                }
            }
        }
        self.looking = self.attempts.values().any(Watched::needs_a_look);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
