//! Why something ended, was skipped or waits.

use berth_core::reason::{EndReason, SkipReason, WaitReason};

use super::field::choice;
use super::{Error, Fault};
use crate::v1;
use crate::v1::end_reason::Kind;

/// The reason that a message names.
///
/// # Errors
/// When the kind is unspecified or unknown.
pub fn from_proto(reason: v1::EndReason) -> Result<EndReason, Error> {
    Ok(match choice::<Kind>(reason.kind, "kind")? {
        Kind::Unspecified => return Err(Error::at("kind", Fault::Unspecified)),
        Kind::Succeeded => EndReason::Succeeded,
        Kind::FailedExit => EndReason::FailedExit(reason.number),
        Kind::FailedSignal => EndReason::FailedSignal(reason.number),
        Kind::OomKilled => EndReason::OomKilled,
        Kind::DiskExceeded => EndReason::DiskExceeded,
        Kind::TimedOut => EndReason::TimedOut,
        Kind::Cancelled => EndReason::Cancelled(reason.text.into()),
        Kind::Preempted => EndReason::Preempted,
        Kind::NodeLost => EndReason::NodeLost,
        Kind::StartFailed => EndReason::StartFailed(reason.text.into()),
        Kind::PreconditionFailed => EndReason::PreconditionFailed,
        Kind::PostconditionFailed => EndReason::PostconditionFailed(reason.text.into()),
        Kind::Unhealthy => EndReason::Unhealthy,
        Kind::UpstreamFailed => EndReason::UpstreamFailed,
        Kind::Skipped => EndReason::Skipped(skip_from_proto(reason.skip, "skip")?),
    })
}

/// The message for a reason.
pub fn to_proto(reason: &EndReason) -> v1::EndReason {
    let mut message = v1::EndReason::default();
    let kind = match reason {
        EndReason::Succeeded => Kind::Succeeded,
        EndReason::FailedExit(code) => {
            message.number = *code;
            Kind::FailedExit
        }
        EndReason::FailedSignal(signal) => {
            message.number = *signal;
            Kind::FailedSignal
        }
        EndReason::OomKilled => Kind::OomKilled,
        EndReason::DiskExceeded => Kind::DiskExceeded,
        EndReason::TimedOut => Kind::TimedOut,
        EndReason::Cancelled(by) => {
            message.text = by.to_string();
            Kind::Cancelled
        }
        EndReason::Preempted => Kind::Preempted,
        EndReason::NodeLost => Kind::NodeLost,
        EndReason::StartFailed(cause) => {
            message.text = cause.to_string();
            Kind::StartFailed
        }
        EndReason::PreconditionFailed => Kind::PreconditionFailed,
        EndReason::PostconditionFailed(what) => {
            message.text = what.to_string();
            Kind::PostconditionFailed
        }
        EndReason::Unhealthy => Kind::Unhealthy,
        EndReason::UpstreamFailed => Kind::UpstreamFailed,
        EndReason::Skipped(skip) => {
            message.skip = skip_to_proto(*skip).into();
            Kind::Skipped
        }
    };
    message.kind = kind.into();
    message
}

/// Why something due was not run, as field `field` names it.
pub(super) fn skip_from_proto(skip: i32, field: &str) -> Result<SkipReason, Error> {
    match choice::<v1::SkipReason>(skip, field)? {
        v1::SkipReason::Unspecified => Err(Error::at(field, Fault::Unspecified)),
        v1::SkipReason::Overlap => Ok(SkipReason::Overlap),
        v1::SkipReason::CatchUp => Ok(SkipReason::CatchUp),
        v1::SkipReason::Full => Ok(SkipReason::Full),
        v1::SkipReason::Superseded => Ok(SkipReason::Superseded),
    }
}

/// The value for a skip.
pub(super) fn skip_to_proto(skip: SkipReason) -> v1::SkipReason {
    match skip {
        SkipReason::Overlap => v1::SkipReason::Overlap,
        SkipReason::CatchUp => v1::SkipReason::CatchUp,
        SkipReason::Full => v1::SkipReason::Full,
        SkipReason::Superseded => v1::SkipReason::Superseded,
    }
}

/// The message for a wait; `text` says what would unblock it.
pub fn wait_to_proto(wait: &WaitReason) -> v1::WaitReason {
    use v1::wait_reason::Kind;
    let message =
        |kind: Kind, text: String| v1::WaitReason { kind: kind.into(), text, ..v1::WaitReason::default() };
    match wait {
        WaitReason::Dependency { steps } => v1::WaitReason {
            tasks: steps.clone(),
            ..message(Kind::Dependency, format!("waits for {}", steps.join(", ")))
        },
        WaitReason::Precondition { what } => message(Kind::Precondition, what.clone()),
        WaitReason::Quota { what } => message(Kind::Quota, what.clone()),
        WaitReason::Placement { what } => message(Kind::Placement, what.clone()),
        WaitReason::Preemption => message(Kind::Preemption, "room is being made for it".to_owned()),
        WaitReason::Retry { at } => v1::WaitReason {
            at_ms: Some(at.0),
            ..message(Kind::Retry, "it failed and is tried again".to_owned())
        },
        WaitReason::Paused => message(Kind::Paused, "the job is paused".to_owned()),
        WaitReason::Fire { at } => {
            v1::WaitReason { at_ms: Some(at.0), ..message(Kind::Fire, "it is scheduled".to_owned()) }
        }
    }
}
