use std::time::Duration;

use tokio::time::Instant;

/// One try to have a write applied takes at most so long; then it is answered all the same: the log may have it or not.
const TRY_WITHIN: Duration = Duration::from_secs(3);
/// For so long after it came a request waits for a leader, and is tried again where that is safe: an election mostly
/// takes less, and the client need not look for the new leader.
const LEADER_WITHIN: Duration = Duration::from_millis(1_500);
/// The last try begins before [`LEADER_WITHIN`] is over. Below the time that clients give one server, which is 5 s.
const ANSWER_WITHIN: Duration = LEADER_WITHIN.saturating_add(TRY_WITHIN);

/// Until when which part of a request is worked on. One value goes through all parts, so that their times do not add up.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A leader is waited for, and tries are begun, until then.
    pub(super) leader: Instant,
    /// There is an answer by then.
    pub(super) answer: Instant,
}

impl Bounds {
    /// Of a request that a client made just now.
    pub fn from_now() -> Bounds {
        let now = Instant::now();
        Bounds { leader: now + LEADER_WITHIN, answer: now + ANSWER_WITHIN }
    }

    /// Of one try that begins now, here or for another member.
    pub(super) fn of_try() -> Bounds {
        let now = Instant::now();
        Bounds { leader: now + LEADER_WITHIN, answer: now + TRY_WITHIN }
    }

    /// What of both ends first.
    pub(super) fn within(self, outer: Bounds) -> Bounds {
        Bounds { leader: self.leader.min(outer.leader), answer: self.answer.min(outer.answer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_begins_late_ends_with_its_request() {
        let request = Bounds::from_now();
        let (late, early) = (Bounds::of_try(), request.answer);
        assert!(late.answer < early, "one try has less time than the request");
        let last = Bounds { leader: early, answer: early + TRY_WITHIN }.within(request);
        assert_eq!((last.leader, last.answer), (request.leader, request.answer));
        assert!(ANSWER_WITHIN < Duration::from_secs(5), "clients give one server that long");
    }
}
