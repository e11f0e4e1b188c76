//! The rules of the state machine, one test a rule, and random commands against the invariants.

pub(crate) mod house;
mod jobs;
mod nodes;
mod random;
mod retention;
mod schedules;
