//! The supervisor of one exec attempt: a small process that outlives the agent.
//!
//! ```text
//! agent --order.rec on stdin--> shim --clone--> init (PID 1 of its own namespace) --fork--> task
//!   ^                            |  \__ stdout, stderr -> log/stdout.N, log/stderr.N
//!   |__ "started" on a pipe _____|  \__ control socket: status, signal, stop
//!                                |_____ run.rec when it runs, exit.rec when it is over
//! ```
//!
//! The binary enters [`main`] before anything else when [`is_shim`] says so: one thread, no runtime,
//! no allocator tricks. The shim alone starts the task, pumps its output, and writes down its true
//! exit. It holds a lock on `order.rec` from before it exists until it is gone, so anyone can ask
//! the kernel whether an attempt still has its supervisor. Once `exit.rec` is on disk the shim
//! leaves; nothing else is needed of it.
//!
//! Agents use the same crate to read what shims leave behind: [`record`], [`log`], [`group`],
//! [`control`].
//!
//! Never: decides anything, opens a network connection, links an async runtime, trusts the task.

#![deny(unsafe_code)]

pub mod clock;
pub mod control;
mod draft;
mod entry;
pub mod group;
mod init;
mod launch;
mod leash;
pub mod log;
mod probe;
pub mod process;
pub mod record;
mod sandbox;
mod stopping;
mod supervise;
#[allow(unsafe_code, reason = "the one file with system calls that have no safe wrapper")]
mod sys;

pub use entry::{PROBE, SHIM, is_shim, main};
pub use launch::{DEFAULT_PATH, TMP_DIR, WORK_DIR};
pub use probe::{KERNEL_MIN, Probe};
