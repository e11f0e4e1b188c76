use std::sync::Arc;

use super::Change;
use crate::event::Event;
use crate::id::{AttemptHandle, StepHandle, TaskHandle};
use crate::job_spec::OnDisconnect;
use crate::model::{AttemptState, Outputs, RUN_OUTPUT_BYTES_MAX, RunState, Step, Task, TaskState, Timer};
use crate::reason::EndReason;
use crate::state::tenant_of;
use crate::time::Timestamp;
use crate::transition::Phased;

/// How often a task is placed again after attempts that ended through no fault of its own.
const BLAMELESS_MAX: u32 = 16;

/// A step counts how many of its indexes stand in each state.
fn enter(step: &mut Step, state: &TaskState) {
    match state {
        TaskState::Ready => {}
        TaskState::Live => step.live += 1,
        TaskState::Backoff { .. } => step.backoff += 1,
        TaskState::Ended(reason) if reason.is_success() => step.succeeded += 1,
        TaskState::Ended(reason) => {
            step.failed += 1;
            step.first_failure.get_or_insert_with(|| reason.clone());
        }
    }
}

fn leave(step: &mut Step, state: &TaskState) {
    match state {
        TaskState::Ready | TaskState::Ended(_) => {}
        TaskState::Live => step.live -= 1,
        TaskState::Backoff { .. } => step.backoff -= 1,
    }
}

