use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::id::{
    AttemptHandle, ClassHandle, JobHandle, NodeHandle, RequestId, ResourceHandle, RunHandle, RunId,
    SpecHandle, StepHandle, TaskHandle, TenantHandle,
};
use crate::model::{Attempt, Files, RequestClass, Run, RunState, Step, StepState, TaskState};
use crate::resources::Resources;
use crate::state::Tables;
use crate::table::HandleSet;
use crate::time::Timestamp;

/// What those hold who have no entry.
static NOTHING: Resources = Resources::NONE;

/// What is derived from the tables so that nothing has to be searched for. Never replicated, hashed or stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Tenants by name.
    pub tenants: OrdMap<String, TenantHandle>,
    /// Jobs by owner and name.
    pub jobs: OrdMap<(TenantHandle, String), JobHandle>,
    /// Nodes by name.
    pub nodes: OrdMap<String, NodeHandle>,
    /// Specs by the hash of their content. Two may have the same one.
    pub specs: OrdSet<(u128, SpecHandle)>,
    /// Resources by name.
    pub resources: OrdMap<String, ResourceHandle>,
    /// Request classes by content.
    pub classes: OrdMap<RequestClass, ClassHandle>,
    /// Runs that have their steps and tasks, by id.
    pub runs: OrdMap<RunId, RunHandle>,
    /// The same runs by job.
    pub runs_of_job: OrdSet<(JobHandle, RunHandle)>,
    /// Runs that are not over, by job.
    pub active_runs: OrdSet<(JobHandle, RunHandle)>,
    /// The same runs by the node that alone has their files.
    pub runs_on_node: OrdSet<(NodeHandle, RunHandle)>,
    /// How many outcomes of due instants are kept of each job.
    pub outcomes_of_job: OrdMap<JobHandle, usize>,
    /// Summaries by job and end.
    pub summaries_of_job: OrdSet<(JobHandle, Timestamp, RunId)>,
    /// Steps with indexes that wait for a place, in the order in which a tenant wants them placed.
    pub queue: OrdSet<QueueKey>,
    /// All summaries by end.
    pub summaries_by_end: OrdSet<(Timestamp, RunId)>,
    /// Keyed requests by age.
    pub requests_by_age: OrdSet<(Timestamp, RequestId)>,
    /// Tasks with a record that are not over.
    pub open_tasks: HandleSet<TaskHandle>,
    /// Tasks with a record that wait for a place again.
    pub ready_tasks: HandleSet<TaskHandle>,
    /// Open steps by the handle of their first task.
    pub open_steps: OrdMap<TaskHandle, StepHandle>,
    /// What live attempts hold, by tenant.
    pub used_by_tenant: OrdMap<TenantHandle, Resources>,
    /// Live attempts and what they hold, by node. Those of one node come and go together, so they share what has to be
    /// copied for a change.
    pub on_node: OrdMap<NodeHandle, Arc<OnNode>>,
}

/// The live attempts of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnNode {
    /// The attempts.
    pub attempts: OrdSet<AttemptHandle>,
    /// What they hold.
    pub used: Resources,
}

/// The place of a step in its tenant's queue: higher priority first, then older first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueKey {
    /// The owner.
    pub tenant: TenantHandle,
    /// 255 less the job's priority.
    pub behind: u8,
    /// The step.
    pub step: StepHandle,
}

