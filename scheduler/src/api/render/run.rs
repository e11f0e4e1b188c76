use berth_core::explain;
use berth_core::id::{RunHandle, RunId, StepHandle};
use berth_core::job_spec::Count;
use berth_core::model::{RunCause, RunState, RunSummary, Step, StepState};
use berth_core::reason::EndReason;
use berth_core::state::State;
use berth_proto::convert::reason;
use berth_proto::v1;

/// A run without its steps.
pub(in crate::api) fn run(state: &State, handle: RunHandle) -> v1::RunView {
    let run = state.run(handle);
    let job = state.job(run.job);
    let steps = || run.step_handles().filter_map(|step| state.tables().steps.get(step));
    let sum = |count: fn(&Step) -> u32| steps().map(|step| u64::from(count(step))).sum();
    let sizes = steps().filter_map(|step| known_size(step, &state.task_spec(step).count)).map(u64::from);
    let (run_state, end, cancelled_by, ended_ms) = match &run.state {
        RunState::Active => (v1::RunState::Active, None, String::new(), None),
        RunState::Cancelling { by } => (v1::RunState::Cancelling, None, by.clone(), None),
        RunState::Ended { reason, at } => (v1::RunState::Ended, Some(reason), String::new(), Some(at.0)),
    };
    v1::RunView {
        id: run.id.to_string(),
        tenant: state.tenant(job.tenant).name.clone(),
        job: job.name.clone(),
        version: run.version,
        state: run_state.into(),
        reason: end.map(reason::to_proto),
        cancelled_by,
        cause: cause(run.cause).to_owned(),
        nominal_ms: run.nominal.0,
        created_ms: run.created.0,
        ended_ms,
        steps: Vec::new(),
        tasks: sizes.sum(),
        tasks_succeeded: sum(|step| step.succeeded),
        tasks_failed: sum(|step| step.failed),
        tasks_running: sum(|step| step.live),
        collapsed: false,
    }
}

/// A run with its steps.
pub(in crate::api) fn run_with_steps(state: &State, handle: RunHandle) -> v1::RunView {
    let steps = state.run(handle).step_handles().filter(|handle| state.tables().steps.get(*handle).is_some());
    v1::RunView { steps: steps.map(|handle| step(state, handle)).collect(), ..run(state, handle) }
}

/// What is left of an older run.
pub(in crate::api) fn summary(state: &State, id: RunId, summary: &RunSummary) -> v1::RunView {
    let job = state.job(summary.job);
    v1::RunView {
        id: id.to_string(),
        tenant: state.tenant(job.tenant).name.clone(),
        job: job.name.clone(),
        version: summary.version,
        state: v1::RunState::Ended.into(),
        reason: Some(reason::to_proto(&summary.reason)),
        cancelled_by: String::new(),
        cause: cause(summary.cause).to_owned(),
        nominal_ms: summary.nominal.0,
        created_ms: summary.created.0,
        ended_ms: Some(summary.ended.0),
        steps: Vec::new(),
        tasks: summary.tasks,
        tasks_succeeded: summary.succeeded,
        tasks_failed: summary.tasks - summary.succeeded,
        tasks_running: 0,
        collapsed: true,
    }
}

/// A step with its counts and why it waits, if it does.
pub(in crate::api) fn step(state: &State, handle: StepHandle) -> v1::StepView {
    let step = state.step(handle);
    let spec = state.task_spec(step);
    let step_state = match step.state {
        StepState::Waiting => v1::StepState::Waiting,
        StepState::Open => v1::StepState::Open,
        StepState::Succeeded => v1::StepState::Succeeded,
        StepState::Failed => match step.first_failure {
            Some(EndReason::Cancelled(_)) => v1::StepState::Cancelled,
            _ => v1::StepState::Failed,
        },
    };
    v1::StepView {
        name: spec.name.clone(),
        state: step_state.into(),
        size: known_size(step, &spec.count),
        ready: step.ready(),
        live: step.live,
        backoff: step.backoff,
        succeeded: step.succeeded,
        failed: step.failed,
        wait: explain::step_waits(state, handle).as_ref().map(reason::wait_to_proto),
        first_failure: step.first_failure.as_ref().map(reason::to_proto),
        array: spec.count != Count::Single,
    }
}

/// The size of a step, which the spec may know before the step opens, and if it never does.
fn known_size(step: &Step, count: &Count) -> Option<u32> {
    let opened = match step.state {
        StepState::Waiting => false,
        StepState::Open | StepState::Succeeded => true,
        // One that fails with those before it was never opened. An empty array succeeds.
        StepState::Failed => step.size > 0,
    };
    match count {
        _ if opened => Some(step.size),
        Count::Single => Some(1),
        Count::Fixed(size) => Some(*size),
        Count::LengthOf { .. } => None,
    }
}

fn cause(cause: RunCause) -> &'static str {
    match cause {
        RunCause::Manual(_) => "manual",
        RunCause::Schedule { .. } => "schedule",
    }
}
