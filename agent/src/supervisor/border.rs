//! What goes into the logic and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use berth_core::id::{AttemptHandle, JournalId};
use berth_core::job_spec::ExecutorKind;
use berth_core::model::NodeFacts;
use berth_core::time::Millis;
use berth_executors::executor::{Event, Launch};

use crate::message::{FromAgent, Known, ToAgent};
use crate::retention::Retention;
use crate::session::SessionId;

/// What the logic is told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name.
    pub node: String,
    /// The release of the program.
    pub version: String,
    /// Where servers listen for agents, `host:port`; at least one.
    pub servers: Vec<String>,
    /// Drawn when the process started.
    pub incarnation: u128,
    /// The id of the journal, if there is none yet.
    pub fresh_journal: JournalId,
    /// Names the present boot of the machine.
    pub boot_id: String,
    /// Spreads the waits between two dials.
    pub seed: u64,
    /// The data directory, as executors see it.
    pub data_dir: PathBuf,
    /// Below it are the directories of runs.
    pub run_dirs: PathBuf,
    /// The executors that this node has, whether they are ready or not.
    pub kinds: BTreeSet<ExecutorKind>,
    /// The machine.
    pub facts: NodeFacts,
    /// How long what is left of forgotten attempts stays.
    pub retention: Retention,
}

/// All that can happen to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A dialed connection stands.
    Connected(SessionId),
    /// The leader says something.
    Said(SessionId, ToAgent),
    /// A connection ended or could not be made.
    Disconnected(SessionId),
    /// An executor tells something.
    Executor(Event),
    /// The machine is not as it was.
    Facts(Box<NodeFacts>),
    /// How many bytes the directories of forgotten attempts take.
    Sizes(BTreeMap<AttemptHandle, u64>),
    /// What an executor sees of its kind that belongs to none of its attempts; all of it, at each look.
    Rogues(ExecutorKind, Vec<String>),
    /// The agent ends and takes its attempts with it: stops all, starts no more.
    StopAll,
    /// Time has passed; see [`Supervisor::wake`].
    Tick,
}

/// All that an agent does to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Opens a connection; answered by `Connected` or `Disconnected`.
    Dial { session: SessionId, address: String },
    /// Sends a message. Into a connection that is gone it is dropped.
    Send { session: SessionId, message: FromAgent },
    /// The session holds; its logs may be served.
    Welcomed { session: SessionId, known: Known },
    /// Ends a connection; nothing more is taken from it, and no `Disconnected` is needed.
    HangUp { session: SessionId },
    /// Makes the run's directory if the launch has one, and starts the attempt.
    Start { kind: ExecutorKind, launch: Box<Launch> },
    /// Asks the attempt's executor to stop it.
    Stop { kind: ExecutorKind, attempt: AttemptHandle, grace: Millis },
    /// What is left of the attempt outside its directory may go.
    Remove { kind: ExecutorKind, attempt: AttemptHandle },
    /// Kills and removes what belongs to no attempt.
    KillRogue { kind: ExecutorKind, name: String },
}

/// Where an attempt's directory is, for whoever reads its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The directory.
    pub dir: PathBuf,
    /// What runs or ran it.
    pub kind: ExecutorKind,
    /// It is over, so that its logs are complete.
    pub over: bool,
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Attempts of which something may run.
    pub live: usize,
    /// Attempts that are over and not forgotten.
    pub ended: usize,
    /// Attempts of which only logs are left.
    pub forgotten: usize,
    /// Reports that are not acknowledged.
    pub reports: usize,
    /// Sessions that were welcomed so far.
    pub sessions: u64,
    /// Messages that the fence refused so far.
    pub refused: u64,
    /// Attempts started so far.
    pub started: u64,
    /// What runs now and belongs to no attempt.
    pub rogues: usize,
    /// Times that what is left of an attempt could not be put aside.
    pub not_removed: u64,
    /// True while a session holds.
    pub connected: bool,
}
