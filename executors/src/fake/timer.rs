//! The passing of real time for a world.

use std::time::Duration;

use berth_core::time::Timestamp;
use berth_shim::clock;

use super::world::World;

/// How long the thread sleeps when nothing is due.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Ends what is due and hands out events until another executor, or none, sits in that seat.
pub(super) fn run(world: &World, seat: u64) {
    loop {
        world.advance(Timestamp(clock::wall_ms()));
        let Some((sink, events)) = world.events(seat) else { return };
        for event in events {
            // When the agent is gone, so is the reason to tell it anything.
            if sink.send(event).is_err() {
                return;
            }
        }
        let now = Timestamp(clock::wall_ms());
        let sleep = world.next_end().map_or(SLEEP_MAX, |end| Duration::from(end.since(now)).min(SLEEP_MAX));
        world.wait(seat, sleep);
    }
}
