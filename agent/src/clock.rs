//! The two clocks of a node. Decisions never ask them: instants come in with the input.

use std::ops::Add;

use berth_core::time::{Millis, Timestamp};

/// An instant of the boot clock: milliseconds since the machine was booted, time asleep included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boot(pub u64);

/// The present instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For every span of time.
    pub boot: Boot,
    /// For people and reports.
    pub wall: Timestamp,
}

impl Boot {
    /// The time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Boot) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Millis> for Boot {
    type Output = Boot;

    fn add(self, span: Millis) -> Boot {
        Boot(self.0.saturating_add(span.0))
    }
}

impl Now {
    /// Both clocks of this machine.
    pub fn read() -> Now {
        Now { boot: Boot(berth_shim::clock::boot_ms()), wall: Timestamp(berth_shim::clock::wall_ms()) }
    }
}
