//! `cargo run -p berth-tests --bin sim -- --seeds N [--seed S] [--seconds T] [--weather W] [--story 1]`:
//! simulates that many seeds from S on; with a story it says of a seed that fails what happened before.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::process::ExitCode;
use std::time::Instant;

use berth_tests::sim::{self, Counts, Options, Weather};

const USAGE: &str = "usage: sim --seeds N [--seed S] [--seconds T] [--weather any|restless-agents|restless-schedules|wrong-clocks|lying-disks] [--story 1]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(Asked { seeds, first, seconds, weather, story }) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let mut counts = Counts::default();
    let mut simulated = 0;
    let mut failed = 0u64;
    for seed in first..first.saturating_add(seeds) {
        let options = Options { tells_story: story, ..Options::of_seed(seed, seconds).with(weather) };
        let outcome = sim::run(&options);
        match &outcome {
            Ok(report) => {
                counts += report.counts;
                simulated += report.simulated_ms;
            }
            Err(violation) => {
                failed += 1;
                for line in &violation.story {
                    eprintln!("{line}");
                }
                eprintln!("seed {seed}: {violation}\n");
            }
        }
        // A tenth of the seeds run twice: the same has to happen.
        if seed.is_multiple_of(10) && outcome != sim::run(&options) {
            failed += 1;
            eprintln!("seed {seed}: a second run went another way\n{options}\n");
        }
    }
    let spent = began.elapsed();
    println!("{seeds} seeds, {failed} failed, {} simulated s in {spent:.1?}", simulated / 1_000);
    print!("{counts}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Asked {
    seeds: u64,
    first: u64,
    seconds: u64,
    weather: Weather,
    story: bool,
}

fn parse(arguments: &[String]) -> Option<Asked> {
    let mut asked = Asked { seeds: 0, first: 1, seconds: 60, weather: Weather::Any, story: false };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return None };
        match name.as_str() {
            "--seeds" => asked.seeds = value.parse().ok()?,
            "--seed" => asked.first = value.parse().ok()?,
            "--seconds" => asked.seconds = value.parse().ok()?,
            "--story" => asked.story = value == "1",
            "--weather" => asked.weather = Weather::named(value)?,
            _ => return None,
        }
    }
    (asked.seeds > 0).then_some(asked)
}
