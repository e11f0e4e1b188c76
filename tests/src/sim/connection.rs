//! Connections of agents: two streams that keep their order, stand still while the network is cut, and bring what was
//! sent even after the sender has died.

use std::collections::VecDeque;

use berth_agent::message::FromAgent;
use berth_agent::session::SessionId;
use berth_agent::supervisor::Input;
use berth_agent::wire;
use berth_proto::agent;
use berth_scheduler::leader::ConnectionId;

use super::agenda::{Event, Life};
use super::lead::Arrival;
use super::network::Place;
use super::simulation::Simulation;

/// While a stream cannot go on, it is tried again after this long.
const RETRY_MS: u64 = 100;
/// After so long without getting through, a connection is given up.
const GIVEN_UP_MS: u64 = 15_000;

/// From the agent to the server.
#[derive(Debug)]
pub(crate) enum Up {
    Say(Box<agent::FromAgent>),
    End,
}

/// From the server to the agent.
#[derive(Debug)]
pub(crate) enum Down {
    Connected,
    Say(Box<agent::ToAgent>),
    End,
}

#[derive(Debug)]
struct Stream<T> {
    /// When each arrives.
    items: VecDeque<(u64, T)>,
    last: u64,
    planned: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    agent: usize,
    agent_life: Life,
    session: SessionId,
    server: u64,
    server_life: Life,
    up: Stream<Up>,
    down: Stream<Down>,
    /// What the way to the server takes longer.
    slow: u64,
}

impl<T> Stream<T> {
    fn new() -> Stream<T> {
        Stream { items: VecDeque::new(), last: 0, planned: false }
    }

    /// Gives when to look at the stream, if that is not planned yet.
    fn push(&mut self, at: u64, item: T) -> Option<u64> {
        self.last = self.last.max(at);
        self.items.push_back((self.last, item));
        self.next()
    }

    fn next(&mut self) -> Option<u64> {
        let first = self.items.front()?.0;
        (!std::mem::replace(&mut self.planned, true)).then_some(first)
    }

    fn first(&self) -> Option<u64> {
        self.items.front().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: u64) -> Option<T> {
        self.items.front().filter(|(at, _)| *at <= now)?;
        self.items.pop_front().map(|(_, item)| item)
    }
}

/// The address under which agents know a server.
pub(crate) fn address(server: u64) -> String {
    format!("server-{server}:2")
}

/// The server at an address.
pub(crate) fn server_at(address: &str) -> Option<u64> {
    address.strip_prefix("server-")?.strip_suffix(":2")?.parse().ok()
}

impl Simulation {
    /// An agent dials a server.
    pub(crate) fn dial(&mut self, agent: usize, session: SessionId, address: &str) {
        let Some(server) = server_at(address) else {
            return self.fail(format!("an agent dials `{address}`"));
        };
        // What is lost here the agent notices by itself.
        if !self.network.is_cut(Place::Agent(agent), Place::Server(server)) && !self.network.loses() {
            let at = self.now + self.network.delay();
            let life = self.agents[agent].life;
            self.agenda.plan(at, Event::Dialed { agent, life, session, server });
        }
    }

    pub(crate) fn on_dialed(&mut self, agent: usize, agent_life: Life, session: SessionId, server: u64) {
        let slow = match self.network.random().chance(self.options.slow_session_per_mille) {
            true => self.network.random().between(50, 400),
            false => 0,
        };
        let id = self.connections.len() as u64;
        let server_life = self.server(server).life;
        let (up, down) = (Stream::new(), Stream::new());
        self.connections.push(Connection { agent, agent_life, session, server, server_life, up, down, slow });
        let leads = self.server(server).up.as_ref().map(|running| running.leader.is_some());
        match leads {
            // The machine is there and nobody listens.
            None => self.say(ConnectionId(id), Down::End),
            Some(false) => {
                let elsewhere = self.elsewhere(server);
                self.say(ConnectionId(id), Down::Connected);
                self.say(ConnectionId(id), Down::Say(elsewhere));
                self.say(ConnectionId(id), Down::End);
            }
            Some(true) => {
                self.say(ConnectionId(id), Down::Connected);
                self.arrive(server, server_life, Arrival::Opened(ConnectionId(id)));
            }
        }
    }

    fn arrive(&mut self, server: u64, life: Life, arrival: Arrival) {
        if let Some(running) = self.running(server, life) {
            running.arrivals.push_back(arrival);
            self.plan_lead_turn(server);
        }
    }

    fn connection(&mut self, id: u64) -> &mut Connection {
        let at = usize::try_from(id).expect("connections are counted from 0");
        &mut self.connections[at]
    }

