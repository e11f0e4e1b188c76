use crate::canonical::canonical;
use crate::id::TenantHandle;
use crate::job_spec::ExecutorKind;
use crate::resources::{NamedResources, Resources};

/// An owner of jobs and of a share of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, unique.
    pub name: String,
    /// The tenant it belongs to; `None` for a tenant at the root.
    pub parent: Option<TenantHandle>,
    /// Its share relative to its siblings; at least 1.
    pub weight: u32,
    /// The most it may use at any time of each resource named here; others are not limited.
    pub limit: NamedResources,
    /// How many placements it was ever given.
    pub grants: u64,
}

canonical!(Tenant { 1: name, 2: parent, 3: weight, 4: limit, 5: grants });

/// Everything about a task that placement looks at. Equal requests share one record, and placement does its
/// work once a class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestClass {
    /// What a task of the class asks for.
    pub resources: Resources,
    /// What it runs on.
    pub executor: ExecutorKind,
    /// Whether it uses the run's directory.
    pub uses_run_dir: bool,
}

canonical!(RequestClass { 1: resources, 2: executor, 3: uses_run_dir });
