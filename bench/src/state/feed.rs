use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_core::command::{Command, Envelope, FORMAT, Origin};
use berth_core::event::Event;
use berth_core::id::{EntryId, RequestId};
use berth_core::reply::{Applied, Reply};
use berth_core::state::State;
use berth_core::time::Timestamp;
use berth_proto::convert::envelope;
use berth_scheduler::machine::Machine;
use berth_scheduler::publish::{Publisher, Views};
use berth_scheduler::raft::machine::{Observer, StateMachine};

use super::resident;
use crate::distribution::{Distribution, millis};

/// Commands that are applied before a view is published.
pub(super) const BATCH: usize = 64;

/// The production machine and what feeds it: encoded commands go in, as the log would give them.
pub(super) struct Feed {
    machine: Machine,
    publisher: Publisher,
    /// Kept, so that the view that readers see is alive as it is in a server.
    _views: Views,
    index: u64,
    now: Timestamp,
}

/// What was applied, and how fast.
#[derive(Debug, Default)]
pub(super) struct Measured {
    commands: usize,
    transitions: u64,
    bytes: usize,
    busy: Duration,
    core_nanos: u64,
    spans: Vec<Duration>,
}

impl Feed {
    pub(super) fn new() -> Feed {
        let (publisher, views) = Publisher::new();
        Feed {
            machine: Machine::new(),
            publisher,
            _views: views,
            index: 0,
            now: Timestamp(1_700_000_000_000),
        }
    }

    pub(super) fn state(&self) -> &State {
        self.machine.state()
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(super) fn applied(&self) -> EntryId {
        EntryId { term: 1, index: self.index }
    }

    /// Lets time pass up to an instant.
    pub(super) fn pass(&mut self, until: Timestamp) {
        self.now = self.now.max(until);
    }

    /// Applies commands in batches, each with the next millisecond. Only decoding, applying and publishing are
    /// measured. Gives all events.
    pub(super) fn apply(
        &mut self,
        commands: &[(Option<RequestId>, Command)],
        measured: &mut Measured,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for batch in commands.chunks(BATCH) {
            let entries: Vec<Vec<u8>> =
                batch.iter().map(|(key, command)| self.encode(*key, command)).collect();
            let outcomes = self.apply_batch(&entries, measured);
            for (_, applied) in outcomes {
                let done = match &applied.reply {
                    Reply::Placed { refused } => refused.is_empty(),
                    Reply::Refused(_) => false,
                    _ => true,
                };
                assert!(done, "{:?}", applied.reply);
                events.extend_from_slice(&applied.events);
            }
        }
        measured.commands += commands.len();
        measured.transitions += events.iter().filter(|event| is_transition(event)).count() as u64;
        events
    }

    fn apply_batch(&mut self, entries: &[Vec<u8>], measured: &mut Measured) -> Vec<(EntryId, Arc<Applied>)> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let core = resident::core_nanos();
        let began = Instant::now();
        let mut last = began;
        for (at, entry) in entries.iter().enumerate() {
            self.index += 1;
            let id = EntryId { term: 1, index: self.index };
            outcomes.push((id, self.machine.apply(id, entry)));
            // Whoever proposed the last command of a batch also waits for the view.
            if at + 1 == entries.len() {
                self.publisher.on_batch(&self.machine, id, &outcomes);
            }
            let now = Instant::now();
            measured.spans.push(now - last);
            last = now;
        }
        measured.busy += last - began;
        measured.core_nanos += resident::core_nanos() - core;
        measured.bytes += entries.iter().map(Vec::len).sum::<usize>();
        outcomes
    }

    fn encode(&mut self, request: Option<RequestId>, command: &Command) -> Vec<u8> {
        self.now = Timestamp(self.now.0 + 1);
        let (actor, origin) = match command {
            Command::Report(_) | Command::RegisterNode(_) => ("agent", Origin::Agent),
            Command::Place(_) | Command::Advance => ("leader", Origin::Leader),
            _ => ("ann", Origin::Client),
        };
        envelope::encode(&Envelope {
            format: FORMAT,
            feature_level: 1,
            cluster_epoch: 1,
            term: 1,
            time: self.now,
            request,
            actor: actor.to_owned(),
            origin,
            command: command.clone(),
        })
    }
}

/// A task was placed, began to run, ended, or may be placed again.
fn is_transition(event: &Event) -> bool {
    matches!(
        event,
        Event::AttemptPlaced { .. }
            | Event::AttemptStarted { .. }
            | Event::TaskBackoff { .. }
            | Event::TaskReady(_)
            | Event::TaskEnded(_)
    )
}

impl Measured {
    pub(super) fn commands(&self) -> usize {
        self.commands
    }

    /// Transitions a second.
    pub(super) fn rate(&self) -> f64 {
        self.transitions as f64 / self.busy.as_secs_f64()
    }

    /// The same without the time that other processes had the core.
    pub(super) fn rate_of_core(&self) -> f64 {
        self.transitions as f64 / (self.core_nanos as f64 / 1e9)
    }

    pub(super) fn latencies(&self) -> Distribution {
        Distribution::of(self.spans.clone())
    }

    /// The p99.9, in milliseconds.
    pub(super) fn slowest_thousandth(&self) -> f64 {
        millis(self.latencies().per_mille(999))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a_second = self.commands as f64 / self.busy.as_secs_f64();
        let bytes = self.bytes / self.commands.max(1);
        write!(
            f,
            "{} of {bytes} B, {} transitions in {:.2} s: {a_second:.0} commands/s, {:.0} transitions/s",
            self.commands,
            self.transitions,
            self.busy.as_secs_f64(),
            self.rate(),
        )
    }
}
