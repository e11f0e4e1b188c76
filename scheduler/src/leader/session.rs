//! The conversation with one agent, from its hello on.

use std::collections::BTreeSet;

use berth_core::command::{NodeReport, Registration};
use berth_core::event::Event;
use berth_core::id::{ClusterId, JournalId, NodeEpoch, NodeHandle};
use berth_core::model::NodeState;
use berth_core::name::Named;
use berth_core::time::Millis;
use berth_proto::agent::{self, from_agent, refused::Code, to_agent};
use berth_proto::convert::{facts, report};
use prost::bytes::Bytes;

use super::order::order_for;
use super::parts::Parts;
use crate::publish::{Past, View};

/// The version of the protocol that this release speaks.
const PROTOCOL: u32 = 1;

/// Where a conversation stands.
#[derive(Debug)]
pub(super) struct Session {
    lease: Millis,
    stage: Stage,
    /// The agent's process, by its own word.
    process: Bytes,
}

/// What the leader knows of a node besides the state.
#[derive(Debug)]
pub(super) struct Presence {
    /// It has a session or a lease.
    pub(super) held: bool,
    /// It is being declared lost.
    pub(super) given_up: bool,
    /// The agent's process that it was last served for in this term.
    pub(super) process: Option<Bytes>,
}

#[derive(Debug, Clone)]
enum Stage {
    /// The agent has said nothing yet.
    Silent,
    /// The node's registration is proposed.
    Registering(Box<Registration>),
    /// The node is served.
    Serving { registration: Box<Registration>, node: NodeHandle, epoch: NodeEpoch, renewal: Renewal },
}

/// Where a newer registration of a node stands that is served already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// There is none.
    None,
    Proposed,
    /// It is applied; the agent does not know yet, and hears of it under the epoch that it knows.
    Applied(NodeEpoch),
}

/// What a session asks of the leader.
#[derive(Debug, Default)]
pub(super) enum Step {
    #[default]
    Nothing,
    Send(to_agent::Message),
    /// The parts of one generation.
    Tell(Vec<agent::Desired>),
    Register(Box<Registration>),
    Welcome,
    Report(Box<NodeReport>),
    /// Says why and ends the conversation.
    Refuse(Box<agent::Refused>),
}

impl Step {
    pub(super) fn refuse(code: Code, message: &str) -> Step {
        Step::refuse_for(code, message, 0)
    }

    pub(super) fn refuse_for(code: Code, message: &str, retry_after_ms: u64) -> Step {
        let refused = agent::Refused {
            code: code.into(),
            message: message.to_owned(),
            leader_address: String::new(),
            retry_after_ms,
        };
        Step::Refuse(Box::new(refused))
    }
}

/// The node whose agent has to hear of an event.
pub(super) fn node_of(event: &Event) -> Option<NodeHandle> {
    match *event {
        Event::AttemptPlaced { node, .. }
        | Event::AttemptStopping { node, .. }
        | Event::AttemptEnded { node, .. }
        | Event::NodeRegistered { node, .. }
        | Event::NodeLost(node)
        | Event::NodeRemoved(node) => Some(node),
        Event::TenantApplied(_)
        | Event::JobApplied { .. }
        | Event::JobStopped(_)
        | Event::FireDecided { .. }
        | Event::RunCreated { .. }
        | Event::RunCancelling(_)
        | Event::RunEnded { .. }
        | Event::RunCollapsed { .. }
        | Event::StepOpened(_)
        | Event::StepEnded(_)
        | Event::TaskReady(_)
        | Event::TaskBackoff { .. }
        | Event::TaskEnded(_)
        | Event::AttemptStarted { .. }
        | Event::NodeDrain(_) => None,
    }
}

impl Session {
    /// A conversation that begins; a node's lease holds for `lease`.
    pub(super) fn new(lease: Millis) -> Session {
        Session { lease, stage: Stage::Silent, process: Bytes::new() }
    }

    /// The node that is served, and the epoch in which.
    pub(super) fn served(&self) -> Option<(NodeHandle, NodeEpoch)> {
        match self.stage {
            Stage::Serving { node, epoch, .. } => Some((node, epoch)),
            Stage::Silent | Stage::Registering(_) => None,
        }
    }

