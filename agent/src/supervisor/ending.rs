//! Taking in what executors tell.

use berth_core::command::AttemptUpdate;
use berth_core::id::AttemptHandle;
use berth_core::model::Usage;
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_executors::executor::{End, Event};
use berth_proto::convert::report;

use super::{Output, Supervisor};
use crate::clock::{Boot, Now};
use crate::disk::Disk;
use crate::journal::{self, StopCause};

impl<D: Disk> Supervisor<D> {
    pub(super) fn executor(
        &mut self,
        event: Event,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), journal::Error> {
        match event {
            Event::Started { attempt, at } => self.runs(attempt, at, now.boot),
            Event::Ended { attempt, end } => self.ended(attempt, end, now, out),
        }
    }

    /// Its program runs, by the boot clock since `since`. Told once.
    pub(super) fn runs(
        &mut self,
        handle: AttemptHandle,
        at: Timestamp,
        since: Boot,
    ) -> Result<(), journal::Error> {
        let fresh = self.attempts.get(handle).filter(|a| a.is_live() && a.state.started.is_none());
        let Some(attempt) = fresh else { return Ok(()) };
        let (name, mut state) = (attempt.name.clone(), attempt.state);
        state.started = Some((at, since));
        self.journal.note_state(&name, &state)?;
        let wanted =
            self.attempts.update(handle, |attempt| attempt.state = state).is_some_and(|a| !a.unwanted);
        if wanted {
            self.reports.push(handle, AttemptUpdate::Started { at });
        }
        Ok(())
    }

    /// It is over. Told once; written down before it is reported.
    pub(super) fn ended(
        &mut self,
        handle: AttemptHandle,
        end: End,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), journal::Error> {
        let Some(attempt) = self.attempts.get(handle).filter(|attempt| attempt.is_live()) else {
            return Ok(());
        };
        let update = report::bounded(AttemptUpdate::Ended {
            reason: true_reason(attempt.state.stop, end.reason),
            started: end.started.or(attempt.state.started.map(|(at, _)| at)),
            at: end.finished,
            output: end.output,
            usage: Usage::new(end.memory_peak, end.cpu_ms),
        });
        let (name, unwanted) = (attempt.name.clone(), attempt.unwanted);
        self.journal.note_end(&name, handle, &update)?;
        self.attempts.update(handle, |attempt| attempt.end = Some(update.clone()));
        if unwanted {
            return self.forget(handle, now, out);
        }
        self.reports.push(handle, update);
        Ok(())
    }
}

/// Why an attempt ended, seen from here: one that was asked to stop by the agent itself ended for that reason, however
/// its program took it. Where the server asked, it knows the reason better.
fn true_reason(stop: Option<StopCause>, reason: EndReason) -> EndReason {
    match (stop, reason) {
        (_, reason @ (EndReason::StartFailed(_) | EndReason::NodeLost)) => reason,
        (None | Some(StopCause::Ordered), reason) => reason,
        (Some(StopCause::TimedOut), _) => EndReason::TimedOut,
        (Some(StopCause::Disconnected), _) => EndReason::NodeLost,
        (Some(StopCause::AgentEnds), EndReason::Succeeded) => EndReason::Succeeded,
        (Some(StopCause::AgentEnds), _) => EndReason::Preempted,
    }
}
