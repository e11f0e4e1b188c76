//! Checked conversions between the messages and the core's types, both ways. `from_proto` checks everything that the
//! types of the core promise; `to_proto` cannot fail.

mod error;
mod field;

pub mod reason;

pub mod facts;
pub mod job_spec;
pub mod tenant;

pub mod order;
pub mod report;

pub mod reply;

pub mod envelope;
pub mod snapshot;

pub mod status;

pub use error::{Error, Fault};
