use super::Change;
use crate::event::Event;
use crate::id::{JobHandle, RunHandle, RunId, StepHandle, TaskHandle};
use crate::model::{Files, Run, RunCause, RunState, Step, StepState, TaskState, Timer};
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};
use crate::state::State;
use crate::time::Timestamp;
use crate::transition::Phased;

impl Change<'_> {
    pub(super) fn check_room_for_run(&self) -> Result<(), Refusal> {
        let limits = self.state.limits;
        let full = |what: &str, limit: usize| Err(Refusal::Full { what: what.into(), limit: limit as u64 });
        if self.state.index.active_runs.len() >= limits.active_runs {
            return full("active runs of a cluster", limits.active_runs);
        }
        if self.state.records_of_runs() >= limits.records {
            return full("steps, tasks and attempts of a cluster", limits.records);
        }
        Ok(())
    }

    /// Makes a run of a job's current version. A run that exists already, or did, is not made again.
    pub(super) fn start_run(&mut self, job: JobHandle, cause: RunCause, nominal: Timestamp) -> RunId {
        let id = run_id(self.state, job, cause, nominal);
        if self.state.run_with_id(id).is_some() || self.state.tables.summaries.get(&id).is_some() {
            return id;
        }
        let record = self.state.job(job);
        let (spec, version) = (record.spec, record.version);
        self.state.retain_spec(spec);
        let tasks = std::sync::Arc::clone(self.state.spec(spec));
        let steps = u16::try_from(tasks.tasks.len()).expect("a spec has at most 5,000 tasks");

        self.spend_all(usize::from(steps));
        let next = &mut self.state.tables.header.next;
        let (handle, first_step) = (RunHandle(next.run), StepHandle(next.step));
        next.run += 1;
        next.step += u64::from(steps);
        let run = Run {
            id,
            job,
            spec,
            version,
            cause,
            nominal,
            created: self.now,
            first_step,
            steps,
            steps_open: steps,
            state: RunState::Active,
            collapsing: false,
            files: None,
            output_bytes: 0,
        };
        self.state.index.add_run(handle, &run);
        self.state.index.active_runs.insert((job, handle));
        self.state.tables.runs.insert(handle, run);
        self.emit(Event::RunCreated { run: handle, id });
        for (place, task) in (0u16..).zip(&tasks.tasks) {
            let step = Step {
                run: handle,
                place,
                state: StepState::Waiting,
                waits_for: u16::try_from(task.after.len()).expect("a spec has at most 5,000 tasks"),
                size: 0,
                first_task: TaskHandle(0),
                opened: 0,
                live: 0,
                backoff: 0,
                succeeded: 0,
                failed: 0,
                first_failure: None,
            };
            self.state.tables.steps.insert(StepHandle(first_step.0 + u64::from(place)), step);
        }
        for (place, task) in (0u64..).zip(&tasks.tasks).collect::<Vec<_>>().into_iter().rev() {
            if task.after.is_empty() {
                self.to_open.push(StepHandle(first_step.0 + place));
            }
        }
        id
    }

    pub(super) fn cancel_run_with_id(&mut self, id: RunId) -> Result<Reply, Refusal> {
        match self.state.run_with_id(id) {
            Some(run) => self.cancel_run(run, &self.actor.clone()),
            None if self.state.tables.summaries.get(&id).is_some() => {}
            None => return Err(Refusal::UnknownRun(id)),
        }
        Ok(Reply::Done)
    }

    /// Ends a run for the one named: what waits ends now, what runs is asked to stop. A run that ends already is left
    /// alone.
    pub(super) fn cancel_run(&mut self, handle: RunHandle, by: &str) {
        if self.state.run(handle).state != RunState::Active {
            return;
        }
        let by = by.to_owned();
        self.state.tables.runs.update(handle, |run| run.state.become_(RunState::Cancelling { by }));
        self.emit(Event::RunCancelling(handle));
        for step in self.state.run(handle).step_handles() {
            self.state.index.requeue(&self.state.tables, step);
        }
        self.sweep_cancelled(handle);
    }

    /// Ends what still waits in a cancelled run and stops what runs, as far as this entry has room.
    pub(super) fn sweep_cancelled(&mut self, handle: RunHandle) {
        let RunState::Cancelling { by } = self.state.run(handle).state.clone() else { return };
        let reason = EndReason::Cancelled(by.into());
        // Later steps first: what never began says that it was cancelled, not that it was let down.
        for step in self.state.run(handle).step_handles().rev() {
            if !self.sweep_step(step, &reason) {
                self.arm(self.now, Timer::Cancel(handle));
                return;
            }
        }
    }

    /// True when nothing of the step is left that could be ended or stopped now.
    fn sweep_step(&mut self, handle: StepHandle, reason: &EndReason) -> bool {
        // The run's record may be gone with its last step; a step is looked at only while it is there.
        let Some(step) = self.state.tables.steps.get(handle).cloned() else { return true };
        match step.state {
            StepState::Succeeded | StepState::Failed => return true,
            StepState::Waiting => {
                self.fail_waiting_step(handle, reason.clone());
                return self.spend();
            }
            StepState::Open => {}
        }
        // One by one: what is left for the next entry is not looked at in this one.
        let mut from = step.task(0);
        while let Some(task) = self.state.index.next_open_task(&step, from) {
            from = TaskHandle(task.0 + 1);
            match self.state.task(task).state {
                TaskState::Ready | TaskState::Backoff { .. } => {
                    if !self.spend() {
                        return false;
                    }
                    self.end_task(task, reason.clone());
                }
                TaskState::Live => {
                    let attempt = self.state.task(task).latest;
                    if self.may_stop(attempt) {
                        if !self.spend() {
                            return false;
                        }
                        self.stop_attempt(attempt, reason.clone());
                    }
                }
                TaskState::Ended(_) => {}
            }
        }
        self.fail_unopened(handle, reason);
        true
    }

    /// Ends a run whose steps have all ended.
    pub(super) fn end_run(&mut self, handle: RunHandle) {
        let run = self.state.run(handle);
        let (job, id, files) = (run.job, run.id, run.files.clone());
        let failure = run.step_handles().find_map(|step| self.state.step(step).first_failure.clone());
        let reason = match (failure, &run.state) {
            (None, _) => EndReason::Succeeded,
            (Some(_), RunState::Cancelling { by }) => EndReason::Cancelled(by.clone().into()),
            (Some(failure), RunState::Active | RunState::Ended { .. }) => failure,
        };
        let at = self.now;
        self.state.tables.runs.update(handle, |run| run.state.become_(RunState::Ended { reason, at }));
        self.state.index.active_runs.remove(&(job, handle));
        if let Some(Files::Node(node)) = files {
            self.state.index.runs_on_node.remove(&(node, handle));
        }
        self.emit(Event::RunEnded { run: handle, id });
        self.retain_run(handle);
    }
}

/// The id of a run, derived from what it is a run of.
fn run_id(state: &State, job: JobHandle, cause: RunCause, nominal: Timestamp) -> RunId {
    let record = state.job(job);
    let mut hash = blake3::Hasher::new();
    for text in [&state.tenant(record.tenant).name, &record.name] {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    match cause {
        // The key alone names a manual run: asked again at another instant it is the same run.
        RunCause::Manual(key) => hash.update(b"manual").update(&key.0.to_le_bytes()),
        RunCause::Schedule { .. } => hash.update(b"schedule").update(&nominal.0.to_le_bytes()),
    };
    let digest: [u8; 16] = hash.finalize().as_bytes()[..16].try_into().expect("16 of 32 bytes");
    RunId(u128::from_le_bytes(digest))
}
