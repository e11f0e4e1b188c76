use std::sync::Arc;

use crate::canonical::canonical;
use crate::hash;
use crate::id::{
    AttemptHandle, ClassHandle, JobHandle, NodeHandle, RequestId, ResourceHandle, RunHandle, RunId,
    SpecHandle, StepHandle, TaskHandle, TenantHandle,
};
use crate::model::{
    Attempt, Job, Node, Outcome, Outputs, RequestClass, Run, RunSummary, SpecRecord, Step, Task, Tenant,
    Timer, Usage,
};
use crate::reply::Reply;
use crate::table::{ColdTable, HotTable};
use crate::time::Timestamp;

/// The replicated tables: everything that a snapshot holds and the state's hash covers.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Single values.
    pub header: Header,
    /// The names of resources.
    pub resources: ColdTable<ResourceHandle, String>,
    /// Request classes.
    pub classes: ColdTable<ClassHandle, RequestClass>,
    /// Tenants.
    pub tenants: ColdTable<TenantHandle, Tenant>,
    /// Specs that a job or run refers to.
    pub specs: HotTable<SpecHandle, SpecRecord>,
    /// Jobs.
    pub jobs: HotTable<JobHandle, Job>,
    /// What was decided about due instants.
    pub outcomes: ColdTable<(JobHandle, Timestamp), Outcome>,
    /// Runs that have their steps and tasks.
    pub runs: HotTable<RunHandle, Run>,
    /// What is kept of older runs.
    pub summaries: ColdTable<RunId, RunSummary>,
    /// Steps.
    pub steps: HotTable<StepHandle, Step>,
    /// Tasks that were placed at least once.
    pub tasks: HotTable<TaskHandle, Task>,
    /// Attempts.
    pub attempts: HotTable<AttemptHandle, Attempt>,
    /// What attempts that are over have used, where that is known.
    pub usages: ColdTable<AttemptHandle, Usage>,
    /// What tasks left for later ones.
    pub outputs: ColdTable<TaskHandle, Arc<Outputs>>,
    /// Nodes. Shared, because they are large, and each report changes one.
    pub nodes: HotTable<NodeHandle, Arc<Node>>,
    /// What is due, by instant.
    pub timers: ColdTable<(Timestamp, Timer), ()>,
    /// The answers to keyed requests.
    pub requests: ColdTable<RequestId, RequestRecord>,
}

/// Single values of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The latest time of all commands applied.
    pub time: Timestamp,
    /// Grows when the cluster is made anew from a backup.
    pub cluster_epoch: u64,
    /// The least release that every member has been finalised for.
    pub feature_level: u32,
    /// Handles given out so far.
    pub next: Counters,
}

canonical!(Header { 1: time, 2: cluster_epoch, 3: feature_level, 4: next });

/// The next handle of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Of resources.
    pub resource: u32,
    /// Of request classes.
    pub class: u32,
    /// Of tenants.
    pub tenant: u32,
    /// Of specs.
    pub spec: u64,
    /// Of jobs.
    pub job: u64,
    /// Of runs.
    pub run: u64,
    /// Of steps.
    pub step: u64,
    /// Of tasks, with or without a record.
    pub task: u64,
    /// Of attempts.
    pub attempt: u64,
    /// Of nodes.
    pub node: u32,
}

canonical!(Counters {
    1: resource,
    2: class,
    3: tenant,
    4: spec,
    5: job,
    6: run,
    7: step,
    8: task,
    9: attempt,
    10: node,
});

/// The answer to a keyed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Differs for differing requests.
    pub fingerprint: u128,
    /// What was answered.
    pub reply: Reply,
    /// When, in state time.
    pub at: Timestamp,
}

canonical!(RequestRecord { 1: fingerprint, 2: reply, 3: at });

impl Tables {
    /// The tables of a cluster before its first entry.
    pub fn new() -> Tables {
        // The numbers are those of the sections of a snapshot, of which the header is the first.
        Tables {
            header: Header { cluster_epoch: 1, feature_level: 1, ..Header::default() },
            resources: ColdTable::new(2),
            classes: ColdTable::new(3),
            tenants: ColdTable::new(4),
            specs: HotTable::new(5),
            jobs: HotTable::new(6),
            outcomes: ColdTable::new(7),
            runs: HotTable::new(8),
            summaries: ColdTable::new(9),
            steps: HotTable::new(10),
            tasks: HotTable::new(11),
            attempts: HotTable::new(12),
            usages: ColdTable::new(17),
            outputs: ColdTable::new(13),
            nodes: HotTable::new(14),
            timers: ColdTable::new(15),
            requests: ColdTable::new(16),
        }
    }

    /// The hash over all tables.
    pub fn hash(&self) -> u128 {
        let tables = [
            self.resources.hash(),
            self.classes.hash(),
            self.tenants.hash(),
            self.specs.hash(),
            self.jobs.hash(),
            self.outcomes.hash(),
            self.runs.hash(),
            self.summaries.hash(),
            self.steps.hash(),
            self.tasks.hash(),
            self.attempts.hash(),
            self.usages.hash(),
            self.outputs.hash(),
            self.nodes.hash(),
            self.timers.hash(),
            self.requests.hash(),
        ];
        let sum = tables.iter().fold(0, |sum: u128, table| sum.wrapping_add(table.sum()));
        sum.wrapping_add(hash::of(&self.header))
    }
}

impl Default for Tables {
    fn default() -> Self {
        Tables::new()
    }
}