    /// True when the session may go on though not everything is known that has happened since; its node is there under
    /// that epoch, or not.
    pub(super) fn survives(&self, ready: Option<NodeEpoch>) -> bool {
        match self.stage {
            // With a renewal under way the newer registration is most likely its own; its outcome tells.
            Stage::Serving { epoch, renewal, .. } => {
                ready.is_some_and(|ready| ready == epoch || renewal != Renewal::None)
            }
            Stage::Silent | Stage::Registering(_) => true,
        }
    }

    /// The agent's process.
    pub(super) fn process(&self) -> Bytes {
        self.process.clone()
    }

    /// True while reports under `epoch` may come to nothing because a newer registration has overtaken them; the agent
    /// sends them again when it is welcomed under that one.
    pub(super) fn outruns(&self, epoch: NodeEpoch) -> bool {
        match self.stage {
            Stage::Serving { epoch: newer, renewal, .. } => newer > epoch || renewal != Renewal::None,
            Stage::Silent | Stage::Registering(_) => false,
        }
    }

    /// The registration is applied.
    pub(super) fn registered(&mut self, node: NodeHandle, epoch: NodeEpoch) {
        match &mut self.stage {
            Stage::Silent => {}
            Stage::Registering(registration) => {
                let registration = registration.clone();
                self.stage = Stage::Serving { registration, node, epoch, renewal: Renewal::None };
            }
            Stage::Serving { renewal, .. } => *renewal = Renewal::Applied(epoch),
        }
    }

    /// The agent is welcomed now: from here on it is spoken to under its latest registration.
    pub(super) fn begin(&mut self) {
        if let Stage::Serving { epoch, renewal, .. } = &mut self.stage
            && let Renewal::Applied(newer) = *renewal
        {
            *epoch = newer;
            *renewal = Renewal::None;
        }
    }

    /// `presence` says what is known of a node besides the state.
    pub(super) fn on_message(
        &mut self,
        message: agent::FromAgent,
        view: &View,
        cluster: ClusterId,
        presence: impl Fn(NodeHandle) -> Presence,
    ) -> Step {
        match (message.message, self.served()) {
            (Some(from_agent::Message::Hello(hello)), None) => self.on_hello(hello, view, cluster, presence),
            (Some(from_agent::Message::Heartbeat(heartbeat)), Some(_)) => {
                let ack = agent::HeartbeatAck { boot_ms: heartbeat.boot_ms, lease_ms: self.lease.0 };
                Step::Send(to_agent::Message::HeartbeatAck(ack))
            }
            (Some(from_agent::Message::Reports(reports)), Some((node, _))) => self.on_reports(reports, node),
            (Some(from_agent::Message::FactsChanged(changed)), Some(_)) => self.on_facts(changed),
            // Samples of usage are for those who watch; nobody does yet.
            (Some(from_agent::Message::Usage(_)), _) => Step::Nothing,
            (_, _) => Step::refuse(Code::Invalid, "this message is not expected here"),
        }
    }

    fn on_hello(
        &mut self,
        hello: agent::Hello,
        view: &View,
        cluster: ClusterId,
        presence: impl Fn(NodeHandle) -> Presence,
    ) -> Step {
        if matches!(self.stage, Stage::Registering(_)) {
            return Step::refuse(Code::Invalid, "a second hello");
        }
        if hello.protocol < PROTOCOL {
            return Step::refuse(Code::Protocol, "this server speaks version 1 of the protocol");
        }
        if !hello.cluster_id.is_empty() && hello.cluster_id != cluster.0.to_be_bytes()[..] {
            return Step::refuse(Code::WrongCluster, "the agent's data directory belongs to another cluster");
        }
        let epoch = NodeEpoch(hello.epoch);
        self.process = hello.incarnation.clone();
        let registration = match registration_of(hello) {
            Ok(registration) => Box::new(registration),
            Err(what) => return Step::refuse(Code::Invalid, &what),
        };
        let known = view.state.node_named(&registration.name).map(|node| (node, view.state.node(node)));
        if let Some((node, record)) = known.filter(|(_, record)| record.state == NodeState::Ready) {
            let Presence { held, given_up, process } = presence(node);
            if record.journal != registration.journal && held {
                let message =
                    format!("another agent is `{}`; choose another name or stop it", registration.name);
                return Step::refuse_for(Code::NameTaken, &message, 1000);
            }
            let same = record.journal == registration.journal && *record.facts == registration.facts;
            // Another process counts its reports anew, so none of the one before may come in after them: it needs an
            // epoch of its own. What was said in earlier terms is all in the state.
            let goes_on = !given_up && process.is_none_or(|process| process == self.process);
            if same && goes_on && record.epoch == epoch {
                self.stage = Stage::Serving { registration, node, epoch, renewal: Renewal::None };
                return Step::Welcome;
            }
        }
        self.stage = Stage::Registering(registration.clone());
        Step::Register(registration)
    }

