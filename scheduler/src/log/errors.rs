//! What a client is told of failures on the way to the log.

use berth_proto::convert::status::{self, detail};
use berth_proto::v1::{ErrorCode, ErrorDetail};

use crate::raft::driver::{ProposeError, ReadError};
use crate::raft::transport;

/// What is told of a leader that was asked in vain.
pub(super) const UNANSWERED: &str = "the leader did not answer in time; ask again with the same key";

/// When to come again to a server with which too much waits for the leader, in milliseconds.
const QUEUE_RETRY_MS: u64 = 200;

pub(super) fn of_propose(error: &ProposeError) -> ErrorDetail {
    match error {
        ProposeError::NotLeader { .. } => detail(ErrorCode::NotLeader, error.to_string()),
        ProposeError::Busy { retry_after_ms } => ErrorDetail {
            retry_after_ms: Some(*retry_after_ms),
            ..detail(ErrorCode::Overloaded, error.to_string())
        },
        ProposeError::TooLarge { .. } => detail(ErrorCode::Invalid, error.to_string()),
        ProposeError::Unknown | ProposeError::Stopped => detail(ErrorCode::UnknownOutcome, error.to_string()),
    }
}

pub(super) fn of_read(error: &ReadError) -> ErrorDetail {
    match error {
        ReadError::NotLeader { leader: Some(_) } => detail(ErrorCode::NotLeader, "the leader did not answer"),
        ReadError::NotLeader { leader: None } => detail(ErrorCode::NoLeader, "no leader is known here"),
        ReadError::Timeout | ReadError::Stopped => detail(ErrorCode::NoLeader, error.to_string()),
        ReadError::Busy { retry_after_ms } => ErrorDetail {
            retry_after_ms: Some(*retry_after_ms),
            ..detail(ErrorCode::Overloaded, error.to_string())
        },
    }
}

pub(super) fn of_transport(error: &transport::Error) -> ErrorDetail {
    match error {
        transport::Error::NoLeader | transport::Error::UnknownMember(_) => {
            detail(ErrorCode::NoLeader, "no leader is known here; nothing was applied")
        }
        transport::Error::Overloaded { .. } => ErrorDetail {
            retry_after_ms: Some(QUEUE_RETRY_MS),
            ..detail(ErrorCode::Overloaded, error.to_string())
        },
        transport::Error::Unanswered { .. } => detail(ErrorCode::UnknownOutcome, UNANSWERED),
        transport::Error::Failed { status, .. } => status::from_status(status).unwrap_or_else(|| {
            // The connection may have been cut after the leader took it.
            detail(ErrorCode::UnknownOutcome, "the leader did not answer")
        }),
    }
}
