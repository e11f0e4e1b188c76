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

mod duties;
mod lease;
mod order;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_core::command::{Command, NodeReport, Origin, Registration};
use berth_core::event::{Event, EventId};
use berth_core::id::{ClusterId, EntryId, NodeEpoch, NodeHandle};
use berth_core::reply::{Applied, Refusal, Reply};
use berth_core::time::{Millis, Timestamp};
use berth_proto::agent;
use prost::bytes::Bytes;

use crate::publish::{Past, View};
use crate::raft::driver::ProposeError;
use duties::{Duties, Duty};
use session::{Presence, Session, Step};

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

/// A connection of an agent, as the shell counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A proposal, as this leader counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happens to a leader.
#[derive(Debug)]
pub enum Input {
    /// There is a later view.
    View(Arc<View>),
    /// An agent has connected.
    Opened(ConnectionId),
    /// An agent has said something.
    Message(ConnectionId, Box<agent::FromAgent>),
    /// A connection has ended.
    Closed(ConnectionId),
    /// What became of a proposal.
    Outcome(Ticket, Result<(EntryId, Arc<Applied>), NotApplied>),
    /// Time has passed.
    Tick,
}

/// A proposal that was not applied, or of which that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotApplied {
    /// The log takes no proposals for the moment.
    Busy,
    /// The term is over.
    Deposed,
}

/// What a leader wants done.
#[derive(Debug)]
pub enum Output {
    /// To propose a command in this term.
    Propose(Ticket, Box<Command>, Asker),
    /// To tell an agent something.
    Send(ConnectionId, Box<agent::ToAgent>),
    /// To end a connection, after what was sent to it.
    Close(ConnectionId),
}

/// On whose behalf something is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// The leader itself.
    Leader,
    /// The agent of the node with this name.
    Agent(String),
}

impl Asker {
    /// The actor and the origin under which it is proposed.
    pub fn identity(self) -> (String, Origin) {
        match self {
            Asker::Leader => ("leader".to_owned(), Origin::Leader),
            Asker::Agent(name) => (format!("node {name}"), Origin::Agent),
        }
    }
}

impl From<ProposeError> for NotApplied {
    fn from(error: ProposeError) -> NotApplied {
        match error {
            ProposeError::Busy { .. } => NotApplied::Busy,
            ProposeError::TooLarge { .. } => {
                tracing::error!(%error, "a proposal of the leader is too large");
                NotApplied::Busy
            }
            ProposeError::NotLeader { .. } | ProposeError::Unknown | ProposeError::Stopped => {
                NotApplied::Deposed
            }
        }
    }
}

/// Why a proposal was made.
#[derive(Debug)]
enum Purpose {
    Duty(Duty),
    Registration(ConnectionId),
    /// Reports under that epoch.
    Reports(ConnectionId, NodeEpoch),
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
            tickets: 0,
            outputs: Vec::new(),
        }
    }

    /// Takes in what happened at `now` and gives what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Output> {
        match input {
            Input::View(view) => self.take_view(view, now),
            Input::Opened(connection) => {
                self.sessions.insert(connection, Session::new(self.config.lease));
            }
            Input::Message(connection, message) => self.take_message(connection, *message, now),
            Input::Closed(connection) => self.close(connection),
            Input::Outcome(ticket, outcome) => self.take_outcome(ticket, outcome, now),
            Input::Tick => {}
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
                self.duties = Duties::new(self.config.lease, &view, now);
                let served: Vec<ConnectionId> = self.serving.values().copied().collect();
                for connection in served {
                    self.send_all(connection);
                }
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
            Step::Report(report) => self.propose_reports(connection, *report),
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

    fn propose_reports(&mut self, connection: ConnectionId, report: NodeReport) {
        let name = self.view.state.tables().nodes.get(report.node).map(|node| node.name.clone());
        self.propose(
            Purpose::Reports(connection, report.epoch),
            Command::Report(report),
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
        for part in session.whole_set(&self.view, self.term) {
            self.send(connection, agent::to_agent::Message::Desired(part));
        }
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
                self.duties.outcome(duty, outcome.ok().map(|(entry, _)| entry), now)
            }
            (Purpose::Registration(connection), Ok((entry, applied))) => {
                self.registered(connection, entry, &applied.reply, now);
            }
            (Purpose::Reports(connection, epoch), Ok((_, applied))) => {
                self.reported(connection, epoch, &applied.reply);
            }
            (Purpose::Registration(connection) | Purpose::Reports(connection, _), Err(_)) => {
                // The agent dials again, finds whoever leads then, and says again what was not acknowledged.
                let closed = agent::refused::Code::Closed;
                self.perform(connection, Step::refuse(closed, "the server could not take it; dial again"));
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
