//! `cargo xtask bench` and `cargo xtask sim`: the programs behind them, built the right way.

use anyhow::{Result, bail};

use crate::command::{cargo, command, run as run_command};
use crate::workspace;

const BENCHMARKS: [&str; 3] = ["launch", "log", "state"];

/// A benchmark, in a release build.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.first() {
        Some(name) if BENCHMARKS.contains(&name.as_str()) => {}
        Some(name) => bail!("unknown benchmark {name}; there are {}", BENCHMARKS.join(", ")),
        None => bail!("name a benchmark: {}", BENCHMARKS.join(", ")),
    }
    // The benchmarks start real servers and agents, which are the product's own binary.
    run_built(&["--release", "--bin", "berth", "--bin", "berth-bench"], "release/berth-bench", arguments)
}

/// The simulation.
pub(crate) fn simulate(arguments: &[String]) -> Result<()> {
    run_built(&["--bin", "sim"], "debug/sim", arguments)
}

/// Builds with the features of the whole workspace, so that libraries are compiled once for all
/// programs, and starts one of them.
fn run_built(build: &[&str], program: &str, arguments: &[String]) -> Result<()> {
    run_command(cargo(&["build", "--quiet", "--workspace"]).args(build))?;
    let program = workspace::target().join(program);
    run_command(command(&program.to_string_lossy(), &[]).args(arguments))
}
