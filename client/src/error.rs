//! How a request can fail, for programs that act on it.

use std::fmt;
use std::time::Duration;

use berth_core::code::Code;

use crate::key::RequestKey;

/// Why a request failed. [`Error::code`] is the code under which the catalogue of messages knows it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address in the configuration is none.
    #[error("`{endpoint}` is not an address of a server: {reason}")]
    Endpoint { endpoint: String, reason: String },
    /// No server answered within the deadline; nothing was applied.
    #[error("no server can be reached: {}", Listed(.tried))]
    Unreachable { tried: Vec<Tried> },
    /// Servers answered, but none knew a leader within the deadline; nothing was applied.
    #[error("the cluster has no leader after {} ms: {}", .waited.as_millis(), Listed(.tried))]
    NoLeader { tried: Vec<Tried>, waited: Duration },
    /// The connection ended before the answer came, and no server could be asked again. Whether the request was
    /// applied is learned by sending it again with this key.
    #[error("it is not known whether the request was applied: {}", Listed(.tried))]
    OutcomeUnknown { key: RequestKey, tried: Vec<Tried> },
    /// A queue of the cluster is full and stayed so until the deadline; nothing was applied.
    #[error("{message}")]
    Overloaded { message: String, retry_after: Duration },
    /// The text of a spec has mistakes; nothing was sent.
    #[error("{}", .0.summary())]
    Spec(Box<berth_spec::Report>),
    /// Fields of the request are wrong.
    #[error("{message}")]
    Invalid { message: String, violations: Vec<Violation> },
    /// There is no such thing, or it is not visible to the caller.
    #[error("{}", .refusal.message)]
    NotFound { what: Missing, refusal: Refusal },
    /// More than one run begins with the given prefix.
    #[error("{}", .0.message)]
    AmbiguousRun(Refusal),
    /// The caller may not do this.
    #[error("{}", .0.message)]
    Denied(Refusal),
    /// A task asks for more than its tenant or any node could ever give.
    #[error("{}", .0.message)]
    NeverFits(Refusal),
    /// The state of the cluster forbids it for now, such as a node that still runs tasks.
    #[error("{}", .0.message)]
    Conflict(Refusal),
    /// The key was used for another request before.
    #[error("{}", .0.message)]
    KeyReused(Refusal),
    /// A bound of the cluster is reached, or the disk of its leader is almost full.
    #[error("{}", .0.message)]
    Full(Refusal),
    /// The logs, or the node that has them, cannot be reached.
    #[error("{}", .0.message)]
    LogsUnavailable(Refusal),
    /// A fault of the server; its message has an id under which the server's own log tells more.
    #[error("{}", .0.message)]
    Internal(Refusal),
    /// The server's answer lacks what this release expects.
    #[error("the server's answer lacks {what}")]
    Malformed { what: &'static str },
}

/// A server that was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its address.
    pub endpoint: String,
    /// Its latest answer, or why there was none.
    pub answer: String,
}

/// A refusal by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of the catalogue, such as `E402`; may be empty.
    pub code: String,
    /// What happened, for people.
    pub message: String,
}

/// A field that is wrong, or that the server warns of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its place in the spec, such as `tasks[3].resources.cpu`.
    pub path: String,
    /// Of the catalogue.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// A concrete fix, where there is one.
    pub help: Option<String>,
    /// It is accepted all the same.
    pub warning: bool,
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A tenant.
    Tenant,
    /// A job.
    Job,
    /// A run.
    Run,
    /// A node.
    Node,
    /// A task, an index or an attempt of a run.
    Task,
    /// A member of the cluster.
    Member,
    /// The server did not say.
    Other,
}

impl Error {
    /// The code of the catalogue that command line, API and UI share.
    pub fn code(&self) -> &str {
        let (refusal, usual) = match self {
            Error::Endpoint { .. } | Error::Unreachable { .. } => return Code::Unreachable.as_str(),
            Error::NoLeader { .. } => return Code::NoLeader.as_str(),
            Error::Overloaded { .. } => return Code::Overloaded.as_str(),
            Error::OutcomeUnknown { .. } => return Code::OutcomeUnknown.as_str(),
            Error::Malformed { .. } => return Code::Internal.as_str(),
            Error::Spec(report) => {
                return match report.diagnostics.as_slice() {
                    [only] => only.code.as_str(),
                    _ => Code::Several.as_str(),
                };
            }
            Error::Invalid { violations, .. } => {
                return violations
                    .iter()
                    .find(|v| !v.warning)
                    .map_or(Code::Invalid.as_str(), |first| first.code.as_str());
            }
            Error::NotFound { refusal, .. } | Error::Denied(refusal) => (refusal, Code::NotVisible),
            Error::NeverFits(refusal) => (refusal, Code::NeverFits),
            Error::Conflict(refusal) => (refusal, Code::Conflict),
            Error::KeyReused(refusal) => (refusal, Code::KeyReused),
            Error::AmbiguousRun(refusal) => (refusal, Code::AmbiguousRun),
            Error::Full(refusal) => (refusal, Code::Full),
            Error::LogsUnavailable(refusal) => (refusal, Code::LogsUnavailable),
            Error::Internal(refusal) => (refusal, Code::Internal),
        };
        if refusal.code.is_empty() { usual.as_str() } else { &refusal.code }
    }

    /// True when the same request may succeed later and sending it again can do no harm. An
    /// [`Error::OutcomeUnknown`] has to be repeated with its key.
    pub fn is_safe_to_repeat(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. }
                | Error::NoLeader { .. }
                | Error::OutcomeUnknown { .. }
                | Error::Overloaded { .. }
                | Error::LogsUnavailable(_)
        )
    }
}

/// Endpoints and answers in one line.
struct Listed<'a>(&'a [Tried]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, tried) in self.0.iter().enumerate() {
            let comma = if at > 0 { "; " } else { "" };
            write!(f, "{comma}{}: {}", tried.endpoint, tried.answer)?;
        }
        Ok(())
    }
}
