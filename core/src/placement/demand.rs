use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ClassHandle, NodeHandle, RunHandle, StepHandle, TenantHandle};
use crate::model::{Files, Step};
use crate::state::{QueueKey, State};

/// The steps that want places, by what decides where they can go; kept between passes.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand {
    groups: BTreeMap<GroupKey, BTreeSet<(u8, StepHandle)>>,
    /// Where each step is in `groups`.
    queued: BTreeMap<StepHandle, Queued>,
    /// The steps of each run that are queued as free to go anywhere because the run's files are nowhere yet.
    unbound: BTreeMap<RunHandle, BTreeSet<StepHandle>>,
    /// Steps to be looked at again.
    dirty: BTreeSet<StepHandle>,
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Queued {
    group: GroupKey,
    behind: u8,
    /// The run whose first placement will bind the step.
    unbound: Option<RunHandle>,
}

/// What the tasks of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    pub(super) tenant: TenantHandle,
    pub(super) class: ClassHandle,
    pub(super) bound: Bound,
}

/// Where the files of a run bind its tasks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    /// Nowhere in particular.
    Free,
    /// To one node.
    Node(NodeHandle),
    /// To the nodes with this shared directory.
    Shared(String),
}

impl Demand {
    /// The demand of a state.
    pub(super) fn of(state: &State) -> Demand {
        let mut demand = Demand::default();
        for key in &state.index().queue {
            demand.enter(state, key.step);
        }
        demand
    }

    /// Has a step looked at again.
    pub(super) fn touch(&mut self, step: StepHandle) {
        self.dirty.insert(step);
    }

    /// Has the steps of a run looked at again that wait for its first placement.
    pub(super) fn touch_unbound(&mut self, run: RunHandle) {
        self.dirty.extend(self.unbound.remove(&run).unwrap_or_default());
    }

    /// Looks at everything that was touched.
    pub(super) fn refresh(&mut self, state: &State) {
        for step in std::mem::take(&mut self.dirty) {
            self.leave(step);
            self.enter(state, step);
        }
    }

    /// Every group with its steps, in the order of its tenant's queue.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&GroupKey, &BTreeSet<(u8, StepHandle)>)> {
        self.groups.iter()
    }

    fn enter(&mut self, state: &State, handle: StepHandle) {
        let Some(step) = state.tables().steps.get(handle) else { return };
        let run = state.run(step.run);
        let tenant = state.job(run.job).tenant;
        let behind = u8::MAX - state.spec(run.spec).priority;
        if !state.index().queue.contains(&QueueKey { tenant, behind, step: handle }) {
            return;
        }
        let class = state.step_class(step);
        let bound = bound_of(state, step);
        let waits = bound == Bound::Free && state.class(class).uses_run_dir;
        if waits {
            self.unbound.entry(step.run).or_default().insert(handle);
        }
        let group = GroupKey { tenant, class, bound };
        self.groups.entry(group.clone()).or_default().insert((behind, handle));
        self.queued.insert(handle, Queued { group, behind, unbound: waits.then_some(step.run) });
    }

    fn leave(&mut self, handle: StepHandle) {
        let Some(queued) = self.queued.remove(&handle) else { return };
        let group = self.groups.get_mut(&queued.group).expect("a queued step is in its group");
        group.remove(&(queued.behind, handle));
        if group.is_empty() {
            self.groups.remove(&queued.group);
        }
        let Some(run) = queued.unbound else { return };
        if let Some(steps) = self.unbound.get_mut(&run) {
            steps.remove(&handle);
            if steps.is_empty() {
                self.unbound.remove(&run);
            }
        }
    }

    /// The groups alone, for comparison in tests.
    #[cfg(test)]
    pub(super) fn same_as(&self, other: &Demand) -> bool {
        self.groups == other.groups && self.queued == other.queued
    }
}

fn bound_of(state: &State, step: &Step) -> Bound {
    if !state.class(state.step_class(step)).uses_run_dir {
        return Bound::Free;
    }
    match &state.run(step.run).files {
        None => Bound::Free,
        Some(Files::Node(node)) => Bound::Node(*node),
        Some(Files::Shared(name)) => Bound::Shared(name.clone()),
    }
}
