//! Berth as real processes on loopback: servers and agents that are killed, restarted, removed and added, the command
//! line beside them, and the programs of the SDK.
//!
//! ```text
//!   programs ──> daemon ──> control_groups, attempts ──> cluster      the harness, from the binary to a whole cluster
//!                               └ the tests, a file for each matter
//! ```
//!
//! One cluster exists at a time. Whatever a test starts is killed and removed when it ends, also by a panic. Nothing waits
//! for luck: `until` looks for a condition and has a deadline.
//!
//! `BERTH_TEST_PROGRAMS=DIR` takes the programs from a folder instead of building them, `BERTH_TEST_KEEP=1` leaves the
//! directories of the clusters for a look.

mod programs;
mod waiting;

mod attempts;
mod control_groups;
mod daemon;
mod ports;
#[path = "../../../executors/tests/support/silent_engine.rs"]
mod silent_engine;

mod cluster;
mod specs;

mod agent_restart;
mod command_line;
mod dev;
mod doors;
mod membership;
mod nodes;
mod refusals;
mod sdk_examples;
mod submissions;
mod word_count;
