//! What readers see: after every applied batch an immutable view of the state and of the latest events.

use std::collections::VecDeque;
use std::sync::Arc;

use arc_swap::ArcSwap;
use berth_core::event::{Event, EventId};
use berth_core::id::EntryId;
use berth_core::reply::Applied;
use berth_core::state::State;
use berth_core::time::Timestamp;
use imbl::Vector;
use tokio::sync::watch;

use crate::machine::Machine;
use crate::raft::machine::Observer;
use crate::raft::metrics::Histogram;

/// The events of the past that can still be read. A watch that is further behind gets a gap and the full state.
const EVENTS_KEPT: usize = 1 << 16;

/// The state after some entry, with the events that led there. A clone is cheap and never changes.
#[derive(Debug, Clone)]
pub struct View {
    /// The state.
    pub state: State,
    /// The last entry that is in it.
    pub applied: EntryId,
    /// The latest events, oldest first.
    pub events: Vector<Past>,
    /// The latest index at which the state's hash was kept, and the hash.
    pub checkpoint: Option<(u64, u128)>,
    /// All hashes that are kept, with their indexes in order.
    pub hashes: Arc<VecDeque<(u64, u128)>>,
    /// Events up to this one are no longer here.
    horizon: EventId,
}

/// An event that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Its place in the history of the cluster.
    pub id: EventId,
    /// State time when it happened.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The events after some event are no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap;

impl View {
    /// The view of a machine that nothing was applied to since it was made or restored.
    pub fn of(machine: &Machine, applied: EntryId) -> View {
        View {
            state: machine.state().clone(),
            applied,
            events: Vector::new(),
            checkpoint: machine.checkpoint(),
            hashes: machine.hashes(),
            horizon: EventId { index: applied.index, ordinal: u32::MAX },
        }
    }

    /// The events after `last`, oldest first.
    ///
    /// # Errors
    /// When some of them are no longer known, or `last` is of another history: nothing of that index happened here.
    pub fn events_after(&self, last: EventId) -> Result<impl Iterator<Item = &Past>, Gap> {
        if last < self.horizon || last.index > self.applied.index {
            return Err(Gap);
        }
        let first = self.events.binary_search_by(|past| past.id.cmp(&last)).map_or_else(|at| at, |at| at + 1);
        Ok(self.events.iter().skip(first))
    }

    /// The id after which nothing has happened yet.
    pub fn last_event(&self) -> EventId {
        self.events.last().map_or(self.horizon, |past| past.id.max(self.horizon))
    }

    /// Takes in what was applied.
    pub fn extend(&mut self, machine: &Machine, applied: EntryId, outcomes: &[(EntryId, Arc<Applied>)]) {
        self.state = machine.state().clone();
        self.applied = applied;
        self.checkpoint = machine.checkpoint();
        self.hashes = machine.hashes();
        for (entry, outcome) in outcomes {
            for (ordinal, event) in (0u32..).zip(&outcome.events) {
                let id = EventId { index: entry.index, ordinal };
                self.events.push_back(Past { id, time: outcome.at, event: *event });
            }
        }
        if self.events.len() > EVENTS_KEPT {
            let surplus = self.events.len() - EVENTS_KEPT;
            self.horizon = self.events[surplus - 1].id;
            self.events = self.events.split_off(surplus);
        }
    }
}

/// Where the latest view is found. Cheap to clone; reading never waits.
#[derive(Debug, Clone)]
pub struct Views {
    latest: Arc<ArcSwap<View>>,
    applied: watch::Receiver<EntryId>,
}

impl Views {
    /// The latest view.
    pub fn latest(&self) -> Arc<View> {
        self.latest.load_full()
    }

    /// Waits until a view with this log index is published, and gives it. `None` when the server stops first.
    pub async fn at_least(&mut self, index: u64) -> Option<Arc<View>> {
        self.applied.wait_for(|applied| applied.index >= index).await.ok()?;
        Some(self.latest())
    }

    /// Waits until there is a view later than the one last seen here. `None` when the server stops first.
    pub async fn changed(&mut self) -> Option<Arc<View>> {
        self.applied.changed().await.ok()?;
        Some(self.latest())
    }
}

/// Publishes views from the thread that applies.
#[derive(Debug)]
pub struct Publisher {
    view: View,
    latest: Arc<ArcSwap<View>>,
    applied: watch::Sender<EntryId>,
    lag: Arc<Histogram>,
}

