//! What a node reports of its attempts, as agents send it.

use berth_core::command::{AttemptReport, AttemptUpdate};
use berth_core::id::AttemptHandle;
use berth_core::model::{OUTPUT_BYTES_MAX, Usage};
use berth_core::time::Timestamp;
use prost::bytes::Bytes;

use super::field::{required, within};
use super::{Error, reason};
use crate::agent;
use crate::agent::attempt_report::Update;

/// The most bytes of a reason's text that are kept; what a node says beyond is cut off.
pub const REASON_TEXT_MAX: usize = 1024;
/// The most bytes of one message that a server takes of an agent. The largest that an agent sends, a batch of reports,
/// is far below it.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The report that a message carries, within the bounds of [`bounded`].
///
/// # Errors
/// When the number, the update or the reason is missing.
pub fn from_proto(report: agent::AttemptReport) -> Result<AttemptReport, Error> {
    within(report.sequence, 1, u64::MAX, "sequence")?;
    let update = update_from_proto(report.update)?;
    Ok(AttemptReport { sequence: report.sequence, attempt: AttemptHandle(report.attempt), update })
}

/// What happened, within the bounds of [`bounded`].
///
/// # Errors
/// When it or its reason is missing.
pub fn update_from_proto(update: Option<Update>) -> Result<AttemptUpdate, Error> {
    match required(update, "update")? {
        Update::Started(started) => Ok(AttemptUpdate::Started { at: Timestamp(started.at_ms) }),
        Update::Ended(ended) => {
            let reason = reason::from_proto(required(ended.reason, "ended.reason")?)
                .map_err(|error| error.inside("ended.reason"))?;
            Ok(bounded(AttemptUpdate::Ended {
                reason,
                started: ended.started_ms.map(Timestamp),
                at: Timestamp(ended.at_ms),
                output: Vec::from(ended.output),
                usage: Usage::new(ended.memory_peak_bytes.unwrap_or(0), ended.cpu_ms.unwrap_or(0)),
            }))
        }
    }
}

/// The update with text and output cut to what a report can carry: one that cannot be taken would be sent for ever. A
/// cut output is still too long for the core, which says so in the task's reason.
pub fn bounded(update: AttemptUpdate) -> AttemptUpdate {
    match update {
        AttemptUpdate::Started { .. } => update,
        AttemptUpdate::Ended { reason, started, at, mut output, usage } => {
            output.truncate(OUTPUT_BYTES_MAX + 1);
            AttemptUpdate::Ended { reason: reason.with_text_of(REASON_TEXT_MAX), started, at, output, usage }
        }
    }
}

/// The message for a report.
pub fn to_proto(report: &AttemptReport) -> agent::AttemptReport {
    let update = Some(update_to_proto(&report.update));
    agent::AttemptReport { sequence: report.sequence, attempt: report.attempt.0, update }
}

/// The part of a message that says what happened.
pub fn update_to_proto(update: &AttemptUpdate) -> Update {
    match update {
        AttemptUpdate::Started { at } => Update::Started(agent::Started { at_ms: at.0 }),
        AttemptUpdate::Ended { reason, started, at, output, usage } => Update::Ended(agent::Ended {
            reason: Some(reason::to_proto(reason)),
            started_ms: started.map(|at| at.0),
            at_ms: at.0,
            output: Bytes::copy_from_slice(output),
            memory_peak_bytes: Some(usage.memory_peak()).filter(|bytes| *bytes > 0),
            cpu_ms: Some(usage.cpu_ms.into()).filter(|ms| *ms > 0),
        }),
    }
}
