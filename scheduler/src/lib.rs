//! The scheduler server.

pub mod raft;

pub mod machine;
pub mod publish;

pub mod clock;
pub mod leader;

pub mod access;
pub mod clock_watch;
pub mod room;

mod admission;
pub mod rates;

pub mod log;

pub mod disk;
pub mod lead;
pub mod log_hub;

pub mod api;
pub mod agreement;
pub mod measures;

pub mod config;
pub mod server;