impl Index {
    /// Derives the index.
    pub(super) fn of(tables: &Tables) -> Index {
        let mut index = Index::default();
        for (handle, tenant) in tables.tenants.iter() {
            index.tenants.insert(tenant.name.clone(), *handle);
        }
        for (handle, job) in tables.jobs.iter() {
            index.jobs.insert((job.tenant, job.name.clone()), handle);
        }
        for (handle, node) in tables.nodes.iter() {
            index.nodes.insert(node.name.clone(), handle);
        }
        for (handle, spec) in tables.specs.iter() {
            index.specs.insert((spec.key, handle));
        }
        for (handle, name) in tables.resources.iter() {
            index.resources.insert(name.clone(), *handle);
        }
        for (handle, class) in tables.classes.iter() {
            index.classes.insert(class.clone(), *handle);
        }
        for (handle, run) in tables.runs.iter() {
            if run.collapsing {
                continue;
            }
            index.add_run(handle, run);
            if let RunState::Active | RunState::Cancelling { .. } = run.state {
                index.active_runs.insert((run.job, handle));
                index.bind_run(handle, run);
            }
        }
        for ((job, _), _) in tables.outcomes.iter() {
            *index.outcomes_of_job.entry(*job).or_default() += 1;
        }
        for (id, summary) in tables.summaries.iter() {
            index.summaries_of_job.insert((summary.job, summary.ended, *id));
            index.summaries_by_end.insert((summary.ended, *id));
        }
        for (handle, step) in tables.steps.iter() {
            if step.state == StepState::Open && step.size > 0 {
                index.open_steps.insert(step.first_task, handle);
            }
            if index.wants_places(tables, step) {
                index.queue.insert(queue_key(tables, handle, step));
            }
        }
        for (handle, task) in tables.tasks.iter() {
            if !matches!(task.state, TaskState::Ended(_)) {
                index.open_tasks.insert(handle);
            }
            if task.state == TaskState::Ready {
                index.ready_tasks.insert(handle);
            }
        }
        for (key, request) in tables.requests.iter() {
            index.requests_by_age.insert((request.at, *key));
        }
        for (handle, attempt) in tables.attempts.iter() {
            if attempt.is_live() {
                let tenant = tenant_of(tables, attempt.task);
                index.hold(tables, handle, attempt, tenant);
            }
        }
        index
    }

    pub(crate) fn add_run(&mut self, handle: RunHandle, run: &Run) {
        self.runs.insert(run.id, handle);
        self.runs_of_job.insert((run.job, handle));
    }

    /// Notes where the files of an active run are.
    pub(crate) fn bind_run(&mut self, handle: RunHandle, run: &Run) {
        if let Some(Files::Node(node)) = run.files {
            self.runs_on_node.insert((node, handle));
        }
    }

    /// Notes what a live attempt holds.
    pub(crate) fn hold(
        &mut self,
        tables: &Tables,
        handle: AttemptHandle,
        attempt: &Attempt,
        tenant: TenantHandle,
    ) {
        let class = tables.classes.get(&attempt.class).expect("an attempt's class exists");
        if !class.resources.is_empty() {
            self.used_by_tenant.entry(tenant).or_default().add(&class.resources);
        }
        let on_node = Arc::make_mut(self.on_node.entry(attempt.node).or_default());
        on_node.attempts.insert(handle);
        on_node.used.add(&class.resources);
    }

    /// Notes that an attempt holds nothing any more.
    pub(crate) fn release(
        &mut self,
        tables: &Tables,
        handle: AttemptHandle,
        attempt: &Attempt,
        tenant: TenantHandle,
    ) {
        let class = tables.classes.get(&attempt.class).expect("an attempt's class exists");
        let on_node = self.on_node.get_mut(&attempt.node).expect("a node with a live attempt has an entry");
        let on_node = Arc::make_mut(on_node);
        on_node.attempts.remove(&handle);
        on_node.used.sub(&class.resources);
        if on_node.attempts.is_empty() {
            self.on_node.remove(&attempt.node);
        }
        if !class.resources.is_empty() {
            let used = self.used_by_tenant.get_mut(&tenant).expect("what is given back was taken before");
            used.sub(&class.resources);
            if used.is_empty() {
                self.used_by_tenant.remove(&tenant);
            }
        }
    }

    /// Puts a step into its tenant's queue or takes it out, as its counts ask.
    pub(crate) fn requeue(&mut self, tables: &Tables, handle: StepHandle) {
        let step = tables.steps.get(handle).expect("a step that is requeued exists");
        let key = queue_key(tables, handle, step);
        if self.wants_places(tables, step) {
            // Most often it is there already, and inserting it again would copy a path.
            if !self.queue.contains(&key) {
                self.queue.insert(key);
            }
        } else {
            self.queue.remove(&key);
        }
    }

    /// The step that an index without a record belongs to.
    pub fn step_of_unopened(&self, task: TaskHandle) -> Option<StepHandle> {
        self.open_steps.range(..=task).next_back().map(|(_, step)| *step)
    }

