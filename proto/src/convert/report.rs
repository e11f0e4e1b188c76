//! What a node reports of its attempts, as agents send it.

use berth_core::command::{AttemptReport, AttemptUpdate};
use berth_core::id::AttemptHandle;
use berth_core::model::{OUTPUT_BYTES_MAX, Usage};
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use prost::bytes::Bytes;

use super::field::{required, within};
use super::{Error, reason};
use crate::agent;
use crate::agent::attempt_report::Update;

/// The most bytes of a reason's text that are kept; what a node says beyond is cut off.
pub const REASON_TEXT_MAX: usize = 1024;

/// The report that a message carries. A report that cannot be taken would be sent for ever, so text and output that
/// are too long are cut; a cut output is still too long for the core, which says so in the task's reason.
///
/// # Errors
/// When the number, the update or the reason is missing.
pub fn from_proto(report: agent::AttemptReport) -> Result<AttemptReport, Error> {
    within(report.sequence, 1, u64::MAX, "sequence")?;
    let update = match required(report.update, "update")? {
        Update::Started(started) => AttemptUpdate::Started { at: Timestamp(started.at_ms) },
        Update::Ended(ended) => {
            let reason = reason::from_proto(required(ended.reason, "ended.reason")?)
                .map_err(|error| error.inside("ended.reason"))?;
            let mut output = Vec::from(ended.output);
            output.truncate(OUTPUT_BYTES_MAX + 1);
            AttemptUpdate::Ended {
                reason: shortened(reason),
                started: ended.started_ms.map(Timestamp),
                at: Timestamp(ended.at_ms),
                output,
                usage: Usage::new(ended.memory_peak_bytes.unwrap_or(0), ended.cpu_ms.unwrap_or(0)),
            }
        }
    };
    Ok(AttemptReport { sequence: report.sequence, attempt: AttemptHandle(report.attempt), update })
}

/// The message for a report.
pub fn to_proto(report: &AttemptReport) -> agent::AttemptReport {
    let update = match &report.update {
        AttemptUpdate::Started { at } => Update::Started(agent::Started { at_ms: at.0 }),
        AttemptUpdate::Ended { reason, started, at, output, usage } => Update::Ended(agent::Ended {
            reason: Some(reason::to_proto(reason)),
            started_ms: started.map(|at| at.0),
            at_ms: at.0,
            output: Bytes::copy_from_slice(output),
            memory_peak_bytes: Some(usage.memory_peak()).filter(|bytes| *bytes > 0),
            cpu_ms: Some(usage.cpu_ms.into()).filter(|ms| *ms > 0),
        }),
    };
    agent::AttemptReport { sequence: report.sequence, attempt: report.attempt.0, update: Some(update) }
}

fn shortened(reason: EndReason) -> EndReason {
    let cut = |text: &str| {
        let end = (0..=REASON_TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text[..end].into()
    };
    match reason {
        EndReason::Cancelled(by) => EndReason::Cancelled(cut(&by)),
        EndReason::StartFailed(cause) => EndReason::StartFailed(cut(&cause)),
        EndReason::PostconditionFailed(what) => EndReason::PostconditionFailed(cut(&what)),
        other @ (EndReason::Succeeded
        | EndReason::FailedExit(_)
        | EndReason::FailedSignal(_)
        | EndReason::OomKilled
        | EndReason::DiskExceeded
        | EndReason::TimedOut
        | EndReason::Preempted
        | EndReason::NodeLost
        | EndReason::PreconditionFailed
        | EndReason::Unhealthy
        | EndReason::UpstreamFailed
        | EndReason::Skipped(_)) => other,
    }
}
