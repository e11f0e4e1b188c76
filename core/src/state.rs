//! The whole state: the tables, which are replicated, and the index, which is derived from them.

mod index;
mod intern;
mod limits;
mod tables;

use std::sync::Arc;

use crate::id::{
    AttemptHandle, ClassHandle, JobHandle, NodeHandle, ResourceHandle, RunHandle, RunId, SpecHandle,
    StepHandle, TaskHandle, TenantHandle,
};
use crate::job_spec::{JobSpec, TaskSpec};
use crate::model::{Attempt, Job, Node, Outputs, RequestClass, Run, SpecRecord, Step, Task, Tenant};
use crate::resources::NamedResources;
use crate::time::Timestamp;

pub(crate) use index::tenant_of;
pub use index::{Index, OnNode, QueueKey};
pub(crate) use limits::Limits;
pub use tables::{Counters, Header, RequestRecord, Tables};

/// The tenant of jobs that name none; every cluster has it from the start.
pub const DEFAULT_TENANT: &str = "default";

/// The state of a cluster after some entry of the log. A clone is cheap and never changes: it is the view
/// that readers and snapshots work on.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) tables: Tables,
    pub(crate) index: Index,
    pub(crate) limits: Limits,
}

impl State {
    /// The state of a cluster before its first entry. It has one tenant, so that a first job needs none made.
    pub fn new() -> State {
        let mut tables = Tables::new();
        let tenant = Tenant {
            name: DEFAULT_TENANT.to_owned(),
            parent: None,
            weight: 1,
            limit: NamedResources::new(),
            grants: 0,
        };
        tables.tenants.insert(TenantHandle(0), tenant);
        tables.header.next.tenant = 1;
        State::from_tables(tables)
    }

    /// The state with these tables; the index is derived from them.
    pub fn from_tables(tables: Tables) -> State {
        let index = Index::of(&tables);
        State { tables, index, limits: Limits::PRODUCT }
    }

    /// The replicated tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What is derived from the tables.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// State time: the latest time of all commands applied.
    pub fn time(&self) -> Timestamp {
        self.tables.header.time
    }

    /// How many steps, tasks and attempts there are.
    pub(crate) fn records_of_runs(&self) -> usize {
        self.tables.steps.len() + self.tables.tasks.len() + self.tables.attempts.len()
    }

    /// A hash over all tables, equal on all members at the same index.
    pub fn hash(&self) -> u128 {
        self.tables.hash()
    }

    /// The tenant.
    ///
    /// # Panics
    /// As the other look-ups by handle: when the handle is not of this state. Handles inside the state always
    /// are; those from outside are checked through [`State::tables`].
    pub fn tenant(&self, handle: TenantHandle) -> &Tenant {
        self.tables.tenants.get(&handle).expect("a tenant that is referred to exists")
    }

    /// The job.
    pub fn job(&self, handle: JobHandle) -> &Job {
        self.tables.jobs.get(handle).expect("a job that is referred to exists")
    }

    /// The run.
    pub fn run(&self, handle: RunHandle) -> &Run {
        self.tables.runs.get(handle).expect("a run that is referred to exists")
    }

    /// The step.
    pub fn step(&self, handle: StepHandle) -> &Step {
        self.tables.steps.get(handle).expect("a step that is referred to exists")
    }

    /// The task.
    pub fn task(&self, handle: TaskHandle) -> &Task {
        self.tables.tasks.get(handle).expect("a task that is referred to exists")
    }

    /// The attempt.
    pub fn attempt(&self, handle: AttemptHandle) -> &Attempt {
        self.tables.attempts.get(handle).expect("an attempt that is referred to exists")
    }

    /// The node.
    pub fn node(&self, handle: NodeHandle) -> &Node {
        self.tables.nodes.get(handle).expect("a node that is referred to exists")
    }

    /// The request class.
    pub fn class(&self, handle: ClassHandle) -> &RequestClass {
        self.tables.classes.get(&handle).expect("a class that is referred to exists")
    }

    /// The spec.
    pub fn spec(&self, handle: SpecHandle) -> &Arc<JobSpec> {
        &self.spec_record(handle).spec
    }

    /// The spec with what is derived from it.
    pub(crate) fn spec_record(&self, handle: SpecHandle) -> &SpecRecord {
        self.tables.specs.get(handle).expect("a spec that is referred to exists")
    }

    /// The spec of a step.
    pub fn task_spec(&self, step: &Step) -> &TaskSpec {
        &self.spec(self.run(step.run).spec).tasks[usize::from(step.place)]
    }

    /// The request class of a step.
    pub fn step_class(&self, step: &Step) -> ClassHandle {
        self.spec_record(self.run(step.run).spec).classes[usize::from(step.place)]
    }

    /// The step to which a task handle belongs, whether the task has a record or not. `None` when there is no
    /// such step.
    pub fn step_of(&self, task: TaskHandle) -> Option<StepHandle> {
        match self.tables.tasks.get(task) {
            Some(task) => Some(task.step),
            None => self.index.step_of_unopened(task),
        }
    }

    /// What the tasks of a step left for later ones, by index; tasks that left nothing are passed over.
    pub fn outputs_of(&self, step: &Step) -> impl Iterator<Item = &Outputs> {
        self.tables.outputs.range(step.task(0)..step.task(step.size)).map(|(_, outputs)| &**outputs)
    }

    /// The name of a resource.
    pub fn resource_name(&self, handle: ResourceHandle) -> &str {
        self.tables.resources.get(&handle).expect("a resource that is referred to exists")
    }

    /// The tenant with that name.
    pub fn tenant_named(&self, name: &str) -> Option<TenantHandle> {
        self.index.tenants.get(name).copied()
    }

    /// The job with that name.
    pub fn job_named(&self, tenant: TenantHandle, name: &str) -> Option<JobHandle> {
        self.index.jobs.get(&(tenant, name.to_owned())).copied()
    }

    /// The node with that name.
    pub fn node_named(&self, name: &str) -> Option<NodeHandle> {
        self.index.nodes.get(name).copied()
    }

    /// The run with that id, while it has its steps and tasks.
    pub fn run_with_id(&self, id: RunId) -> Option<RunHandle> {
        self.index.runs.get(&id).copied()
    }
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}
