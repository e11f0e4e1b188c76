//! 1,000,000 live tasks of 10,000 jobs: what they cost in memory, how fast they change, what a snapshot does to
//! that, and how long it takes to read them back.

mod feed;
mod fleet;
mod frozen;
mod resident;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use berth_core::model::TaskState;
use berth_core::state::State;

use crate::report::{Report, short};
use feed::{Feed, Measured};
use fleet::Fleet;
use work::Grain;

/// The most a live task may cost, and what is aimed for, in bytes of resident memory.
const TASK_BYTES: (f64, f64) = (512.0, 256.0);
/// The least rate of task transitions, a second on one core.
const TRANSITIONS_RATE: f64 = 200_000.0;
/// By how much a snapshot may slow down the slowest thousandth of applied commands, in milliseconds.
const SNAPSHOT_SLOWDOWN_MS: f64 = 10.0;
/// The most that restoring may take, in seconds.
const RESTORE_SECS: f64 = 10.0;
/// Rounds of steady work that are measured: some 4,000 transitions each.
const ROUNDS: usize = 250;

/// How many tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    jobs: u32,
}

/// Indexes of each job's array.
const TASKS_A_JOB: u32 = 100;
/// Nodes of the cluster.
const NODES: u32 = 1_000;

impl Size {
    /// The size for which the limits are.
    pub(crate) const FULL: Size = Size { jobs: 10_000 };

    /// That many jobs.
    pub(crate) fn of(jobs: u32) -> Size {
        Size { jobs }
    }

    fn tasks(self) -> u32 {
        self.jobs * TASKS_A_JOB
    }
}

/// Measures and judges.
pub(crate) fn run(size: Size) -> Result<ExitCode> {
    let mut report = Report::default();
    let mut fleet = Fleet::new(size);
    let mut feed = Feed::new();
    let before = resident::bytes()?;

    report.section(&format!("filling: {} jobs of {TASKS_A_JOB} tasks on {NODES} nodes", size.jobs));
    work::fill(&mut fleet, &mut feed, &report);
    check(feed.state(), size);
    let growth = resident::bytes()?.saturating_sub(before);

    report.section("memory");
    let a_task = growth as f64 / f64::from(size.tasks());
    report.tell("resident memory grew by", &format!("{:.1} MiB", growth as f64 / f64::from(1 << 20)));
    report.aim("below the aim of 256 B a task", &format!("{a_task:.0} B"), TASK_BYTES.1 / a_task, 1.0);
    report.at_most("bytes a live task", a_task, TASK_BYTES.0, "B");

    report.section("applying, at full size (decode, apply, publish a view every 64 commands)");
    let steady = work::steady(&mut fleet, &mut feed, Grain::COALESCED, ROUNDS);
    tell(&report, &steady);
    report.at_least("task transitions a second", steady.rate(), TRANSITIONS_RATE, "/s");
    let single = work::steady(&mut fleet, &mut feed, Grain::SINGLE, ROUNDS / 5);
    report.tell("the same, one transition a command", &format!("{} /s", short(single.rate())));

    report.section("a snapshot on another thread");
    let directory = tempfile::tempdir()?;
    let store = frozen::store(directory.path())?;
    let (during, written) = frozen::write_meanwhile(&store, &mut fleet, &mut feed, steady.commands())?;
    let (free, slowed) = (steady.slowest_thousandth(), during.slowest_thousandth());
    report.tell("snapshot", &written.to_string());
    report.tell("apply without it", &steady.latencies().to_string());
    report.tell("apply during it", &during.latencies().to_string());
    report.tell("transitions a second during it", &format!("{} /s", short(during.rate())));
    report.at_most("p99.9 of apply grew by", (slowed - free).max(0.0), SNAPSHOT_SLOWDOWN_MS, "ms");

    report.section("restoring");
    let restored = frozen::restore(&store, &feed)?;
    report.tell(
        "of which decoding, without disk and zstd",
        &format!("{} s", short(restored.decode.as_secs_f64())),
    );
    report.tell("of which the indexes", &format!("{} s", short(restored.index.as_secs_f64())));
    report.at_most("time to restore", restored.whole.as_secs_f64(), RESTORE_SECS, "s");
    Ok(report.end())
}

fn tell(report: &Report, measured: &Measured) {
    report.tell("commands", &measured.to_string());
    report.tell("on the core's own clock", &format!("{} transitions/s", short(measured.rate_of_core())));
}

/// A third each waits for a place, runs on a node and waits for a retry, each with its own record.
fn check(state: &State, size: Size) {
    let mut counts = [0u32; 3];
    for (_, task) in state.tables().tasks.iter() {
        let kind = match task.state {
            TaskState::Ready => 0,
            TaskState::Live => 1,
            TaskState::Backoff { .. } => 2,
            TaskState::Ended(_) => panic!("no task is over yet"),
        };
        counts[kind] += 1;
    }
    let third = size.tasks() / 3;
    assert!(counts.iter().all(|count| count.abs_diff(third) <= 2), "thirds, not {counts:?}");
}
