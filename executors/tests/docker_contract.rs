//! The docker executor keeps the contract, against a real engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures and skips are for people to read")]

#[path = "support/docker_ground.rs"]
mod docker_ground;

use docker_ground::DockerGround;

berth_executors::contract_suite!(match DockerGround::new() {
    Some(ground) => ground,
    None => return,
});
