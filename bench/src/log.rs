//! Proposals of 200 bytes through three members, each a process with a disk log, beside what three writers reach
//! on the same disk in the same run.

mod disk;
pub(crate) mod member;
mod trio;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::report::{Report, short};
use trio::Trio;

/// Proposals in flight, and what is aimed for as a multiple of the disk's rate.
const LEVELS: [(usize, f64); 3] = [(1, 0.25), (64, 4.0), (1_024, 8.0)];
/// How long each measurement takes.
const SPAN: Duration = Duration::from_secs(4);
/// Bytes of a proposal.
pub(crate) const PROPOSAL_BYTES: usize = 200;

/// From where proposals come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// From the leader's own process, as its duties propose.
    Leader,
    /// From another process by one gRPC call each, as a member forwards what clients ask of it.
    Follower,
}

impl From {
    pub(crate) fn word(self) -> &'static str {
        match self {
            From::Leader => "leader",
            From::Follower => "follower",
        }
    }
}

/// Measures and judges.
pub(crate) fn run() -> Result<ExitCode> {
    let report = Report::default();
    let directory = tempfile::tempdir()?;

    report.section("the disk: three writers at once, 4 KiB and fdatasync each");
    let before = disk::rate_of_three(directory.path(), SPAN)?;
    report.tell("each of them", &format!("{} writes/s", short(before)));

    report.section("redb alone: one thread, one durable transaction for each batch of 200 byte entries");
    for (batch, _) in LEVELS {
        let commits = disk::redb_rate(directory.path(), batch, SPAN / 2)?;
        let entries = commits * batch as f64;
        report.tell(
            &format!("batch of {batch}"),
            &format!("{} commits/s, {} entries/s", short(commits), short(entries)),
        );
    }

    let mut trio = Trio::start(directory.path())?;
    let mut figures = Vec::new();
    for from in [From::Leader, From::Follower] {
        for (in_flight, aim) in LEVELS {
            figures.push((from, in_flight, aim, trio.measure(from, in_flight, SPAN)?));
        }
    }
    trio.stop()?;
    let after = disk::rate_of_three(directory.path(), SPAN)?;
    let disk = (before + after) / 2.0;
    report.section("committed and applied proposals, three processes with fsync");
    report.tell("three writers again, after it", &format!("{} writes/s; mean {}", short(after), short(disk)));
    for (from, in_flight, aim, measured) in figures {
        let name = format!("from the {}, {in_flight} in flight", from.word());
        let figure = format!("{}/s p50 {:.2} ms", short(measured.rate), measured.p50_ms);
        report.aim(&name, &figure, measured.rate / disk, aim);
        let more = format!(
            "p99 {:.2} ms, {} syncs for {} entries",
            measured.p99_ms, measured.syncs, measured.entries
        );
        report.tell("", &more);
    }
    Ok(report.end())
}
