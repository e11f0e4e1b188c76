//! `cargo xtask`: sets up the machine, tests, simulates and measures.
//!
//! ```text
//!   test --> setup (packages, Docker engine, test image) --> fmt, layers, clippy, tests, guest --> summary
//! ```
//!
//! It only calls other programs: what is tested and measured lives in the crates themselves.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people at a terminal")]

mod bench;
mod command;
mod docker;
mod guest;
mod http;
mod image;
mod kernel;
mod layers;
mod machine;
mod setup;
mod summary;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <verb>

  test [STEP..]              everything, or only the named steps: fmt layers clippy tests guest
  setup [--stop]             prepare the machine as `test` does, and leave the Docker engine running;
                             --stop ends that engine
  guest [--test NAME | PROGRAM] [ARG..]
                             the cgroup v2 tests, another test program, or PROGRAM, in a QEMU guest
  sim --seeds N [--seed S] [--seconds T] [--weather W] [--story 1]
                             the simulated cluster; W is any, restless-agents, restless-schedules, wrong-clocks
                             or lying-disks; a story tells what happens
  bench launch|log|state [ARG..]
                             a benchmark, in a release build

CI=true installs what is missing from the distribution's packages, and a skipped step is a failure.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((verb, rest)) = arguments.split_first() else {
        bail!("no verb given\n{USAGE}");
    };
    match verb.as_str() {
        "test" => test::run(rest),
        "setup" => setup::run(rest),
        "guest" => guest::run(rest),
        "sim" => bench::simulate(rest),
        "bench" => bench::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown verb {other}\n{USAGE}"),
    }
}