    /// The server says something, or ends the connection.
    pub(crate) fn say(&mut self, connection: ConnectionId, what: Down) {
        let at = self.now + self.network.delay();
        if let Some(at) = self.connection(connection.0).down.push(at, what) {
            self.agenda.plan(at, Event::Down(connection.0));
        }
    }

    /// The agent says something, or ends the connection.
    pub(crate) fn tell(&mut self, agent: usize, session: SessionId, what: Up) {
        let life = self.agents[agent].life;
        let of_session = |connection: &&Connection| {
            (connection.agent, connection.agent_life, connection.session) == (agent, life, session)
        };
        let Some(at) = self.connections.iter().rposition(|connection| of_session(&connection)) else {
            return;
        };
        let arrives = self.now + self.network.delay() + self.connections[at].slow;
        if let Some(planned) = self.connections[at].up.push(arrives, what) {
            self.agenda.plan(planned, Event::Up(at as u64));
        }
    }

    pub(crate) fn on_up(&mut self, id: u64) {
        let now = self.now;
        let (agent, server) = (self.connection(id).agent, self.connection(id).server);
        let asleep = self.server(server).paused_until > now;
        let stuck = asleep || self.network.is_cut(Place::Agent(agent), Place::Server(server));
        self.connection(id).up.planned = false;
        let first = self.connection(id).up.first();
        if stuck && self.waits(id, first) {
            self.connection(id).up.planned = true;
            return self.agenda.plan(now + RETRY_MS, Event::Up(id));
        }
        let server_life = self.connection(id).server_life;
        while let Some(item) = self.connection(id).up.pop(now) {
            let arrival = match item {
                Up::Say(message) => Arrival::Message(ConnectionId(id), message),
                Up::End => Arrival::Closed(ConnectionId(id)),
            };
            self.arrive(server, server_life, arrival);
        }
        if let Some(at) = self.connection(id).up.next() {
            self.agenda.plan(at, Event::Up(id));
        }
    }

    pub(crate) fn on_down(&mut self, id: u64) {
        let now = self.now;
        let connection = self.connection(id);
        let (agent, life, server) = (connection.agent, connection.agent_life, connection.server);
        let session = connection.session;
        connection.down.planned = false;
        let asleep = self.agents[agent].paused_until > now;
        let stuck = asleep || self.network.is_cut(Place::Server(server), Place::Agent(agent));
        let first = self.connection(id).down.first();
        if stuck && self.waits(id, first) {
            self.connection(id).down.planned = true;
            return self.agenda.plan(now + RETRY_MS, Event::Down(id));
        }
        while let Some(item) = self.connection(id).down.pop(now) {
            let input = match item {
                Down::Connected => Input::Connected(session),
                Down::Say(message) => match wire::from_leader(*message) {
                    Ok(said) => Input::Said(session, said),
                    Err(error) => return self.fail(format!("an agent cannot read its leader: {error}")),
                },
                Down::End => Input::Disconnected(session),
            };
            self.tell_agent(agent, life, input);
        }
        if let Some(at) = self.connection(id).down.next() {
            self.agenda.plan(at, Event::Down(id));
        }
    }

    /// True while a connection that does not get through is not given up; then all on it is lost.
    fn waits(&mut self, id: u64, since: Option<u64>) -> bool {
        if since.is_some_and(|since| since + GIVEN_UP_MS > self.now) {
            return true;
        }
        let connection = self.connection(id);
        connection.up.items.clear();
        connection.down.items.clear();
        let (server, life) = (connection.server, connection.server_life);
        self.arrive(server, life, Arrival::Closed(ConnectionId(id)));
        false
    }

    /// A server's process has ended. Its machine closes the connections, unless it is gone as well.
    pub(crate) fn server_connections_end(&mut self, server: u64) {
        let closes = self.network.tells_of_loss();
        let life = self.server(server).life;
        for at in 0..self.connections.len() {
            let connection = &self.connections[at];
            if closes && (connection.server, connection.server_life) == (server, life) {
                self.say(ConnectionId(at as u64), Down::End);
            }
        }
    }

    /// An agent's process was killed; its machine closes the connections after what was sent.
    pub(crate) fn agent_connections_end(&mut self, agent: usize, life: Life) {
        for at in 0..self.connections.len() {
            if (self.connections[at].agent, self.connections[at].agent_life) == (agent, life) {
                let arrives = self.now + self.network.delay() + self.connections[at].slow;
                if let Some(planned) = self.connections[at].up.push(arrives, Up::End) {
                    self.agenda.plan(planned, Event::Up(at as u64));
                }
            }
        }
    }

    /// What an agent says, on the wire.
    pub(crate) fn on_wire(message: &FromAgent) -> Up {
        Up::Say(Box::new(wire::to_leader(message)))
    }
}
