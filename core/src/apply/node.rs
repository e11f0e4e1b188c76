use std::sync::Arc;

use super::Change;
use crate::command::{DrainOrder, Registration};
use crate::event::Event;
use crate::id::{AttemptHandle, NodeEpoch, NodeHandle};
use crate::model::{Drain, Node, NodeState, Timer};
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};

/// The most nodes of a cluster.
const NODES_MAX: u64 = 50_000;

impl Change<'_> {
    pub(super) fn register_node(&mut self, registration: Registration) -> Result<Reply, Refusal> {
        let epoch = NodeEpoch(self.entry.index);
        let known = self.state.node_named(&registration.name);
        if known.is_none() && self.state.tables.nodes.len() as u64 >= NODES_MAX {
            return Err(Refusal::Full { what: "nodes of a cluster".into(), limit: NODES_MAX });
        }
        self.check_room_for_resources(registration.facts.capacity.keys())?;
        let capacity = self.state.intern_resources(&registration.facts.capacity);
        let node = match known {
            Some(handle) => {
                let before = self.state.node(handle);
                // Another journal knows nothing of the attempts; of a lost node's they are given up already.
                if before.journal != registration.journal || before.state != NodeState::Ready {
                    self.give_up_attempts(handle);
                    let attempts = self.state.index.attempts_on(handle).count() as u64;
                    if attempts > 0 {
                        self.lose(handle);
                        return Ok(Reply::Refused(Refusal::NodeBusy { node: registration.name, attempts }));
                    }
                }
                self.state.tables.nodes.update(handle, |node| {
                    let node = Arc::make_mut(node);
                    node.reported = if node.journal == registration.journal { node.reported } else { 0 };
                    node.epoch = epoch;
                    node.journal = registration.journal;
                    node.facts = registration.facts.into();
                    node.capacity = capacity;
                    node.state = NodeState::Ready;
                });
                handle
            }
            None => {
                let handle = NodeHandle(self.state.tables.header.next.node);
                self.state.tables.header.next.node += 1;
                self.state.index.nodes.insert(registration.name.clone(), handle);
                let node = Node {
                    name: registration.name,
                    epoch,
                    journal: registration.journal,
                    facts: registration.facts.into(),
                    capacity,
                    state: NodeState::Ready,
                    drain: None,
                    reported: 0,
                };
                self.state.tables.nodes.insert(handle, Arc::new(node));
                handle
            }
        };
        self.emit(Event::NodeRegistered { node, epoch });
        Ok(Reply::Registered { node, epoch })
    }

    pub(super) fn lose_node(&mut self, handle: NodeHandle, epoch: NodeEpoch) -> Result<Reply, Refusal> {
        let unknown = || Refusal::UnknownNode(handle.to_string());
        let node = self.state.tables.nodes.get(handle).ok_or_else(unknown)?;
        if node.epoch != epoch {
            return Err(Refusal::StaleEpoch);
        }
        if node.state == NodeState::Ready {
            self.lose(handle);
        }
        Ok(Reply::Done)
    }

    /// Makes a node a lost one.
    fn lose(&mut self, handle: NodeHandle) {
        if self.state.node(handle).state == NodeState::Ready {
            let at = self.now;
            self.state.tables.nodes.update(handle, |node| Arc::make_mut(node).state = NodeState::Lost { at });
            self.emit(Event::NodeLost(handle));
        }
        self.evacuate(handle);
    }

    /// Gives up the attempts of a lost node, as far as this entry has room.
    pub(super) fn evacuate(&mut self, handle: NodeHandle) {
        if !matches!(self.state.tables.nodes.get(handle), Some(node) if node.state != NodeState::Ready) {
            return;
        }
        self.give_up_attempts(handle);
        if self.state.index.attempts_on(handle).next().is_some() {
            self.arm(self.now, Timer::Evacuate(handle));
        }
    }

    fn give_up_attempts(&mut self, handle: NodeHandle) {
        let attempts: Vec<AttemptHandle> = self.state.index.attempts_on(handle).take(self.budget).collect();
        self.budget -= attempts.len();
        for attempt in attempts {
            self.lose_attempt(attempt);
        }
    }

    pub(super) fn drain_node(&mut self, name: &str, order: Option<DrainOrder>) -> Result<Reply, Refusal> {
        let handle = self.state.node_named(name).ok_or_else(|| Refusal::UnknownNode(name.to_owned()))?;
        let drain = order.map(|order| Drain {
            by: self.actor.clone(),
            since: self.now,
            deadline: order.stop_after.map(|span| self.now + span),
        });
        let deadline = drain.as_ref().and_then(|drain| drain.deadline);
        let before = self
            .state
            .tables
            .nodes
            .update(handle, |node| std::mem::replace(&mut Arc::make_mut(node).drain, drain));
        if let Some(instant) = before.and_then(|drain| drain.deadline) {
            self.disarm(instant, Timer::DrainDeadline(handle));
        }
        self.emit(Event::NodeDrain(handle));
        if let Some(instant) = deadline {
            if instant <= self.now {
                self.stop_attempts_on(handle);
            } else {
                self.arm(instant, Timer::DrainDeadline(handle));
            }
        }
        Ok(Reply::Done)
    }

    /// Asks a draining node to stop what it still runs, as far as this entry has room.
    pub(super) fn stop_attempts_on(&mut self, handle: NodeHandle) {
        let attempts: Vec<AttemptHandle> = self.state.index.attempts_on(handle).collect();
        for attempt in attempts {
            if self.may_stop(attempt) {
                if !self.spend() {
                    self.arm(self.now, Timer::DrainDeadline(handle));
                    return;
                }
                self.stop_attempt(attempt, EndReason::Preempted);
            }
        }
    }

    pub(super) fn remove_node(&mut self, name: &str) -> Result<Reply, Refusal> {
        let handle = self.state.node_named(name).ok_or_else(|| Refusal::UnknownNode(name.to_owned()))?;
        let node = self.state.node(handle);
        if node.closed().is_none() {
            return Err(Refusal::NodeInService(name.to_owned()));
        }
        let attempts = self.state.index.attempts_on(handle).count() as u64;
        if attempts > 0 {
            return Err(Refusal::NodeBusy { node: name.to_owned(), attempts });
        }
        let runs = self.state.index.runs_on(handle).count() as u64;
        if runs > 0 {
            return Err(Refusal::NodeHasFiles { node: name.to_owned(), runs });
        }
        if let Some(instant) = node.drain.as_ref().and_then(|drain| drain.deadline) {
            self.disarm(instant, Timer::DrainDeadline(handle));
        }
        self.state.tables.nodes.remove(handle);
        self.state.index.nodes.remove(name);
        self.emit(Event::NodeRemoved(handle));
        Ok(Reply::Done)
    }
}
