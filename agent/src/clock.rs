//! The two clocks of a node. Decisions never ask them: instants come in with the input.

pub use berth_core::time::Boot;
use berth_core::time::Timestamp;

/// The present instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For every span of time.
    pub boot: Boot,
    /// For people and reports.
    pub wall: Timestamp,
}

impl Now {
    /// Both clocks of this machine.
    pub fn read() -> Now {
        Now { boot: Boot(berth_shim::clock::boot_ms()), wall: Timestamp(berth_shim::clock::wall_ms()) }
    }
}
