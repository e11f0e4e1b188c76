use std::collections::{BTreeMap, BTreeSet};

use crate::canonical::{Known, canonical};
use crate::id::{JournalId, NodeEpoch};
use crate::job_spec::ExecutorKind;
use crate::resources::{NamedResources, Resources};
use crate::time::Timestamp;

/// A machine with an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, unique.
    pub name: String,
    /// The registration that counts; orders and reports of earlier ones are refused.
    pub epoch: NodeEpoch,
    /// Identifies the agent's data directory.
    pub journal: JournalId,
    /// What the agent said about the machine.
    pub facts: Known<NodeFacts>,
    /// What the machine offers to tasks.
    pub capacity: Resources,
    /// Whether its agent is there.
    pub state: NodeState,
    /// Set while it takes no new work.
    pub drain: Option<Drain>,
    /// The last report of this journal that was applied.
    pub reported: u64,
}

canonical!(Node { 1: name, 2: epoch, 3: journal, 4: facts, 5: capacity, 6: state, 7: drain, 8: reported });

/// What an agent says about its machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// What it offers to tasks: cpu in thousandths, memory in bytes.
    pub capacity: NamedResources,
    /// Free facts such as `kernel.version` or `cgroup.mode`.
    pub attributes: BTreeMap<String, String>,
    /// Its executors.
    pub executors: BTreeMap<ExecutorKind, ExecutorOffer>,
    /// Below this path the agent keeps the directories of runs.
    pub run_dirs: String,
    /// The name of the shared directory below which they are, if they are on one; nodes with the same name
    /// see the same files.
    pub shared: Option<String>,
}

canonical!(NodeFacts { 1: capacity, 2: attributes, 3: executors, 4: run_dirs, 5: shared });

/// What a node says of one executor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutorOffer {
    /// Whether it takes work.
    pub ready: bool,
    /// What it is, or why it takes none.
    pub detail: String,
    /// What keeps tasks apart elsewhere and does not here.
    pub missing: BTreeSet<Isolation>,
}

canonical!(ExecutorOffer { 1: ready, 2: detail, 3: missing });

/// A part of what keeps tasks apart from each other and from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Control groups: without them memory, cpu and processes of a task have no bounds.
    ControlGroups,
    /// A pid namespace: without one tasks see the processes of the machine, and what a task leaves behind may outlive it.
    PidNamespace,
}

canonical!(enum Isolation { 1: ControlGroups, 2: PidNamespace });

impl Isolation {
    /// `control groups` or `pid namespace`.
    pub fn words(self) -> &'static str {
        match self {
            Isolation::ControlGroups => "control groups",
            Isolation::PidNamespace => "pid namespace",
        }
    }
}

/// Whether a node's agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Its lease holds.
    Ready,
    /// Its lease ran out at that instant.
    Lost { at: Timestamp },
}

canonical!(enum NodeState { 1: Ready, 2: Lost { 1: at } });

/// Why and how a node is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Who asked for it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Attempts that still run at that instant are stopped and go elsewhere; `None` lets them end.
    pub deadline: Option<Timestamp>,
}

canonical!(Drain { 1: by, 2: since, 3: deadline });

impl Node {
    /// Why it takes no work at all; `None` when it does.
    pub fn closed(&self) -> Option<&'static str> {
        match (self.state, &self.drain) {
            (NodeState::Lost { .. }, _) => Some("lost"),
            (NodeState::Ready, Some(_)) => Some("draining"),
            (NodeState::Ready, None) => None,
        }
    }
}
