//! How fast one tenant may submit, so that a loop of one leaves the others their turn at the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_core::id::TenantHandle;

/// How fast each tenant may submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Submissions in a second, on average; at least 1.
    pub per_second: u32,
    /// Submissions that it may make at once after a rest.
    pub burst: u32,
}

impl Default for Pace {
    /// A good part of what a small cluster takes in.
    fn default() -> Pace {
        Pace { per_second: 2_000, burst: 4_000 }
    }
}

/// When each tenant has used up what it submitted, by the generic cell rate algorithm (ITU-T I.371, Annex A): each
/// submission moves that instant on by the same step, and it may lie only so far ahead. It holds one instant for each tenant
/// that has submitted here.
#[derive(Debug)]
pub struct Rates {
    step: Duration,
    ahead_max: Duration,
    used_up: Mutex<BTreeMap<TenantHandle, Instant>>,
}

impl Rates {
    /// None has submitted yet.
    pub fn new(pace: Pace) -> Rates {
        let step = Duration::from_secs(1) / pace.per_second.max(1);
        Rates { step, ahead_max: step * pace.burst, used_up: Mutex::default() }
    }

    /// Counts a submission.
    ///
    /// # Errors
    /// It comes too soon, and is not counted; after this time there is room for it.
    pub fn admit(&self, tenant: TenantHandle, now: Instant) -> Result<(), Duration> {
        let mut used_up = self.used_up.lock().unwrap_or_else(PoisonError::into_inner);
        let at = used_up.entry(tenant).or_insert(now);
        let next = (*at).max(now) + self.step;
        match next.duration_since(now).checked_sub(self.ahead_max) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *at = next;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TenantHandle = TenantHandle(1);
    const OTHER: TenantHandle = TenantHandle(2);

    #[test]
    fn a_tenant_that_submits_too_fast_is_told_how_long_to_wait_and_others_are_not() {
        let (rates, now) = (Rates::new(Pace { per_second: 10, burst: 3 }), Instant::now());
        for _ in 0..3 {
            assert_eq!(rates.admit(ONE, now), Ok(()));
        }
        assert_eq!(rates.admit(ONE, now), Err(Duration::from_millis(100)));
        assert_eq!(rates.admit(ONE, now + Duration::from_millis(40)), Err(Duration::from_millis(60)));
        assert_eq!(rates.admit(OTHER, now), Ok(()));
        let later = now + Duration::from_millis(100);
        assert_eq!(rates.admit(ONE, later), Ok(()));
        assert!(rates.admit(ONE, later).is_err());
    }

    #[test]
    fn a_rest_gives_back_the_burst_and_no_more() {
        let (rates, now) = (Rates::new(Pace { per_second: 10, burst: 3 }), Instant::now());
        assert_eq!(rates.admit(ONE, now), Ok(()));
        let later = now + Duration::from_secs(3600);
        let taken = (0..100).filter(|_| rates.admit(ONE, later).is_ok()).count();
        assert_eq!(taken, 3);
    }
}
