//! What every long-running Berth process shares: how it is configured, how it starts, what it
//! shows of itself while it runs, and how it stops.
//!
//! ```text
//!   flags, BERTH_*, file --> config --> telemetry --> datadir --> listen --> tasks --> shutdown
//!                                                                   |          |
//!                                              metrics, health <----+----------+
//! ```
//!
//! A daemon reads its configuration, takes its data directory, opens its listeners, starts its
//! tasks through the one door in [`tasks`], and waits until a signal or a failed task cancels the
//! token that all of them watch.
//!
//! This crate never knows a job, a node or a server: everything in it would serve any daemon.

pub mod config;
pub mod datadir;
pub mod listen;
pub mod metrics;
pub mod open_files;
pub mod shutdown;
pub mod suggest;
pub mod tasks;
pub mod telemetry;
