//! Why something waits, in words that say what would unblock it, and what will never find a place.
//!
//! Nothing is stored: the reason is read from the state when somebody asks.

mod misfit;
mod place;
#[cfg(test)]
mod tests;

use crate::id::{JobHandle, StepHandle, TaskHandle, TenantHandle};
use crate::model::{RequestClass, Run, RunState, Step, StepState, TaskState};
use crate::reason::WaitReason;
use crate::resources;
use crate::state::{QueueKey, State};

pub use misfit::{Misfit, Obstacle, misfits};

/// Why the next index of a step waits; `None` when none does, because all run or the step or its run is over.
pub fn step_waits(state: &State, handle: StepHandle) -> Option<WaitReason> {
    let step = state.step(handle);
    let run = state.run(step.run);
    if run.state != RunState::Active {
        return None;
    }
    match step.state {
        StepState::Waiting => Some(dependency(state, run, step)),
        StepState::Open if step.ready() > 0 => Some(ready(state, run, step)),
        StepState::Open if step.backoff > 0 => first_retry(state, step),
        StepState::Open | StepState::Succeeded | StepState::Failed => None,
    }
}

/// Why a task waits, whether it has a record or not; `None` when it runs or is over, or is of no step.
pub fn task_waits(state: &State, handle: TaskHandle) -> Option<WaitReason> {
    let step = state.step(state.step_of(handle)?);
    let run = state.run(step.run);
    if run.state != RunState::Active || step.state != StepState::Open {
        return None;
    }
    match state.tables().tasks.get(handle).map(|task| &task.state) {
        None | Some(TaskState::Ready) => Some(ready(state, run, step)),
        Some(TaskState::Backoff { until }) => Some(WaitReason::Retry { at: *until }),
        Some(TaskState::Live | TaskState::Ended(_)) => None,
    }
}

/// For what instant a job is scheduled; `None` when it does not fire by itself any more.
pub fn job_waits(state: &State, handle: JobHandle) -> Option<WaitReason> {
    let job = state.job(handle);
    let at = job.cursor.filter(|_| job.enabled)?.next?;
    Some(WaitReason::Fire { at })
}

/// How many tasks of a tenant wait for a place before one of this priority that is submitted now.
pub fn ahead(state: &State, tenant: TenantHandle, priority: u8) -> u64 {
    let first = QueueKey { tenant, behind: 0, step: StepHandle(0) };
    let last = QueueKey { tenant, behind: u8::MAX - priority, step: StepHandle(u64::MAX) };
    let steps = state.index().queue.range(first..=last);
    steps.map(|key| u64::from(state.step(key.step).ready())).sum()
}

fn dependency(state: &State, run: &Run, step: &Step) -> WaitReason {
    let tasks = &state.spec(run.spec).tasks;
    let steps = tasks[usize::from(step.place)]
        .after
        .iter()
        .filter(|&&before| state.step(run.step(before)).state != StepState::Succeeded)
        .map(|&before| tasks[usize::from(before)].name.clone())
        .collect();
    WaitReason::Dependency { steps }
}

fn ready(state: &State, run: &Run, step: &Step) -> WaitReason {
    let class = state.class(state.step_class(step));
    match quota(state, run, class) {
        Some(what) => WaitReason::Quota { what },
        None => {
            let files = run.files.as_ref().filter(|_| class.uses_run_dir);
            WaitReason::Placement { what: place::explain(state, class, files) }
        }
    }
}

fn quota(state: &State, run: &Run, class: &RequestClass) -> Option<String> {
    let handle = state.job(run.job).tenant;
    let tenant = state.tenant(handle);
    let used = state.index().used_by(handle);
    class.resources.iter().find_map(|(resource, asked)| {
        let name = state.resource_name(resource);
        let limit = *tenant.limit.get(name)?;
        let used = used.get(resource);
        let amount = |amount| resources::display(name, amount);
        let (asked_text, used_text, limit_text) = (amount(asked), amount(used), amount(limit));
        (used.saturating_add(asked) > limit).then(|| {
            format!(
                "tenant {} uses {used_text} of its {limit_text} {name}; it asks for {asked_text}",
                tenant.name
            )
        })
    })
}

fn first_retry(state: &State, step: &Step) -> Option<WaitReason> {
    let retries = state.index().open_tasks_of(step).filter_map(|task| match state.task(task).state {
        TaskState::Backoff { until } => Some(until),
        TaskState::Ready | TaskState::Live | TaskState::Ended(_) => None,
    });
    retries.min().map(|at| WaitReason::Retry { at })
}
