//! The model and the state machine of Berth, as a pure library.
//!
//! ```text
//!   Command + entry ──> apply ──> Reply + Events
//!                        │
//!        due, placement ─┴─ State (tables + derived index)
//! ```
//!
//! `core` takes `(state, command, time)` and gives `(state, reply, events)`. Its `due` and `placement` say
//! what is to be proposed next. It never does I/O, asks a clock, draws random numbers or iterates in hash order,
//! so every member computes the same.

pub mod canonical;
pub mod code;
pub mod hash;
pub mod id;
pub mod name;
pub mod time;

pub mod resources;
pub mod template;

pub mod job_spec;
pub mod reason;

pub mod table;

pub mod model;
pub mod transition;

pub mod command;
pub mod event;
pub mod reply;

pub mod state;

pub mod due;
pub mod explain;
pub mod orders;
pub mod placement;

pub mod planted;

pub mod apply;
pub mod invariants;
