//! What is encoded reads back as the same, and what is malformed is refused and never a panic.

mod hostile;
mod log;
mod snapshots;
mod specs;
mod values;
