//! What is true of every state and of every step from one state to the next. The property tests and the simulation
//! ask after every command; each predicate is named by the rule it holds.

use std::collections::BTreeMap;

use crate::canonical::Canonical;
use crate::hash::{self, TableHash};
use crate::id::{RunHandle, StepHandle};
use crate::model::{AttemptState, RunState, Step, StepState, TaskState, Timer};
use crate::resources::Resources;
use crate::state::State;
use crate::transition::Phased;

/// A rule that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Broken {
    /// The rule.
    pub rule: &'static str,
    /// Where it does not hold.
    pub what: String,
}

type Check = Result<(), Broken>;

fn holds(rule: &'static str, holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Broken { rule, what: what() }) }
}

/// Checks a state by itself.
pub fn check(state: &State) -> Check {
    the_index_is_what_the_tables_say(state)?;
    steps_count_their_tasks(state)?;
    a_live_task_has_exactly_its_latest_attempt_live(state)?;
    what_waits_for_time_has_a_timer(state)?;
    runs_know_their_open_steps(state)?;
    nothing_is_lost(state)?;
    usages_belong_to_attempts(state)?;
    a_run_that_collapses_is_no_longer_found(state)?;
    the_hash_is_the_sum_of_the_records(state)
}

/// Checks the step from one state to the next.
pub fn check_step(before: &State, after: &State) -> Check {
    time_does_not_go_back(before, after)?;
    usage_grows_only_within_limits(before, after)?;
    registrations_and_reports_go_forward(before, after)?;
    what_was_decided_stays_decided(before, after)?;
    moves_are_legal(before, after)
}

fn the_index_is_what_the_tables_say(state: &State) -> Check {
    let rebuilt = State::from_tables(state.tables.clone());
    holds("the index is what the tables say", rebuilt.index == state.index, || {
        let (is, should) = (format!("{:#?}", state.index), format!("{:#?}", rebuilt.index));
        let differs = is.lines().zip(should.lines()).find(|(is, should)| is != should);
        format!("is, should be: {differs:?}")
    })
}

fn steps_count_their_tasks(state: &State) -> Check {
    let mut counts: BTreeMap<StepHandle, (u32, u32, u32, u32, u32)> = BTreeMap::new();
    for (_, task) in state.tables.tasks.iter() {
        let (ready, live, backoff, succeeded, failed) = counts.entry(task.step).or_default();
        *match &task.state {
            TaskState::Ready => ready,
            TaskState::Live => live,
            TaskState::Backoff { .. } => backoff,
            TaskState::Ended(reason) if reason.is_success() => succeeded,
            TaskState::Ended(_) => failed,
        } += 1;
    }
    for (handle, step) in state.tables.steps.iter() {
        // The records of a run on its way out go one by one.
        if !is_kept(state, step.run) {
            continue;
        }
        let (ready, live, backoff, succeeded, failed) = counts.get(&handle).copied().unwrap_or_default();
        let unopened = step.size - step.opened;
        let waits = if step.is_ended() { 0 } else { ready + unopened };
        let given_up = if step.is_ended() { unopened } else { 0 };
        let open = step.state != StepState::Open || step.ready() == waits;
        let same = (step.live, step.backoff, step.succeeded, step.failed)
            == (live, backoff, succeeded, failed + given_up);
        // A cancelled step has counted its unplaced indexes before its last attempt has ended.
        let cancelled = step.state == StepState::Open
            && (step.live, step.backoff, step.succeeded, step.failed)
                == (live, backoff, succeeded, failed + unopened)
            && step.ready() == ready;
        holds("steps count their tasks", (same && open) || cancelled, || {
            format!(
                "{handle:?} {step:?} has {ready} ready {live} live {backoff} backoff {succeeded} succeeded {failed} failed"
            )
        })?;
    }
    Ok(())
}

fn is_kept(state: &State, run: RunHandle) -> bool {
    state.tables.runs.get(run).is_some_and(|record| state.index.runs.get(&record.id) == Some(&run))
}

fn a_live_task_has_exactly_its_latest_attempt_live(state: &State) -> Check {
    for (handle, attempt) in state.tables.attempts.iter() {
        let Some(task) = state.tables.tasks.get(attempt.task) else {
            return holds("an attempt has a task", false, || format!("{handle:?}"));
        };
        let latest = task.latest == handle;
        let should_live = latest && task.state == TaskState::Live;
        holds("a live task has exactly its latest attempt live", attempt.is_live() == should_live, || {
            format!("{handle:?} {attempt:?} of {task:?}")
        })?;
        holds(
            "a live attempt is on a node that is known",
            !attempt.is_live() || state.tables.nodes.get(attempt.node).is_some(),
            || format!("{handle:?} {attempt:?}"),
        )?;
    }
    Ok(())
}

