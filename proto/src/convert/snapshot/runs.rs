//! Records of runs that have their steps and tasks.

use berth_core::id::{
    AttemptHandle, ClassHandle, JobHandle, NodeHandle, RunHandle, RunId, SpecHandle, StepHandle, TaskHandle,
};
use berth_core::model::{
    Attempt, AttemptState, Files, Outputs, Run, RunState, Step, StepState, Task, TaskState, Usage,
};
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;

use super::jobs::{cause_from_proto, cause_to_proto};
use crate::convert::field::{choice, id, id_bytes, narrow, required};
use crate::convert::{Error, Fault, reason};
use crate::store;
use crate::store::record::Record as Body;
use crate::store::{attempt_record, run_record, task_record};
use crate::v1;

pub(super) fn run_from_proto(record: store::RunRecord) -> Result<(RunHandle, Run), Error> {
    let run = Run {
        id: RunId(id(&record.id, "run.id")?),
        job: JobHandle(record.job),
        spec: SpecHandle(record.spec),
        version: record.version,
        cause: cause_from_proto(record.cause)?,
        nominal: Timestamp(record.nominal_ms),
        created: Timestamp(record.created_ms),
        first_step: StepHandle(record.first_step),
        steps: narrow(record.steps, u16::MAX.into(), "run.steps")?,
        steps_open: narrow(record.steps_open, u16::MAX.into(), "run.steps_open")?,
        state: match required(record.state, "run.state")? {
            run_record::State::Active(store::Active {}) => RunState::Active,
            run_record::State::Cancelling(cancelling) => RunState::Cancelling { by: cancelling.by },
            run_record::State::Ended(ended) => {
                let (reason, at) = ended_from_proto(ended)?;
                RunState::Ended { reason, at }
            }
        },
        collapsing: record.collapsing,
        files: record.files.map(|files| match files {
            run_record::Files::FilesNode(node) => Files::Node(NodeHandle(node)),
            run_record::Files::FilesShared(name) => Files::Shared(name),
        }),
        output_bytes: record.output_bytes,
    };
    Ok((RunHandle(record.handle), run))
}

pub(super) fn run_to_proto(handle: RunHandle, run: &Run) -> Body {
    Body::Run(store::RunRecord {
        handle: handle.0,
        id: id_bytes(run.id.0),
        job: run.job.0,
        spec: run.spec.0,
        version: run.version,
        cause: Some(cause_to_proto(run.cause)),
        nominal_ms: run.nominal.0,
        created_ms: run.created.0,
        first_step: run.first_step.0,
        steps: run.steps.into(),
        steps_open: run.steps_open.into(),
        state: Some(match &run.state {
            RunState::Active => run_record::State::Active(store::Active {}),
            RunState::Cancelling { by } => {
                run_record::State::Cancelling(store::Cancelling { by: by.clone() })
            }
            RunState::Ended { reason, at } => run_record::State::Ended(ended_to_proto(reason, *at)),
        }),
        files: run.files.as_ref().map(|files| match files {
            Files::Node(node) => run_record::Files::FilesNode(node.0),
            Files::Shared(name) => run_record::Files::FilesShared(name.clone()),
        }),
        output_bytes: run.output_bytes,
        collapsing: run.collapsing,
    })
}

pub(super) fn step_from_proto(record: store::StepRecord) -> Result<(StepHandle, Step), Error> {
    let state = match choice::<store::StepPhase>(record.state, "step.state")? {
        store::StepPhase::Unspecified => return Err(Error::at("step.state", Fault::Unspecified)),
        store::StepPhase::Waiting => StepState::Waiting,
        store::StepPhase::Open => StepState::Open,
        store::StepPhase::Succeeded => StepState::Succeeded,
        store::StepPhase::Failed => StepState::Failed,
    };
    // What is left of the size waits for a place, so the counts cannot be more than it.
    let counted = [record.live, record.backoff, record.succeeded, record.failed];
    if counted.into_iter().map(u64::from).sum::<u64>() > u64::from(record.size) {
        return Err(Error::at("step.size", Fault::Wrong("is less than its indexes")));
    }
    let step = Step {
        run: RunHandle(record.run),
        place: narrow(record.place, u16::MAX.into(), "step.place")?,
        state,
        waits_for: narrow(record.waits_for, u16::MAX.into(), "step.waits_for")?,
        size: record.size,
        first_task: TaskHandle(record.first_task),
        opened: record.opened,
        live: record.live,
        backoff: record.backoff,
        succeeded: record.succeeded,
        failed: record.failed,
        first_failure: record.first_failure.map(reason::from_proto).transpose()?,
    };
    Ok((StepHandle(record.handle), step))
}

pub(super) fn step_to_proto(handle: StepHandle, step: &Step) -> Body {
    let state = match step.state {
        StepState::Waiting => store::StepPhase::Waiting,
        StepState::Open => store::StepPhase::Open,
        StepState::Succeeded => store::StepPhase::Succeeded,
        StepState::Failed => store::StepPhase::Failed,
    };
    Body::Step(store::StepRecord {
        handle: handle.0,
        run: step.run.0,
        place: step.place.into(),
        state: state.into(),
        waits_for: step.waits_for.into(),
        size: step.size,
        first_task: step.first_task.0,
        opened: step.opened,
        live: step.live,
        backoff: step.backoff,
        succeeded: step.succeeded,
        failed: step.failed,
        first_failure: step.first_failure.as_ref().map(reason::to_proto),
    })
}

