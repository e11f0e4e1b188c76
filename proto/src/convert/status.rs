//! How requests fail at the public API: a gRPC status whose binary details are an [`ErrorDetail`].

use berth_core::code::Code;
use berth_core::reply::Refusal;
use prost::Message;
use tonic::{Code as Grpc, Status};

use super::Error;
use crate::v1::{ErrorCode, ErrorDetail, FieldViolation, Severity};

/// How soon a request may be repeated that failed for want of a leader, in milliseconds.
pub const RETRY_NO_LEADER_MS: u64 = 500;
/// How soon a request may be repeated that met a full queue, in milliseconds.
pub const RETRY_OVERLOADED_MS: u64 = 200;

/// A failure with the parts that its code asks for and nothing more.
pub fn detail(error: ErrorCode, message: impl Into<String>) -> ErrorDetail {
    let leaderless = matches!(error, ErrorCode::NoLeader | ErrorCode::NotLeader | ErrorCode::StaleTerm);
    let busy =
        matches!(error, ErrorCode::Overloaded | ErrorCode::UnknownOutcome | ErrorCode::LogsUnavailable);
    let retry_after_ms =
        leaderless.then_some(RETRY_NO_LEADER_MS).or_else(|| busy.then_some(RETRY_OVERLOADED_MS));
    ErrorDetail {
        error: error.into(),
        code: catalogue(error).to_string(),
        message: message.into(),
        violations: Vec::new(),
        retry_after_ms,
        leader_address: String::new(),
    }
}

/// The status that carries a failure.
pub fn to_status(detail: &ErrorDetail) -> Status {
    Status::with_details(grpc(detail.error()), detail.message.clone(), detail.encode_to_vec().into())
}

/// The failure that a status carries; `None` when it comes from something else than Berth's API.
pub fn from_status(status: &Status) -> Option<ErrorDetail> {
    if status.details().is_empty() {
        return None;
    }
    let detail = ErrorDetail::decode(status.details()).ok()?;
    (detail.error() != ErrorCode::Unspecified).then_some(detail)
}

/// The failure for what the state machine refused.
pub fn of_refusal(refusal: &Refusal) -> ErrorDetail {
    let error = match refusal {
        Refusal::StaleTerm => ErrorCode::StaleTerm,
        Refusal::StaleClusterEpoch => ErrorCode::StaleClusterEpoch,
        Refusal::KeyReused => ErrorCode::KeyReused,
        Refusal::UnknownTenant(_) => ErrorCode::UnknownTenant,
        Refusal::UnknownJob { .. } => ErrorCode::UnknownJob,
        Refusal::UnknownRun(_) => ErrorCode::UnknownRun,
        Refusal::UnknownNode(_) => ErrorCode::UnknownNode,
        Refusal::NeverFits { .. } => ErrorCode::NeverFits,
        Refusal::Invalid(_) => ErrorCode::Invalid,
        Refusal::Full { .. } => ErrorCode::Full,
        // Only agents report, and they begin the session anew as after another registration.
        Refusal::StaleEpoch | Refusal::ReportMissing { .. } => ErrorCode::StaleEpoch,
        Refusal::NodeClosed(_) => ErrorCode::NodeClosed,
        Refusal::NodeBusy { .. } | Refusal::NodeHasFiles { .. } => ErrorCode::NodeBusy,
        Refusal::NodeInService(_) => ErrorCode::NodeInService,
        Refusal::DoesNotFit(_) => ErrorCode::DoesNotFit,
        Refusal::OverLimit { .. } => ErrorCode::OverLimit,
        Refusal::NotReady => ErrorCode::NotReady,
    };
    detail(error, refusal.to_string())
}

/// The failure for a request with a wrong field.
pub fn of_invalid(error: &Error) -> ErrorDetail {
    let violation = FieldViolation {
        path: error.path.clone(),
        code: error.code().to_string(),
        message: error.fault.to_string(),
        help: error.help().to_owned(),
        severity: Severity::Error.into(),
    };
    let code = error.code().to_string();
    ErrorDetail { code, violations: vec![violation], ..detail(ErrorCode::Invalid, error.to_string()) }
}

/// The code of a failure in the catalogue of messages.
pub fn catalogue(error: ErrorCode) -> Code {
    match error {
        ErrorCode::Unspecified | ErrorCode::Internal => Code::Internal,
        ErrorCode::Invalid => Code::Invalid,
        ErrorCode::OverLimit => Code::QuotaQueued,
        ErrorCode::NeverFits => Code::NeverFits,
        ErrorCode::UnknownTenant
        | ErrorCode::UnknownJob
        | ErrorCode::UnknownRun
        | ErrorCode::UnknownNode
        | ErrorCode::UnknownTask
        | ErrorCode::UnknownMember
        | ErrorCode::Denied => Code::NotVisible,
        ErrorCode::StaleClusterEpoch | ErrorCode::StaleEpoch => Code::StaleRevision,
        ErrorCode::KeyReused => Code::KeyReused,
        ErrorCode::AmbiguousRun => Code::AmbiguousRun,
        ErrorCode::Full => Code::Full,
        ErrorCode::NodeClosed
        | ErrorCode::NodeBusy
        | ErrorCode::NodeInService
        | ErrorCode::DoesNotFit
        | ErrorCode::NotReady => Code::Conflict,
        ErrorCode::Membership => Code::Membership,
        ErrorCode::NoLeader | ErrorCode::NotLeader | ErrorCode::StaleTerm => Code::NoLeader,
        ErrorCode::Overloaded => Code::Overloaded,
        ErrorCode::UnknownOutcome => Code::OutcomeUnknown,
        ErrorCode::LogsUnavailable => Code::LogsUnavailable,
        ErrorCode::DiskFull => Code::DiskFull,
    }
}

fn grpc(error: ErrorCode) -> Grpc {
    match error {
        ErrorCode::Unspecified | ErrorCode::Internal => Grpc::Internal,
        ErrorCode::Invalid | ErrorCode::AmbiguousRun => Grpc::InvalidArgument,
        ErrorCode::NotLeader | ErrorCode::NoLeader | ErrorCode::StaleTerm | ErrorCode::LogsUnavailable => {
            Grpc::Unavailable
        }
        ErrorCode::Overloaded | ErrorCode::Full | ErrorCode::OverLimit | ErrorCode::DiskFull => {
            Grpc::ResourceExhausted
        }
        ErrorCode::UnknownOutcome => Grpc::Unknown,
        ErrorCode::KeyReused => Grpc::AlreadyExists,
        ErrorCode::UnknownTenant
        | ErrorCode::UnknownJob
        | ErrorCode::UnknownRun
        | ErrorCode::UnknownNode
        | ErrorCode::UnknownTask
        | ErrorCode::UnknownMember => Grpc::NotFound,
        ErrorCode::Denied => Grpc::PermissionDenied,
        ErrorCode::StaleClusterEpoch | ErrorCode::StaleEpoch => Grpc::Aborted,
        ErrorCode::NeverFits
        | ErrorCode::NodeClosed
        | ErrorCode::NodeBusy
        | ErrorCode::NodeInService
        | ErrorCode::DoesNotFit
        | ErrorCode::NotReady
        | ErrorCode::Membership => Grpc::FailedPrecondition,
    }
}

/// True when the request may succeed if it is sent again, here or at another member, with the same key.
pub fn may_repeat(detail: &ErrorDetail) -> bool {
    detail.retry_after_ms.is_some()
}
