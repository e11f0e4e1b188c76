//! The exec executor when things go wrong: dead supervisors, restarts at every point, tasks that will
//! not go, and machines full of leftovers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "skips are for people to read")]

#[path = "../support/exec_ground.rs"]
mod exec_ground;

mod disks;
mod ends;
mod groups;
mod restarts;
mod stuck;
mod surroundings;
