//! Every due instant of a schedule is decided exactly once: none twice, none left out.

use std::collections::BTreeSet;

use berth_core::event::Event;
use berth_core::id::JobHandle;
use berth_core::model::{Cursor, OutcomeKind, RunCause};
use berth_core::state::State;
use berth_core::time::Timestamp;

/// What was decided so far.
#[derive(Debug, Default)]
pub(crate) struct Fires {
    decided: BTreeSet<(JobHandle, Timestamp)>,
    runs: BTreeSet<(JobHandle, Timestamp)>,
}

impl Fires {
    /// Looks at what one command decided.
    pub(crate) fn look(&mut self, before: &State, after: &State, events: &[Event]) -> Result<(), String> {
        let mut jobs = BTreeSet::new();
        for event in events {
            match *event {
                Event::FireDecided { job, nominal } => {
                    if nominal > after.time() {
                        return Err(format!("{job:?} decides {nominal:?} at {:?}", after.time()));
                    }
                    if !self.decided.insert((job, nominal)) {
                        return Err(format!("{job:?} decides {nominal:?} twice"));
                    }
                    jobs.insert(job);
                }
                // A schedule that ends leaves nothing undecided.
                Event::JobApplied { job, .. } | Event::JobStopped(job) => {
                    jobs.insert(job);
                }
                Event::RunCreated { run, .. } => self.one_run_an_instant(after, run)?,
                _ => {}
            }
        }
        for job in jobs {
            self.in_order(before, after, job)?;
        }
        Ok(())
    }

    fn one_run_an_instant(&mut self, after: &State, run: berth_core::id::RunHandle) -> Result<(), String> {
        let Some(run) = after.tables().runs.get(run) else { return Ok(()) };
        match run.cause {
            RunCause::Schedule { .. } if !self.runs.insert((run.job, run.nominal)) => {
                Err(format!("{:?} runs twice for {:?}", run.job, run.nominal))
            }
            RunCause::Schedule { .. } | RunCause::Manual(_) => Ok(()),
        }
    }

    /// What was decided about one schedule follows on what was decided before, instant after instant, to the end of the
    /// schedule.
    fn in_order(&self, before: &State, after: &State, handle: JobHandle) -> Result<(), String> {
        let Some(job) = before.tables().jobs.get(handle) else { return Ok(()) };
        let Some((schedule, was)) = before.spec(job.spec).schedule.as_ref().zip(job.cursor) else {
            return Ok(());
        };
        let when = schedule.when;
        let mut last = was.last;
        for (_, nominal) in self.decided.range((handle, Timestamp(was.last.0 + 1))..=(handle, Timestamp::FAR))
        {
            let outcome = after.tables().outcomes.get(&(handle, *nominal));
            let Some(outcome) = outcome else {
                return Err(format!("{handle:?} keeps no outcome of {nominal:?}"));
            };
            for _ in 0..outcome.count {
                let next = when.next_after(last);
                last =
                    next.ok_or_else(|| format!("{handle:?} decides {nominal:?}, past its last instant"))?;
            }
            if last != *nominal {
                return Err(format!(
                    "{handle:?} decides {nominal:?}; {last:?} was due ({:?})",
                    schedule.when
                ));
            }
            if let OutcomeKind::Run(id) = outcome.kind {
                let made = after.run_with_id(id).map(|run| after.run(run).nominal);
                if made.is_some_and(|nominal_of_run| nominal_of_run != *nominal) {
                    return Err(format!("the run {id} of {nominal:?} is of another instant"));
                }
            }
        }
        let follows = |is: Cursor| (is.last, is.next) == (last, when.next_after(last));
        let holds = match after.job(handle).cursor.filter(|is| is.generation == was.generation) {
            Some(is) => follows(is),
            None => when.next_after(last).is_none_or(|next| next > after.time()),
        };
        match holds {
            true => Ok(()),
            false => Err(format!("the cursor of {handle:?} does not follow on {last:?} ({when:?})")),
        }
    }
}
