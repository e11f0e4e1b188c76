//! How attempts run: as processes, as containers, or only for show.
//!
//! ```text
//! agent --Launch--> Executor: exec | docker | fake --Started, Ended--> agent
//!                     exec: control groups + one shim a task (crate berth-shim)
//!                     docker: a local engine, one container a task
//! ```
//!
//! All executors stand behind one trait and pass one contract suite. What an executor knows about an
//! attempt it can find again after a restart: on disk, in the kernel, at the engine.
//!
//! Never: knows gRPC, decides what runs or when it is tried again, forks inside the agent.
#![forbid(unsafe_code)]

pub mod cgroups;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod docker;
mod ending;
pub mod exec;
pub mod executor;
pub mod fake;
