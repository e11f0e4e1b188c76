use berth_core::event::Event;
use berth_core::id::{AttemptHandle, RunHandle, RunId, StepHandle, TaskHandle};
use berth_core::state::State;
use berth_proto::v1::{self, run_event};

use super::{run, run_with_steps, step, summary, task};
use crate::publish::Past;

/// An event of a run for those who watch it, with what changed as it stands in `state`; `None` for events that are of
/// no run, or of one that is gone. Events of tasks and attempts are left out unless asked for.
pub(in crate::api) fn run_event(
    state: &State,
    past: &Past,
    with_tasks: bool,
) -> Option<(RunId, v1::RunEvent)> {
    use run_event::Kind;
    let (kind, subject) = match past.event {
        Event::RunCreated { run, .. } => (Kind::RunCreated, Subject::Run(run)),
        Event::RunCancelling(run) => (Kind::RunCancelling, Subject::Run(run)),
        Event::RunEnded { run, id } => (Kind::RunEnded, Subject::RunOrSummary(run, id)),
        Event::RunCollapsed { id, .. } => (Kind::RunCollapsed, Subject::Summary(id)),
        Event::StepOpened(step) => (Kind::StepOpened, Subject::Step(step)),
        Event::StepEnded(step) => (Kind::StepEnded, Subject::Step(step)),
        Event::TaskReady(task) => (Kind::TaskReady, Subject::Task(task)),
        Event::TaskBackoff { task, .. } => (Kind::TaskBackoff, Subject::Task(task)),
        Event::TaskEnded(task) => (Kind::TaskEnded, Subject::Task(task)),
        Event::AttemptPlaced { attempt, .. } => (Kind::AttemptPlaced, Subject::Attempt(attempt)),
        Event::AttemptStarted { attempt, .. } => (Kind::AttemptStarted, Subject::Attempt(attempt)),
        Event::AttemptStopping { attempt, .. } => (Kind::AttemptStopping, Subject::Attempt(attempt)),
        Event::AttemptEnded { attempt, .. } => (Kind::AttemptEnded, Subject::Attempt(attempt)),
        Event::TenantApplied(_)
        | Event::JobApplied { .. }
        | Event::JobStopped(_)
        | Event::FireDecided { .. }
        | Event::NodeRegistered { .. }
        | Event::NodeLost(_)
        | Event::NodeDrain(_)
        | Event::NodeRemoved(_) => return None,
    };
    if !with_tasks && matches!(subject, Subject::Task(_) | Subject::Attempt(_)) {
        return None;
    }
    let (id, now) = subject.render(state, kind)?;
    let event = v1::RunEvent {
        id: Some(v1::EventId { index: past.id.index, ordinal: past.id.ordinal }),
        kind: kind.into(),
        run: id.to_string(),
        time_ms: past.time.0,
        now: Some(now),
    };
    Some((id, event))
}

/// What an event is about.
enum Subject {
    Run(RunHandle),
    RunOrSummary(RunHandle, RunId),
    Summary(RunId),
    Step(StepHandle),
    Task(TaskHandle),
    Attempt(AttemptHandle),
}

impl Subject {
    fn render(&self, state: &State, kind: run_event::Kind) -> Option<(RunId, run_event::Now)> {
        let tables = state.tables();
        match *self {
            Subject::Run(handle) | Subject::RunOrSummary(handle, _) if tables.runs.get(handle).is_some() => {
                let view = match kind {
                    run_event::Kind::RunCreated => run_with_steps(state, handle),
                    _ => run(state, handle),
                };
                Some((state.run(handle).id, run_event::Now::RunView(view)))
            }
            Subject::Run(_) => None,
            Subject::RunOrSummary(_, id) | Subject::Summary(id) => {
                let record = tables.summaries.get(&id)?;
                Some((id, run_event::Now::RunView(summary(state, id, record))))
            }
            Subject::Step(handle) => {
                let run = tables.steps.get(handle)?.run;
                Some((tables.runs.get(run)?.id, run_event::Now::Step(step(state, handle))))
            }
            Subject::Task(handle) => {
                let record = tables.tasks.get(handle)?;
                let run = tables.steps.get(record.step)?.run;
                Some((tables.runs.get(run)?.id, run_event::Now::Task(task(state, handle, false)?)))
            }
            Subject::Attempt(handle) => Subject::Task(tables.attempts.get(handle)?.task).render(state, kind),
        }
    }
}
