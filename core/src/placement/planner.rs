use std::collections::{BTreeMap, BTreeSet};

use super::demand::{Bound, Demand, GroupKey};
use super::fit::Fit;
use super::pass::{Ask, Claim, Granted, Group, Pass};
use super::problem::{Class, Executors, Pin, Room};
use crate::command::{Placement, TRANSITIONS_MAX};
use crate::event::Event;
use crate::id::{
    AttemptHandle, ClassHandle, NodeHandle, ResourceHandle, RunHandle, StepHandle, TaskHandle, TenantHandle,
};
use crate::model::{Node, NodeState, Step};
use crate::resources::Resources;
use crate::state::State;

#[cfg(test)]
mod tests;

/// The leader's view of demand and room, kept between passes. It is derived: made from the state at the start of
/// a term, kept up to date by events, and the same as if it were made anew.
#[derive(Debug)]
pub struct Planner {
    /// Nodes in the order of their handles; a place in this list is a node's place in `fit`.
    nodes: Vec<NodeHandle>,
    fit: Fit,
    /// The resources that some node offers; a place in this list stands for the resource in vectors.
    offered: Vec<ResourceHandle>,
    /// By handle.
    classes: Vec<Class>,
    /// Numbers for the names of shared directories.
    shared: BTreeMap<String, u32>,
    demand: Demand,
    /// Nodes to be looked at again.
    dirty: BTreeSet<NodeHandle>,
    /// True when nodes came, went or changed what they offer.
    members_changed: bool,
}

/// How far the tasks of a step that waits for places were taken.
struct Taken {
    /// The first task with a record that was not looked at.
    ready: TaskHandle,
    /// The next index without a record.
    unopened: u32,
}

impl Planner {
    /// The view of a state.
    pub fn new(state: &State) -> Planner {
        let mut planner = Planner {
            nodes: Vec::new(),
            fit: Fit::new(0, Vec::new()),
            offered: Vec::new(),
            classes: Vec::new(),
            shared: BTreeMap::new(),
            demand: Demand::of(state),
            dirty: BTreeSet::new(),
            members_changed: false,
        };
        planner.rebuild(state);
        planner
    }

    /// Takes note of what changed; `state` is the state after the events, or a later one.
    pub fn observe(&mut self, state: &State, events: &[Event]) {
        for event in events {
            match *event {
                Event::StepOpened(step) | Event::StepEnded(step) => self.demand.touch(step),
                Event::TaskReady(task) | Event::TaskBackoff { task, .. } | Event::TaskEnded(task) => {
                    self.touch_task(state, task);
                }
                Event::AttemptPlaced { attempt, node } | Event::AttemptEnded { attempt, node } => {
                    self.dirty.insert(node);
                    self.touch_attempt(state, attempt);
                }
                Event::NodeRegistered { node, .. } | Event::NodeLost(node) | Event::NodeRemoved(node) => {
                    self.dirty.insert(node);
                    self.members_changed = true;
                }
                Event::NodeDrain(node) => {
                    self.dirty.insert(node);
                }
                Event::RunCancelling(run) | Event::RunEnded { run, .. } | Event::RunCollapsed { run, .. } => {
                    self.touch_run(state, run);
                }
                // Runs that are made are noticed by their steps; the rest changes neither demand nor room.
                Event::RunCreated { .. }
                | Event::TenantApplied(_)
                | Event::JobApplied { .. }
                | Event::JobStopped(_)
                | Event::FireDecided { .. }
                | Event::AttemptStarted { .. }
                | Event::AttemptStopping { .. } => {}
            }
        }
    }

    /// One placement pass: at most `max` placements (and never more than one command carries). None means
    /// that nothing that waits has a place now. They are proposed as they stand, and the next pass is
    /// made on the state that has them applied.
    pub fn pass(&mut self, state: &State, max: usize) -> Vec<Placement> {
        self.refresh(state);
        let tenants = self.tenants_asking(state);
        let claims = tenants.iter().map(|&(tenant, rank)| self.claim(state, tenant, rank)).collect();
        let groups = self.demand.groups().map(|(key, steps)| {
            let binds = key.bound == Bound::Free && state.class(key.class).uses_run_dir;
            let asks = steps.iter().filter_map(move |&(behind, handle)| ask(state, behind, handle, binds));
            let tenant = tenants.binary_search_by_key(&key.tenant, |&(tenant, _)| tenant);
            Group {
                tenant: tenant.expect("every tenant that asks is listed"),
                class: place_of_class(key.class),
                pin: self.pin(key),
                asks,
            }
        });
        let groups = groups.collect();
        let outcome = Pass::new(&mut self.fit, &self.classes, claims, groups).run(max.min(TRANSITIONS_MAX));
        self.fit.sweep();
        // What was granted is not yet so: the next pass takes these nodes from the state again.
        self.dirty.extend(outcome.grants.iter().map(|grant| self.nodes[grant.node]));
        self.placements(state, &outcome.grants)
    }

