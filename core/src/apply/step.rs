use super::Change;
use crate::event::Event;
use crate::id::{StepHandle, TaskHandle};
use crate::job_spec::Count;
use crate::model::{RunState, Step, StepState};
use crate::reason::EndReason;

impl Change<'_> {
    /// Opens the steps whose time has come, and those whose time comes by that.
    pub(super) fn open_steps(&mut self) {
        while let Some(step) = self.to_open.pop() {
            let record = self.state.step(step);
            // The same command may have cancelled the run since.
            if record.state == StepState::Waiting && self.state.run(record.run).state == RunState::Active {
                self.open_step(step);
            }
        }
    }

    /// Lets the indexes of a step be placed: its size is known now.
    fn open_step(&mut self, handle: StepHandle) {
        let size = match self.size_of(self.state.step(handle)) {
            Ok(size) => size,
            Err(reason) => return self.fail_waiting_step(handle, reason),
        };
        let first_task = TaskHandle(self.state.tables.header.next.task);
        self.state.tables.header.next.task += u64::from(size);
        self.state.tables.steps.update(handle, |step| {
            assert_eq!(step.state, StepState::Waiting, "a step opens once");
            step.state = StepState::Open;
            step.size = size;
            step.first_task = first_task;
        });
        if size > 0 {
            self.state.index.open_steps.insert(first_task, handle);
        }
        self.state.index.requeue(&self.state.tables, handle);
        self.emit(Event::StepOpened(handle));
        self.close_if_done(handle);
    }

    fn size_of(&self, step: &Step) -> Result<u32, EndReason> {
        match &self.state.task_spec(step).count {
            Count::Single => Ok(1),
            Count::Fixed(count) => Ok(*count),
            Count::LengthOf { task, key } => {
                let source = self.state.step(self.state.run(step.run).step(*task));
                let values =
                    self.state.outputs_of(source).map(|outputs| outputs.values(key).len()).sum::<usize>();
                let most = self.state.limits.array;
                match u32::try_from(values) {
                    Ok(size) if size <= most => Ok(size),
                    // To run some of them would look as if all had been run.
                    _ => Err(EndReason::StartFailed(
                        format!("`{key}` has {values} values; an array has at most {most} tasks").into(),
                    )),
                }
            }
        }
    }

    /// Ends a step of which no index waits or runs any more, and opens or fails those that come after it.
    pub(super) fn close_if_done(&mut self, handle: StepHandle) {
        let step = self.state.step(handle);
        if step.state != StepState::Open || step.succeeded + step.failed < step.size {
            return;
        }
        let state = if step.failed == 0 { StepState::Succeeded } else { StepState::Failed };
        self.end_step(handle, state);
        match state {
            StepState::Succeeded => self.open_dependents(handle),
            StepState::Failed | StepState::Waiting | StepState::Open => self.fail_dependents(handle),
        }
        self.end_run_if_done(handle);
    }

    /// Ends a step that never opened, and those that come after it.
    pub(super) fn fail_waiting_step(&mut self, handle: StepHandle, reason: EndReason) {
        self.state.tables.steps.update(handle, |step| step.first_failure = Some(reason));
        self.end_step(handle, StepState::Failed);
        self.fail_dependents(handle);
        self.end_run_if_done(handle);
    }

    /// Counts the indexes that were never placed as ended.
    pub(super) fn fail_unopened(&mut self, handle: StepHandle, reason: &EndReason) {
        let step = self.state.step(handle);
        // With a gap between the counts and `opened`, they were counted before.
        let records = step.live + step.backoff + step.succeeded + step.failed;
        let unopened = step.size.saturating_sub(records);
        if step.state != StepState::Open || unopened == 0 {
            return;
        }
        self.state.tables.steps.update(handle, |step| {
            step.failed += unopened;
            step.first_failure.get_or_insert_with(|| reason.clone());
        });
        self.state.index.requeue(&self.state.tables, handle);
        self.close_if_done(handle);
    }

    fn end_step(&mut self, handle: StepHandle, state: StepState) {
        let (run, first_task) = self.state.tables.steps.update(handle, |step| {
            step.state = state;
            (step.run, step.first_task)
        });
        if self.state.index.open_steps.get(&first_task) == Some(&handle) {
            self.state.index.open_steps.remove(&first_task);
        }
        self.state.index.requeue(&self.state.tables, handle);
        self.state.tables.runs.update(run, |run| run.steps_open -= 1);
        self.emit(Event::StepEnded(handle));
    }

    fn open_dependents(&mut self, handle: StepHandle) {
        for dependent in self.dependents_of(handle) {
            let ready = self.state.tables.steps.update(dependent, |step| {
                step.waits_for -= 1;
                step.waits_for == 0 && step.state == StepState::Waiting
            });
            let run = self.state.step(dependent).run;
            if ready && self.state.run(run).state == RunState::Active {
                self.to_open.push(dependent);
            }
        }
    }

    /// Fails every step that comes after this one, directly or not.
    fn fail_dependents(&mut self, handle: StepHandle) {
        let mut failed = vec![handle];
        while let Some(step) = failed.pop() {
            for dependent in self.dependents_of(step) {
                if self.state.step(dependent).state == StepState::Waiting {
                    self.state.tables.steps.update(dependent, |step| {
                        step.first_failure = Some(EndReason::UpstreamFailed);
                    });
                    self.end_step(dependent, StepState::Failed);
                    failed.push(dependent);
                }
            }
        }
    }

    fn end_run_if_done(&mut self, handle: StepHandle) {
        let run = self.state.step(handle).run;
        let record = self.state.run(run);
        if record.steps_open == 0 && !matches!(record.state, RunState::Ended { .. }) {
            self.end_run(run);
        }
    }

    fn dependents_of(&self, handle: StepHandle) -> Vec<StepHandle> {
        let step = self.state.step(handle);
        let run = self.state.run(step.run);
        let spec = self.state.tables.specs.get(run.spec).expect("a run's spec exists");
        spec.dependents[usize::from(step.place)].iter().map(|&place| run.step(place)).collect()
    }
}
