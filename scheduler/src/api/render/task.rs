use berth_core::explain;
use berth_core::id::{AttemptHandle, TaskHandle};
use berth_core::job_spec::Count;
use berth_core::model::{Attempt, AttemptState, StepState, TaskState, Usage};
use berth_core::state::State;
use berth_proto::convert::reason;
use berth_proto::v1;

/// A task with its attempts. `None` when there is no such task.
pub(in crate::api) fn task(state: &State, handle: TaskHandle, with_outputs: bool) -> Option<v1::TaskView> {
    let step_handle = state.step_of(handle)?;
    let step = state.step(step_handle);
    let index =
        u32::try_from(handle.0.checked_sub(step.first_task.0)?).ok().filter(|index| *index < step.size)?;
    let spec = state.task_spec(step);
    let record = state.tables().tasks.get(handle);
    let (task_state, end) = match record.map(|task| &task.state) {
        None if step.state == StepState::Failed => (v1::TaskState::Ended, step.first_failure.as_ref()),
        None | Some(TaskState::Ready | TaskState::Backoff { .. }) => (v1::TaskState::Waiting, None),
        Some(TaskState::Live) => (live_state(state, record.map(|task| task.latest)), None),
        Some(TaskState::Ended(end)) => (v1::TaskState::Ended, Some(end)),
    };
    let outputs = state.tables().outputs.get(&handle).filter(|_| with_outputs);
    Some(v1::TaskView {
        name: spec.name.clone(),
        index,
        state: task_state.into(),
        wait: explain::task_waits(state, handle).as_ref().map(reason::wait_to_proto),
        reason: end.map(reason::to_proto),
        attempts: attempts(state, record.map(|task| task.latest)),
        outputs: outputs
            .into_iter()
            .flat_map(|outputs| &outputs.0)
            .map(|(key, values)| (key.clone(), v1::OutputValues { values: values.clone() }))
            .collect(),
        array: spec.count != Count::Single,
    })
}

fn live_state(state: &State, latest: Option<AttemptHandle>) -> v1::TaskState {
    match latest.map(|attempt| &state.attempt(attempt).state) {
        Some(AttemptState::Running) => v1::TaskState::Running,
        Some(AttemptState::Stopping(_)) => v1::TaskState::Stopping,
        Some(AttemptState::Starting | AttemptState::Ended { .. }) | None => v1::TaskState::Starting,
    }
}

/// The attempts of a task, oldest first.
fn attempts(state: &State, latest: Option<AttemptHandle>) -> Vec<v1::AttemptView> {
    let mut views = Vec::new();
    let mut next = latest;
    while let Some(attempt) = next.and_then(|handle| state.tables().attempts.get(handle)) {
        let usage = next.and_then(|handle| state.tables().usages.get(&handle)).copied().unwrap_or_default();
        views.push(attempt_view(state, attempt, usage));
        next = attempt.previous.get();
    }
    views.reverse();
    views
}

fn attempt_view(state: &State, attempt: &Attempt, usage: Usage) -> v1::AttemptView {
    let (attempt_state, end, ended_ms) = match &attempt.state {
        AttemptState::Starting => (v1::AttemptState::Starting, None, None),
        AttemptState::Running => (v1::AttemptState::Running, None, None),
        AttemptState::Stopping(reason) => (v1::AttemptState::Stopping, Some(reason), None),
        AttemptState::Ended { reason, at } => (v1::AttemptState::Ended, Some(reason), Some(at.0)),
    };
    v1::AttemptView {
        number: attempt.number,
        // A node may be removed before its attempts are forgotten.
        node: state.tables().nodes.get(attempt.node).map(|node| node.name.clone()).unwrap_or_default(),
        state: attempt_state.into(),
        reason: end.map(reason::to_proto),
        placed_ms: attempt.placed.0,
        started_ms: attempt.started.map(|started| started.0),
        ended_ms,
        memory_peak_bytes: Some(usage.memory_peak()).filter(|bytes| *bytes > 0),
        cpu_ms: Some(usage.cpu_ms.into()).filter(|ms| *ms > 0),
    }
}