    fn on_reports(&self, reports: agent::Reports, node: NodeHandle) -> Step {
        let Stage::Serving { registration, .. } = &self.stage else { return Step::Nothing };
        let taken: Result<Vec<_>, _> = reports.reports.into_iter().map(report::from_proto).collect();
        match taken {
            Ok(taken) => Step::Report(Box::new(NodeReport {
                node,
                epoch: NodeEpoch(reports.epoch),
                journal: registration.journal,
                reports: taken,
            })),
            Err(error) => Step::refuse(Code::Invalid, &error.to_string()),
        }
    }

    /// What a node offers is in the log, so the node registers anew.
    fn on_facts(&mut self, changed: agent::FactsChanged) -> Step {
        let Stage::Serving { registration, renewal, .. } = &mut self.stage else { return Step::Nothing };
        match facts::from_proto(changed.facts.unwrap_or_default()) {
            Ok(facts) => {
                *renewal = Renewal::Proposed;
                registration.facts = facts;
                Step::Register(registration.clone())
            }
            Err(error) => Step::refuse(Code::Invalid, &error.to_string()),
        }
    }

    /// What the agent has to hear of these events, all of which concern its node.
    pub(super) fn on_events(&self, view: &View, term: u64, events: &[Past]) -> Step {
        let Stage::Serving { node, epoch, renewal, .. } = self.stage else { return Step::Nothing };
        let mut parts = Parts::new(desired(view, term, false));
        let mut ordered = BTreeSet::new();
        for past in events {
            match past.event {
                Event::AttemptPlaced { attempt, .. } | Event::AttemptStopping { attempt, .. } => {
                    parts.extend(order_for(&view.state, attempt).filter(|_| ordered.insert(attempt)));
                }
                Event::AttemptEnded { attempt, .. } => parts.forget(attempt),
                // Whether it is the renewal of this very session shows when that one's outcome is known.
                Event::NodeRegistered { epoch: newer, .. } if newer > epoch && renewal == Renewal::None => {
                    return Step::refuse(Code::Replaced, "the node has registered anew");
                }
                Event::NodeLost(lost) if lost == node => {
                    return Step::refuse(Code::StaleEpoch, "the node was declared lost; say hello again");
                }
                Event::NodeRemoved(removed) if removed == node => {
                    return Step::refuse(Code::StaleEpoch, "the node was removed");
                }
                _ => {}
            }
        }
        match parts.is_empty() {
            true => Step::Nothing,
            false => Step::Tell(parts.finish()),
        }
    }

    /// The whole set of attempts that the node should have, in parts.
    pub(super) fn whole_set(&self, view: &View, term: u64) -> Vec<agent::Desired> {
        let Some((node, _)) = self.served() else { return Vec::new() };
        let mut parts = Parts::new(desired(view, term, true));
        let attempts = view.state.index().attempts_on(node);
        parts.extend(attempts.filter_map(|attempt| order_for(&view.state, attempt)));
        parts.finish()
    }
}

fn registration_of(hello: agent::Hello) -> Result<Registration, String> {
    let journal =
        <[u8; 16]>::try_from(&hello.journal[..]).map_err(|_| "a journal id has 16 bytes".to_owned())?;
    let facts = facts::from_proto(hello.facts.unwrap_or_default()).map_err(|error| error.to_string())?;
    if !Named::Node.fits(&hello.node) {
        return Err(format!("a node's name has {}", Named::Node.rule()));
    }
    Ok(Registration { name: hello.node, journal: JournalId(u128::from_be_bytes(journal)), facts })
}

fn desired(view: &View, term: u64, full: bool) -> agent::Desired {
    let generation = agent::Generation { term, index: view.applied.index };
    agent::Desired { generation: Some(generation), full, more: false, set: Vec::new(), forget: Vec::new() }
}
