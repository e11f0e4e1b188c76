//! What every member applied, and the rules that hold at every index.

use std::collections::BTreeMap;

use berth_core::command::Command;
use berth_core::event::Event;
use berth_core::id::EntryId;
use berth_core::invariants;
use berth_core::reply::{Applied, Refusal, Reply};
use berth_core::state::State;
use berth_core::time::{Millis, Timestamp};
use berth_proto::convert::envelope;

use super::counts::Counts;
use super::fires::Fires;
use super::simulation::EPOCH;

/// Every step from one state to the next is checked; the whole state, which takes as long as it is large, at every
/// so-manieth index. What is wrong with a state stays wrong, so it is found a few entries later.
const CHECK_EVERY: u64 = 16;

/// State time may be ahead of the true one by what one clock may be ahead of the others, which may be wrong by their
/// skew, and by half the round trip in which they were compared.
const AHEAD_MAX: Millis = Millis(6_000);

/// An entry as the first member applied it.
#[derive(Debug, Clone, Copy)]
struct Record {
    term: u64,
    data: u64,
    state: u128,
}

/// The one history that all members share.
#[derive(Debug)]
pub(crate) struct Ledger {
    records: BTreeMap<u64, Record>,
    /// The state after the last entry that any member applied.
    latest: State,
    leaders: BTreeMap<u64, u64>,
    fires: Fires,
    counts: Counts,
    violation: Option<String>,
    /// Simulated milliseconds.
    now: u64,
    /// What happened, for people; only when asked for.
    story: Option<Vec<String>>,
}

impl Ledger {
    pub(crate) fn new(tells_story: bool) -> Ledger {
        Ledger {
            records: BTreeMap::new(),
            latest: State::new(),
            leaders: BTreeMap::new(),
            fires: Fires::default(),
            counts: Counts::default(),
            violation: None,
            now: 0,
            story: tells_story.then(Vec::new),
        }
    }

    pub(crate) fn now_is(&mut self, now: u64) {
        self.now = now;
    }

    /// Adds to the story.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>7} {}", self.now, what()));
        }
    }

    pub(crate) fn take_story(&mut self) -> Vec<String> {
        self.story.take().unwrap_or_default()
    }

    pub(crate) fn latest(&self) -> &State {
        &self.latest
    }

    /// The last index that any member applied.
    pub(crate) fn last(&self) -> u64 {
        self.records.keys().next_back().copied().unwrap_or(0)
    }

    pub(crate) fn knows(&self, index: u64) -> bool {
        self.records.contains_key(&index)
    }

    /// What happened in the log.
    pub(crate) fn counts(&self) -> Counts {
        let leaders = u64::try_from(self.leaders.len()).expect("a count fits 64 bits");
        Counts { leader_changes: leaders.saturating_sub(1), ..self.counts }
    }

    pub(crate) fn take_violation(&mut self) -> Option<String> {
        self.violation.take()
    }

    /// An entry that no member had applied before.
    pub(crate) fn first_applied(
        &mut self,
        entry: EntryId,
        data: &[u8],
        before: &State,
        after: &State,
        applied: &Applied,
    ) {
        self.keep(entry, data, after);
        self.counts.entries += 1;
        self.tell(|| {
            let command = envelope::decode(data).map(|envelope| envelope.command);
            format!("log {} {}: {command:?} -> {applied:?}", entry.term, entry.index)
        });
        for event in &applied.events {
            self.count(event);
        }
        if let Reply::Refused(refusal) = &applied.reply {
            self.count_refusal(data, refusal);
        }
        let whole = entry.index.is_multiple_of(CHECK_EVERY);
        let broken = invariants::check_step(before, after)
            .and_then(|()| if whole { invariants::check(after) } else { Ok(()) });
        let time = self.time_is_not_ahead(after);
        let fires = time.and_then(|()| self.fires.look(before, after, &applied.events));
        if let Some(what) = broken.err().map(|broken| broken.to_string()).or(fires.err()) {
            self.violate(format!("at log index {}: {what}", entry.index));
        }
        self.latest = after.clone();
    }

    /// Whatever the servers' clocks show, state time is not carried into the future, so that nothing fires early.
    fn time_is_not_ahead(&self, after: &State) -> Result<(), String> {
        let (most, is) = (Timestamp(EPOCH + self.now) + AHEAD_MAX, after.time());
        match is <= most {
            true => Ok(()),
            false => Err(format!("state time is ahead by {}", is.since(most - AHEAD_MAX))),
        }
    }

    /// The first entry of a term, which no member had applied before.
    pub(crate) fn first_term_start(&mut self, entry: EntryId, state: &State) {
        self.keep(entry, &[], state);
    }

    fn keep(&mut self, entry: EntryId, data: &[u8], after: &State) {
        let record = Record { term: entry.term, data: hash(data), state: after.hash() };
        self.records.insert(entry.index, record);
    }

    /// An entry that another member, or an earlier life of this one, had applied.
    pub(crate) fn compare(&mut self, entry: EntryId, data: &[u8], after: &State) {
        let Some(known) = self.records.get(&entry.index).copied() else { return };
        if (known.term, known.data) != (entry.term, hash(data)) {
            self.violate(format!("log index {} holds another entry on another member", entry.index));
        }
        if known.state != after.hash() {
            self.violate(format!("members differ in their state after log index {}", entry.index));
        }
    }

    /// A state that was rebuilt from a snapshot.
    pub(crate) fn restored(&mut self, applied: EntryId, state: &State) {
        // Changes of the membership are no entries of the state machine; the state before them is the same.
        let Some((_, known)) = self.records.range(..=applied.index).next_back() else { return };
        if known.state != state.hash() {
            self.violate(format!("the snapshot of log index {} restores to another state", applied.index));
        }
    }

    /// A member leads.
    pub(crate) fn leads(&mut self, term: u64, member: u64) {
        let known = *self.leaders.entry(term).or_insert(member);
        if known != member {
            self.violate(format!("two members lead in term {term}: {known} and {member}"));
        }
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    fn count_refusal(&mut self, data: &[u8], refusal: &Refusal) {
        let count = match refusal {
            Refusal::StaleEpoch => &mut self.counts.fenced_reports,
            Refusal::ReportMissing { .. } => &mut self.counts.missing_reports,
            _ => return,
        };
        let command = envelope::decode(data).map(|envelope| envelope.command);
        *count += u64::from(matches!(command, Ok(Command::Report(_))));
    }

    fn count(&mut self, event: &Event) {
        let counts = &mut self.counts;
        match event {
            Event::NodeLost(_) => counts.lost_nodes += 1,
            Event::TaskBackoff { .. } => counts.retries += 1,
            Event::RunCreated { .. } => counts.runs += 1,
            Event::FireDecided { .. } => counts.fires += 1,
            Event::AttemptPlaced { .. } => counts.attempts += 1,
            Event::TenantApplied(_)
            | Event::JobApplied { .. }
            | Event::JobStopped(_)
            | Event::RunCancelling(_)
            | Event::RunEnded { .. }
            | Event::StepOpened(_)
            | Event::StepEnded(_)
            | Event::TaskReady(_)
            | Event::TaskEnded(_)
            | Event::AttemptStarted { .. }
            | Event::AttemptStopping { .. }
            | Event::AttemptEnded { .. }
            | Event::NodeRegistered { .. }
            | Event::NodeDrain(_)
            | Event::NodeRemoved(_)
            | Event::RunCollapsed { .. } => {}
        }
    }
}

/// FNV-1a, 64 bits.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
