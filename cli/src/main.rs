//! The `berth` binary: both daemons, `dev`, and the verbs of users and operators.
//!
//! ```text
//!   main ─ shim? ──> berth_shim::main            before any thread or runtime exists
//!     └─ args ──> verb::* ──> berth_client ──> servers
//!                   │   └──> view (tables) or json ──> stdout
//!                   └──────> daemons: server, agent, dev
//! ```
//!
//! Data goes to stdout, everything else to stderr. With `-o json` a command prints one JSON document (one a line where
//! it prints many things over time), and errors are JSON documents on stderr.
//!
//! It never: does what the SDK cannot do for others, or talks to servers past the SDK.

mod exit;
mod failure;
mod output;

mod span;
mod table;
mod units;
mod words;

mod json;
mod view;

mod args;
mod config;
mod daemons;
mod session;

mod plan;
mod progress;
mod spec_file;
mod largest_node;
mod verb;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if berth_shim::is_shim(&args) {
        return berth_shim::main(&args);
    }
    let cli = Cli::parse_from(args);
    let output = cli.global.output();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failure::Failure::from)
        .and_then(|runtime| runtime.block_on(Box::pin(verb::run(cli))));
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.fail(&failure);
            failure.exit().into()
        }
    }
}
