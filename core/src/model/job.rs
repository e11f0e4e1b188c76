use std::sync::Arc;

use crate::canonical::{Known, canonical};
use crate::hash;
use crate::id::{ClassHandle, RunHandle, RunId, SpecHandle, TenantHandle};
use crate::job_spec::JobSpec;
use crate::reason::SkipReason;
use crate::time::Timestamp;

/// A named, versioned spec within a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Set while its runs are being cancelled because it was stopped.
    pub stopping: Option<Stopping>,
}

canonical!(Job {
    1: tenant,
    2: name,
    3: version,
    4: spec,
    5: enabled,
    6: generation,
    7: cursor,
    8: updated,
    9: stopping,
});

/// How far the cancelling of a stopped job's runs has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    /// Who stopped it.
    pub by: String,
    /// Runs before this one are cancelled.
    pub from: RunHandle,
    /// Runs from this one on were made after it was stopped.
    pub until: RunHandle,
}

canonical!(Stopping { 1: by, 2: from, 3: until });

/// Where a schedule stands. A fire names the cursor that it expects, so an instant is decided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The job's generation when it was set, so that fires of an older schedule are refused.
    pub generation: u64,
    /// The last instant that was decided.
    pub last: Timestamp,
    /// The next instant; `None` when nothing follows.
    pub next: Option<Timestamp>,
}

canonical!(Cursor { 1: generation, 2: last, 3: next });

/// What was decided about one due instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The decision.
    pub kind: OutcomeKind,
    /// How many instants it stands for: more than 1 where missed ones were taken together.
    pub count: u32,
}

canonical!(Outcome { 1: kind, 2: count });

/// The decision about a due instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// This run was made.
    Run(RunId),
    /// It was not run.
    Skipped(SkipReason),
}

canonical!(enum OutcomeKind { 1: Run(id), 2: Skipped(reason) });

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
    pub classes: Known<Vec<ClassHandle>>,
    /// The hash of the spec. Derived; kept because the record changes with every use.
    pub key: u128,
}

// The content is the same for one handle for ever, so it is hashed once, and not at every use: the spec as its key.
canonical!(SpecRecord { 1: users, 2: key, 3: classes } without { spec, dependents });

impl SpecRecord {
    /// The record of a spec with so many users, whose tasks have these request classes.
    pub fn new(spec: Arc<JobSpec>, users: u64, classes: Vec<ClassHandle>) -> SpecRecord {
        let (dependents, key) = (Arc::new(dependents_of(&spec)), hash::of(&*spec));
        SpecRecord { spec, users, dependents, classes: classes.into(), key }
    }
}

/// For each task of a spec, the places of the tasks that come directly after it.
fn dependents_of(spec: &JobSpec) -> Vec<Vec<u16>> {
    let mut dependents = vec![Vec::new(); spec.tasks.len()];
    for (place, task) in (0u16..).zip(&spec.tasks) {
        for &before in &task.after {
            dependents[usize::from(before)].push(place);
        }
    }
    dependents
}
