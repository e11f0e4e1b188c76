//! Pauses between rounds over the servers.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(25);
/// Servers hold writes back while they elect a leader, so that rounds are slow enough by themselves.
const LONGEST: Duration = Duration::from_millis(250);

/// Pauses that double, each cut by a random part so that clients do not come back all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// The next pause: between half of and the whole step, as chance has it.
    pub(crate) fn pause(&mut self, chance: u8) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole.mul_f64(0.5 + f64::from(chance) / 512.0)
    }
}
