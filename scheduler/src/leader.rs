//! What only the leader does, for as long as its term lasts: it looks at what is due and where it fits, keeps the
//! sessions of agents, and proposes. It decides nothing by itself: all it can do is propose and send.
//!
//! ```text
//!   views, outcomes, agents' messages, time ──> Leader ──> proposals, messages to agents
//!                                                 │
//!                          Duties (fires, timers, placements, leases) + a Session an agent
//! ```
//! It is made when the first entry of the term is applied and dropped when the term ends. It has no clock, thread or
//! socket: the server's shell and the simulation drive the very same type.

mod delayed;
mod duties;
mod exchange;
mod lease;
mod order;
mod parts;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_core::command::{Command, NodeReport, Registration};
use berth_core::event::{Event, EventId};
use berth_core::id::{ClusterId, EntryId, NodeEpoch, NodeHandle};
use berth_core::model::NodeState;
use berth_core::reply::{Applied, Refusal, Reply};
use berth_core::time::{Millis, Timestamp};
use berth_proto::agent;
use prost::bytes::Bytes;

use crate::publish::{Past, View};
use delayed::Delayed;
use duties::{Duties, Duty};
use session::{Presence, Session, Step};

pub use exchange::{Asker, ConnectionId, Input, NotApplied, Output, Ticket};

/// A leader to which nothing is handed in for this part of a lease stood still.
const STALLS_IN_LEASE: u64 = 4;
/// What an agent is told to wait while the attempts of its node's last life are given up, in milliseconds.
const GIVING_UP_MS: u64 = 500;

/// The moment at which something happens to a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The time, by the best evidence there is; see [`crate::clock`].
    pub time: Timestamp,
    /// Time since some moment in the past; it never jumps.
    pub steady: Millis,
    /// There is doubt about the wall clock, so no schedule fires.
    pub holds_fires: bool,
}

/// How a leader keeps its agents.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How long a node is believed to be there after it was last heard of.
    pub lease: Millis,
    /// How often agents are asked to say that they are there.
    pub heartbeat: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Config { lease: Millis::from_secs(5), heartbeat: Millis::from_secs(1) }
    }
}

/// Why a proposal was made.
#[derive(Debug)]
enum Purpose {
    Duty(Duty),
    Registration(ConnectionId),
    /// Reports, kept to be proposed again while the log is busy.
    Reports(ConnectionId, Box<NodeReport>),
}

/// The leader of one term.
#[derive(Debug)]
pub struct Leader {
    config: Config,
    cluster: ClusterId,
    term: u64,
    view: Arc<View>,
    /// Events up to this one have been looked at.
    seen: EventId,
    duties: Duties,
    sessions: BTreeMap<ConnectionId, Session>,
    /// The connection over which each node is served.
    serving: BTreeMap<NodeHandle, ConnectionId>,
    /// The agent's process that each node was last served for.
    processes: BTreeMap<NodeHandle, Bytes>,
    /// Registrations that are applied and not yet in the view.
    unseen: Vec<(EntryId, ConnectionId)>,
    proposed: BTreeMap<Ticket, Purpose>,
    /// Reports for which the log was too busy.
    delayed: Delayed,
    /// When something was handed in last.
    looked: Millis,
    tickets: u64,
    outputs: Vec<Output>,
}

impl Leader {
    /// The leader of `term`, whose first entry is applied in `view`.
    pub fn new(config: Config, cluster: ClusterId, term: u64, view: Arc<View>, now: Now) -> Leader {
        Leader {
            config,
            cluster,
            term,
            seen: view.last_event(),
            duties: Duties::new(config.lease, &view, now),
            view,
            sessions: BTreeMap::new(),
            serving: BTreeMap::new(),
            processes: BTreeMap::new(),
            unseen: Vec::new(),
            proposed: BTreeMap::new(),
            delayed: Delayed::default(),
            looked: now.steady,
            tickets: 0,
            outputs: Vec::new(),
        }
    }

