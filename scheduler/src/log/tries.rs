use berth_proto::convert::status::detail;
use berth_proto::v1::{ErrorCode, ErrorDetail};

/// What is known of a write whose tries have failed so far. A refusal by the state machine is no failure: it came out of
/// the log, and is final.
#[derive(Debug)]
pub(super) struct Tries {
    keyed: bool,
    in_doubt: bool,
}

impl Tries {
    /// Of a write that has a key or not.
    pub(super) fn new(keyed: bool) -> Tries {
        Tries { keyed, in_doubt: false }
    }

    /// Takes note of how a try has failed, and says whether another one is safe.
    pub(super) fn failed(&mut self, error: &ErrorDetail) -> bool {
        let unknown = error.error() == ErrorCode::UnknownOutcome;
        self.in_doubt |= unknown;
        match error.error() {
            // Nothing was applied.
            ErrorCode::NotLeader | ErrorCode::NoLeader => true,
            // With its key it has one effect, however often it is sent.
            _ => unknown && self.keyed,
        }
    }

    /// What is told when there is no other try: what the last one came to says nothing of those before.
    pub(super) fn answer(self, last: ErrorDetail) -> ErrorDetail {
        match self.in_doubt && last.error() != ErrorCode::UnknownOutcome {
            true => detail(ErrorCode::UnknownOutcome, last.message),
            false => last,
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_proto::v1::ErrorCode::{DiskFull, Internal, NeverFits, NoLeader, NotLeader, Overloaded};

    use super::*;

    const UNKNOWN: ErrorCode = ErrorCode::UnknownOutcome;

    /// Whether each failure leaves another try safe, and what is told after the last one.
    fn tried(keyed: bool, failures: &[ErrorCode]) -> (Vec<bool>, ErrorCode) {
        let mut tries = Tries::new(keyed);
        let again = failures.iter().map(|error| tries.failed(&detail(*error, "why"))).collect();
        let told = tries.answer(detail(*failures.last().unwrap(), "why"));
        assert_eq!(told.message, "why");
        (again, told.error())
    }

    #[test]
    fn a_write_is_tried_again_where_nothing_was_applied_or_its_key_makes_it_safe() {
        for keyed in [true, false] {
            for error in [NotLeader, NoLeader] {
                assert_eq!(tried(keyed, &[error]), (vec![true], error), "keyed: {keyed}");
            }
            for error in [DiskFull, NeverFits, Overloaded, Internal] {
                assert_eq!(tried(keyed, &[error]), (vec![false], error), "keyed: {keyed}");
            }
            assert_eq!(tried(keyed, &[UNKNOWN]), (vec![keyed], UNKNOWN));
            assert_eq!(tried(keyed, &[NoLeader, UNKNOWN]), (vec![true, keyed], UNKNOWN));
        }
    }

    #[test]
    fn a_write_in_doubt_stays_so_whatever_later_tries_came_to() {
        for (last, again) in [(NotLeader, true), (NoLeader, true), (DiskFull, false), (Overloaded, false)] {
            assert_eq!(tried(true, &[UNKNOWN, last]), (vec![true, again], UNKNOWN), "{last:?}");
        }
        assert_eq!(tried(true, &[UNKNOWN, NotLeader, DiskFull]), (vec![true, true, false], UNKNOWN));
    }
}
