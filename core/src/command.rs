//! All that can enter the log.

use std::sync::Arc;

use crate::canonical::canonical;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client, by way of the public API.
    Client,
    /// A node's agent.
    Agent,
    /// The leader's own duties.
    Leader,
}

/// What can be asked of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Compares the state's hash, as the leader had it after entry `index`; one that differs says so.
    CheckHash { index: u64, hash: u128 },
}

canonical!(enum Command {
    1: ApplyTenant(spec),
    2: Submit(submit),
    3: StopJob { 1: tenant, 2: job },
    4: CancelRun { 1: run },
    5: RegisterNode(registration),
    6: LoseNode { 1: node, 2: epoch },
    7: DrainNode { 1: node, 2: drain },
    8: RemoveNode { 1: node },
    9: Place(placements),
    10: Report(report),
    11: Fire(fires),
    12: Advance,
    13: CheckHash { 1: index, 2: hash },
});

/// A tenant as an operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSpec {
    /// Its name.
    pub name: String,
    /// Its share relative to its siblings; at least 1.
    pub weight: u32,
    /// The most it may use at any time of each resource named here.
    pub limit: NamedResources,
}

canonical!(TenantSpec { 1: name, 2: weight, 3: limit });

/// A request to register a job, to start a run of it, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
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

canonical!(Submit { 1: tenant, 2: job, 3: spec, 4: start });

/// What an agent says when it comes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The node's name.
    pub name: String,
    /// Identifies the agent's data directory; attempts of another journal are lost.
    pub journal: JournalId,
    /// What the agent says about the machine.
    pub facts: NodeFacts,
}

canonical!(Registration { 1: name, 2: journal, 3: facts });

/// How a node is to be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOrder {
    /// How long running attempts may go on; zero stops them at once, `None` lets them end.
    pub stop_after: Option<Millis>,
}

canonical!(DrainOrder { 1: stop_after });

/// One task given to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The task: one that is ready, or the next index of its step that has no record yet.
    pub task: TaskHandle,
    /// The node.
    pub node: NodeHandle,
    /// The node's epoch when the pass was made.
    pub epoch: NodeEpoch,
}

canonical!(Placement { 1: task, 2: node, 3: epoch });

/// What a node reports.
#[derive(Debug, Clone, PartialEq, Eq)]
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

canonical!(NodeReport { 1: node, 2: epoch, 3: journal, 4: reports });

/// One report about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// Its number in the journal, counted from 1.
    pub sequence: u64,
    /// The attempt.
    pub attempt: AttemptHandle,
    /// What happened.
    pub update: AttemptUpdate,
}

canonical!(AttemptReport { 1: sequence, 2: attempt, 3: update });

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
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

canonical!(enum AttemptUpdate {
    1: Started { 1: at },
    2: Ended { 1: reason, 2: started, 3: at, 4: output, 5: usage },
});

/// Decisions about the due instants of one schedule, made against a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
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

canonical!(Fire { 1: job, 2: generation, 3: expected, 4: decisions, 5: next });

/// The decision about one due instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FireDecision {
    /// The instant.
    pub nominal: Timestamp,
    /// `None` runs it (if the overlap policy allows); otherwise why not.
    pub skip: Option<SkipReason>,
    /// How many instants up to `nominal` the decision stands for; more than 1 only when they are skipped together.
    pub count: u32,
}

canonical!(FireDecision { 1: nominal, 2: skip, 3: count });
