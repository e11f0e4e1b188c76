//! The border between the agent and whatever runs attempts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use berth_core::id::{AttemptHandle, ClusterId, NodeEpoch};
use berth_core::reason::EndReason;
use berth_core::time::{Millis, Timestamp};

/// The kinds of executor a task can ask for.
pub use berth_core::job_spec::ExecutorKind as Kind;
/// What can be missing of the isolation of tasks.
pub use berth_core::model::Isolation;

/// What an attempt runs, with every variable already replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program of this machine.
    Exec { command: Vec<String> },
    /// A container image and the command in it; an empty command means the image's own.
    Docker { image: String, command: Vec<String> },
    /// Simulated work that ends after `runs_for` with `exit_code`.
    Fake { runs_for: Millis, exit_code: i32, output: String },
}

/// The limits of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Share of cpu in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory in bytes past which the kernel ends the attempt; `None` for no limit.
    pub memory_max: Option<u64>,
    /// Number of processes and threads.
    pub pids_max: u64,
}

/// An order to start one attempt. The attempt's directory exists and its spec is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The attempt's handle.
    pub attempt: AttemptHandle,
    /// A readable name, unique on the node, fit for a file name: `<run>.<task>.<index>.<n>`.
    pub name: String,
    /// The attempt's directory: records, `log/`, `task/`.
    pub dir: PathBuf,
    /// The boot of this machine in which the agent took the attempt on. It is on disk before anything else is, so it
    /// tells of a reboot where the executor's own records were torn by one.
    pub boot_id: String,
    /// What to run.
    pub program: Program,
    /// Environment variables, complete.
    pub env: Vec<(String, String)>,
    /// The run's directory on this machine, if the task uses it.
    pub run_dir: Option<PathBuf>,
    /// What it may use.
    pub limits: Limits,
    /// How long it goes on without contact to the servers; `None` for as long as it takes.
    pub leash: Option<Leash>,
}

/// How long an attempt goes on without contact to the servers. The agent stops it then; an executor whose attempts have
/// a supervisor of their own has that one do so as well, because the agent may be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leash {
    /// How long.
    pub span: Millis,
    /// Between the request to stop and the kill.
    pub grace: Millis,
    /// The file in which the agent notes its last contact.
    pub contact: PathBuf,
}

/// What an executor tells the agent, in order for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The program runs.
    Started { attempt: AttemptHandle, at: Timestamp },
    /// The attempt is over, and nothing of it runs any more. What cannot be killed puts this off.
    Ended { attempt: AttemptHandle, end: End },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// When it began to run; `None` if it never did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
    /// The largest memory use seen, in bytes; 0 if unknown.
    pub memory_peak: u64,
    /// Processor time used, in milliseconds; 0 if unknown.
    pub cpu_ms: u64,
    /// What the program wrote to the file named by `BERTH_OUTPUT`.
    pub output: Vec<u8>,
}

/// An attempt of which an executor found traces after the agent was restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It still runs; its end will come as an event.
    Running { attempt: AttemptHandle, started: Timestamp },
    /// It ended while nobody watched.
    Ended { attempt: AttemptHandle, end: End },
}

/// By whose right a node runs attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// The cluster.
    pub cluster: ClusterId,
    /// Grows when the cluster is restored from a backup, which may set the node's epochs back.
    pub cluster_epoch: u64,
    /// The node's registration; it grows with each one, whoever made it.
    pub epoch: NodeEpoch,
}

/// Whether an executor can take work, and what it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes work; the text describes it (engine version, isolation). What is `missing` of isolation tasks go without.
    Ready { detail: String, missing: BTreeSet<Isolation> },
    /// It takes none; the text says why and what would help.
    Unavailable { reason: String },
}

/// Starts, stops and finds again the attempts of one kind on this machine.
///
/// No call blocks for longer than a local file operation: work that takes time goes on elsewhere and
/// ends in an [`Event`] on the channel that the executor was made with. The caller starts an attempt
/// at most once; `start` refuses (with [`EndReason::StartFailed`]) where it finds traces of an
/// earlier start of the same attempt.
pub trait Executor: Send {
    /// Which kind this is.
    fn kind(&self) -> Kind;

    /// Whether it can take work now.
    fn health(&self) -> Health;

    /// Looks at the given attempts of this kind, which the agent's journal knows to be started and
    /// not yet acknowledged, after the agent was restarted; takes up those that run. An attempt that
    /// left no trace is absent from the answer.
    fn recover(&mut self, known: Vec<Launch>) -> Vec<Found>;

    /// Starts an attempt; ends in `Started` and then `Ended`, or in `Ended` alone.
    fn start(&mut self, launch: Launch);

    /// Asks an attempt to end, and ends it by force after `grace`. Unknown attempts are ignored.
    fn stop(&mut self, attempt: AttemptHandle, grace: Millis);

    /// The attempt's end is acknowledged: what is left of it outside its directory may go.
    fn remove(&mut self, attempt: AttemptHandle);

    /// What runs on this machine in the executor's care and belongs to no attempt that it was told of: leftovers of a
    /// directory that was wiped. To be asked after [`Executor::recover`]. An executor that clears up by itself names none.
    fn rogues(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The cluster has taken the agent for its node, before any attempt is started; said again whenever that changes.
    /// Whatever the same cluster had on the same node by an earlier registration with another journal is given up.
    fn welcomed(&mut self, _home: Home) {}

    /// Kills everything of a rogue and removes it, in the background; one that is still there is named again.
    fn kill_rogue(&mut self, _name: &str) {}
}

/// Where an executor puts its events. When the channel is full the executor waits: its own threads
/// stall, never the agent.
pub type EventSink = SyncSender<Event>;
