//! The steps of a test run and their results.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::setup::Missing;

#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(Missing),
}

/// What was run, in order, with the counts at the end.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    steps: Vec<(String, Outcome, Duration)>,
}

impl Summary {
    /// Runs a step and keeps its result; later steps run whatever it was.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        println!("\n==> {name}");
        let began = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                Outcome::Failed(format!("{error:#}"))
            }
        };
        self.steps.push((name.to_owned(), outcome, began.elapsed()));
    }

    /// Says aloud that a part was not tested.
    pub(crate) fn skip(&mut self, name: &str, missing: Missing) {
        println!(
            "\n!!! SKIPPED: {name}: this machine lacks {}\n    to have it: {}",
            missing.what, missing.install
        );
        self.steps.push((name.to_owned(), Outcome::Skipped(missing), Duration::ZERO));
    }

    /// Prints all results and the counts. A skip fails the run when `skips_fail` is set.
    pub(crate) fn close(self, skips_fail: bool) -> Result<()> {
        println!("\n{self}");
        let (_, failed, skipped) = self.counts();
        if failed > 0 {
            bail!("{failed} steps failed");
        }
        if skipped > 0 && skips_fail {
            bail!("{skipped} steps were skipped, which is a failure under CI=true");
        }
        Ok(())
    }

    fn counts(&self) -> (usize, usize, usize) {
        self.steps.iter().fold((0, 0, 0), |(passed, failed, skipped), (_, outcome, _)| match outcome {
            Outcome::Passed => (passed + 1, failed, skipped),
            Outcome::Failed(_) => (passed, failed + 1, skipped),
            Outcome::Skipped(_) => (passed, failed, skipped + 1),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome, took) in &self.steps {
            match outcome {
                Outcome::Passed => writeln!(f, "  passed   {name} ({:.1} s)", took.as_secs_f64())?,
                Outcome::Failed(why) => {
                    let first = why.lines().next().unwrap_or_default();
                    writeln!(f, "  FAILED   {name}: {first}")?;
                }
                Outcome::Skipped(missing) => {
                    writeln!(f, "  SKIPPED  {name}: lacks {}; {}", missing.what, missing.install)?;
                }
            }
        }
        let (passed, failed, skipped) = self.counts();
        write!(f, "steps: {passed} passed, {failed} failed, {skipped} skipped")
    }
}
