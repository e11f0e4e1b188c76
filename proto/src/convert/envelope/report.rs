use berth_core::command::{AttemptReport, AttemptUpdate, NodeReport};
use berth_core::id::{AttemptHandle, JournalId, NodeEpoch, NodeHandle};
use berth_core::model::Usage;
use berth_core::time::Timestamp;
use prost::bytes::Bytes;

use crate::convert::field::{choice, differences, id, id_bytes, required, same_length, sums};
use crate::convert::{Error, Fault, reason};
use crate::store;

pub(super) fn from_proto(report: store::Report) -> Result<NodeReport, Error> {
    let count = report.sequence.len();
    same_length(report.attempt.len(), count, "attempt")?;
    same_length(report.update.len(), count, "update")?;
    same_length(report.at_ms.len(), count, "at_ms")?;
    let mut endings = report.endings.into_iter().enumerate();
    let mut reports = Vec::with_capacity(count);
    for (((sequence, attempt), update), at) in
        sums(&report.sequence).zip(sums(&report.attempt)).zip(report.update).zip(sums(&report.at_ms))
    {
        let update = match choice::<store::Update>(update, "update")? {
            store::Update::Unspecified => return Err(Error::at("update", Fault::Unspecified)),
            store::Update::Started => AttemptUpdate::Started { at: Timestamp(at) },
            store::Update::Ended => {
                let (place, ending) = endings.next().ok_or_else(|| Error::at("endings", Fault::Missing))?;
                ending_from_proto(ending, at).map_err(|error| error.element(place).inside("endings"))?
            }
        };
        reports.push(AttemptReport { sequence, attempt: AttemptHandle(attempt), update });
    }
    if endings.next().is_some() {
        return Err(Error::at("endings", Fault::Wrong("has more than there are ended attempts")));
    }
    Ok(NodeReport {
        node: NodeHandle(report.node),
        epoch: NodeEpoch(report.epoch),
        journal: JournalId(id(&report.journal, "journal")?),
        reports,
    })
}

pub(super) fn to_proto(report: &NodeReport) -> store::Report {
    let reports = &report.reports;
    let kind_and_instant = |report: &AttemptReport| match &report.update {
        AttemptUpdate::Started { at } => (store::Update::Started, at.0),
        AttemptUpdate::Ended { at, .. } => (store::Update::Ended, at.0),
    };
    store::Report {
        node: report.node.0,
        epoch: report.epoch.0,
        journal: id_bytes(report.journal.0),
        sequence: differences(reports.iter().map(|report| report.sequence)),
        attempt: differences(reports.iter().map(|report| report.attempt.0)),
        update: reports.iter().map(|report| kind_and_instant(report).0.into()).collect(),
        at_ms: differences(reports.iter().map(|report| kind_and_instant(report).1)),
        endings: reports.iter().filter_map(|report| ending_to_proto(&report.update)).collect(),
    }
}

fn ending_from_proto(ending: store::Ending, at: u64) -> Result<AttemptUpdate, Error> {
    Ok(AttemptUpdate::Ended {
        reason: reason::from_proto(required(ending.reason, "reason")?)
            .map_err(|error| error.inside("reason"))?,
        started: ending.ran_ms.map(|ran| Timestamp(at.wrapping_sub(ran.cast_unsigned()))),
        at: Timestamp(at),
        output: Vec::from(ending.output),
        usage: Usage { memory_peak_kib: ending.memory_peak_kib, cpu_ms: ending.cpu_ms },
    })
}

fn ending_to_proto(update: &AttemptUpdate) -> Option<store::Ending> {
    match update {
        AttemptUpdate::Started { .. } => None,
        AttemptUpdate::Ended { reason, started, at, output, usage } => Some(store::Ending {
            reason: Some(reason::to_proto(reason)),
            ran_ms: started.map(|started| at.0.wrapping_sub(started.0).cast_signed()),
            output: Bytes::copy_from_slice(output),
            memory_peak_kib: usage.memory_peak_kib,
            cpu_ms: usage.cpu_ms,
        }),
    }
}
