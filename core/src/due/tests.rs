use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn cursor(last: u64) -> Cursor {
    Cursor { generation: 1, last: Timestamp(last), next: None }
}

fn every(period: u64, last: u64, now: u64) -> Vec<(u64, bool, u32)> {
    decisions(When::Every(Millis(period)), cursor(last), Timestamp(now), DECISIONS_MAX)
        .into_iter()
        .map(|decision| (decision.nominal.0, decision.skip.is_none(), decision.count))
        .collect()
}

#[test]
fn after_a_long_gap_the_latest_missed_instant_runs_and_the_others_are_skipped_together() {
    let now = 5 * HOUR + 20 * MINUTE;
    assert_eq!(every(HOUR, HOUR, now), [(4 * HOUR, false, 3), (5 * HOUR, true, 1)]);
}

#[test]
fn an_instant_that_is_late_by_no_more_than_epsilon_is_not_missed() {
    let now = 2 * HOUR + EPSILON.0;
    assert_eq!(every(MINUTE, 2 * HOUR - MINUTE, now).iter().filter(|(_, run, _)| *run).count(), 6);
    assert_eq!(every(HOUR, HOUR, now), [(2 * HOUR, true, 1)]);
    let sole = every(HOUR, HOUR, now + HOUR + 1);
    assert_eq!(sole, [(2 * HOUR, false, 1), (3 * HOUR, true, 1)]);
}

#[test]
fn a_single_missed_instant_runs() {
    assert_eq!(every(HOUR, HOUR, 2 * HOUR + 50 * MINUTE), [(2 * HOUR, true, 1)]);
}

#[test]
fn nothing_is_decided_twice_or_ahead_of_time() {
    assert_eq!(every(HOUR, 2 * HOUR, 2 * HOUR + 5), []);
    assert_eq!(every(HOUR, 2 * HOUR, HOUR), []);
}

#[test]
fn a_single_instant_fires_once_however_late() {
    let at = When::At(Timestamp(HOUR));
    assert_eq!(decisions(at, cursor(0), Timestamp(HOUR - 1), 10), []);
    let late = decisions(at, cursor(0), Timestamp(900 * HOUR), 10);
    assert_eq!(late, [FireDecision { nominal: Timestamp(HOUR), skip: None, count: 1 }]);
    assert_eq!(decisions(at, cursor(HOUR), Timestamp(900 * HOUR), 10), []);
    assert_eq!(at.next_after(Timestamp(HOUR - 1)), Some(Timestamp(HOUR)));
    assert_eq!(at.next_after(Timestamp(HOUR)), None);
}

#[test]
fn a_schedule_that_was_due_for_years_is_decided_without_counting_through_them() {
    let now = 1_700_000_000_000;
    let decided = every(1000, 0, now);
    assert_eq!(decided.len(), DECISIONS_MAX);
    assert_eq!(decided[0], (now - EPSILON.0 - 1000, false, 1_699_999_699));
}

proptest! {
    #[test]
    fn decisions_cover_each_instant_exactly_once(
        period in 1000u64..3 * HOUR,
        last in 0u64..100 * HOUR,
        gap in 0u64..30 * HOUR,
        max in 1usize..200,
    ) {
        let when = When::Every(Millis(period));
        let now = last + gap;
        let mut at = last;
        let mut count = 0;
        // Applied one command after the other, as the leader does.
        loop {
            let decided = decisions(when, cursor(at), Timestamp(now), max);
            prop_assert!(decided.len() <= max);
            let Some(end) = decided.last() else { break };
            for decision in &decided {
                prop_assert!(decision.nominal.0 > at);
                prop_assert_eq!(decision.nominal.0 % period, 0);
                prop_assert_eq!(u64::from(decision.count), decision.nominal.0 / period - at / period);
                prop_assert!(decision.skip.is_some() || decision.count == 1);
                at = decision.nominal.0;
                count += u64::from(decision.count);
            }
            prop_assert_eq!(when.next_after(end.nominal), Some(Timestamp(end.nominal.0 + period)));
        }
        prop_assert_eq!(count, now / period - last / period);
    }

    #[test]
    fn an_instant_within_epsilon_is_never_skipped(
        period in 1000u64..HOUR, last in 0u64..100 * HOUR, gap in 0u64..30 * HOUR,
    ) {
        let now = last + gap;
        for decision in decisions(When::Every(Millis(period)), cursor(last), Timestamp(now), usize::MAX) {
            if decision.skip.is_some() {
                prop_assert!(decision.nominal + EPSILON < Timestamp(now));
            }
        }
    }

    #[test]
    fn the_next_instant_is_the_first_after(period in 1000u64..HOUR, after in 0u64..1000 * HOUR) {
        let next = When::Every(Millis(period)).next_after(Timestamp(after)).unwrap().0;
        prop_assert!(next > after && next - after <= period && next.is_multiple_of(period));
    }
}
