//! The replicated log: raft-rs driven without threads, clocks or randomness, and a shell around it.
//!
//! ```text
//!            peers (gRPC)                     proposals, reads, membership changes
//!                |                                            |
//!                v                                            v
//!   transport --> [ node thread: Driver = RawNode + Tail ] <-- NodeHandle
//!                   |  WriteBatch       |  Work       ^ Persisted, Applied
//!                   v                   v             |
//!             [ writer: LogStore ]  [ apply: Applier<StateMachine> ] --> views, events, outcomes
//!                                       |  view
//!                                       v
//!                                  [ builder: SnapshotStore ]
//! ```
//!
//! [`driver::Driver`] and [`applier::Applier`] hold all rules. [`node`] runs them on threads with files
//! and sockets; the simulation runs the very same types on one thread with a virtual clock, a fake network
//! and [`sim_disk`]. What is proposed is opaque here: the meaning of an entry belongs to the
//! [`machine::StateMachine`].
//!
//! Never in here: anything about jobs, any use of wall time, an answer to a proposer before its entry was
//! applied, an I/O error that is tried again.

pub mod applier;
mod backlog;
pub mod config;
pub mod driver;
pub mod identity;
mod jitter;
pub mod logger;
pub mod machine;
#[cfg(any(test, feature = "sim"))]
pub mod member;
pub mod membership;
pub mod metrics;
pub mod node;
pub mod recovery;
#[cfg(any(test, feature = "sim"))]
pub mod sim_disk;
pub mod snapshots;
pub mod store;
pub mod transport;
mod wire;

#[cfg(test)]
mod testing;
