//! The queue of reports: numbered when they are first sent, one batch in flight at a time, kept until acknowledged.

use std::collections::{BTreeSet, VecDeque};

use berth_core::command::{AttemptReport, AttemptUpdate};
use berth_core::id::AttemptHandle;

use crate::clock::Boot;

/// The most reports of one message.
const BATCH_MAX: usize = 1_000;
/// About how many bytes of output one message carries at most; a batch must fit into one entry of the log.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// What a report takes besides its output.
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
    /// Adds a report. An end takes the place of a start that was not sent yet, for it says the same and more.
    pub fn push(&mut self, attempt: AttemptHandle, update: AttemptUpdate) {
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

fn size(report: &AttemptReport) -> usize {
    match &report.update {
        AttemptUpdate::Started { .. } => REPORT_BYTES,
        AttemptUpdate::Ended { output, .. } => REPORT_BYTES + output.len(),
    }
}

#[cfg(test)]
mod tests {
    use berth_core::reason::EndReason;
    use berth_core::time::Timestamp;

    use super::*;

    const NOW: Boot = Boot(1);

    fn started() -> AttemptUpdate {
        AttemptUpdate::Started { at: Timestamp(5) }
    }

    fn ended() -> AttemptUpdate {
        AttemptUpdate::Ended {
            reason: EndReason::Succeeded,
            started: Some(Timestamp(5)),
            at: Timestamp(6),
            output: Vec::new(),
            usage: Default::default(),
        }
    }

    fn numbers(batch: Option<Vec<AttemptReport>>) -> Vec<(u64, u64)> {
        batch.unwrap_or_default().iter().map(|report| (report.sequence, report.attempt.0)).collect()
    }

    #[test]
    fn the_first_goes_at_once_and_later_ones_wait_for_its_answer() {
        let mut reports = Reports::default();
        reports.push(AttemptHandle(1), started());
        assert_eq!(reports.batch(NOW), None, "nothing is numbered before the welcome");
        reports.welcomed(7);
        assert_eq!(numbers(reports.batch(NOW)), [(8, 1)]);
        reports.push(AttemptHandle(2), started());
        reports.push(AttemptHandle(3), started());
        assert_eq!(reports.batch(NOW), None);
        reports.acknowledged(8);
        assert_eq!(numbers(reports.batch(NOW)), [(9, 2), (10, 3)]);
    }

    #[test]
    fn an_end_replaces_a_start_that_was_not_sent() {
        let mut reports = Reports::default();
        reports.welcomed(0);
        reports.push(AttemptHandle(1), started());
        reports.push(AttemptHandle(1), ended());
        let batch = reports.batch(NOW).unwrap();
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].update, ended());
        assert!(reports.has_end(AttemptHandle(1)));
        reports.acknowledged(1);
        assert!(!reports.has_end(AttemptHandle(1)));
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_under_its_number() {
        let mut reports = Reports::default();
        reports.welcomed(0);
        for attempt in 1..=3 {
            reports.push(AttemptHandle(attempt), ended());
        }
        assert_eq!(numbers(reports.batch(NOW)), [(1, 1), (2, 2), (3, 3)]);
        reports.push(AttemptHandle(4), ended());
        reports.welcomed(2);
        assert_eq!(numbers(reports.batch(NOW)), [(3, 3), (4, 4)]);
    }

    #[test]
    fn servers_that_have_lost_reports_are_told_on_from_where_they_are() {
        let mut reports = Reports::default();
        reports.welcomed(5);
        for attempt in 1..=3 {
            reports.push(AttemptHandle(attempt), ended());
        }
        assert_eq!(numbers(reports.batch(NOW)), [(6, 1), (7, 2), (8, 3)]);
        reports.acknowledged(6);
        reports.welcomed(2);
        reports.push(AttemptHandle(4), ended());
        assert_eq!(numbers(reports.batch(NOW)), [(3, 2), (4, 3), (5, 4)]);
        reports.acknowledged(5);
        reports.welcomed(0);
        reports.push(AttemptHandle(5), ended());
        assert_eq!(numbers(reports.batch(NOW)), [(1, 5)]);
    }

    #[test]
    fn a_batch_stays_below_its_bounds_and_nothing_is_dropped() {
        let mut reports = Reports::default();
        reports.welcomed(0);
        for attempt in 0..2_500 {
            reports.push(AttemptHandle(attempt), started());
        }
        let mut sent = 0;
        while let Some(batch) = reports.batch(NOW) {
            assert!(batch.len() <= BATCH_MAX);
            sent += batch.len();
            reports.acknowledged(batch.last().unwrap().sequence);
        }
        assert_eq!(sent, 2_500);
        let large = AttemptUpdate::Ended {
            reason: EndReason::Succeeded,
            started: None,
            at: Timestamp(1),
            output: vec![b'x'; 64 * 1024],
            usage: Default::default(),
        };
        for attempt in 0..100 {
            reports.push(AttemptHandle(attempt), large.clone());
        }
        assert!(reports.batch(NOW).unwrap().len() < 10);
    }
}