impl Change<'_> {
    /// Moves a task to another state, and with it the counts of its step, its timer and its place in the queue.
    fn move_task(&mut self, handle: TaskHandle, next: TaskState) {
        let (step, before) =
            self.state.tables.tasks.update(handle, |task| (task.step, task.state.become_(next.clone())));
        self.recount(step, &before, &next);
        let index = &mut self.state.index;
        match &next {
            TaskState::Ready => index.ready_tasks.insert(handle),
            TaskState::Live | TaskState::Backoff { .. } => index.ready_tasks.remove(handle),
            TaskState::Ended(_) => {
                index.ready_tasks.remove(handle);
                index.open_tasks.remove(handle);
            }
        }
        if let TaskState::Backoff { until } = before {
            self.disarm(until, Timer::Retry(handle));
        }
        match next {
            TaskState::Ready => self.emit(Event::TaskReady(handle)),
            TaskState::Live => {}
            TaskState::Backoff { until } => {
                self.arm(until, Timer::Retry(handle));
                self.emit(Event::TaskBackoff { task: handle, until });
            }
            TaskState::Ended(_) => {
                self.emit(Event::TaskEnded(handle));
                self.close_if_done(step);
            }
        }
    }

    /// Counts a task that moved, and puts its step where that asks for in the queue.
    fn recount(&mut self, step: StepHandle, before: &TaskState, next: &TaskState) {
        let (waited, waits) = self.state.tables.steps.update(step, |step| {
            let waited = step.ready() > 0;
            leave(step, before);
            enter(step, next);
            (waited, step.ready() > 0)
        });
        // While others of it wait too, its place in the queue stays as it is.
        if waited != waits {
            self.state.index.requeue(&self.state.tables, step);
        }
    }

    /// Ends a task that has no live attempt.
    pub(super) fn end_task(&mut self, handle: TaskHandle, reason: EndReason) {
        self.move_task(handle, TaskState::Ended(reason));
    }

    /// Lets a task be placed again.
    pub(super) fn ready_task(&mut self, handle: TaskHandle) {
        self.move_task(handle, TaskState::Ready);
    }

    /// Notes that a task that waited for a place has a new attempt; an index gets its record with the first one. Gives
    /// the attempt's number and the one before it.
    pub(super) fn enter_attempt(
        &mut self,
        step: StepHandle,
        handle: TaskHandle,
        attempt: AttemptHandle,
    ) -> (u32, Option<AttemptHandle>) {
        self.recount(step, &TaskState::Ready, &TaskState::Live);
        if self.state.tables.tasks.get(handle).is_some() {
            self.state.index.ready_tasks.remove(handle);
            return self.state.tables.tasks.update(handle, |task| {
                task.state.become_(TaskState::Live);
                task.attempts += 1;
                (task.attempts, Some(std::mem::replace(&mut task.latest, attempt)))
            });
        }
        let index = self.state.tables.steps.update(step, |step| {
            step.opened += 1;
            step.opened - 1
        });
        let task = Task { step, index, attempts: 1, blameless: 0, state: TaskState::Live, latest: attempt };
        self.state.tables.tasks.insert(handle, task);
        self.state.index.open_tasks.insert(handle);
        (1, None)
    }

    /// True while an attempt was not yet asked to stop.
    pub(super) fn may_stop(&self, attempt: AttemptHandle) -> bool {
        match self.state.attempt(attempt).state {
            AttemptState::Starting | AttemptState::Running => true,
            AttemptState::Stopping(_) | AttemptState::Ended { .. } => false,
        }
    }

    /// Asks an attempt's node to stop it.
    pub(super) fn stop_attempt(&mut self, handle: AttemptHandle, reason: EndReason) {
        let node = self.state.tables.attempts.update(handle, |attempt| {
            attempt.state.become_(AttemptState::Stopping(reason));
            attempt.node
        });
        self.emit(Event::AttemptStopping { attempt: handle, node });
    }

    /// Notes that an attempt's program runs.
    pub(super) fn attempt_started(&mut self, handle: AttemptHandle, at: Timestamp) {
        let (node, changed) = self.state.tables.attempts.update(handle, |attempt| {
            attempt.started.get_or_insert(at);
            let starts = attempt.state.may_become(&AttemptState::Running);
            if starts {
                attempt.state.become_(AttemptState::Running);
            }
            (attempt.node, starts)
        });
        if changed {
            self.emit(Event::AttemptStarted { attempt: handle, node });
        }
    }

    /// Notes that a live attempt is over, and decides what becomes of its task.
    pub(super) fn attempt_ended(
        &mut self,
        handle: AttemptHandle,
        reason: EndReason,
        started: Option<Timestamp>,
        at: Timestamp,
        output: &[u8],
    ) {
        let (task, reason) = self.close_attempt(handle, reason, started, at, output);
        let next = self.after_attempt(task, reason);
        self.move_task(task, next);
    }

    /// Gives up a live attempt whose node is lost. One that its node stops by itself without contact may still be
    /// going on there until then, so its task waits as long: the lease that ran out before is the margin for clocks
    /// that go at different rates.
    pub(super) fn lose_attempt(&mut self, handle: AttemptHandle) {
        let (task, reason) = self.close_attempt(handle, EndReason::NodeLost, None, self.now, &[]);
        let next = match self.after_attempt(task, reason) {
            TaskState::Ready => self.after_a_lost_copy(task),
            next => next,
        };
        self.move_task(task, next);
    }

    fn after_a_lost_copy(&self, task: TaskHandle) -> TaskState {
        let spec = self.state.task_spec(self.state.step(self.state.task(task).step));
        match spec.on_disconnect {
            OnDisconnect::Keep => TaskState::Ready,
            OnDisconnect::StopAfter(span) => TaskState::Backoff { until: self.now + span + spec.stop_grace },
        }
    }

    /// Ends a live attempt; gives its task, and why it ended, seen from here.
    fn close_attempt(
        &mut self,
        handle: AttemptHandle,
        reason: EndReason,
        started: Option<Timestamp>,
        at: Timestamp,
        output: &[u8],
    ) -> (TaskHandle, EndReason) {
        let attempt = self.state.attempt(handle).clone();
        let reason = self.true_reason(&attempt.state, reason, attempt.task, output);
        let tenant = tenant_of(&self.state.tables, attempt.task);
        self.state.index.release(&self.state.tables, handle, &attempt, tenant);
        let ended = AttemptState::Ended { reason: reason.clone(), at };
        self.state.tables.attempts.update(handle, |attempt| {
            attempt.started = attempt.started.or(started);
            attempt.state.become_(ended);
        });
        self.emit(Event::AttemptEnded { attempt: handle, node: attempt.node });
        (attempt.task, reason)
    }

    /// Why an attempt ended, seen from here: a program that was asked to stop and did not succeed ended for the
    /// reason for which it was stopped, and one whose output cannot be kept did not succeed.
    fn true_reason(
        &mut self,
        state: &AttemptState,
        reason: EndReason,
        task: TaskHandle,
        output: &[u8],
    ) -> EndReason {
        match (state, reason) {
            (AttemptState::Stopping(cause), reason)
                if !reason.is_success() && reason != EndReason::NodeLost =>
            {
                cause.clone()
            }
            (_, EndReason::Succeeded) if !output.is_empty() => match self.keep_output(task, output) {
                Ok(()) => EndReason::Succeeded,
                Err(why) => EndReason::PostconditionFailed(format!("BERTH_OUTPUT: {why}").into()),
            },
            (_, reason) => reason,
        }
    }

    fn after_attempt(&mut self, handle: TaskHandle, reason: EndReason) -> TaskState {
        let task = self.state.task(handle);
        let step = self.state.step(task.step);
        let run = self.state.run(step.run);
        let blameless = matches!(reason, EndReason::NodeLost | EndReason::Preempted);
        if reason.is_success() || run.state != RunState::Active || matches!(reason, EndReason::Cancelled(_)) {
            return TaskState::Ended(reason);
        }
        if blameless {
            let times = task.blameless + 1;
            self.state.tables.tasks.update(handle, |task| task.blameless = times);
            return if times > BLAMELESS_MAX { TaskState::Ended(reason) } else { TaskState::Ready };
        }
        let counted = task.attempts - task.blameless;
        let retry = &self.state.task_spec(step).retry;
        match counted < retry.max_attempts {
            true => TaskState::Backoff { until: self.now + retry.backoff(counted) },
            false => TaskState::Ended(reason),
        }
    }

    /// Keeps what a task left for later ones; the error says what is wrong with it.
    fn keep_output(&mut self, handle: TaskHandle, output: &[u8]) -> Result<(), String> {
        let outputs = Outputs::parse(output)?;
        let step = self.state.task(handle).step;
        let run = self.state.step(step).run;
        let bytes = u32::try_from(output.len()).unwrap_or(u32::MAX);
        let total = self.state.run(run).output_bytes.saturating_add(bytes);
        if total > RUN_OUTPUT_BYTES_MAX {
            return Err(format!("the outputs of the whole run are larger than {RUN_OUTPUT_BYTES_MAX} bytes"));
        }
        self.state.tables.runs.update(run, |run| run.output_bytes = total);
        self.state.tables.outputs.insert(handle, Arc::new(outputs));
        Ok(())
    }
}
