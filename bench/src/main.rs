//! Benchmarks of Berth. Each prints its figures beside a limit or a peer measured in the same run, and fails when
//! a hard limit is broken.
//!
//! ```text
//!   state    1,000,000 live tasks in the state machine: memory, speed, snapshots, restoring
//!   log      proposals through three member processes, beside what the disk can do
//!   launch   1,000 jobs of `/bin/true` through a cluster of processes, beside a plain loop that starts them
//! ```
//!
//! It never measures anything but production code, leaves nothing behind, and runs for a bounded time.

#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

mod distribution;
mod report;

mod state;

mod log;

mod cluster;
mod launch;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["state"] => state::run(state::Size::FULL),
        // A size to try things out with; the figures of small states flatter.
        ["state", "--jobs", jobs] => state::run(state::Size::of(jobs.parse()?)),
        ["log"] => log::run(),
        ["log-member", member] => log::member::run(member),
        ["launch"] => launch::run(),
        _ => bail!("usage: berth-bench state [--jobs N] | log | launch"),
    }
}
