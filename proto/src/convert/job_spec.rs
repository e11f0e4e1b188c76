//! Job specs. A spec that passes here keeps every promise that the core's [`JobSpec`] makes: names, limits, an order in
//! which each task comes after those it depends on, and outputs that are there when they are used.

mod order;
mod task;

use std::collections::BTreeSet;

use berth_core::job_spec::{
    JobKind, JobSpec, OnDisconnect, Overlap, SPEC_BYTES_MAX, STOP_AFTER_MIN, Schedule, TASKS_MAX, When,
};
use berth_core::name::Named;
use berth_core::time::{Millis, Timestamp};
use prost::Message;

use super::field::{choice, name, narrow, required, within};
use super::{Error, Fault};
use crate::v1;

/// The longest span of time in a spec: a hundred years, in milliseconds.
pub const SPAN_MS_MAX: u64 = 100 * 366 * 86_400_000;
/// The last instant that a spec can name: the end of the year 9999.
const INSTANT_MS_MAX: u64 = 253_402_300_799_999;
const PRIORITY_MAX: u32 = 100;

/// Whether a spec is short enough for the log, whose entries have at most 1 MiB.
///
/// # Errors
/// [`Fault::SpecTooLarge`].
pub fn check_size(spec: &v1::JobSpec) -> Result<(), Error> {
    let is = spec.encoded_len();
    if is <= SPEC_BYTES_MAX { Ok(()) } else { Err(Error::whole(Fault::SpecTooLarge { is })) }
}

/// The spec that a message describes.
///
/// # Errors
/// The first fault, with the way to its field.
pub fn from_proto(spec: v1::JobSpec) -> Result<JobSpec, Error> {
    check_size(&spec)?;
    name(&spec.tenant, Named::Ours, "tenant")?;
    name(&spec.name, Named::Ours, "name")?;
    let kind = match choice::<v1::JobKind>(spec.kind, "kind")? {
        v1::JobKind::Unspecified => return Err(Error::at("kind", Fault::Unspecified)),
        v1::JobKind::Job => JobKind::Job,
        v1::JobKind::Service => JobKind::Service,
    };
    within(u64::try_from(spec.tasks.len()).unwrap_or(u64::MAX), 1, TASKS_MAX as u64, "tasks")?;
    let mut names = BTreeSet::new();
    let mut tasks = Vec::with_capacity(spec.tasks.len());
    for (place, message) in (0u16..).zip(spec.tasks) {
        let inside = |error: Error| error.element(usize::from(place)).inside("tasks");
        if !names.insert(message.name.clone()) {
            return Err(inside(Error::at("name", Fault::Twice(message.name))));
        }
        tasks.push(task::from_proto(message, place).map_err(inside)?);
    }
    order::check_outputs(&tasks)?;
    Ok(JobSpec {
        kind,
        tenant: spec.tenant,
        name: spec.name,
        priority: narrow(spec.priority, PRIORITY_MAX, "priority")?,
        schedule: spec
            .schedule
            .map(schedule_from_proto)
            .transpose()
            .map_err(|error| error.inside("schedule"))?,
        tasks,
    })
}

/// The spec that a client asks for. It keeps to what [`from_proto`] checks, and to rules that came later: what is in the
/// log already must stay readable.
///
/// # Errors
/// As [`from_proto`].
pub fn from_client(spec: v1::JobSpec) -> Result<JobSpec, Error> {
    let spec = from_proto(spec)?;
    for (place, task) in spec.tasks.iter().enumerate() {
        if let OnDisconnect::StopAfter(span) = task.on_disconnect {
            within(span.0, STOP_AFTER_MIN.0, SPAN_MS_MAX, "on_disconnect.stop_after_ms")
                .map_err(|error| error.element(place).inside("tasks"))?;
        }
    }
    Ok(spec)
}

/// The message for a spec.
pub fn to_proto(spec: &JobSpec) -> v1::JobSpec {
    let kind = match spec.kind {
        JobKind::Job => v1::JobKind::Job,
        JobKind::Service => v1::JobKind::Service,
    };
    v1::JobSpec {
        kind: kind.into(),
        tenant: spec.tenant.clone(),
        name: spec.name.clone(),
        priority: u32::from(spec.priority),
        schedule: spec.schedule.as_ref().map(schedule_to_proto),
        tasks: spec.tasks.iter().map(task::to_proto).collect(),
    }
}

fn schedule_from_proto(schedule: v1::Schedule) -> Result<Schedule, Error> {
    let when = match required(schedule.when, "when")? {
        v1::schedule::When::EveryMs(period) => {
            When::Every(Millis(within(period, 1000, SPAN_MS_MAX, "every_ms")?))
        }
        v1::schedule::When::AtMs(at) => When::At(Timestamp(within(at, 0, INSTANT_MS_MAX, "at_ms")?)),
    };
    let overlap = match choice::<v1::Overlap>(schedule.overlap, "overlap")? {
        v1::Overlap::Unspecified => return Err(Error::at("overlap", Fault::Unspecified)),
        v1::Overlap::Skip => Overlap::Skip,
        v1::Overlap::AllowAll => Overlap::AllowAll,
    };
    Ok(Schedule { when, overlap })
}

/// The message for a schedule.
pub fn schedule_to_proto(schedule: &Schedule) -> v1::Schedule {
    let when = match schedule.when {
        When::Every(Millis(period)) => v1::schedule::When::EveryMs(period),
        When::At(Timestamp(at)) => v1::schedule::When::AtMs(at),
    };
    let overlap = match schedule.overlap {
        Overlap::Skip => v1::Overlap::Skip,
        Overlap::AllowAll => v1::Overlap::AllowAll,
    };
    v1::Schedule { when: Some(when), overlap: overlap.into() }
}
