use std::sync::Arc;

use crate::id::{ClassHandle, RunId, SpecHandle, TenantHandle};
use crate::job_spec::JobSpec;
use crate::reason::SkipReason;
use crate::time::Timestamp;

/// A named, versioned spec within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    /// Its owner.
    pub tenant: TenantHandle,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Counted from 1; grows when the spec changes.
    pub version: u64,
    /// The spec of this version.
    pub spec: SpecHandle,
    /// False after `job stop`: it does not fire until it is applied again.
    pub enabled: bool,
    /// Grows with every change of the schedule.
    pub generation: u64,
    /// Where its schedule stands.
    pub cursor: Option<Cursor>,
    /// When this version was applied.
    pub updated: Timestamp,
}

/// Where a schedule stands. A fire names the cursor that it expects, so an instant is decided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The job's generation when it was set, so that fires of an older schedule are refused.
    pub generation: u64,
    /// The last instant that was decided.
    pub last: Timestamp,
    /// The next instant; `None` when nothing follows.
    pub next: Option<Timestamp>,
}

/// What was decided about one due instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The decision.
    pub kind: OutcomeKind,
    /// How many instants it stands for: more than 1 where missed ones were taken together.
    pub count: u32,
}

/// The decision about a due instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// This run was made.
    Run(RunId),
    /// It was not run.
    Skipped(SkipReason),
}

/// An interned spec, with what the state machine needs of it again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecRecord {
    /// The spec.
    pub spec: Arc<JobSpec>,
    /// How many jobs and runs refer to it.
    pub users: u64,
    /// For each task, the places of the tasks that come directly after it. Derived.
    pub dependents: Arc<Vec<Vec<u16>>>,
    /// The request class of each task. Derived.
    pub classes: Arc<Vec<ClassHandle>>,
}

impl std::hash::Hash for SpecRecord {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // The content is the same for one handle for ever; hashing it once a use would cost more than it tells.
        self.users.hash(state);
        self.spec.name.hash(state);
        self.spec.tasks.len().hash(state);
    }
}
