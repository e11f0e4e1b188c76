//! `cargo xtask test`: the whole suite.

use anyhow::{Result, ensure};

use crate::command::{cargo, run as run_command};
use crate::docker::{Engine, Life};
use crate::guest;
use crate::image;
use crate::layers;
use crate::machine::Machine;
use crate::setup;
use crate::summary::Summary;

const STEPS: [&str; 5] = ["fmt", "layers", "clippy", "tests", "guest"];

/// Runs the named steps, or all.
pub(crate) fn run(steps: &[String]) -> Result<()> {
    for step in steps {
        ensure!(STEPS.contains(&step.as_str()), "unknown step {step}; there are {}", STEPS.join(", "));
    }
    let wanted = |step: &str| steps.is_empty() || steps.iter().any(|name| name == step);
    let machine = Machine::here();
    let mut summary = Summary::default();
    if wanted("fmt") {
        summary.step("fmt", || run_command(&mut cargo(&["fmt", "--all", "--", "--check"])));
    }
    if wanted("layers") {
        summary.step("layers", layers::check);
    }
    if wanted("clippy") {
        let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        summary.step("clippy", || run_command(&mut cargo(&arguments)));
    }
    if wanted("tests") {
        tests(machine, &mut summary);
    }
    if wanted("guest") {
        guest(machine, &mut summary);
    }
    summary.close(machine.ci)
}

fn tests(machine: Machine, summary: &mut Summary) {
    let mut engine = None;
    match setup::docker(machine, Life::Bound) {
        Ok(Ok(ready)) => engine = Some(ready),
        Ok(Err(missing)) => summary.skip("Docker tests", missing),
        Err(error) => summary.step("Docker engine", || Err(error)),
    }
    summary.step("tests and doc tests", || {
        // Without --all-targets cargo runs the doc tests too.
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        match &engine {
            Some(engine) => command.env("BERTH_TEST_DOCKER_IMAGE", image::NAME).envs(hosts(engine)),
            None => command.env_remove("BERTH_TEST_DOCKER_HOST").env_remove("BERTH_TEST_DOCKER_IMAGE"),
        };
        run_command(&mut command)
    });
    // Dropped here: a private engine is stopped before the next step.
}

fn hosts(engine: &Engine) -> [(&'static str, String); 2] {
    [("BERTH_TEST_DOCKER_HOST", engine.host()), ("DOCKER_HOST", engine.host())]
}

fn guest(machine: Machine, summary: &mut Summary) {
    let name = "cgroup v2 guest";
    match guest::ready(machine) {
        Ok(Ok(())) => {
            for test in guest::TESTS {
                summary.step(&format!("{name}: {test}"), || guest::test(test, &[]));
            }
        }
        Ok(Err(missing)) => summary.skip(name, missing),
        Err(error) => summary.step(name, || Err(error)),
    }
}
