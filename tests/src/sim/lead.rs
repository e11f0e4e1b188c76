//! What the server does around a [`Leader`]: the same as its production shell, in virtual time.

use std::sync::Arc;

use berth_core::id::EntryId;
use berth_core::reply::Applied;
use berth_core::time::Millis;
use berth_proto::agent::{self, refused, to_agent};
use berth_proto::convert::envelope;
use berth_scheduler::clock::Doubt;
use berth_scheduler::leader::{Config, ConnectionId, Input, Leader, Now, Output};
use berth_scheduler::log::Request;
use berth_scheduler::raft::driver::{self, ProposeError};

use super::agenda::{Event, Life};
use super::client::Answer;
use super::connection::Down;
use super::network::Place;
use super::server::{CLUSTER, Waiting};
use super::simulation::Simulation;

/// What comes in from agents.
#[derive(Debug)]
pub(crate) enum Arrival {
    Opened(ConnectionId),
    Message(ConnectionId, Box<agent::FromAgent>),
    Closed(ConnectionId),
}

impl Simulation {
    pub(crate) fn plan_lead_turn(&mut self, id: u64) {
        let at = self.now + self.faults.short(1);
        let server = self.server(id);
        let life = server.life;
        let Some(running) = server.up.as_mut().filter(|running| !running.turning) else { return };
        running.turning = true;
        self.agenda.plan(at, Event::LeadTurn { server: id, life });
    }

    /// A leader is made when the first entry of its term is applied, and dropped when the term ends.
    pub(crate) fn lead_or_not(&mut self, id: u64, ready: Option<u64>) {
        let now = self.leader_now(id);
        let Some(running) = self.server(id).up.as_mut() else { return };
        if running.leader.as_ref().map(Leader::term) == ready {
            return;
        }
        running.leader = None;
        let left: Vec<ConnectionId> = std::mem::take(&mut running.agents).into_iter().collect();
        if let Some(term) = ready {
            let view = running.views.latest();
            running.seen = view.applied;
            running.leader = Some(Leader::new(Config::default(), CLUSTER, term, view, now));
        }
        for connection in left {
            self.say(connection, Down::End);
        }
        self.plan_lead_turn(id);
    }

    fn leader_now(&mut self, id: u64) -> Now {
        let at = self.now;
        let reading = self.reading(id);
        let server = self.server(id);
        Now {
            time: reading.map_or(server.wall(at), |reading| reading.time),
            steady: Millis(server.steady(at)),
            holds_fires: reading.and_then(|reading| reading.doubt).is_some_and(|doubt| doubt.holds_fires()),
        }
    }

    pub(crate) fn lead_tick(&mut self, id: u64) {
        self.feed(id, Input::Tick);
    }

    pub(crate) fn on_lead_turn(&mut self, id: u64, life: Life) {
        let Some(running) = self.running(id, life) else { return };
        running.turning = false;
        while let Some(input) = self.next_input(id) {
            self.feed(id, input);
        }
        self.settle(id);
    }

    /// The next of what waits for the leader. Outcomes and views come over different ways, so either may be first.
    fn next_input(&mut self, id: u64) -> Option<Input> {
        let view_first = self.faults.view_first();
        loop {
            let running = self.server(id).up.as_mut()?;
            let Some(leader) = running.leader.as_ref() else {
                // Nobody is served here: the agent asks elsewhere.
                running.outcomes.clear();
                if let Arrival::Opened(connection) = running.arrivals.pop_front()? {
                    self.say(connection, Down::End);
                }
                continue;
            };
            let view = running.views.latest();
            let news = view.applied > running.seen;
            if (!news || !view_first)
                && let Some((term, ticket, outcome)) = running.outcomes.pop_front()
            {
                if term != leader.term() {
                    continue;
                }
                return Some(Input::Outcome(ticket, outcome));
            }
            if news {
                running.seen = view.applied;
                return Some(Input::View(view));
            }
            return Some(match running.arrivals.pop_front()? {
                Arrival::Opened(connection) => {
                    running.agents.insert(connection);
                    Input::Opened(connection)
                }
                Arrival::Message(connection, message) => Input::Message(connection, message),
                Arrival::Closed(connection) => {
                    running.agents.remove(&connection);
                    Input::Closed(connection)
                }
            });
        }
    }

    fn feed(&mut self, id: u64, input: Input) {
        let now = self.leader_now(id);
        let Some(leader) = self.server(id).up.as_mut().and_then(|running| running.leader.as_mut()) else {
            return;
        };
        let term = leader.term();
        let outputs = leader.handle(input, now);
        for output in outputs {
            self.perform(id, term, output);
        }
    }