    /// The tasks of a step that have a record and are not over, by index.
    pub fn open_tasks_of(&self, step: &Step) -> impl Iterator<Item = TaskHandle> + '_ {
        self.open_tasks.range(step.task(0)..step.task(step.size))
    }

    /// The first such task from that one on.
    pub(crate) fn next_open_task(&self, step: &Step, from: TaskHandle) -> Option<TaskHandle> {
        self.open_tasks.range(from..step.task(step.size)).next()
    }

    /// The tasks of a step that wait for a place again, by index.
    pub fn ready_tasks_of(&self, step: &Step) -> impl Iterator<Item = TaskHandle> + '_ {
        self.ready_tasks.range(step.task(0)..step.task(step.size))
    }

    /// The live attempts of a node, in order.
    pub fn attempts_on(&self, node: NodeHandle) -> impl Iterator<Item = AttemptHandle> + '_ {
        self.on_node.get(&node).into_iter().flat_map(|on_node| on_node.attempts.iter().copied())
    }

    /// All live attempts, by node.
    pub fn live_attempts(&self) -> impl Iterator<Item = AttemptHandle> + '_ {
        self.on_node.values().flat_map(|on_node| on_node.attempts.iter().copied())
    }

    /// How many live attempts there are.
    pub fn live(&self) -> usize {
        self.on_node.values().map(|on_node| on_node.attempts.len()).sum()
    }

    /// The active runs whose files are on that node alone.
    pub fn runs_on(&self, node: NodeHandle) -> impl Iterator<Item = RunHandle> + '_ {
        self.runs_on_node.range((node, RunHandle(0))..=(node, RunHandle(u64::MAX))).map(|(_, run)| *run)
    }

    /// The runs of a job that have their steps and tasks, oldest first.
    pub fn runs_of(&self, job: JobHandle) -> impl DoubleEndedIterator<Item = RunHandle> + '_ {
        self.runs_of_job.range((job, RunHandle(0))..=(job, RunHandle(u64::MAX))).map(|(_, run)| *run)
    }

    /// The runs of a job that are not over, oldest first.
    pub fn active_runs_of(&self, job: JobHandle) -> impl Iterator<Item = RunHandle> + '_ {
        self.active_runs.range((job, RunHandle(0))..=(job, RunHandle(u64::MAX))).map(|(_, run)| *run)
    }

    /// The oldest run of a job, from that one on, that is not over.
    pub(crate) fn next_active_run(&self, job: JobHandle, from: RunHandle) -> Option<RunHandle> {
        self.active_runs.range((job, from)..=(job, RunHandle(u64::MAX))).next().map(|(_, run)| *run)
    }

    /// The summaries of a job, oldest end first.
    pub fn summaries_of(&self, job: JobHandle) -> impl DoubleEndedIterator<Item = RunId> + '_ {
        let first = (job, Timestamp(0), RunId(0));
        let last = (job, Timestamp::FAR, RunId(u128::MAX));
        self.summaries_of_job.range(first..=last).map(|(_, _, id)| *id)
    }

    /// What the live attempts of a tenant hold.
    pub fn used_by(&self, tenant: TenantHandle) -> &Resources {
        self.used_by_tenant.get(&tenant).unwrap_or(&NOTHING)
    }

    /// What the live attempts on a node hold.
    pub fn used_on(&self, node: NodeHandle) -> &Resources {
        self.on_node.get(&node).map_or(&NOTHING, |on_node| &on_node.used)
    }

    fn wants_places(&self, tables: &Tables, step: &Step) -> bool {
        let run = tables.runs.get(step.run).expect("a step's run exists");
        step.ready() > 0 && run.state == RunState::Active
    }
}

fn queue_key(tables: &Tables, handle: StepHandle, step: &Step) -> QueueKey {
    let run = tables.runs.get(step.run).expect("a step's run exists");
    let tenant = tables.jobs.get(run.job).expect("a run's job exists").tenant;
    let priority = tables.specs.get(run.spec).expect("a run's spec exists").spec.priority;
    QueueKey { tenant, behind: u8::MAX - priority, step: handle }
}

pub(crate) fn tenant_of(tables: &Tables, task: TaskHandle) -> TenantHandle {
    let step = tables.tasks.get(task).expect("an attempt's task exists").step;
    let run = tables.steps.get(step).expect("a task's step exists").run;
    let job = tables.runs.get(run).expect("a step's run exists").job;
    tables.jobs.get(job).expect("a run's job exists").tenant
}
