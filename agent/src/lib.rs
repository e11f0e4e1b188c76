//! The node agent: it brings what runs on a machine to what the leader wants there, and tells what became of it.
//!
//! ```text
//! leader <── session ──> Supervisor ──> executors ──> attempts
//!                        │   │   ▲          │
//!              reconcile ┘   │   └─ events ─┘
//!                         journal (what survives the process)
//! logs: read from the attempts' directories, on a stream of their own
//! ```
//!
//! All decisions are in [`supervisor`], which has no sockets, clocks or threads; the daemon around it ([`agent`]) and the
//! simulation drive the same code.
//!
//! The agent never chooses what runs, never starts an attempt a second time, never obeys an older leader than it has
//! heard of, and never drops the report of an end.
#![forbid(unsafe_code)]

pub mod clock;
pub mod jitter;

pub mod disk;

pub mod message;
pub mod wire;

pub mod fence;
pub mod journal;

pub mod attempts;
pub mod reconcile;
pub mod reports;
pub mod retention;
pub mod rogues;

pub mod dialing;
pub mod session;

pub mod supervisor;

pub mod inventory;
pub mod logs;

pub mod agent;

pub use agent::{AgentHandle, Config, Parts, executor_events, start};

#[cfg(test)]
mod planned;
