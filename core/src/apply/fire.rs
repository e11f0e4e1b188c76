use super::Change;
use crate::command::{Fire, FireDecision};
use crate::event::Event;
use crate::id::JobHandle;
use crate::job_spec::Overlap;
use crate::model::{Cursor, Outcome, OutcomeKind, RunCause};
use crate::planted::{Bug, planted};
use crate::reason::SkipReason;
use crate::reply::Reply;

impl Change<'_> {
    /// Takes decisions about due instants, each a compare-and-set on its schedule's cursor: whatever was decided
    /// before is not decided again. What this entry has no room for stays due.
    pub(super) fn fire_all(&mut self, fires: Vec<Fire>) -> Reply {
        let mut refused = Vec::new();
        for (at, fire) in (0u32..).zip(fires) {
            if !self.fire(fire) {
                refused.push(at);
            }
        }
        Reply::Fired { refused }
    }

    fn fire(&mut self, fire: Fire) -> bool {
        let Some(cursor) = self.state.tables.jobs.get(fire.job).and_then(|job| job.cursor) else {
            return false;
        };
        let matches = cursor.generation == fire.generation && cursor.last == fire.expected;
        if !matches && !planted(Bug::FireWithoutCompare) {
            return false;
        }
        if self.budget == 0 {
            return false;
        }
        let (mut last, mut next) = (cursor.last, fire.next);
        for decision in fire.decisions {
            if decision.nominal <= last {
                continue;
            }
            // The clock may have been set back since it was found to be due.
            if decision.nominal > self.now || !self.spend() {
                next = Some(decision.nominal);
                break;
            }
            last = decision.nominal;
            let kind = self.decide(fire.job, cursor.generation, &decision);
            self.keep_outcome(fire.job, decision.nominal, Outcome { kind, count: decision.count });
            self.emit(Event::FireDecided { job: fire.job, nominal: decision.nominal });
        }
        self.set_cursor(fire.job, Some(Cursor { generation: cursor.generation, last, next }));
        true
    }

    fn decide(&mut self, job: JobHandle, generation: u64, decision: &FireDecision) -> OutcomeKind {
        if let Some(reason) = decision.skip {
            return OutcomeKind::Skipped(reason);
        }
        let schedule = &self.state.spec(self.state.job(job).spec).schedule;
        let overlap = schedule.as_ref().map_or(Overlap::Skip, |schedule| schedule.overlap);
        let busy = self.state.index.active_runs_of(job).next().is_some();
        match overlap {
            Overlap::Skip if busy => OutcomeKind::Skipped(SkipReason::Overlap),
            Overlap::Skip | Overlap::AllowAll if self.check_room_for_run().is_err() => {
                OutcomeKind::Skipped(SkipReason::Full)
            }
            Overlap::Skip | Overlap::AllowAll => {
                OutcomeKind::Run(self.start_run(job, RunCause::Schedule { generation }, decision.nominal))
            }
        }
    }
}
