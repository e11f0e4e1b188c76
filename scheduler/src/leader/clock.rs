use berth_core::time::{Millis, Timestamp};

/// The leader's two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// What people call the time.
    pub wall: Timestamp,
    /// Time since some moment in the past; it never jumps.
    pub steady: Millis,
}

/// A wall clock that moves by this much against the steady one has been set.
const JUMP: u64 = 60_000;

/// Watches the wall clock against the steady one, so that a clock that was set by mistake does not fire a year of
/// schedules.
#[derive(Debug)]
pub(super) struct ClockGuard {
    start: Now,
    held: bool,
}

impl ClockGuard {
    pub(super) fn new(now: Now) -> ClockGuard {
        ClockGuard { start: now, held: false }
    }

    /// True while fires are held because the wall clock has jumped. A clock that goes back to where it should be
    /// ends it; a new leader starts from the clock it finds.
    pub(super) fn holds(&mut self, now: Now) -> bool {
        let passed = now.steady.0.saturating_sub(self.start.steady.0);
        let expected = self.start.wall.0.saturating_add(passed);
        let held = now.wall.0.abs_diff(expected) > JUMP;
        if held != self.held {
            match held {
                true => {
                    tracing::error!(wall = now.wall.0, expected, "the wall clock has jumped: fires are held")
                }
                false => tracing::info!("the wall clock is back: fires go on"),
            }
        }
        self.held = held;
        if !held {
            // Small corrections add up over a long term; they are no jump.
            self.start = now;
        }
        held
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, steady: u64) -> Now {
        Now { wall: Timestamp(wall), steady: Millis(steady) }
    }

    #[test]
    fn a_jump_of_the_wall_clock_holds_fires_until_it_is_back() {
        let mut guard = ClockGuard::new(at(1_000_000, 0));
        assert!(!guard.holds(at(1_010_000, 10_000)));
        assert!(guard.holds(at(4_600_000, 11_000)));
        assert!(guard.holds(at(4_601_000, 12_000)));
        assert!(!guard.holds(at(1_013_000, 13_000)));
    }

    #[test]
    fn slow_drift_is_no_jump() {
        let mut guard = ClockGuard::new(at(1_000_000, 0));
        for step in 1..1000u64 {
            assert!(!guard.holds(at(1_000_000 + step * 11_000, step * 10_000)));
        }
    }
}