fn what_waits_for_time_has_a_timer(state: &State) -> Check {
    let armed = |instant, timer| state.tables.timers.get(&(instant, timer)).is_some();
    for (handle, task) in state.tables.tasks.iter() {
        if let TaskState::Backoff { until } = task.state {
            holds("a task that waits for a retry has a timer", armed(until, Timer::Retry(handle)), || {
                format!("{handle:?}")
            })?;
        }
    }
    for (handle, job) in state.tables.jobs.iter() {
        if let Some(next) = job.cursor.and_then(|cursor| cursor.next) {
            holds("a schedule has a timer", armed(next, Timer::Fire(handle)), || format!("{handle:?}"))?;
        }
    }
    Ok(())
}

fn runs_know_their_open_steps(state: &State) -> Check {
    for (handle, run) in state.tables.runs.iter() {
        if !is_kept(state, handle) {
            continue;
        }
        let open = run.step_handles().filter(|&step| !state.step(step).is_ended()).count();
        let ended = matches!(run.state, RunState::Ended { .. });
        holds(
            "a run is over exactly when all its steps are",
            usize::from(run.steps_open) == open && ended == (open == 0),
            || format!("{handle:?} {run:?} has {open} open steps"),
        )?;
    }
    Ok(())
}

/// Every step of an active run waits for another step, or is in the queue, or has something live or waiting for
/// time; every cancelled one has something live or a timer to go on.
fn nothing_is_lost(state: &State) -> Check {
    let goes_on = |step: &Step| step.live > 0 || step.backoff > 0;
    for (handle, step) in state.tables.steps.iter() {
        let Some(run) = state.tables.runs.get(step.run) else { continue };
        let sweeps = || state.tables.timers.iter().any(|((_, timer), ())| *timer == Timer::Cancel(step.run));
        let kept = match (step.state, &run.state) {
            (StepState::Open, RunState::Active) => goes_on(step) || step.ready() > 0,
            (StepState::Open, RunState::Cancelling { .. }) => goes_on(step) || sweeps(),
            (StepState::Waiting, RunState::Active) => step.waits_for > 0,
            (StepState::Waiting, RunState::Cancelling { .. }) => sweeps(),
            (StepState::Succeeded | StepState::Failed, _) => true,
            (StepState::Open | StepState::Waiting, RunState::Ended { .. }) => false,
        };
        holds("nothing is lost", kept, || format!("{handle:?} {step:?} of {run:?}"))?;
    }
    Ok(())
}

fn the_hash_is_the_sum_of_the_records(state: &State) -> Check {
    let tables = &state.tables;
    let sums = [
        sum(tables.resources.hash(), tables.resources.iter()),
        sum(tables.classes.hash(), tables.classes.iter()),
        sum(tables.tenants.hash(), tables.tenants.iter()),
        sum(tables.specs.hash(), tables.specs.iter()),
        sum(tables.jobs.hash(), tables.jobs.iter()),
        sum(tables.outcomes.hash(), tables.outcomes.iter()),
        sum(tables.runs.hash(), tables.runs.iter()),
        sum(tables.summaries.hash(), tables.summaries.iter()),
        sum(tables.steps.hash(), tables.steps.iter()),
        sum(tables.tasks.hash(), tables.tasks.iter()),
        sum(tables.attempts.hash(), tables.attempts.iter()),
        sum(tables.outputs.hash(), tables.outputs.iter()),
        sum(tables.usages.hash(), tables.usages.iter()),
        sum(tables.nodes.hash(), tables.nodes.iter()),
        sum(tables.timers.hash(), tables.timers.iter()),
        sum(tables.requests.hash(), tables.requests.iter()),
    ];
    let sum = sums.into_iter().fold(hash::of(&tables.header), u128::wrapping_add);
    holds("the hash is the sum of the records", sum == state.hash(), || {
        format!("{sum:032x}, and the state says {:032x}", state.hash())
    })
}

