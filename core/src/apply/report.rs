use std::sync::Arc;

use super::Change;
use crate::command::{AttemptReport, AttemptUpdate, NodeReport};
use crate::id::NodeHandle;
use crate::model::NodeState;
use crate::planted::{Bug, planted};
use crate::reply::{Refusal, Reply};

impl Change<'_> {
    /// Takes a node's reports in order. Those applied before are passed over, so a report may be sent any number
    /// of times; one about an attempt that is not live on the node tells nothing new. Where one is missing nothing is
    /// taken: what comes later would count as the sign that the missing one is applied.
    pub(super) fn take_report(&mut self, report: NodeReport) -> Result<Reply, Refusal> {
        let unknown = || Refusal::UnknownNode(report.node.to_string());
        let node = self.state.tables.nodes.get(report.node).ok_or_else(unknown)?;
        if !planted(Bug::UncheckedFence) && (node.epoch != report.epoch || node.journal != report.journal) {
            return Err(Refusal::StaleEpoch);
        }
        if node.state != NodeState::Ready {
            return Err(Refusal::StaleEpoch);
        }
        let mut up_to = node.reported;
        none_is_missing(up_to, &report.reports)?;
        for attempt in report.reports {
            if attempt.sequence > up_to {
                up_to = attempt.sequence;
                self.take_attempt_report(report.node, attempt);
            }
        }
        if self.state.node(report.node).reported != up_to {
            self.state.tables.nodes.update(report.node, |node| Arc::make_mut(node).reported = up_to);
        }
        Ok(Reply::Reported { up_to })
    }

    fn take_attempt_report(&mut self, node: NodeHandle, report: AttemptReport) {
        let known = self.state.tables.attempts.get(report.attempt);
        if !known.is_some_and(|attempt| attempt.node == node && attempt.is_live()) {
            return;
        }
        match report.update {
            AttemptUpdate::Started { at } => self.attempt_started(report.attempt, at),
            AttemptUpdate::Ended { reason, started, at, output, usage } => {
                if !usage.is_unknown() {
                    self.state.tables.usages.insert(report.attempt, usage);
                }
                self.attempt_ended(report.attempt, reason, started, at, &output);
            }
        }
    }
}

/// Reports after `known` leave none out.
fn none_is_missing(known: u64, reports: &[AttemptReport]) -> Result<(), Refusal> {
    let mut up_to = known;
    for report in reports {
        let expected = up_to.saturating_add(1);
        if report.sequence > expected {
            return Err(Refusal::ReportMissing { expected });
        }
        up_to = up_to.max(report.sequence);
    }
    Ok(())
}