    fn perform(&mut self, id: u64, term: u64, output: Output) {
        let Some(running) = self.server(id).up.as_mut() else { return };
        match output {
            Output::Propose(ticket, command, asker) => {
                let (actor, origin) = asker.identity();
                let request = Request { key: None, actor, origin, command: *command };
                self.propose(id, term, request, Waiting::Leader(term, ticket));
            }
            Output::Send(connection, message) => {
                if running.agents.contains(&connection) {
                    self.say(connection, Down::Say(message));
                }
            }
            Output::Close(connection) => {
                if running.agents.remove(&connection) {
                    self.say(connection, Down::End);
                }
            }
        }
    }

    pub(crate) fn propose(&mut self, id: u64, term: u64, request: Request, waiting: Waiting) {
        let Some(reading) = self.reading(id) else { return };
        if reading.doubt == Some(Doubt::Unmeasured) {
            return self.refuse_for_now(id, waiting);
        }
        let Some(running) = self.server(id).up.as_mut() else { return };
        let entry = request.into_envelope(&running.views.latest().state, term, reading.time);
        running.requests += 1;
        running.waiting.insert(running.requests, waiting);
        let data = envelope::encode(&entry).into();
        running.member.step(driver::Input::Propose { request: running.requests, term, data });
    }

    /// A server that has just started stamps no time before its clock was compared.
    fn refuse_for_now(&mut self, id: u64, waiting: Waiting) {
        let busy = ProposeError::Busy { retry_after_ms: 50 };
        match waiting {
            Waiting::Leader(term, ticket) => {
                let Some(running) = self.server(id).up.as_mut() else { return };
                running.outcomes.push_back((term, ticket, Err(busy.into())));
                self.plan_lead_turn(id);
            }
            Waiting::Client { request, try_number } => {
                self.answer_client(id, request, try_number, Err(busy));
            }
        }
    }

    /// A request of the client: the leader takes it, anyone else says who leads.
    pub(crate) fn on_asked(&mut self, request: usize, try_number: u32, server: u64) {
        if self.network.is_cut(Place::Client, Place::Server(server)) {
            return;
        }
        let Some(running) = self.server(server).up.as_ref() else {
            return self.reply(server, request, try_number, Answer::NotLeader(None));
        };
        let status = running.member.status();
        match status.leader_ready_term {
            Some(term) => {
                let asked = self.client.request(request);
                self.propose(server, term, asked, Waiting::Client { request, try_number });
                self.settle(server);
            }
            None => {
                let hint = status.leader;
                self.reply(server, request, try_number, Answer::NotLeader(hint));
            }
        }
    }

    pub(crate) fn answer_client(
        &mut self,
        server: u64,
        request: usize,
        try_number: u32,
        result: Result<(EntryId, Arc<Applied>), ProposeError>,
    ) {
        let answer = match result {
            Ok((entry, applied)) => Answer::Applied(entry.index, Box::new(applied.reply.clone())),
            Err(ProposeError::NotLeader { leader }) => Answer::NotLeader(leader),
            Err(ProposeError::Busy { retry_after_ms }) => Answer::Busy(retry_after_ms),
            Err(ProposeError::Unknown | ProposeError::Stopped) => Answer::Unknown,
            Err(ProposeError::TooLarge { .. }) => {
                return self.fail("a request of the client is too large for the log".to_owned());
            }
        };
        self.reply(server, request, try_number, answer);
    }

    fn reply(&mut self, server: u64, request: usize, try_number: u32, answer: Answer) {
        if !self.network.is_cut(Place::Server(server), Place::Client) && !self.network.loses() {
            let at = self.now + self.network.delay();
            self.agenda.plan(at, Event::Answered { request, try_number, server, answer });
        }
    }

    /// What a server that does not lead says to an agent.
    pub(crate) fn elsewhere(&mut self, id: u64) -> Box<agent::ToAgent> {
        let leader = self.server(id).up.as_ref().and_then(|running| running.member.status().leader);
        let reached = leader.filter(|leader| {
            let (here, there) = (Place::Server(id), Place::Server(*leader));
            !self.network.is_cut(here, there) && !self.network.is_cut(there, here)
        });
        let refused = agent::Refused {
            code: refused::Code::NotLeader.into(),
            message: "this server does not lead".to_owned(),
            leader_address: reached.map(super::connection::address).unwrap_or_default(),
            retry_after_ms: 0,
        };
        Box::new(agent::ToAgent { fence: None, message: Some(to_agent::Message::Refused(refused)) })
    }
}