impl Publisher {
    /// A publisher, and where its views are found.
    pub fn new() -> (Publisher, Views) {
        let view = View::of(&Machine::new(), EntryId::default());
        let latest = Arc::new(ArcSwap::from_pointee(view.clone()));
        let (sender, receiver) = watch::channel(EntryId::default());
        let views = Views { latest: Arc::clone(&latest), applied: receiver };
        let lag = Arc::new(Histogram::default());
        (Publisher { view, latest, applied: sender, lag }, views)
    }

    /// How long runs have waited for the first placement of a task that waits for no other.
    pub fn lag(&self) -> Arc<Histogram> {
        Arc::clone(&self.lag)
    }

    /// Takes note of how long the runs of new attempts have waited, where nothing else of the run came before.
    fn measure(&self, outcomes: &[(EntryId, Arc<Applied>)]) {
        let state = &self.view.state;
        for event in outcomes.iter().flat_map(|(_, outcome)| &outcome.events) {
            let Event::AttemptPlaced { attempt, .. } = event else { continue };
            // A later entry of the batch may have removed it.
            let Some(attempt) = state.tables().attempts.get(*attempt) else { continue };
            let Some(task) = state.tables().tasks.get(attempt.task) else { continue };
            let step = state.step(task.step);
            if attempt.number == 1 && state.task_spec(step).after.is_empty() {
                let waited = attempt.placed.since(state.run(step.run).created);
                self.lag.observe(waited.into());
            }
        }
    }

    fn publish(&self, applied: EntryId) {
        self.latest.store(Arc::new(self.view.clone()));
        self.applied.send_replace(applied);
    }
}

impl Observer<Machine> for Publisher {
    fn on_batch(&mut self, machine: &Machine, applied: EntryId, outcomes: &[(EntryId, Arc<Applied>)]) {
        self.view.extend(machine, applied, outcomes);
        self.measure(outcomes);
        self.publish(applied);
    }

    fn on_restored(&mut self, machine: &Machine, applied: EntryId) {
        self.view = View::of(machine, applied);
        self.publish(applied);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(index: u64, events: usize) -> (EntryId, Arc<Applied>) {
        let event = Event::NodeLost(berth_core::id::NodeHandle(0));
        let applied = Applied {
            reply: berth_core::reply::Reply::Done,
            events: vec![event; events],
            at: Timestamp(index),
        };
        (EntryId { term: 1, index }, Arc::new(applied))
    }

    #[test]
    fn a_watch_goes_on_behind_the_event_it_saw_last() {
        let machine = Machine::new();
        let mut view = View::of(&machine, EntryId::default());
        let start = view.last_event();
        view.extend(&machine, EntryId { term: 1, index: 2 }, &[outcome(1, 2), outcome(2, 1)]);
        let ids: Vec<_> =
            view.events_after(start).unwrap().map(|past| (past.id.index, past.id.ordinal)).collect();
        assert_eq!(ids, [(1, 0), (1, 1), (2, 0)]);
        let last = EventId { index: 1, ordinal: 1 };
        assert_eq!(view.events_after(last).unwrap().count(), 1);
        assert_eq!(view.events_after(view.last_event()).unwrap().count(), 0);
    }

    #[test]
    fn an_event_has_the_time_of_its_entry_and_not_of_the_batch_it_came_in() {
        let machine = Machine::new();
        let mut view = View::of(&machine, EntryId::default());
        view.extend(&machine, EntryId { term: 1, index: 2 }, &[outcome(1, 1), outcome(2, 1)]);
        let times: Vec<Timestamp> = view.events.iter().map(|past| past.time).collect();
        assert_eq!(times, [Timestamp(1), Timestamp(2)]);
    }

    #[test]
    fn a_watch_that_is_too_far_behind_is_told_so() {
        let machine = Machine::new();
        let mut view = View::of(&machine, EntryId::default());
        for index in 1..=20 {
            view.extend(&machine, EntryId { term: 1, index }, &[outcome(index, 4096)]);
        }
        assert_eq!(view.events.len(), EVENTS_KEPT);
        assert!(view.events_after(EventId { index: 4, ordinal: 4094 }).is_err());
        assert_eq!(view.events_after(EventId { index: 4, ordinal: 4095 }).unwrap().count(), EVENTS_KEPT);
    }
}
