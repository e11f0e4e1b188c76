use berth_core::command::{Command, Envelope, FORMAT, NodeReport, Origin};
use berth_core::id::{JournalId, NodeEpoch, NodeHandle, RequestId};
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_proto::convert::envelope;
use prost::Message as _;

use super::*;
use crate::message::FromAgent;
use crate::wire;

const NOW: Boot = Boot(1);
/// The most bytes of an entry that the servers' log takes.
const ENTRY_BYTES_MAX: usize = 1 << 20;

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

/// An end in which every number takes as many bytes as it can.
fn largest_end(text: &str, output: usize) -> AttemptUpdate {
    AttemptUpdate::Ended {
        reason: EndReason::StartFailed(text.into()),
        started: Some(Timestamp(u64::MAX)),
        at: Timestamp(u64::MAX / 3),
        output: vec![b'x'; output],
        usage: berth_core::model::Usage::new(u64::MAX, u64::MAX),
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

/// The bytes that a batch takes as a message, and as an entry of the log.
fn encoded(batch: &[AttemptReport]) -> (usize, usize) {
    let message = FromAgent::Reports { epoch: NodeEpoch(u64::MAX), reports: batch.to_vec() };
    let taken = NodeReport {
        node: NodeHandle(u32::MAX),
        epoch: NodeEpoch(u64::MAX),
        journal: JournalId(u128::MAX),
        reports: batch.to_vec(),
    };
    let envelope = Envelope {
        format: FORMAT,
        feature_level: u32::MAX,
        cluster_epoch: u64::MAX,
        term: u64::MAX,
        time: Timestamp(u64::MAX),
        request: Some(RequestId(u128::MAX)),
        actor: "a".repeat(1_000),
        origin: Origin::Agent,
        command: Command::Report(taken),
    };
    (wire::to_leader(&message).encoded_len(), envelope::encode(&envelope).len())
}

#[test]
fn a_text_without_end_is_cut_before_it_is_sent() {
    let mut reports = Reports::default();
    reports.welcomed(0);
    // Two bytes a character, and the bound falls between two.
    reports.push(AttemptHandle(1), largest_end(&format!("x{}", "\u{e4}".repeat(300_000)), 0));
    let batch = reports.batch(NOW).unwrap();
    let AttemptUpdate::Ended { reason: EndReason::StartFailed(text), .. } = &batch[0].update else {
        panic!()
    };
    assert_eq!(text.len(), report::REASON_TEXT_MAX - 1);
}

#[test]
fn the_largest_batch_fits_into_a_message_and_into_an_entry_of_the_log() {
    let long = "x".repeat(500_000);
    for output in [0, 1, 400, 64 * 1024, 1 << 20] {
        let mut reports = Reports::default();
        reports.welcomed(u64::MAX / 2);
        for attempt in 0..2_000 {
            // Handles far from each other, and instants as well, take the most room in the log.
            let far = if attempt % 2 == 0 { attempt } else { u64::MAX - attempt };
            reports.push(AttemptHandle(far), largest_end(&long, output));
        }
        let batch = reports.batch(NOW).unwrap();
        let (message, entry) = encoded(&batch);
        let counted: usize = batch.iter().map(size).sum();
        assert!(message <= counted + 100, "{message} {counted}: a report takes more than is counted");
        assert!(message <= report::MESSAGE_BYTES_MAX);
        assert!(entry <= ENTRY_BYTES_MAX, "{entry} with {} reports of {output} bytes of output", batch.len());
    }
}
