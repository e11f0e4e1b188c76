//! The two clocks of the records: wall time for people, boot time for spans.

use nix::time::{ClockId, clock_gettime};

/// Milliseconds since the Unix epoch, by the wall clock.
pub fn wall_ms() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Milliseconds since the machine was booted, time asleep included.
pub fn boot_ms() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

fn read(clock: ClockId) -> u64 {
    let now = clock_gettime(clock).expect("Linux has both clocks");
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    seconds * 1000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000_000
}
