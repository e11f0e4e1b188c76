//! The queue of reports: numbered when they are first sent, one batch in flight at a time, kept until acknowledged.

use std::collections::{BTreeSet, VecDeque};

use berth_core::command::{AttemptReport, AttemptUpdate};
use berth_core::id::AttemptHandle;
use berth_proto::convert::report;

use crate::clock::Boot;

/// The most reports of one message.
const BATCH_MAX: usize = 1_000;
/// When a batch has so many bytes, no further report is added. With the largest report as its last one it still fits
/// into one entry of the log, which has 1 MiB.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// The most that a report takes besides its text and its output.
const REPORT_BYTES: usize = 128;

/// Reports that the server has not acknowledged. Bounded by the number of attempts: at most two of each.
///
/// Numbers are given when a report is first sent, and only by a process that was welcomed: its first number follows
/// the last that the server took. So a number is never used twice, whatever the disk has lost. An end whose
/// acknowledgement a crash has swallowed goes out a second time under a new number, which changes nothing.
#[derive(Debug, Default)]
pub struct Reports {
    /// Set by the first welcome of the process.
    next: Option<u64>,
    /// Numbered, in order.
    sent: Vec<AttemptReport>,
    in_flight: Option<Boot>,
    waiting: VecDeque<(AttemptHandle, AttemptUpdate)>,
    /// Attempts whose end is in `sent` or `waiting`.
    ends: BTreeSet<AttemptHandle>,
}

impl Reports {
    /// Adds a report, cut to what a message can carry. An end takes the place of a start that was not sent yet, for it
    /// says the same and more.
    pub fn push(&mut self, attempt: AttemptHandle, update: AttemptUpdate) {
        let update = report::bounded(update);
        if matches!(update, AttemptUpdate::Ended { .. }) {
            self.waiting.retain(|(waiting, _)| *waiting != attempt);
            self.ends.insert(attempt);
        }
        self.waiting.push_back((attempt, update));
    }

    /// True while the attempt's end is not acknowledged.
    pub fn has_end(&self, attempt: AttemptHandle) -> bool {
        self.ends.contains(&attempt)
    }

    /// Takes back what was not sent yet of an attempt that the server does not know.
    pub fn withdraw(&mut self, attempt: AttemptHandle) {
        self.waiting.retain(|(waiting, _)| *waiting != attempt);
        self.ends.remove(&attempt);
    }

    /// How many reports are not acknowledged.
    pub fn len(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }

    /// True when all are acknowledged.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A session has begun, and the server has reports up to `reported`.
    pub fn welcomed(&mut self, reported: u64) {
        self.in_flight = None;
        let Some(next) = self.next else {
            self.next = Some(reported + 1);
            return;
        };
        let first = self.sent.first().map_or(next, |report| report.sequence);
        if reported + 1 >= first {
            return self.acknowledged(reported);
        }
        // The servers know of fewer than they acknowledged: the cluster was made anew from an older backup. What there
        // is follows on what they have, or they would wait for reports that nobody has any more.
        let mut number = reported;
        for report in &mut self.sent {
            number += 1;
            report.sequence = number;
        }
        self.next = Some(number + 1);
    }

    /// Reports up to that number are taken.
    pub fn acknowledged(&mut self, up_to: u64) {
        let taken = self.sent.iter().take_while(|report| report.sequence <= up_to).count();
        for report in self.sent.drain(..taken) {
            let again = self.waiting.iter().any(|(waiting, _)| *waiting == report.attempt);
            if matches!(report.update, AttemptUpdate::Ended { .. }) && !again {
                self.ends.remove(&report.attempt);
            }
        }
        if self.sent.is_empty() {
            self.in_flight = None;
        }
    }

    /// When the batch in flight was sent, if there is one.
    pub fn in_flight(&self) -> Option<Boot> {
        self.in_flight
    }

    /// The batch in flight got no answer: it is to be sent again.
    pub fn retry(&mut self) {
        self.in_flight = None;
    }

    /// What to send now: nothing while a batch is in flight.
    pub fn batch(&mut self, now: Boot) -> Option<Vec<AttemptReport>> {
        let next = self.next.as_mut()?;
        if self.in_flight.is_some() {
            return None;
        }
        let mut bytes: usize = self.sent.iter().map(size).sum();
        while self.sent.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some((attempt, update)) = self.waiting.pop_front() else { break };
            let report = AttemptReport { sequence: *next, attempt, update };
            *next += 1;
            bytes += size(&report);
            self.sent.push(report);
        }
        if self.sent.is_empty() {
            return None;
        }
        self.in_flight = Some(now);
        Some(self.sent.clone())
    }
}

/// The most bytes that a report takes, in a message as in the log.
fn size(report: &AttemptReport) -> usize {
    match &report.update {
        AttemptUpdate::Started { .. } => REPORT_BYTES,
        AttemptUpdate::Ended { reason, output, .. } => REPORT_BYTES + reason.text().len() + output.len(),
    }
}

#[cfg(test)]
mod tests;