pub(super) fn task_from_proto(record: store::TaskRecord) -> Result<(TaskHandle, Task), Error> {
    let state = match required(record.state, "task.state")? {
        task_record::State::Ready(store::Ready {}) => TaskState::Ready,
        task_record::State::Live(store::Live {}) => TaskState::Live,
        task_record::State::BackoffUntilMs(until) => TaskState::Backoff { until: Timestamp(until) },
        task_record::State::Ended(ended) => TaskState::Ended(reason::from_proto(ended)?),
    };
    let task = Task {
        step: StepHandle(record.step),
        index: record.index,
        attempts: record.attempts,
        blameless: record.blameless,
        state,
        latest: AttemptHandle(record.latest),
    };
    Ok((TaskHandle(record.handle), task))
}

pub(super) fn task_to_proto(handle: TaskHandle, task: &Task) -> Body {
    Body::Task(store::TaskRecord {
        handle: handle.0,
        step: task.step.0,
        index: task.index,
        attempts: task.attempts,
        blameless: task.blameless,
        state: Some(match &task.state {
            TaskState::Ready => task_record::State::Ready(store::Ready {}),
            TaskState::Live => task_record::State::Live(store::Live {}),
            TaskState::Backoff { until } => task_record::State::BackoffUntilMs(until.0),
            TaskState::Ended(ended) => task_record::State::Ended(reason::to_proto(ended)),
        }),
        latest: task.latest.0,
    })
}

pub(super) fn attempt_from_proto(record: store::AttemptRecord) -> Result<(AttemptHandle, Attempt), Error> {
    let state = match required(record.state, "attempt.state")? {
        attempt_record::State::Starting(store::Starting {}) => AttemptState::Starting,
        attempt_record::State::Running(store::Running {}) => AttemptState::Running,
        attempt_record::State::Stopping(reason) => AttemptState::Stopping(reason::from_proto(reason)?),
        attempt_record::State::Ended(ended) => {
            let (reason, at) = ended_from_proto(ended)?;
            AttemptState::Ended { reason, at }
        }
    };
    let attempt = Attempt {
        task: TaskHandle(record.task),
        number: record.number,
        node: NodeHandle(record.node),
        class: ClassHandle(record.class),
        previous: record.previous.map(AttemptHandle).into(),
        placed: Timestamp(record.placed_ms),
        started: record.started_ms.map(Timestamp),
        state,
    };
    Ok((AttemptHandle(record.handle), attempt))
}

pub(super) fn attempt_to_proto(handle: AttemptHandle, attempt: &Attempt) -> Body {
    Body::Attempt(store::AttemptRecord {
        handle: handle.0,
        task: attempt.task.0,
        number: attempt.number,
        node: attempt.node.0,
        class: attempt.class.0,
        previous: attempt.previous.get().map(|previous| previous.0),
        placed_ms: attempt.placed.0,
        started_ms: attempt.started.map(|at| at.0),
        state: Some(match &attempt.state {
            AttemptState::Starting => attempt_record::State::Starting(store::Starting {}),
            AttemptState::Running => attempt_record::State::Running(store::Running {}),
            AttemptState::Stopping(reason) => attempt_record::State::Stopping(reason::to_proto(reason)),
            AttemptState::Ended { reason, at } => attempt_record::State::Ended(ended_to_proto(reason, *at)),
        }),
    })
}

pub(super) fn outputs_from_proto(record: store::OutputRecord) -> (TaskHandle, Outputs) {
    let outputs = record.outputs.into_iter().map(|output| (output.key, output.values)).collect();
    (TaskHandle(record.task), Outputs(outputs))
}

pub(super) fn outputs_to_proto(task: TaskHandle, outputs: &Outputs) -> Body {
    let outputs = outputs.0.iter();
    let outputs =
        outputs.map(|(key, values)| store::OutputValues { key: key.clone(), values: values.clone() });
    Body::Output(store::OutputRecord { task: task.0, outputs: outputs.collect() })
}

pub(super) fn usage_from_proto(record: store::UsageRecord) -> (AttemptHandle, Usage) {
    (AttemptHandle(record.attempt), Usage { memory_peak_kib: record.memory_peak_kib, cpu_ms: record.cpu_ms })
}

pub(super) fn usage_to_proto(attempt: AttemptHandle, usage: Usage) -> Body {
    let Usage { memory_peak_kib, cpu_ms } = usage;
    Body::Usage(store::UsageRecord { attempt: attempt.0, memory_peak_kib, cpu_ms })
}

fn ended_from_proto(ended: store::EndedAt) -> Result<(EndReason, Timestamp), Error> {
    Ok((
        reason::from_proto(required::<v1::EndReason>(ended.reason, "ended.reason")?)?,
        Timestamp(ended.at_ms),
    ))
}

fn ended_to_proto(reason: &EndReason, at: Timestamp) -> store::EndedAt {
    store::EndedAt { reason: Some(reason::to_proto(reason)), at_ms: at.0 }
}
