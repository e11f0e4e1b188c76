//! The simulated cluster, on many seeds: see `berth_tests::sim`.

#![allow(clippy::print_stdout, reason = "the counts are what the test is read for")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use berth_core::planted::{Bug, plant};
use berth_tests::sim::{self, Counts, Options, Violation, Weather};

/// Simulated seconds of chaos in each seed.
const SECONDS: u64 = 60;
/// Seeds of the long test; `BERTH_SIM_SEEDS` asks for more.
const SEEDS: u64 = 100;
/// A planted bug has to be found within so many seeds.
const SEEDS_TO_FIND: u64 = 200;
/// Seeds of a test that dwells on one weather.
const SEEDS_OF_WEATHER: u64 = 20;

#[test]
fn every_rule_holds_on_a_hundred_seeds_and_a_tenth_of_them_replays_equally() {
    let more = std::env::var("BERTH_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let seeds = SEEDS.max(more.unwrap_or(SEEDS));
    let next = AtomicU64::new(1);
    let total = Mutex::new(Counts::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return;
            }
            let options = Options::of_seed(seed, SECONDS);
            let outcome = sim::run(&options);
            if seed.is_multiple_of(10) && sim::run(&options) != outcome {
                let text = format!("seed {seed} went another way when it was run again\n{options}");
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            match outcome {
                Ok(report) => *total.lock().unwrap_or_else(PoisonError::into_inner) += report.counts,
                Err(violation) => {
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(violation.to_string());
                }
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} of {seeds} seeds failed\n{}", failures.len(), failures.join("\n\n"));

    let counts = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{seeds} seeds of {SECONDS} s and more:\n{counts}");
    let least = [
        ("leader changes", counts.leader_changes, 300),
        ("torn writes", counts.torn_writes, 150),
        ("snapshot installs", counts.snapshot_installs, 20),
        ("lost nodes", counts.lost_nodes, 100),
        ("retries", counts.retries, 2_000),
        ("repeated requests", counts.repeated_requests, 2_000),
        ("fires", counts.fires, 2_000),
        ("agent crashes", counts.agent_crashes, 400),
        ("fenced reports", counts.fenced_reports, 30),
        ("changes of facts", counts.facts_changes, 200),
        ("wrong clocks", counts.wrong_clocks, 60),
    ];
    for (what, count, least) in least {
        assert!(count >= least, "only {count} {what}; at least {least} are expected");
    }
}

/// What seeds of one weather come to, none of which may fail.
fn weathered(weather: Weather) -> Counts {
    let mut total = Counts::default();
    for seed in 1..=SEEDS_OF_WEATHER {
        match sim::run(&Options::of_seed(seed, SECONDS).with(weather)) {
            Ok(report) => total += report.counts,
            Err(violation) => panic!("{violation}"),
        }
    }
    println!("{SEEDS_OF_WEATHER} seeds of {}:\n{total}", weather.name());
    total
}

#[test]
fn late_reports_of_replaced_agents_are_refused_and_nothing_is_lost_by_it() {
    let counts = weathered(Weather::RestlessAgents);
    assert!(counts.fenced_reports >= 20, "only {} reports were fenced", counts.fenced_reports);
}

#[test]
fn a_wrong_wall_clock_neither_fires_early_nor_carries_state_time_away() {
    let counts = weathered(Weather::WrongClocks);
    assert!(counts.wrong_clocks >= 60, "only {} clocks were wrong", counts.wrong_clocks);
}

/// The first violation that a planted bug leads to, and the number of seeds it took.
fn found(bug: Option<Bug>, weather: Weather) -> Option<(u64, Box<Violation>)> {
    plant(bug);
    let found = (1..=SEEDS_TO_FIND).find_map(|seed| {
        let violation = sim::run(&Options::of_seed(seed, SECONDS).with(weather)).err()?;
        println!("found with seed {seed}: {violation}");
        Some((seed, violation))
    });
    plant(None);
    found
}

/// The seeds on which a planted bug is found show nothing without it.
fn is_sound(seed: u64, weather: Weather) {
    let options = Options::of_seed(seed, SECONDS).with(weather);
    if let Err(violation) = sim::run(&options) {
        panic!("{violation}");
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found() {
    assert!(found(None, Weather::LyingDisks).is_some());
}

#[test]
fn a_report_that_passes_the_fence_is_found() {
    let (seed, _) = found(Some(Bug::UncheckedFence), Weather::RestlessAgents).expect("the bug is found");
    is_sound(seed, Weather::RestlessAgents);
}

#[test]
fn a_fire_without_compare_and_set_is_found() {
    let (seed, _) =
        found(Some(Bug::FireWithoutCompare), Weather::RestlessSchedules).expect("the bug is found");
    is_sound(seed, Weather::RestlessSchedules);
}