    /// Translates grants into placements of the lowest indexes that wait.
    fn placements(&self, state: &State, grants: &[Granted]) -> Vec<Placement> {
        let mut taken: BTreeMap<StepHandle, Taken> = BTreeMap::new();
        grants
            .iter()
            .map(|grant| {
                let handle = StepHandle(grant.key.1);
                let step = state.step(handle);
                let taken =
                    taken.entry(handle).or_insert(Taken { ready: step.first_task, unopened: step.opened });
                let node = self.nodes[grant.node];
                Placement { task: taken.next(state, step), node, epoch: state.node(node).epoch }
            })
            .collect()
    }

    /// The tenants with demand by handle, and the rank of each by name.
    fn tenants_asking(&self, state: &State) -> Vec<(TenantHandle, usize)> {
        let asking: BTreeSet<TenantHandle> = self.demand.groups().map(|(key, _)| key.tenant).collect();
        let mut by_name: Vec<TenantHandle> = asking.into_iter().collect();
        by_name.sort_by(|one, other| state.tenant(*one).name.cmp(&state.tenant(*other).name));
        let mut ranked: Vec<(TenantHandle, usize)> = by_name.into_iter().zip(0..).collect();
        ranked.sort_unstable();
        ranked
    }

    fn claim(&self, state: &State, handle: TenantHandle, rank: usize) -> Claim {
        let tenant = state.tenant(handle);
        let limit = |resource| tenant.limit.get(state.resource_name(resource)).copied().unwrap_or(u64::MAX);
        Claim {
            weight: tenant.weight.max(1),
            used: dense(&self.offered, state.index().used_by(handle)),
            limit: self.offered.iter().map(|&resource| limit(resource)).collect(),
            grants: tenant.grants,
            rank,
        }
    }

    fn pin(&self, key: &GroupKey) -> Pin {
        match &key.bound {
            Bound::Free => Pin::Free,
            Bound::Node(node) => self.place_of(*node).map_or(Pin::Nowhere, Pin::Node),
            Bound::Shared(name) => self.shared.get(name).copied().map_or(Pin::Nowhere, Pin::Shared),
        }
    }

    fn place_of(&self, node: NodeHandle) -> Option<usize> {
        self.nodes.binary_search(&node).ok()
    }

    fn touch_task(&mut self, state: &State, task: TaskHandle) {
        if let Some(step) = state.step_of(task) {
            self.demand.touch(step);
        }
    }

    fn touch_attempt(&mut self, state: &State, attempt: AttemptHandle) {
        // An attempt that is gone went with its run, whose end says the same.
        let Some(attempt) = state.tables().attempts.get(attempt) else { return };
        let Some(step) = state.step_of(attempt.task) else { return };
        self.demand.touch(step);
        if state.class(attempt.class).uses_run_dir {
            self.demand.touch_unbound(state.step(step).run);
        }
    }

    fn touch_run(&mut self, state: &State, run: RunHandle) {
        let Some(run) = state.tables().runs.get(run) else { return };
        for step in run.step_handles() {
            self.demand.touch(step);
        }
    }

    /// Brings everything that was touched up to date.
    fn refresh(&mut self, state: &State) {
        self.demand.refresh(state);
        for node in std::mem::take(&mut self.dirty) {
            if !self.refresh_node(state, node) {
                return self.rebuild(state);
            }
        }
        let offered_changed = || offered(state) != self.offered;
        if std::mem::take(&mut self.members_changed) && (self.fit.is_off_scale() || offered_changed()) {
            return self.rebuild(state);
        }
        for class in self.classes.len()..state.tables().classes.len() {
            self.classes.push(class_of(state, class, &self.offered));
        }
    }

