//! The fake executor: simulated work, for simulations, tests and trying things out.
//!
//! ```text
//! FakeExecutor --start, stop--> World (goes on when the executor is dropped) --Started, Ended--> agent
//!                                 ^ advance(now): a simulation's clock, or a timer thread
//! ```
//!
//! The [`World`] stands for the machine: what runs in it goes on while no executor is there, as processes outlive
//! their agent, and a new executor over the same world finds it again.

use std::collections::BTreeSet;
use std::thread;

use berth_core::id::AttemptHandle;
use berth_core::time::Millis;

use crate::executor::{EventSink, Executor, Found, Health, Kind, Launch};

pub use world::{Lived, World};

#[cfg(test)]
mod tests;
mod timer;
mod world;

/// Runs attempts only for show. Dropping it leaves its world as it is.
#[derive(Debug)]
pub struct FakeExecutor {
    world: World,
    /// Names this executor among those that the world has had.
    seat: u64,
}

impl FakeExecutor {
    /// An executor over a world, whose time passes with [`World::advance`] alone. Events are put into the sink by the
    /// calls that cause them, and never wait: what does not fit goes with a later call. An earlier executor over the
    /// same world gets no more events.
    pub fn simulated(world: World, sink: EventSink) -> FakeExecutor {
        let seat = world.attach(sink, false);
        FakeExecutor { world, seat }
    }

    /// An executor over a world whose time is this machine's: a thread ends what is due. The thread ends with the
    /// executor.
    pub fn real_time(world: World, sink: EventSink) -> FakeExecutor {
        let seat = world.attach(sink, true);
        let clock = world.clone();
        thread::Builder::new()
            .name("fake-timer".to_owned())
            .spawn(move || timer::run(&clock, seat))
            .expect("threads can be started at start-up");
        FakeExecutor { world, seat }
    }
}

impl Executor for FakeExecutor {
    fn kind(&self) -> Kind {
        Kind::Fake
    }

    fn health(&self) -> Health {
        Health::Ready { detail: "simulated work".to_owned(), missing: BTreeSet::new() }
    }

    fn recover(&mut self, known: Vec<Launch>) -> Vec<Found> {
        self.world.take_up(&known)
    }

    fn start(&mut self, launch: Launch) {
        self.world.start(&launch);
    }

    fn stop(&mut self, attempt: AttemptHandle, _grace: Millis) {
        self.world.stop(attempt);
    }

    fn remove(&mut self, attempt: AttemptHandle) {
        self.world.remove(attempt);
    }
}

impl Drop for FakeExecutor {
    fn drop(&mut self) {
        self.world.detach(self.seat);
    }
}
