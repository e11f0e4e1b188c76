//! Tests of Berth as a whole.
//!
//! ```text
//!   sim: servers, agents and a client on one thread, with a virtual clock, network and disks
//! ```
//! Never: a rule of its own about jobs, nodes or consensus; it drives the production types and looks at what they do.

pub mod sim;
