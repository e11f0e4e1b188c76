//! Records of jobs, and of what outlives their runs.

use std::sync::Arc;

use berth_core::id::{ClassHandle, JobHandle, RequestId, RunHandle, RunId, SpecHandle, TenantHandle};
use berth_core::model::{Cursor, Job, Outcome, OutcomeKind, RunCause, RunSummary, SpecRecord, Stopping};
use berth_core::time::Timestamp;

use crate::convert::field::{id, id_bytes, required, same_length};
use crate::convert::reason::{skip_from_proto, skip_to_proto};
use crate::convert::{Error, job_spec, reason};
use crate::store;
use crate::store::record::Record as Body;

pub(super) fn spec_from_proto(record: store::SpecRecord) -> Result<(SpecHandle, SpecRecord), Error> {
    let spec = job_spec::from_proto(required(record.spec, "spec.spec")?)
        .map_err(|error| error.inside("spec.spec"))?;
    same_length(record.classes.len(), spec.tasks.len(), "spec.classes")?;
    let classes = record.classes.into_iter().map(ClassHandle).collect();
    let record_of_spec = SpecRecord::new(Arc::new(spec), record.users, classes);
    Ok((SpecHandle(record.handle), record_of_spec))
}

pub(super) fn spec_to_proto(handle: SpecHandle, record: &SpecRecord) -> Body {
    Body::Spec(store::SpecRecord {
        handle: handle.0,
        spec: Some(job_spec::to_proto(&record.spec)),
        users: record.users,
        classes: record.classes.iter().map(|class| class.0).collect(),
    })
}

pub(super) fn job_from_proto(record: store::JobRecord) -> (JobHandle, Job) {
    let job = Job {
        tenant: TenantHandle(record.tenant),
        name: record.name,
        version: record.version,
        spec: SpecHandle(record.spec),
        enabled: record.enabled,
        generation: record.generation,
        cursor: record.cursor.map(|cursor| Cursor {
            generation: cursor.generation,
            last: Timestamp(cursor.last_ms),
            next: cursor.next_ms.map(Timestamp),
        }),
        updated: Timestamp(record.updated_ms),
        stopping: record.stopping.map(|stopping| Stopping {
            by: stopping.by,
            from: RunHandle(stopping.from),
            until: RunHandle(stopping.until),
        }),
    };
    (JobHandle(record.handle), job)
}

pub(super) fn job_to_proto(handle: JobHandle, job: &Job) -> Body {
    Body::Job(store::JobRecord {
        handle: handle.0,
        tenant: job.tenant.0,
        name: job.name.clone(),
        version: job.version,
        spec: job.spec.0,
        enabled: job.enabled,
        cursor: job.cursor.map(|cursor| store::Cursor {
            generation: cursor.generation,
            last_ms: cursor.last.0,
            next_ms: cursor.next.map(|next| next.0),
        }),
        updated_ms: job.updated.0,
        generation: job.generation,
        stopping: job.stopping.as_ref().map(|stopping| store::Stopping {
            by: stopping.by.clone(),
            from: stopping.from.0,
            until: stopping.until.0,
        }),
    })
}

pub(super) fn outcome_from_proto(
    record: store::OutcomeRecord,
) -> Result<((JobHandle, Timestamp), Outcome), Error> {
    let kind = match required(record.kind, "outcome.kind")? {
        store::outcome_record::Kind::Run(run) => OutcomeKind::Run(RunId(id(&run, "outcome.run")?)),
        store::outcome_record::Kind::Skipped(skip) => {
            OutcomeKind::Skipped(skip_from_proto(skip, "outcome.skipped")?)
        }
    };
    let key = (JobHandle(record.job), Timestamp(record.nominal_ms));
    Ok((key, Outcome { kind, count: record.count }))
}

pub(super) fn outcome_to_proto((job, nominal): (JobHandle, Timestamp), outcome: &Outcome) -> Body {
    let kind = match outcome.kind {
        OutcomeKind::Run(run) => store::outcome_record::Kind::Run(id_bytes(run.0)),
        OutcomeKind::Skipped(skip) => store::outcome_record::Kind::Skipped(skip_to_proto(skip).into()),
    };
    Body::Outcome(store::OutcomeRecord {
        job: job.0,
        nominal_ms: nominal.0,
        kind: Some(kind),
        count: outcome.count,
    })
}

pub(super) fn summary_from_proto(record: store::SummaryRecord) -> Result<(RunId, RunSummary), Error> {
    let summary = RunSummary {
        job: JobHandle(record.job),
        version: record.version,
        cause: cause_from_proto(record.cause)?,
        nominal: Timestamp(record.nominal_ms),
        created: Timestamp(record.created_ms),
        ended: Timestamp(record.ended_ms),
        reason: reason::from_proto(required(record.reason, "summary.reason")?)?,
        tasks: record.tasks,
        succeeded: record.succeeded,
    };
    Ok((RunId(id(&record.id, "summary.id")?), summary))
}

pub(super) fn summary_to_proto(id: RunId, summary: &RunSummary) -> Body {
    Body::Summary(store::SummaryRecord {
        id: id_bytes(id.0),
        job: summary.job.0,
        version: summary.version,
        cause: Some(cause_to_proto(summary.cause)),
        nominal_ms: summary.nominal.0,
        created_ms: summary.created.0,
        ended_ms: summary.ended.0,
        reason: Some(reason::to_proto(&summary.reason)),
        tasks: summary.tasks,
        succeeded: summary.succeeded,
    })
}

/// Why there is a run.
pub(super) fn cause_from_proto(cause: Option<store::RunCause>) -> Result<RunCause, Error> {
    match required(cause.and_then(|cause| cause.cause), "cause")? {
        store::run_cause::Cause::Manual(key) => Ok(RunCause::Manual(RequestId(id(&key, "cause.manual")?))),
        store::run_cause::Cause::Schedule(generation) => Ok(RunCause::Schedule { generation }),
    }
}

/// The message for why there is a run.
pub(super) fn cause_to_proto(cause: RunCause) -> store::RunCause {
    let cause = match cause {
        RunCause::Manual(RequestId(key)) => store::run_cause::Cause::Manual(id_bytes(key)),
        RunCause::Schedule { generation } => store::run_cause::Cause::Schedule(generation),
    };
    store::RunCause { cause: Some(cause) }
}
