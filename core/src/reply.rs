//! What the state machine answers.

use crate::canonical::canonical;
use crate::event::Event;
use crate::id::{JobHandle, NodeEpoch, NodeHandle, RunId};
use crate::time::Timestamp;

/// The answer to a command and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer.
    pub reply: Reply,
    /// What changed, in order.
    pub events: Vec<Event>,
    /// State time when it was applied.
    pub at: Timestamp,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was done, or was already so.
    Done,
    /// The job's version and the run, if one was started.
    Submitted { job: JobHandle, version: u64, changed: bool, run: Option<RunId> },
    /// The node's handle and its new epoch.
    Registered { node: NodeHandle, epoch: NodeEpoch },
    /// The placements that were refused, by place in the command.
    Placed { refused: Vec<(u32, Refusal)> },
    /// Reports up to this number are applied.
    Reported { up_to: u64 },
    /// The fires that were refused because their cursor had moved, by place in the command.
    Fired { refused: Vec<u32> },
    /// It was not done.
    Refused(Refusal),
}

canonical!(enum Reply {
    1: Done,
    2: Submitted { 1: job, 2: version, 3: changed, 4: run },
    3: Registered { 1: node, 2: epoch },
    4: Placed { 1: refused },
    5: Reported { 1: up_to },
    6: Fired { 1: refused },
    7: Refused(refusal),
});

/// Why a command was not done. A closed list: each has a code that clients can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The entry has another term than the command: its proposer was no longer the leader.
    #[error("the proposer was no longer the leader")]
    StaleTerm,
    /// The command is of a cluster that was since made anew.
    #[error("the command belongs to an earlier life of the cluster")]
    StaleClusterEpoch,
    /// The key was used for another request.
    #[error("the request key was used before for another request")]
    KeyReused,
    /// No tenant of that name.
    #[error("no tenant `{0}`")]
    UnknownTenant(String),
    /// No job of that name.
    #[error("no job `{job}` in tenant `{tenant}`")]
    UnknownJob { tenant: String, job: String },
    /// No run of that id.
    #[error("no run {0}")]
    UnknownRun(RunId),
    /// No node of that name.
    #[error("no node `{0}`")]
    UnknownNode(String),
    /// One task alone asks for more than the tenant may ever use.
    #[error("task `{task}` asks for {asked} of {resource}; the limit of tenant `{tenant}` is {limit}")]
    NeverFits { tenant: String, task: String, resource: String, asked: u64, limit: u64 },
    /// The command is malformed in a way that its sender should have seen.
    #[error("{0}")]
    Invalid(String),
    /// A bound of the cluster is reached.
    #[error("{what}: {limit} is the most")]
    Full { what: String, limit: u64 },
    /// The node has another epoch.
    #[error("the node has registered anew")]
    StaleEpoch,
    /// Reports between the last one applied and these are missing.
    #[error("the report with number {expected} is missing before these")]
    ReportMissing { expected: u64 },
    /// The node is lost or drains.
    #[error("the node takes no work: {0}")]
    NodeClosed(String),
    /// The node still runs attempts.
    #[error("node `{node}` still runs {attempts} attempts; drain it first")]
    NodeBusy { node: String, attempts: u64 },
    /// Active runs have their files on the node alone.
    #[error(
        "node `{node}` has the files of {runs} active runs, which could run nowhere else; cancel them, or let them end"
    )]
    NodeHasFiles { node: String, runs: u64 },
    /// The node still has its lease and is not drained.
    #[error("node `{0}` is in service; drain it first")]
    NodeInService(String),
    /// The node lacks room or the executor, or the run's files are elsewhere.
    #[error("the node cannot take it: {0}")]
    DoesNotFit(String),
    /// The tenant's limit would be exceeded.
    #[error("the limit of tenant `{tenant}` on {resource} is used up")]
    OverLimit { tenant: String, resource: String },
    /// The task does not wait for a place.
    #[error("the task does not wait for a place")]
    NotReady,
}

canonical!(enum Refusal {
    1: StaleTerm,
    2: StaleClusterEpoch,
    3: KeyReused,
    4: UnknownTenant(name),
    5: UnknownJob { 1: tenant, 2: job },
    6: UnknownRun(id),
    7: UnknownNode(name),
    8: NeverFits { 1: tenant, 2: task, 3: resource, 4: asked, 5: limit },
    9: Invalid(what),
    10: Full { 1: what, 2: limit },
    11: StaleEpoch,
    12: ReportMissing { 1: expected },
    13: NodeClosed(why),
    14: NodeBusy { 1: node, 2: attempts },
    15: NodeHasFiles { 1: node, 2: runs },
    16: NodeInService(name),
    17: DoesNotFit(why),
    18: OverLimit { 1: tenant, 2: resource },
    19: NotReady,
});