    /// Takes in what happened at `now` and gives what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Output> {
        let gap = Millis(now.steady.0.saturating_sub(self.looked.0));
        self.looked = self.looked.max(now.steady);
        if gap.0 > self.config.lease.0 / STALLS_IN_LEASE {
            tracing::warn!(gap_ms = gap.0, "the leader stood still: no node is blamed for that time");
            self.duties.leases.extend(gap);
        }
        match input {
            Input::View(view) => self.take_view(view, now),
            Input::Opened(connection) => {
                self.sessions.insert(connection, Session::new(self.config.lease));
            }
            Input::Message(connection, message) => self.take_message(connection, *message, now),
            Input::Closed(connection) => self.close(connection),
            Input::Outcome(ticket, outcome) => self.take_outcome(ticket, outcome, now),
            Input::Tick => {
                self.duties.leases.judge(now.steady);
                for (connection, report) in self.delayed.due(now.steady) {
                    self.propose_reports(connection, Box::new(report));
                }
            }
        }
        for (duty, command) in self.duties.due(&self.view, now) {
            self.propose(Purpose::Duty(duty), command, Asker::Leader);
        }
        std::mem::take(&mut self.outputs)
    }

    /// The term that this leader leads.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The number of nodes with a session.
    pub fn nodes_served(&self) -> usize {
        self.serving.len()
    }

    fn propose(&mut self, purpose: Purpose, command: Command, asker: Asker) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.proposed.insert(ticket, purpose);
        self.outputs.push(Output::Propose(ticket, Box::new(command), asker));
    }

    fn take_view(&mut self, view: Arc<View>, now: Now) {
        if view.applied <= self.view.applied {
            return;
        }
        self.view = view;
        let view = Arc::clone(&self.view);
        match view.events_after(self.seen) {
            Ok(events) => {
                let events: Vec<Past> = events.copied().collect();
                self.duties.observe(&view, &events, now);
                self.tell_sessions(&view, &events);
            }
            Err(_) => {
                // Too much happened between two looks: everything is looked at anew.
                self.duties.rebuild(&view, now);
                self.check_sessions(&view);
            }
        }
        self.seen = view.last_event();
        let (seen, unseen) =
            std::mem::take(&mut self.unseen).into_iter().partition(|(entry, _)| *entry <= view.applied);
        self.unseen = unseen;
        for (_, connection) in seen {
            self.welcome(connection);
        }
    }

    /// Ends the sessions of nodes that were lost, removed or registered anew, and tells the others all there is.
    fn check_sessions(&mut self, view: &View) {
        let ready = |node: NodeHandle| {
            let record = view.state.tables().nodes.get(node);
            record.filter(|record| record.state == NodeState::Ready).map(|record| record.epoch)
        };
        self.processes.retain(|node, _| ready(*node).is_some());
        let served: Vec<(NodeHandle, ConnectionId)> = self.serving.iter().map(|(n, c)| (*n, *c)).collect();
        for (node, connection) in served {
            let goes_on = self.sessions.get(&connection).is_some_and(|session| session.survives(ready(node)));
            match goes_on {
                true => self.send_all(connection),
                false => {
                    let stale = agent::refused::Code::StaleEpoch;
                    self.perform(
                        connection,
                        Step::refuse(stale, "the node's registration is no longer the same; say hello again"),
                    );
                }
            }
        }
    }

    fn tell_sessions(&mut self, view: &View, events: &[Past]) {
        let mut changed: BTreeMap<ConnectionId, Vec<Past>> = BTreeMap::new();
        for past in events {
            if let Event::NodeLost(node) | Event::NodeRemoved(node) = past.event {
                self.processes.remove(&node);
            }
            let node = session::node_of(&past.event);
            if let Some(connection) = node.and_then(|node| self.serving.get(&node)) {
                changed.entry(*connection).or_default().push(*past);
            }
        }
        for (connection, events) in changed {
            let step =
                self.sessions.get(&connection).map(|session| session.on_events(view, self.term, &events));
            self.perform(connection, step.unwrap_or_default());
        }
    }

    fn take_message(&mut self, connection: ConnectionId, message: agent::FromAgent, now: Now) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if session.served().is_some_and(|(node, _)| self.duties.gives_up(node)) {
            // An acknowledged heartbeat would tell the agent that its attempts may go on.
            let stale = agent::refused::Code::StaleEpoch;
            return self.perform(
                connection,
                Step::refuse(stale, "the node is being declared lost; say hello again"),
            );
        }
        let presence = |node: NodeHandle| Presence {
            held: self.serving.contains_key(&node) || self.duties.leases.holds(node, now.steady),
            given_up: self.duties.gives_up(node),
            process: self.processes.get(&node).cloned(),
        };
        let step = session.on_message(message, &self.view, self.cluster, presence);
        if let Some((node, epoch)) = session.served() {
            self.duties.leases.renew(node, epoch, now.steady);
        }
        self.perform(connection, step);
    }

    /// Does what a session asks for.
    fn perform(&mut self, connection: ConnectionId, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Send(message) => self.send(connection, message),
            Step::Register(registration) => self.propose_registration(connection, *registration),
            Step::Welcome => self.welcome(connection),
            Step::Tell(parts) => {
                for part in parts {
                    self.send(connection, agent::to_agent::Message::Desired(part));
                }
            }
            Step::Report(report) if self.delayed.holds(connection) => {
                // Behind those that wait already.
                if !self.delayed.push(connection, *report, self.looked) {
                    let closed = agent::refused::Code::Closed;
                    self.perform(connection, Step::refuse(closed, "too many reports wait; dial again"));
                }
            }
            Step::Report(report) => self.propose_reports(connection, report),
            Step::Refuse(refused) => {
                self.send(connection, agent::to_agent::Message::Refused(*refused));
                self.outputs.push(Output::Close(connection));
                self.close(connection);
            }
        }
    }

    fn propose_registration(&mut self, connection: ConnectionId, registration: Registration) {
        let asker = Asker::Agent(registration.name.clone());
        self.propose(Purpose::Registration(connection), Command::RegisterNode(registration), asker);
    }

    fn propose_reports(&mut self, connection: ConnectionId, report: Box<NodeReport>) {
        let name = self.view.state.tables().nodes.get(report.node).map(|node| node.name.clone());
        self.propose(
            Purpose::Reports(connection, report.clone()),
            Command::Report(*report),
            Asker::Agent(name.unwrap_or_default()),
        );
    }

    /// Begins to serve a node over this connection; an older one of the same node ends. The view has everything in it
    /// that was applied before the node's registration: the reports of earlier processes above all, after which this
    /// one counts its own.
    fn welcome(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        session.begin();
        let (Some((node, epoch)), process) = (session.served(), session.process()) else { return };
        let record = self.view.state.tables().nodes.get(node);
        let Some(reported) = record.filter(|record| record.epoch == epoch).map(|record| record.reported)
        else {
            let stale = agent::refused::Code::StaleEpoch;
            return self
                .perform(connection, Step::refuse(stale, "the node has registered anew; say hello again"));
        };
        self.processes.insert(node, process);
        if let Some(older) = self.serving.insert(node, connection).filter(|older| *older != connection) {
            self.perform(
                older,
                Step::refuse(agent::refused::Code::Replaced, "a newer session of this node has begun"),
            );
            self.serving.insert(node, connection);
        }
        let welcome = agent::Welcome {
            node: node.0,
            lease_ms: self.config.lease.0,
            heartbeat_ms: self.config.heartbeat.0,
            reported,
        };
        self.send(connection, agent::to_agent::Message::Welcome(welcome));
        self.send_all(connection);
    }

    /// Tells an agent its whole set of attempts.
    fn send_all(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.get(&connection) else { return };
        let whole = session.whole_set(&self.view, self.term);
        self.perform(connection, Step::Tell(whole));
    }

    fn send(&mut self, connection: ConnectionId, message: agent::to_agent::Message) {
        let epoch = self.sessions.get(&connection).and_then(Session::served).map(|(_, epoch)| epoch);
        let fence = epoch.map(|epoch| agent::Fence {
            cluster_id: self.cluster.0.to_be_bytes().to_vec().into(),
            cluster_epoch: self.view.state.tables().header.cluster_epoch,
            term: self.term,
            node_epoch: epoch.0,
        });
        self.outputs
            .push(Output::Send(connection, Box::new(agent::ToAgent { fence, message: Some(message) })));
    }

    fn close(&mut self, connection: ConnectionId) {
        self.delayed.drop(connection);
        let served = self.sessions.remove(&connection).and_then(|session| session.served());
        if let Some((node, _)) = served.filter(|(node, _)| self.serving.get(node) == Some(&connection)) {
            self.serving.remove(&node);
        }
    }

    fn take_outcome(
        &mut self,
        ticket: Ticket,
        outcome: Result<(EntryId, Arc<Applied>), NotApplied>,
        now: Now,
    ) {
        let Some(purpose) = self.proposed.remove(&ticket) else { return };
        match (purpose, outcome) {
            (Purpose::Duty(duty), outcome) => {
                self.duties.outcome(duty, outcome.map(|(entry, _)| entry), now);
            }
            (Purpose::Registration(connection), Ok((entry, applied))) => {
                self.registered(connection, entry, &applied.reply, now);
            }
            (Purpose::Reports(connection, report), Ok((_, applied))) => {
                self.reported(connection, report.epoch, &applied.reply);
            }
            (Purpose::Reports(connection, report), Err(NotApplied::Busy { retry_after })) => {
                let until = Millis(now.steady.0 + retry_after.0);
                if self.sessions.contains_key(&connection) && !self.delayed.push(connection, *report, until) {
                    let closed = agent::refused::Code::Closed;
                    self.perform(connection, Step::refuse(closed, "too many reports wait; dial again"));
                }
            }
            (Purpose::Registration(connection) | Purpose::Reports(connection, _), Err(error)) => {
                self.perform(connection, refusal_of(error));
            }
        }
    }

    fn registered(&mut self, connection: ConnectionId, entry: EntryId, reply: &Reply, now: Now) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let step = match reply {
            Reply::Registered { node, epoch } => {
                session.registered(*node, *epoch);
                self.duties.leases.renew(*node, *epoch, now.steady);
                if self.view.applied >= entry {
                    Step::Welcome
                } else {
                    self.unseen.push((entry, connection));
                    Step::Nothing
                }
            }
            Reply::Refused(Refusal::Full { .. }) => {
                Step::refuse(agent::refused::Code::Full, "too many nodes")
            }
            Reply::Refused(Refusal::NodeBusy { .. }) => Step::refuse_for(
                agent::refused::Code::Closed,
                "what the node ran before is still being given up; dial again",
                GIVING_UP_MS,
            ),
            other => Step::refuse(
                agent::refused::Code::Invalid,
                &format!("the registration was not taken: {other:?}"),
            ),
        };
        self.perform(connection, step);
    }

    fn reported(&mut self, connection: ConnectionId, epoch: NodeEpoch, reply: &Reply) {
        let Some(session) = self.sessions.get(&connection) else { return };
        let step = match reply {
            Reply::Reported { up_to } => {
                Step::Send(agent::to_agent::Message::ReportsAck(agent::ReportsAck { up_to: *up_to }))
            }
            Reply::Refused(Refusal::StaleEpoch) if session.outruns(epoch) => Step::Nothing,
            Reply::Refused(Refusal::ReportMissing { .. }) => {
                // The next welcome says from which report on the agent has to send again.
                Step::refuse(agent::refused::Code::Closed, "a report is missing; dial again")
            }
            _ => {
                Step::refuse(agent::refused::Code::StaleEpoch, "the node has another epoch; say hello again")
            }
        };
        self.perform(connection, step);
    }
}

/// What an agent is told of a proposal of its own that came to nothing.
fn refusal_of(error: NotApplied) -> Step {
    let code = match error {
        NotApplied::TooLarge => {
            return Step::refuse(
                agent::refused::Code::Invalid,
                "this is more than fits into one entry of the log",
            );
        }
        // The agent dials again, finds whoever leads then, and says again what was not acknowledged.
        NotApplied::Busy { .. } | NotApplied::Deposed => agent::refused::Code::Closed,
    };
    let retry_after = if let NotApplied::Busy { retry_after } = error { retry_after } else { Millis(0) };
    Step::refuse_for(code, "the server could not take it; dial again", retry_after.0)
}
