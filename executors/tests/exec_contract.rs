//! The exec executor keeps the contract, with the best isolation of this machine and with none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures and skips are for people to read")]

#[path = "support/exec_ground.rs"]
mod exec_ground;

use berth_executors::exec::IsolationChoice;

mod isolated {
    use super::*;
    berth_executors::contract_suite!(exec_ground::ExecGround::new(IsolationChoice::Best));
}

mod plain {
    use super::*;
    berth_executors::contract_suite!(exec_ground::ExecGround::new(IsolationChoice::Plain));
}
