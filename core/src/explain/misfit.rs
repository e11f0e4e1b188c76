use std::fmt;

use super::place;
use crate::job_spec::{ExecutorKind, JobSpec, TaskSpec};
use crate::model::RequestClass;
use crate::resources::{self, Resources};
use crate::state::State;

/// A task of a spec that cannot be placed, whatever else runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its place in [`JobSpec::tasks`].
    pub task: u16,
    /// Its name.
    pub name: String,
    /// What is in the way.
    pub obstacle: Obstacle,
}

/// What stands in the way of a task for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// One task alone asks for more than its tenant may ever use: the spec is refused.
    Limit { tenant: String, resource: String, asked: u64, limit: u64 },
    /// No node of the cluster is large enough: the spec is refused. The text names what is short.
    Nodes(String),
    /// No node of the cluster offers the executor; a warning.
    Executor(ExecutorKind),
}

/// The tasks of a spec that are larger than their tenant's limit or than every node, or lack an executor
/// everywhere. While the cluster has no nodes, only limits count.
pub fn misfits(state: &State, spec: &JobSpec) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (place, task) in (0u16..).zip(&spec.tasks) {
        let over = over_limit(state, &spec.tenant, task);
        if let Some(obstacle) = over.or_else(|| no_node(state, task)) {
            misfits.push(Misfit { task: place, name: task.name.clone(), obstacle });
        }
    }
    misfits
}

fn over_limit(state: &State, tenant: &str, task: &TaskSpec) -> Option<Obstacle> {
    let limits = &state.tenant(state.tenant_named(tenant)?).limit;
    task.resources.iter().find_map(|(resource, &asked)| {
        let limit = *limits.get(resource)?;
        (asked > limit).then(|| Obstacle::Limit {
            tenant: tenant.to_owned(),
            resource: resource.clone(),
            asked,
            limit,
        })
    })
}

fn no_node(state: &State, task: &TaskSpec) -> Option<Obstacle> {
    let nodes = &state.tables().nodes;
    if nodes.is_empty() {
        return None;
    }
    let executor = task.executor();
    if !nodes.iter().any(|(_, node)| node.facts.executors.contains_key(&executor)) {
        return Some(Obstacle::Executor(executor));
    }
    let mut resources = Resources::default();
    for (name, &asked) in &task.resources {
        match state.index().resources.get(name) {
            Some(handle) => resources.set(*handle, asked),
            None if asked == 0 => {}
            None => {
                let asked = resources::display(name, asked);
                return Some(Obstacle::Nodes(format!("it asks for {asked} {name} and no node has any")));
            }
        }
    }
    let class = RequestClass { resources, executor, uses_run_dir: task.uses_run_dir() };
    place::never(state, &class).map(Obstacle::Nodes)
}

impl Misfit {
    /// True when the spec is refused for it.
    pub fn refuses(&self) -> bool {
        match self.obstacle {
            Obstacle::Limit { .. } | Obstacle::Nodes(_) => true,
            Obstacle::Executor(_) => false,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} never fits: ", self.name)?;
        match &self.obstacle {
            Obstacle::Limit { tenant, resource, asked, limit } => {
                let (asked, limit) =
                    (resources::display(resource, *asked), resources::display(resource, *limit));
                write!(f, "it asks for {asked} {resource} and the limit of tenant {tenant} is {limit}")
            }
            Obstacle::Nodes(text) => f.write_str(text),
            Obstacle::Executor(kind) => write!(f, "no node offers {}", kind.word()),
        }
    }
}
