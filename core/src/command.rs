//! All that can enter the log.

use std::sync::Arc;

use crate::id::{AttemptHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, RequestId, RunId, TaskHandle};
use crate::job_spec::JobSpec;
use crate::model::{NodeFacts, Usage};
use crate::reason::{EndReason, SkipReason};
use crate::resources::NamedResources;
use crate::time::{Millis, Timestamp};

/// The encoding of commands that this release writes.
pub const FORMAT: u32 = 1;
/// The most changes of state that one command makes; what is longer goes on in the next.
pub const TRANSITIONS_MAX: usize = 4_096;

/// A command with what is true of every command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The encoding; see [`FORMAT`].
    pub format: u32,
    /// The feature level that the cluster had when it was proposed.
    pub feature_level: u32,
    /// Grows when the cluster is made anew from a backup.
    pub cluster_epoch: u64,
    /// The proposer's term; in an entry of another term the command does nothing.
    pub term: u64,
    /// The proposer's clock.
    pub time: Timestamp,
    /// Makes the request safe to repeat: a second one with the same key gets the first one's answer. `None` for
    /// commands that are safe by themselves.
    pub request: Option<RequestId>,
    /// Who asked for it.
    pub actor: String,
    /// From where it came.
    pub origin: Origin,
    /// The command.
    pub command: Command,
}

/// From where a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A client, by way of the public API.
    Client,
    /// A node's agent.
    Agent,
    /// The leader's own duties.
    Leader,
}

/// What can be asked of the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Adds a tenant or changes it.
    ApplyTenant(TenantSpec),
    /// Registers a job, starts a run of it, or both at once.
    Submit(Submit),
    /// Disables a job's schedule and cancels its active runs.
    StopJob { tenant: String, job: String },
    /// Ends a run.
    CancelRun { run: RunId },
    /// Adds a node or takes note of a new agent process on it.
    RegisterNode(Registration),
    /// Says that the lease of a node ran out, while it still has that epoch.
    LoseNode { node: NodeHandle, epoch: NodeEpoch },
    /// Empties a node, or (with `None`) lets it take work again.
    DrainNode { node: String, drain: Option<DrainOrder> },
    /// Forgets a node that is lost or drained and runs nothing.
    RemoveNode { node: String },
    /// Gives tasks to nodes: one placement pass.
    Place(Vec<Placement>),
    /// Takes what a node reports of its attempts.
    Report(NodeReport),
    /// Decides due instants of schedules.
    Fire(Vec<Fire>),
    /// Does what the timer table says is due, other than fires; up to [`TRANSITIONS_MAX`] changes.
    Advance,
    /// Compares the state's hash, as the leader had it after entry `index`; a member that differs stops.
    CheckHash { index: u64, hash: u128 },
}

/// A tenant as an operator wants it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantSpec {
    /// Its name.
    pub name: String,
    /// Its share relative to its siblings; at least 1.
    pub weight: u32,
    /// The most it may use at any time of each resource named here.
    pub limit: NamedResources,
}

/// A request to register a job, to start a run of it, or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Submit {
    /// The job's owner.
    pub tenant: String,
    /// The job's name.
    pub job: String,
    /// The spec to register; `None` starts the job as it is.
    pub spec: Option<Arc<JobSpec>>,
    /// Starts a run, under this key.
    pub start: Option<RequestId>,
}

/// What an agent says when it comes up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Registration {
    /// The node's name.
    pub name: String,
    /// Identifies the agent's data directory; attempts of another journal are lost.
    pub journal: JournalId,
    /// What the agent says about the machine.
    pub facts: NodeFacts,
}

/// How a node is to be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DrainOrder {
    /// How long running attempts may go on; zero stops them at once, `None` lets them end.
    pub stop_after: Option<Millis>,
}

/// One task given to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The task: one that is ready, or the next index of its step that has no record yet.
    pub task: TaskHandle,
    /// The node.
    pub node: NodeHandle,
    /// The node's epoch when the pass was made.
    pub epoch: NodeEpoch,
}

/// What a node reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeReport {
    /// The node.
    pub node: NodeHandle,
    /// Its epoch.
    pub epoch: NodeEpoch,
    /// The journal that counts the reports.
    pub journal: JournalId,
    /// The reports by number, in order; those already applied are passed over.
    pub reports: Vec<AttemptReport>,
}

/// One report about one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptReport {
    /// Its number in the journal, counted from 1.
    pub sequence: u64,
    /// The attempt.
    pub attempt: AttemptHandle,
    /// What happened.
    pub update: AttemptUpdate,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AttemptUpdate {
    /// Its program runs.
    Started { at: Timestamp },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// When its program began to run, if it did.
        started: Option<Timestamp>,
        /// When it ended.
        at: Timestamp,
        /// What it left in its output file, lines of `key=value`.
        output: Vec<u8>,
        /// What it used.
        usage: Usage,
    },
}

/// Decisions about the due instants of one schedule, made against a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fire {
    /// The job.
    pub job: JobHandle,
    /// The schedule's generation that was looked at.
    pub generation: u64,
    /// The cursor that was looked at; the fire does nothing when it has moved.
    pub expected: Timestamp,
    /// The decisions, oldest first, all after `expected`.
    pub decisions: Vec<FireDecision>,
    /// The next instant after the last decision.
    pub next: Option<Timestamp>,
}

/// The decision about one due instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FireDecision {
    /// The instant.
    pub nominal: Timestamp,
    /// `None` runs it (if the overlap policy allows); otherwise why not.
    pub skip: Option<SkipReason>,
    /// How many instants up to `nominal` the decision stands for; more than 1 only when they are skipped together.
    pub count: u32,
}