    /// Looks at one node; false when only making everything anew will do.
    fn refresh_node(&mut self, state: &State, handle: NodeHandle) -> bool {
        let place = self.place_of(handle);
        let Some(node) = state.tables().nodes.get(handle) else { return place.is_none() };
        if node.capacity.iter().any(|(resource, _)| self.offered.binary_search(&resource).is_err()) {
            return false;
        }
        let room = self.room(state, handle, node);
        match place {
            Some(place) if *self.fit.room(place) == room => {}
            Some(place) => self.fit.set(place, room),
            None if self.nodes.last().is_none_or(|last| *last < handle) => {
                self.nodes.push(handle);
                self.fit.push(room);
            }
            None => return false,
        }
        true
    }

    fn rebuild(&mut self, state: &State) {
        self.dirty.clear();
        self.members_changed = false;
        self.offered = offered(state);
        self.nodes = state.tables().nodes.iter().map(|(handle, _)| handle).collect();
        let rooms: Vec<Room> =
            state.tables().nodes.iter().map(|(handle, node)| self.room(state, handle, node)).collect();
        self.fit = Fit::new(self.offered.len(), rooms);
        self.classes =
            (0..state.tables().classes.len()).map(|class| class_of(state, class, &self.offered)).collect();
    }

    fn room(&mut self, state: &State, handle: NodeHandle, node: &Node) -> Room {
        let capacity = match node.state {
            NodeState::Ready => dense(&self.offered, &node.capacity),
            NodeState::Lost { .. } => vec![0; self.offered.len()],
        };
        let used = dense(&self.offered, state.index().used_on(handle));
        // A node may come back smaller than what still runs on it.
        let free = capacity.iter().zip(&used).map(|(all, used)| all.saturating_sub(*used)).collect();
        let executors = node.facts.executors.iter().filter(|(_, offer)| offer.ready);
        Room {
            capacity,
            free,
            executors: executors.fold(Executors::default(), |set, (kind, _)| set.with(*kind)),
            shared: node.facts.shared.as_ref().map(|name| self.number_of(name)),
            closed: node.closed().is_some(),
        }
    }

    fn number_of(&mut self, shared: &str) -> u32 {
        let next = u32::try_from(self.shared.len()).expect("there are fewer directories than nodes");
        *self.shared.entry(shared.to_owned()).or_insert(next)
    }
}

impl Taken {
    /// The next task of the step: those that wait again first, then the next index without a record.
    fn next(&mut self, state: &State, step: &Step) -> TaskHandle {
        let end = step.task(step.opened);
        if self.ready < end
            && let Some(task) = state.index().ready_tasks.range(self.ready..end).next()
        {
            self.ready = TaskHandle(task.0 + 1);
            return task;
        }
        self.ready = end;
        self.unopened += 1;
        step.task(self.unopened - 1)
    }
}

fn ask(state: &State, behind: u8, handle: StepHandle, binds: bool) -> Option<Ask> {
    let step = state.tables().steps.get(handle)?;
    let count = step.ready();
    (count > 0).then(|| Ask { key: (behind, handle.0), count, run: binds.then_some(step.run.0) })
}

/// The resources of which some node that is not lost offers anything.
fn offered(state: &State) -> Vec<ResourceHandle> {
    let nodes = state.tables().nodes.iter().filter(|(_, node)| node.state == NodeState::Ready);
    let resources: BTreeSet<ResourceHandle> =
        nodes.flat_map(|(_, node)| node.capacity.iter().map(|(resource, _)| resource)).collect();
    resources.into_iter().collect()
}

fn dense(offered: &[ResourceHandle], amounts: &Resources) -> Vec<u64> {
    offered.iter().map(|&resource| amounts.get(resource)).collect()
}

fn class_of(state: &State, class: usize, offered: &[ResourceHandle]) -> Class {
    let handle = ClassHandle(u32::try_from(class).expect("classes are numbered in 32 bits"));
    let class = state.class(handle);
    let request: Option<Vec<(usize, u64)>> = class
        .resources
        .iter()
        .map(|(resource, amount)| Some((offered.binary_search(&resource).ok()?, amount)))
        .collect();
    Class { executor: class.executor, offered: request.is_some(), request: request.unwrap_or_default() }
}

fn place_of_class(class: ClassHandle) -> usize {
    usize::try_from(class.0).expect("a handle of 32 bits fits")
}
