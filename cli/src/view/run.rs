//! Runs, their steps and tasks.

use berth_client::api::{RunState, RunView, StepState, StepView, TaskView};
use berth_spec::escape;

use crate::table::{Table, facts};
use crate::{units, words};

/// A task that did not succeed, with the end of what it wrote to stderr.
#[derive(Debug, Clone)]
pub(crate) struct FailedTask {
    pub(crate) task: TaskView,
    /// Its last lines; `None` when the logs cannot be reached.
    pub(crate) stderr: Option<Vec<String>>,
}

pub(crate) fn list(runs: &[RunView], now_ms: u64) -> String {
    let mut table = Table::new(["RUN", "JOB", "STATE", "TASKS", "CAUSE", "CREATED", "TOOK"]);
    for run in runs {
        table.row([
            run.id.clone(),
            format!("{}/{}", run.tenant, run.job),
            words::run(run),
            format!("{}/{}", run.tasks_succeeded, run.tasks),
            run.cause.clone(),
            units::relative(now_ms, run.created_ms),
            took(run, now_ms),
        ]);
    }
    table.render()
}

pub(crate) fn show(run: &RunView, failed: &[FailedTask], now_ms: u64) -> String {
    let state = match run.state() {
        RunState::Ended => format!("ended: {}", words::run(run)),
        RunState::Cancelling => format!("cancelling, asked for by {}", run.cancelled_by),
        state => words::run_state(state).to_owned(),
    };
    let mut text = facts([
        ("run", run.id.clone()),
        ("job", format!("{}/{}, version {}", run.tenant, run.job, run.version)),
        ("state", state),
        ("cause", run.cause.clone()),
        // A manual run is for the instant at which it was created.
        (
            "for",
            if run.nominal_ms == run.created_ms { String::new() } else { units::instant(run.nominal_ms) },
        ),
        (
            "created",
            format!("{} ({})", units::instant(run.created_ms), units::relative(now_ms, run.created_ms)),
        ),
        ("took", took(run, now_ms)),
    ]);
    if run.collapsed {
        text.push_str(&format!(
            "\nOnly a summary is left: {} of {} tasks succeeded.\n",
            run.tasks_succeeded, run.tasks
        ));
    } else {
        text.push('\n');
        match run.state() {
            RunState::Ended => text.push_str(&ended_steps(&run.steps, now_ms)),
            RunState::Unspecified | RunState::Active | RunState::Cancelling => {
                text.push_str(&steps(&run.steps, now_ms));
            }
        }
    }
    for failed in failed {
        text.push_str(&failure(failed));
    }
    text
}

/// A line a step: counts, and why it waits or failed.
pub(crate) fn steps(steps: &[StepView], now_ms: u64) -> String {
    let mut table = Table::new(["STEP", "STATE", "DONE", "RUNNING", "READY", "RETRY", "FAILED", "WHY"])
        .right([2, 3, 4, 5, 6]);
    for step in steps {
        let number = |n: u32| if n == 0 { "-".to_owned() } else { n.to_string() };
        table.row([
            if step.array { format!("{}[]", step.name) } else { step.name.clone() },
            step_state(step).to_owned(),
            done(step),
            number(step.live),
            number(step.ready),
            number(step.backoff),
            number(step.failed),
            why(step, now_ms),
        ]);
    }
    table.render()
}

/// A line a step of a run that is over: nothing of it runs or waits any more.
fn ended_steps(steps: &[StepView], now_ms: u64) -> String {
    let mut table = Table::new(["STEP", "STATE", "DONE", "FAILED", "WHY"]).right([2, 3]);
    for step in steps {
        table.row([
            if step.array { format!("{}[]", step.name) } else { step.name.clone() },
            step_state(step).to_owned(),
            done(step),
            if step.failed == 0 { "-".to_owned() } else { step.failed.to_string() },
            why(step, now_ms),
        ]);
    }
    table.render()
}

/// `3/8`, or `0/?` while the size is not known.
pub(crate) fn done(step: &StepView) -> String {
    let size = step.size.map_or_else(|| "?".to_owned(), |size| size.to_string());
    format!("{}/{size}", step.succeeded)
}

/// The state of a step; an open one says what it is doing.
pub(crate) fn step_state(step: &StepView) -> &'static str {
    match step.state() {
        StepState::Open if step.live > 0 => "running",
        StepState::Open if step.backoff > 0 && step.ready == 0 => "retrying",
        StepState::Open => "waiting",
        StepState::Failed if never_ran(step) => "not run",
        state => words::step_state(state),
    }
}

/// Something of it is still to come.
pub(crate) fn is_unfinished(step: &StepView) -> bool {
    matches!(step.state(), StepState::Waiting | StepState::Open)
}

/// Whether a step is over because of others, so that none of its tasks was ever begun.
fn never_ran(step: &StepView) -> bool {
    let word = step.first_failure.as_ref().map(words::reason_word);
    step.succeeded == 0 && matches!(word, Some("upstream_failed" | "skipped"))
}

/// Why a step waits and what would unblock it, or why it failed.
pub(crate) fn why(step: &StepView, now_ms: u64) -> String {
    match step.state() {
        StepState::Succeeded => String::new(),
        StepState::Waiting
        | StepState::Open
        | StepState::Failed
        | StepState::Cancelled
        | StepState::Unspecified => {
            let failure = words::reason(step.first_failure.as_ref());
            let wait = words::wait(step.wait.as_ref(), now_ms);
            if wait.is_empty() { failure } else { wait }
        }
    }
}

pub(crate) fn took(run: &RunView, now_ms: u64) -> String {
    units::span(run.ended_ms.unwrap_or(now_ms).saturating_sub(run.created_ms))
}

fn failure(failed: &FailedTask) -> String {
    let task = &failed.task;
    let name = words::task(&task.name, task.index, task.array);
    let attempt = task.attempts.last();
    let place = attempt.map(|a| format!(", attempt {} on {}", a.number, a.node)).unwrap_or_default();
    let reason = words::reason(task.reason.as_ref());
    let mut text = format!("\n{}\n", escape(&format!("{name}{place}: {reason}")));
    match &failed.stderr {
        None => text.push_str("  its logs cannot be reached now\n"),
        Some(lines) => lines.iter().for_each(|line| text.push_str(&format!("  | {}\n", escape(line)))),
    }
    text
}

pub(crate) fn tasks(tasks: &[TaskView], now_ms: u64) -> String {
    let mut table = Table::new(["TASK", "STATE", "ATTEMPT", "NODE", "TOOK", "WHY"]).right([2]);
    for task in tasks {
        let attempt = task.attempts.last();
        let took = attempt
            .and_then(|a| Some(units::span(a.ended_ms.unwrap_or(now_ms).saturating_sub(a.started_ms?))))
            .unwrap_or_default();
        let wait = words::wait(task.wait.as_ref(), now_ms);
        let reason = words::reason(task.reason.as_ref());
        table.row([
            words::task(&task.name, task.index, task.array),
            words::task_state(task.state()).to_owned(),
            attempt.map_or_else(|| "-".to_owned(), |a| a.number.to_string()),
            attempt.map_or_else(|| "-".to_owned(), |a| a.node.clone()),
            took,
            if wait.is_empty() { reason } else { wait },
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests;