fn sum<'a, K: Canonical, V: Canonical + 'a>(
    table: TableHash,
    records: impl Iterator<Item = (K, &'a V)>,
) -> u128 {
    let mut anew = table.without_records();
    records.for_each(|(key, record)| anew.put(&key, record));
    anew.sum()
}

/// What a restored member derives from the record must be what is the case here.
fn a_run_that_collapses_is_no_longer_found(state: &State) -> Check {
    for (handle, run) in state.tables.runs.iter() {
        let found = state.index.runs.get(&run.id) == Some(&handle);
        holds("a run that collapses is no longer found", found != run.collapsing, || format!("{handle:?}"))?;
    }
    Ok(())
}

fn time_does_not_go_back(before: &State, after: &State) -> Check {
    holds("time does not go back", before.time() <= after.time(), || {
        format!("{:?} {:?}", before.time(), after.time())
    })
}

/// A limit or a capacity may be lowered below what is in use; nothing is added then.
fn usage_grows_only_within_limits(before: &State, after: &State) -> Check {
    let grown = |was: &Resources, is: &Resources| -> Vec<_> {
        is.iter().filter(|&(resource, amount)| amount > was.get(resource)).collect()
    };
    for (handle, tenant) in after.tables.tenants.iter() {
        for (resource, amount) in grown(before.index.used_by(*handle), after.index.used_by(*handle)) {
            let limit = tenant.limit.get(after.resource_name(resource)).copied().unwrap_or(u64::MAX);
            holds("a tenant stays within its limit", amount <= limit, || {
                format!("{} {amount} {limit}", tenant.name)
            })?;
        }
    }
    for (handle, node) in after.tables.nodes.iter() {
        for (resource, amount) in grown(before.index.used_on(handle), after.index.used_on(handle)) {
            let capacity = node.capacity.get(resource);
            holds("a node is not overcommitted", amount <= capacity, || {
                format!("{} {amount} {capacity}", node.name)
            })?;
        }
    }
    Ok(())
}

/// A node's epoch never goes back, and a journal's reports are counted on from registration to registration: what was
/// acknowledged stays so.
fn registrations_and_reports_go_forward(before: &State, after: &State) -> Check {
    for (handle, was) in before.tables.nodes.unshared(&after.tables.nodes) {
        let Some(is) = after.tables.nodes.get(handle) else { continue };
        let same_registration = was.epoch == is.epoch;
        let forward = match was.journal == is.journal {
            true => was.epoch <= is.epoch && was.reported <= is.reported,
            false => was.epoch < is.epoch,
        };
        let kept = !same_registration || (was.journal, &was.facts) == (is.journal, &is.facts);
        holds("registrations and reports go forward", forward && kept, || format!("{was:?} {is:?}"))?;
    }
    Ok(())
}

/// A schedule's cursor goes forward only, within one generation of it.
fn what_was_decided_stays_decided(before: &State, after: &State) -> Check {
    for (handle, was) in before.tables.jobs.iter() {
        let cursors = was.cursor.zip(after.tables.jobs.get(handle).and_then(|job| job.cursor));
        let Some((was, is)) = cursors else { continue };
        let forward =
            was.generation < is.generation || (was.generation == is.generation && was.last <= is.last);
        holds("what was decided stays decided", forward, || format!("{handle:?} {was:?} {is:?}"))?;
    }
    Ok(())
}

/// One command may carry a task or an attempt over several moves; what is over stays as it is.
fn moves_are_legal(before: &State, after: &State) -> Check {
    for (handle, attempt) in before.tables.attempts.unshared(&after.tables.attempts) {
        let Some(next) = after.tables.attempts.get(handle) else { continue };
        let stays = matches!(attempt.state, AttemptState::Ended { .. });
        let legal = if stays {
            attempt == next
        } else {
            attempt.state == next.state || attempt.state.may_become(&next.state) || next_is_ended(&next.state)
        };
        holds("an attempt moves as the table says", legal, || format!("{handle:?} {attempt:?} {next:?}"))?;
    }
    for (handle, run) in before.tables.runs.unshared(&after.tables.runs) {
        let Some(next) = after.tables.runs.get(handle) else { continue };
        let legal = run.state == next.state || run.state.may_become(&next.state);
        holds("a run moves as the table says", legal, || format!("{handle:?} {run:?} {next:?}"))?;
    }
    for (handle, step) in before.tables.steps.unshared(&after.tables.steps) {
        let Some(next) = after.tables.steps.get(handle) else { continue };
        let legal = match step.state {
            StepState::Waiting => true,
            StepState::Open => next.state != StepState::Waiting,
            StepState::Succeeded | StepState::Failed => next.state == step.state,
        };
        // The tasks of a run that collapses go before their step does.
        let collapses = after.tables.runs.get(step.run).is_some_and(|run| run.collapsing);
        let grows = step.opened <= next.opened || collapses;
        holds("a step does not go back", legal && grows, || format!("{handle:?} {step:?} {next:?}"))?;
    }
    for (handle, task) in before.tables.tasks.unshared(&after.tables.tasks) {
        let Some(next) = after.tables.tasks.get(handle) else { continue };
        let stays = matches!(task.state, TaskState::Ended(_));
        holds("what is over stays so", !stays || task == next, || format!("{handle:?} {task:?} {next:?}"))?;
    }
    Ok(())
}

/// What is kept beside the records goes with them.
fn usages_belong_to_attempts(state: &State) -> Check {
    for (handle, usage) in state.tables.usages.iter() {
        let over = state.tables.attempts.get(*handle).is_some_and(|attempt| !attempt.is_live());
        holds("a usage belongs to an attempt that is over", over, || format!("{handle:?} {usage:?}"))?;
    }
    Ok(())
}

fn next_is_ended(state: &AttemptState) -> bool {
    matches!(state, AttemptState::Ended { .. })
}
