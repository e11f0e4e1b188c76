//! The simulated cluster. A seed says everything: what goes wrong, when, and what is asked of the cluster meanwhile.
//!
//! ```text
//!            Client ──asks──> servers: Member (raft driver, log, snapshots, applier) + Leader
//!              ^                 │ ^ raft messages, chunks           │ ^ sessions
//!              └──answers────────┘ └── Network (delay, loss, cuts) ──┘ │
//!   Agenda (virtual time) ──events──> all of them          agents: Supervisor + FakeExecutor
//!   Faults ──crashes, cuts, stalls──> all of them
//!   Ledger <── every entry that any member applies: the invariants
//! ```
//! First comes chaos, then quiet: all that was wrong is mended, and within a bound everything has to be over.
//!
//! The harness owns clock, network and disks. Each concern draws from its own sequence of random numbers, so that a
//! change in one does not move the others.

mod random;
mod trace;

pub mod options;
pub mod counts;

mod agenda;
mod network;

mod fires;
mod ledger;
mod watched;

mod server;
mod clocks;
mod lead;
mod connection;
mod agent;

mod workload;
mod client;
mod faults;

mod overlap;
mod judge;
pub mod simulation;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use counts::Counts;
pub use options::{Options, Weather};
pub use simulation::Simulation;

/// What a run without a violation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How often things happened.
    pub counts: Counts,
    /// A hash over everything that happened, in order.
    pub trace: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
}

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What the seed stood for.
    pub options: Options,
    /// When, in simulated milliseconds; `None` when production code gave up by a panic.
    pub at_ms: Option<u64>,
    /// Which rule, and where.
    pub what: String,
    /// What happened, if the options asked for it.
    pub story: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.at_ms {
            Some(at) => writeln!(f, "violation at {at} ms: {}", self.what)?,
            None => writeln!(f, "panic: {}", self.what)?,
        }
        let Options { seed, seconds, weather, .. } = &self.options;
        write!(f, "replay: cargo xtask sim --seeds 1 --seed {seed} --seconds {seconds}")?;
        match weather {
            Weather::Any => writeln!(f)?,
            other => writeln!(f, " --weather {}", other.name())?,
        }
        write!(f, "{}", self.options)
    }
}

/// Runs one simulation to its end.
///
/// # Errors
/// The first rule that did not hold.
pub fn run(options: &Options) -> Result<Report, Box<Violation>> {
    let simulation = Simulation::new(options.clone());
    let ledger = simulation.ledger();
    let violation = |at_ms, what| {
        let story = ledger.lock().take_story();
        Box::new(Violation { options: options.clone(), at_ms, what, story })
    };
    let ended = catch_unwind(AssertUnwindSafe(|| simulation.run()));
    match ended {
        Ok(Ok(report)) => Ok(report),
        Ok(Err((at, what))) => Err(violation(Some(at), what)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(violation(None, text.unwrap_or_else(|| "without a message".to_owned())))
        }
    }
}
