//! What the timer table asks for now: instants of schedules to be decided, and other timers to be advanced.
//! Pure: the leader calls it with its clock and proposes what it gives.
//!
//! ```text
//!   cursor.last                          now - EPSILON            now
//!       │ missed: one decision skips them all │ each runs           │
//!       └─────────────────────────────────────┴─────────────────────┘
//! ```
//! A schedule whose instants were all missed still runs its latest one.

#[cfg(test)]
mod tests;

use crate::command::{Fire, FireDecision, TRANSITIONS_MAX};
use crate::id::JobHandle;
use crate::job_spec::When;
use crate::model::{Cursor, Timer};
use crate::reason::SkipReason;
use crate::state::State;
use crate::time::{Millis, Timestamp};

/// An instant that is late by at most this always runs; it covers elections and restarts.
pub const EPSILON: Millis = Millis::from_secs(300);
/// The most decisions about one schedule in one command; the rest follows in the next.
pub const DECISIONS_MAX: usize = 100;

/// Decisions about the instants that are due at `now`, at most `max` of them (and never more than one command
/// carries). What is left over is due still after these are applied.
pub fn fires(state: &State, now: Timestamp, max: usize) -> Vec<Fire> {
    let mut left = max.min(TRANSITIONS_MAX);
    let mut fires = Vec::new();
    for job in jobs_due(state, now) {
        if left == 0 {
            break;
        }
        if let Some(fire) = fire(state, job, now, left.min(DECISIONS_MAX)) {
            left -= fire.decisions.len();
            fires.push(fire);
        }
    }
    fires
}

/// The instant of the first timer, fire or other.
pub fn next_instant(state: &State) -> Option<Timestamp> {
    state.tables().timers.iter().next().map(|((at, _), ())| *at)
}

/// True when a timer other than a fire is due: [`crate::command::Command::Advance`] has work to do.
pub fn advance_needed(state: &State, now: Timestamp) -> bool {
    timers_due(state, now).any(|timer| !matches!(timer, Timer::Fire(_)))
}

fn jobs_due(state: &State, now: Timestamp) -> impl Iterator<Item = JobHandle> + '_ {
    timers_due(state, now).filter_map(|timer| match timer {
        Timer::Fire(job) => Some(job),
        Timer::Retry(_)
        | Timer::Cancel(_)
        | Timer::Evacuate(_)
        | Timer::DrainDeadline(_)
        | Timer::StopJob(_)
        | Timer::Collapse(_)
        | Timer::ForgetRun(_)
        | Timer::ForgetRequest(_) => None,
    })
}

fn timers_due(state: &State, now: Timestamp) -> impl Iterator<Item = Timer> + '_ {
    state.tables().timers.iter().take_while(move |((at, _), ())| *at <= now).map(|((_, timer), ())| *timer)
}

fn fire(state: &State, handle: JobHandle, now: Timestamp, max: usize) -> Option<Fire> {
    let job = state.tables().jobs.get(handle)?;
    let cursor = job.cursor.filter(|_| job.enabled)?;
    let when = state.spec(job.spec).schedule.as_ref()?.when;
    let decisions = decisions(when, cursor, now, max);
    let next = when.next_after(decisions.last()?.nominal);
    Some(Fire { job: handle, generation: cursor.generation, expected: cursor.last, decisions, next })
}

/// Decides the first instants in `(cursor.last, now]`; not more than `max` decisions.
fn decisions(when: When, cursor: Cursor, now: Timestamp, max: usize) -> Vec<FireDecision> {
    let run = |nominal| FireDecision { nominal, skip: None, count: 1 };
    let period = match when {
        When::At(instant) => {
            let due = cursor.last < instant && instant <= now;
            return due.then(|| run(instant)).into_iter().take(max).collect();
        }
        When::Every(period) => period.0,
    };
    let (Some(decided), Some(due)) = (cursor.last.0.checked_div(period), now.0.checked_div(period)) else {
        return Vec::new();
    };
    // Instants are counted in periods since the epoch: those in (decided, due] are to be decided, and of
    // them those up to `missed` are skipped. The latest runs however late it is.
    let first_in_time = (now - EPSILON).0.div_ceil(period);
    let missed = first_in_time.min(due).saturating_sub(1).max(decided);
    let skipped = (missed > decided).then(|| FireDecision {
        nominal: Timestamp(missed * period),
        skip: Some(SkipReason::CatchUp),
        count: u32::try_from(missed - decided).unwrap_or(u32::MAX),
    });
    skipped.into_iter().chain((missed + 1..=due).map(|k| run(Timestamp(k * period)))).take(max).collect()
}
