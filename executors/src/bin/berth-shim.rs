//! The shim as a program of its own, for the tests of this crate; the product enters it through the
//! `berth` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if berth_shim::is_shim(&args) { berth_shim::main(&args) } else { ExitCode::from(2) }
}
