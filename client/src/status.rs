//! What a gRPC status means: a refusal, or a reason to ask elsewhere or later.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use berth_proto::convert;
use berth_proto::v1::{ErrorCode, ErrorDetail, FieldViolation, Severity};
use tonic::{Code, Status};

use crate::error::{Error, Missing, Refusal, Violation};

/// How long to wait when a server is overloaded and does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What to do about a failed attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The answer stands.
    Refused(Box<Error>),
    /// The same request may succeed at another server.
    Elsewhere(Elsewhere),
    /// The same request may succeed after this time.
    Later { message: String, after: Duration },
}

/// Why another server is asked.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    /// What this one answered, for people.
    pub(crate) answer: String,
    /// Where the leader is, if this one knew.
    pub(crate) leader: Option<String>,
    /// It answered, but knew no leader.
    pub(crate) no_leader: bool,
    /// The request may have been applied.
    pub(crate) maybe_applied: bool,
}

/// Reads a status.
pub(crate) fn judge(status: &Status) -> Verdict {
    match convert::status::from_status(status) {
        Some(detail) => judge_detail(status, detail),
        None => judge_bare(status),
    }
}

fn judge_detail(status: &Status, detail: ErrorDetail) -> Verdict {
    let error = detail.error();
    let message = if detail.message.is_empty() { status.message().to_owned() } else { detail.message };
    let refusal = Refusal { code: detail.code, message };
    let missing = |what, refusal| Error::NotFound { what, refusal };
    let leader = (!detail.leader_address.is_empty()).then_some(detail.leader_address);
    let elsewhere = |answer, no_leader, maybe_applied| {
        Verdict::Elsewhere(Elsewhere { answer, leader, no_leader, maybe_applied })
    };
    Verdict::Refused(Box::new(match error {
        ErrorCode::NotLeader | ErrorCode::NoLeader | ErrorCode::StaleTerm => {
            return elsewhere(refusal.message, true, false);
        }
        ErrorCode::UnknownOutcome => return elsewhere(refusal.message, true, true),
        ErrorCode::Overloaded => {
            let after = detail.retry_after_ms.map_or(RETRY_AFTER, Duration::from_millis);
            return Verdict::Later { message: refusal.message, after };
        }
        ErrorCode::Invalid => Error::Invalid {
            message: refusal.message,
            violations: detail.violations.into_iter().map(Violation::from).collect(),
        },
        ErrorCode::UnknownTenant => missing(Missing::Tenant, refusal),
        ErrorCode::UnknownJob => missing(Missing::Job, refusal),
        ErrorCode::UnknownRun => missing(Missing::Run, refusal),
        ErrorCode::UnknownNode => missing(Missing::Node, refusal),
        ErrorCode::UnknownTask => missing(Missing::Task, refusal),
        ErrorCode::UnknownMember => missing(Missing::Member, refusal),
        ErrorCode::AmbiguousRun => Error::AmbiguousRun(refusal),
        ErrorCode::NeverFits => Error::NeverFits(refusal),
        ErrorCode::Full | ErrorCode::DiskFull => Error::Full(refusal),
        ErrorCode::KeyReused => Error::KeyReused(refusal),
        ErrorCode::Denied => Error::Denied(refusal),
        ErrorCode::LogsUnavailable => Error::LogsUnavailable(refusal),
        ErrorCode::StaleClusterEpoch
        | ErrorCode::StaleEpoch
        | ErrorCode::NodeClosed
        | ErrorCode::NodeBusy
        | ErrorCode::NodeInService
        | ErrorCode::DoesNotFit
        | ErrorCode::OverLimit
        | ErrorCode::NotReady
        | ErrorCode::Membership => Error::Conflict(refusal),
        ErrorCode::Internal | ErrorCode::Unspecified => Error::Internal(refusal),
    }))
}

/// A status that no Berth handler made: the transport's, or some other server's.
fn judge_bare(status: &Status) -> Verdict {
    let message = status.message().to_owned();
    let refusal = || Refusal { code: String::new(), message: message.clone() };
    let elsewhere = |answer, maybe_applied| {
        Verdict::Elsewhere(Elsewhere { answer, leader: None, no_leader: false, maybe_applied })
    };
    if let Some((answer, maybe_applied)) = transport_answer(status) {
        return elsewhere(answer, maybe_applied);
    }
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => {
            Verdict::Refused(Box::new(Error::Invalid { message, violations: Vec::new() }))
        }
        Code::NotFound => {
            Verdict::Refused(Box::new(Error::NotFound { what: Missing::Other, refusal: refusal() }))
        }
        Code::PermissionDenied | Code::Unauthenticated => {
            Verdict::Refused(Box::new(Error::Denied(refusal())))
        }
        Code::AlreadyExists | Code::FailedPrecondition => {
            Verdict::Refused(Box::new(Error::Conflict(refusal())))
        }
        Code::ResourceExhausted => Verdict::Later { message, after: RETRY_AFTER },
        Code::Unimplemented => elsewhere(
            "it does not know this request; is it a Berth server of this release?".to_owned(),
            false,
        ),
        Code::Unavailable => elsewhere(format!("unavailable: {message}"), true),
        Code::DeadlineExceeded | Code::Cancelled | Code::Aborted | Code::Unknown | Code::Ok => {
            elsewhere(format!("the connection ended before the answer: {message}"), true)
        }
        Code::Internal | Code::DataLoss => Verdict::Refused(Box::new(Error::Internal(refusal()))),
    }
}

/// What the transport ran into, for people, and whether the request may have reached a server.
fn transport_answer(status: &Status) -> Option<(String, bool)> {
    let mut chain = Vec::new();
    let mut next = status.source();
    while let Some(error) = next {
        chain.push(error);
        next = error.source();
    }
    let innermost = chain.last()?;
    let io = chain.iter().rev().find_map(|error| error.downcast_ref::<io::Error>());
    Some(match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ("connection refused".to_owned(), false),
        Some(io::ErrorKind::TimedOut) => ("no connection within the time for it".to_owned(), false),
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            ("the host cannot be reached".to_owned(), false)
        }
        _ => {
            let texts: Vec<String> = chain.iter().map(ToString::to_string).collect();
            let all = texts.join(": ");
            if all.contains("dns error") || all.contains("lookup address") {
                ("the name of the host is not known".to_owned(), false)
            } else if all.contains("deadline has elapsed") {
                ("no connection within the time for it".to_owned(), false)
            } else if all.contains("frame with invalid size")
                || all.contains("invalid preface")
                || all.contains("FRAME_SIZE")
            {
                ("what listens there speaks another protocol (TLS or plain HTTP?)".to_owned(), false)
            } else {
                (format!("the connection broke: {innermost}"), true)
            }
        }
    })
}

impl From<FieldViolation> for Violation {
    fn from(wire: FieldViolation) -> Violation {
        let warning = wire.severity() == Severity::Warning;
        let help = (!wire.help.is_empty()).then_some(wire.help);
        Violation { path: wire.path, code: wire.code, message: wire.message, help, warning }
    }
}

#[cfg(test)]
mod tests;
