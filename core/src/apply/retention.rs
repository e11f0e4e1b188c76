//! What is kept, how long and how much of it. All of it is removed by logged commands, so that members agree.

use super::Change;
use crate::event::Event;
use crate::id::{JobHandle, RequestId, RunHandle, RunId, StepHandle};
use crate::model::{Outcome, RunState, RunSummary, Timer};
use crate::time::{Millis, Timestamp};

/// How long an ended run keeps its steps and tasks.
pub(crate) const DETAILS_KEPT: Millis = Millis::from_secs(3600);
/// How long it keeps them when there are very many.
pub(crate) const DETAILS_KEPT_CROWDED: Millis = Millis::from_secs(60);
/// How long the summary of a run is kept.
pub(crate) const SUMMARY_KEPT: Millis = Millis::from_secs(30 * 24 * 3600);
/// How long the answer to a keyed request is kept.
pub(crate) const REQUEST_KEPT: Millis = Millis::from_secs(24 * 3600);

impl Change<'_> {
    /// Sees to it that an ended run is collapsed in time.
    pub(super) fn retain_run(&mut self, run: RunHandle) {
        let crowded = self.state.records_of_runs() > self.state.limits.records / 2;
        let kept = if crowded { DETAILS_KEPT_CROWDED } else { DETAILS_KEPT };
        self.arm(self.now + kept, Timer::Collapse(run));
    }

    /// Replaces a run's steps and tasks by a summary. The summary comes first; a long run's records go over several
    /// entries.
    pub(super) fn collapse_run(&mut self, handle: RunHandle) {
        let Some(run) = self.state.tables.runs.get(handle).cloned() else { return };
        let RunState::Ended { reason, at } = run.state.clone() else { return };
        if !run.collapsing {
            self.state.tables.runs.update(handle, |run| run.collapsing = true);
            self.state.index.runs.remove(&run.id);
            self.state.index.runs_of_job.remove(&(run.job, handle));
            let (mut tasks, mut succeeded) = (0u64, 0u64);
            for step in run.step_handles() {
                let step = self.state.step(step);
                tasks += u64::from(step.size);
                succeeded += u64::from(step.succeeded);
            }
            let summary = RunSummary {
                job: run.job,
                version: run.version,
                cause: run.cause,
                nominal: run.nominal,
                created: run.created,
                ended: at,
                reason,
                tasks,
                succeeded,
            };
            self.keep_summary(run.id, summary);
            self.emit(Event::RunCollapsed { run: handle, id: run.id });
        }
        for step in run.step_handles().collect::<Vec<_>>().into_iter().rev() {
            if !self.remove_step(handle, step) {
                self.arm(self.now, Timer::Collapse(handle));
                return;
            }
        }
        self.state.tables.runs.remove(handle);
        self.state.release_spec(run.spec);
    }

    /// Removes a step's tasks, attempts and outputs, the highest index first, then the step; false when this entry
    /// has no more room.
    fn remove_step(&mut self, run: RunHandle, handle: StepHandle) -> bool {
        while let Some(last) = self.state.step(handle).opened.checked_sub(1) {
            if !self.spend() {
                return false;
            }
            let task = self.state.step(handle).task(last);
            let record = self.state.tables.tasks.remove(task).expect("an opened index has a record");
            let mut attempt = Some(record.latest);
            while let Some(handle) = attempt {
                self.state.tables.usages.remove(&handle);
                attempt =
                    self.state.tables.attempts.remove(handle).and_then(|attempt| attempt.previous.get());
            }
            self.state.tables.outputs.remove(&task);
            self.state.tables.steps.update(handle, |step| step.opened = last);
        }
        self.state.tables.steps.remove(handle);
        self.state.tables.runs.update(run, |run| run.steps -= 1);
        true
    }

    fn keep_summary(&mut self, id: RunId, summary: RunSummary) {
        let (job, ended) = (summary.job, summary.ended);
        self.state.tables.summaries.insert(id, summary);
        self.state.index.summaries_of_job.insert((job, ended, id));
        self.state.index.summaries_by_end.insert((ended, id));
        self.arm(ended + SUMMARY_KEPT, Timer::ForgetRun(id));
        let surplus =
            self.state.index.summaries_of(job).count().saturating_sub(self.state.limits.summaries_of_job);
        let oldest: Vec<RunId> = self.state.index.summaries_of(job).take(surplus).collect();
        for id in oldest {
            self.forget_run(id);
        }
        if self.state.tables.summaries.len() > self.state.limits.summaries {
            let oldest = self.state.index.summaries_by_end.get_min().map(|(_, id)| *id);
            self.forget_run(oldest.expect("there are summaries"));
        }
    }

    /// Forgets the summary of a run.
    pub(super) fn forget_run(&mut self, id: RunId) {
        if let Some(summary) = self.state.tables.summaries.remove(&id) {
            self.state.index.summaries_of_job.remove(&(summary.job, summary.ended, id));
            self.state.index.summaries_by_end.remove(&(summary.ended, id));
            self.disarm(summary.ended + SUMMARY_KEPT, Timer::ForgetRun(id));
        }
    }

    /// Keeps what was decided about a due instant.
    pub(super) fn keep_outcome(&mut self, job: JobHandle, nominal: Timestamp, outcome: Outcome) {
        let outcomes = &mut self.state.tables.outcomes;
        let count = self.state.index.outcomes_of_job.entry(job).or_default();
        *count += usize::from(outcomes.insert((job, nominal), outcome).is_none());
        if *count > self.state.limits.outcomes_of_job {
            let of_job = (job, Timestamp(0))..=(job, Timestamp::FAR);
            let oldest = outcomes.range(of_job).next().map(|(key, _)| *key);
            outcomes.remove(&oldest.expect("there are outcomes"));
            *count -= 1;
        }
    }

    /// Sees to it that the answer to a request is forgotten in time, and the oldest when there are too many.
    pub(super) fn retain_request(&mut self, key: RequestId) {
        self.state.index.requests_by_age.insert((self.now, key));
        self.arm(self.now + REQUEST_KEPT, Timer::ForgetRequest(key));
        if self.state.tables.requests.len() > self.state.limits.requests {
            let oldest = self.state.index.requests_by_age.get_min().map(|(_, key)| *key);
            self.forget_request(oldest.expect("there are requests"));
        }
    }

    /// Forgets the answer to a request.
    pub(super) fn forget_request(&mut self, key: RequestId) {
        if let Some(record) = self.state.tables.requests.remove(&key) {
            self.state.index.requests_by_age.remove(&(record.at, key));
            self.disarm(record.at + REQUEST_KEPT, Timer::ForgetRequest(key));
        }
    }
}
