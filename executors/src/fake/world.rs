//! The machine on which simulated work runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_core::id::AttemptHandle;
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_shim::clock;

use crate::executor::{End, Event, EventSink, Found, Launch, Program};

/// SIGTERM, by which stopped work ends.
const TERM: i32 = 15;

/// The machine on which simulated work runs. Clones are the same world.
// The lock stands for the kernel, which processes and agents share as well; it is held for a few map operations.
#[derive(Debug, Clone, Default)]
pub struct World {
    shared: Arc<(Mutex<Inner>, Condvar)>,
}

/// One life of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lived {
    /// The attempt.
    pub attempt: AttemptHandle,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Inner {
    /// `None` when time is the machine's.
    now: Option<Timestamp>,
    works: BTreeMap<AttemptHandle, Work>,
    /// What runs, by when it ends.
    ends: BTreeSet<(Timestamp, AttemptHandle)>,
    /// Every life, when asked for.
    history: Option<Vec<Lived>>,
    seats: u64,
    /// The executor that gets events, and whether a thread of its own brings them.
    seated: Option<Seated>,
    /// Events not handed out yet: at most two of each attempt.
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Seated {
    seat: u64,
    sink: EventSink,
    threaded: bool,
}

#[derive(Debug)]
struct Work {
    started: Timestamp,
    ends: Timestamp,
    exit_code: i32,
    output: String,
    end: Option<End>,
    /// The executor in the seat knows of it, so that it is told of the end.
    watched: bool,
}

impl World {
    /// An empty world whose time stands still until it is advanced, and which remembers every life for as long as it
    /// is there.
    pub fn simulated(now: Timestamp) -> World {
        let world = World::default();
        let mut inner = world.lock();
        inner.now = Some(now);
        inner.history = Some(Vec::new());
        drop(inner);
        world
    }

    /// An empty world with the machine's own time.
    pub fn real_time() -> World {
        World::default()
    }

    /// Lets time pass up to `now`: what is due by then ends at its own instant.
    pub fn advance(&self, now: Timestamp) {
        let mut inner = self.lock();
        if let Some(time) = &mut inner.now {
            *time = now.max(*time);
        }
        while let Some(&(ends, attempt)) = inner.ends.first().filter(|(ends, _)| *ends <= now) {
            let reason = match inner.works.get(&attempt).map_or(0, |work| work.exit_code) {
                0 => EndReason::Succeeded,
                code => EndReason::FailedExit(code),
            };
            inner.finish(attempt, reason, ends);
        }
        inner.flush();
    }

    /// When the next work ends by itself.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.lock().ends.first().map(|(ends, _)| *ends)
    }

    /// The machine loses power: what runs is gone without a trace. What had ended is still known.
    pub fn reboot(&self) {
        let mut inner = self.lock();
        let now = inner.time();
        for (_, attempt) in std::mem::take(&mut inner.ends) {
            inner.works.remove(&attempt);
            inner.remember_end(attempt, now);
        }
    }

    /// How often an attempt was started, while the world remembers lives.
    pub fn starts(&self, attempt: AttemptHandle) -> usize {
        self.lock().history.iter().flatten().filter(|lived| lived.attempt == attempt).count()
    }

    /// Every life so far in the order of starts, if the world remembers lives.
    pub fn history(&self) -> Vec<Lived> {
        self.lock().history.clone().unwrap_or_default()
    }

    /// What runs now.
    pub fn running(&self) -> Vec<AttemptHandle> {
        self.lock().ends.iter().map(|(_, attempt)| *attempt).collect()
    }

    pub(super) fn attach(&self, sink: EventSink, threaded: bool) -> u64 {
        let mut inner = self.lock();
        inner.leave();
        inner.seats += 1;
        let seat = inner.seats;
        inner.seated = Some(Seated { seat, sink, threaded });
        self.shared.1.notify_all();
        seat
    }

    pub(super) fn detach(&self, seat: u64) {
        let mut inner = self.lock();
        if inner.seated.as_ref().is_some_and(|seated| seated.seat == seat) {
            inner.leave();
            self.shared.1.notify_all();
        }
    }

    pub(super) fn start(&self, launch: &Launch) {
        let mut inner = self.lock();
        let attempt = launch.attempt;
        let now = inner.time();
        let refused = match &launch.program {
            Program::Fake { .. } if inner.works.contains_key(&attempt) => Some("it was started before"),
            Program::Fake { runs_for, exit_code, output } => {
                let ends = now + *runs_for;
                let (exit_code, output) = (*exit_code, output.clone());
                let work = Work { started: now, ends, exit_code, output, end: None, watched: true };
                inner.works.insert(attempt, work);
                inner.ends.insert((ends, attempt));
                if let Some(history) = &mut inner.history {
                    history.push(Lived { attempt, started: now, ended: None });
                }
                inner.events.push_back(Event::Started { attempt, at: now });
                None
            }
            Program::Exec { .. } | Program::Docker { .. } => {
                Some("the fake executor only runs simulated work")
            }
        };
        if let Some(cause) = refused {
            let end = end(EndReason::StartFailed(cause.into()), None, now, "");
            inner.events.push_back(Event::Ended { attempt, end });
        }
        self.hand_out(&mut inner);
    }

    pub(super) fn stop(&self, attempt: AttemptHandle) {
        let mut inner = self.lock();
        let now = inner.time();
        inner.finish(attempt, EndReason::FailedSignal(TERM), now);
        self.hand_out(&mut inner);
    }

    pub(super) fn remove(&self, attempt: AttemptHandle) {
        let mut inner = self.lock();
        if inner.works.get(&attempt).is_some_and(|work| work.end.is_some()) {
            inner.works.remove(&attempt);
        }
    }

    pub(super) fn take_up(&self, known: &[Launch]) -> Vec<Found> {
        let mut inner = self.lock();
        let mut found = Vec::new();
        for &Launch { attempt, .. } in known {
            let Some(work) = inner.works.get_mut(&attempt) else { continue };
            found.push(match &work.end {
                Some(end) => Found::Ended { attempt, end: end.clone() },
                None => {
                    work.watched = true;
                    Found::Running { attempt, started: work.started }
                }
            });
        }
        found
    }

    /// The events for the executor in that seat; `None` when it is there no more.
    pub(super) fn events(&self, seat: u64) -> Option<(EventSink, Vec<Event>)> {
        let mut inner = self.lock();
        let sink = inner.seated.as_ref().filter(|seated| seated.seat == seat)?.sink.clone();
        Some((sink, inner.events.drain(..).collect()))
    }

    /// Waits until there are events, the seat changes, or the time is up.
    pub(super) fn wait(&self, seat: u64, time: Duration) {
        let next = self.next_end();
        let inner = self.lock();
        let idle = |inner: &mut Inner| {
            let seated = inner.seated.as_ref().is_some_and(|seated| seated.seat == seat);
            seated && inner.events.is_empty() && inner.ends.first().map(|(ends, _)| *ends) == next
        };
        drop(self.shared.1.wait_timeout_while(inner, time, idle));
    }

    fn hand_out(&self, inner: &mut Inner) {
        inner.flush();
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn time(&self) -> Timestamp {
        self.now.unwrap_or_else(|| Timestamp(clock::wall_ms()))
    }

    /// Ends what runs; nothing when it does not run.
    fn finish(&mut self, attempt: AttemptHandle, reason: EndReason, at: Timestamp) {
        let Some(work) = self.works.get_mut(&attempt).filter(|work| work.end.is_none()) else { return };
        let output = if reason.is_success() { work.output.as_str() } else { "" };
        let end = end(reason, Some(work.started), at, output);
        work.end = Some(end.clone());
        self.ends.remove(&(work.ends, attempt));
        if work.watched {
            self.events.push_back(Event::Ended { attempt, end });
        }
        self.remember_end(attempt, at);
    }

    fn remember_end(&mut self, attempt: AttemptHandle, at: Timestamp) {
        let mut lives = self.history.iter_mut().flatten().rev();
        if let Some(lived) = lives.find(|lived| lived.attempt == attempt && lived.ended.is_none()) {
            lived.ended = Some(at);
        }
    }

    /// Gives events to an executor that has no thread for it, as far as there is room.
    fn flush(&mut self) {
        let Some(Seated { sink, threaded: false, .. }) = &self.seated else { return };
        while let Some(event) = self.events.pop_front() {
            if sink.try_send(event.clone()).is_err() {
                self.events.push_front(event);
                return;
            }
        }
    }

    /// Nobody watches any more.
    fn leave(&mut self) {
        self.seated = None;
        self.events.clear();
        for work in self.works.values_mut() {
            work.watched = false;
        }
    }
}

fn end(reason: EndReason, started: Option<Timestamp>, finished: Timestamp, output: &str) -> End {
    End { reason, started, finished, memory_peak: 0, cpu_ms: 0, output: output.as_bytes().to_vec() }
}
