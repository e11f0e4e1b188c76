//! The loop: one event after the other, until everything is over.

use berth_core::reply::Reply;

use super::Report;
use super::agenda::{Agenda, Event};
use super::agent::{AGENTS, Agent};
use super::client::Client;
use super::connection::Connection;
use super::counts::Counts;
use super::faults::{FAULTS, Faults};
use super::ledger::Ledger;
use super::network::Network;
use super::options::Options;
use super::server::{SERVERS, Server};
use super::trace::Trace;
use super::watched::Shared;

/// The wall clock when a simulation begins, in milliseconds since the Unix epoch.
pub(crate) const EPOCH: u64 = 1_700_000_000_000;
/// Between looks whether everything is over.
const LOOK_MS: u64 = 500;
/// How long after the mending schedules still fire.
const SCHEDULES_STOP_AFTER_MS: u64 = 6_000;

/// A whole cluster with its users and its bad luck.
#[derive(Debug)]
pub struct Simulation {
    pub(crate) options: Options,
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    pub(crate) agenda: Agenda,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) servers: Vec<Server>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) client: Client,
    pub(crate) ledger: Shared,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// When the last wrong clock was put right.
    pub(crate) clock_right_since: Option<u64>,
    pub(crate) quiet: bool,
    pub(crate) tells_story: bool,
    schedules_stopped: bool,
    failure: Option<String>,
}

impl Simulation {
    /// A cluster before its first moment.
    pub fn new(options: Options) -> Simulation {
        let mut faults = Faults::new(&options);
        let skew = options.skew_max;
        let servers = (1..=SERVERS).map(|id| Server::new(id, &options, faults.skew(skew))).collect();
        let agents = (0..AGENTS).map(|number| Agent::new(number, options.seed, faults.skew(skew))).collect();
        Simulation {
            now: 0,
            agenda: Agenda::default(),
            network: Network::new(&options),
            faults,
            servers,
            agents,
            connections: Vec::new(),
            client: Client::new(&options),
            ledger: Shared::new(Ledger::new(options.tells_story)),
            trace: Trace::new(),
            counts: Counts::default(),
            clock_right_since: None,
            quiet: false,
            tells_story: options.tells_story,
            schedules_stopped: false,
            failure: None,
            options,
        }
    }

    /// What happened so far, if the options ask for it. A clone of the ledger outlives a panic of the rest.
    pub(crate) fn ledger(&self) -> Shared {
        self.ledger.clone()
    }

    /// Runs to the end; an error says when which rule did not hold.
    pub(crate) fn run(mut self) -> Result<Report, (u64, String)> {
        for id in 1..=SERVERS {
            self.start_server(id);
        }
        for agent in 0..AGENTS {
            self.start_agent(agent);
        }
        self.client_begins();
        self.agenda.plan(self.options.seconds * 1_000, Event::Quiet);
        for fault in FAULTS {
            self.plan_fault(fault);
        }
        while let Some((at, event)) = self.agenda.next() {
            self.now = at;
            self.ledger.lock().now_is(at);
            self.handle(event);
            let violation = self.ledger.lock().take_violation();
            if let Some(what) = violation.or_else(|| self.failure.take()) {
                return Err((at, what));
            }
            if self.quiet && self.is_over() {
                break;
            }
        }
        self.judge().map_err(|what| (self.now, what))?;
        let counts = self.all_counts();
        self.trace.note(&[counts.entries, counts.attempts, self.now]);
        Ok(Report { counts, trace: self.trace.hash(), simulated_ms: self.now })
    }

    /// Notes that a rule does not hold; the first one counts.
    pub(crate) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    fn handle(&mut self, event: Event) {
        // Whoever stands still gets to it later.
        let server = event.server().map_or(0, |id| self.server(id).paused_until);
        let agent = event.agent().map_or(0, |agent| self.agents[agent].paused_until);
        if server.max(agent) > self.now {
            return self.agenda.plan(server.max(agent), event);
        }
        self.trace.note(&[self.now, event.word()]);
        match event {
            Event::RaftTick { server, life } => self.on_raft_tick(server, life),
            Event::LeadTick { server, life } => self.on_lead_tick(server, life),
            Event::LeadTurn { server, life } => self.on_lead_turn(server, life),
            Event::Written { server, life } => self.on_written(server, life),
            Event::Apply { server, life } => self.on_apply(server, life),
            Event::Build { server, life } => self.on_build(server, life),
            Event::Fetch { server, life } => self.on_fetch(server, life),
            Event::ClockRound { server, life } => self.on_clock_round(server, life),
            Event::ClockAnswer { server, life, peer, sent, wall } => {
                self.on_clock_answer(server, life, peer, sent, wall);
            }
            Event::ClockIsRight { server } => self.on_clock_is_right(server),
            Event::Raft { from, to, life, message } => self.on_raft(from, to, life, *message),
            Event::RestartServer { server, life } => {
                if self.server(server).life == life && self.server(server).up.is_none() {
                    self.start_server(server);
                }
            }
            Event::CrashServer { server, life } => self.on_crash_server(server, life),
            Event::Dialed { agent, life, session, server } => self.on_dialed(agent, life, session, server),
            Event::Up(connection) => self.on_up(connection),
            Event::Down(connection) => self.on_down(connection),
            Event::AgentTick { agent, life } => self.on_agent_tick(agent, life),
            Event::AgentEvents { agent, life } => self.on_agent_events(agent, life),
            Event::WorkEnds { agent } => self.on_work_ends(agent),
            Event::RestartAgent { agent, life } => {
                if self.agents[agent].life == life && self.agents[agent].up.is_none() {
                    self.start_agent(agent);
                }
            }
            Event::ClientThinks => self.on_client_thinks(),
            Event::ClientSends { request, try_number, server } => {
                self.on_client_sends(request, try_number, server);
            }
            Event::Asked { request, try_number, server } => self.on_asked(request, try_number, server),
            Event::Answered { request, try_number, server, answer } => {
                if let super::client::Answer::Applied(index, _) = &answer {
                    self.trace.note(&[*index]);
                }
                self.on_answered(request, try_number, server, answer);
            }
            Event::ClientWaited { request, try_number } => self.on_client_waited(request, try_number),
            Event::Fault(fault) => self.on_fault(fault),
            Event::Heal(cut) => self.network.heal(cut),
            Event::Quiet => {
                self.mend();
                self.client_ends();
                self.agenda.plan(self.now + SCHEDULES_STOP_AFTER_MS, Event::Look);
            }
            Event::Look => self.on_look(),
        }
    }

    fn on_look(&mut self) {
        if !self.schedules_stopped {
            self.schedules_stopped = true;
            self.every_due_fire_is_decided();
            self.client_stops_schedules();
        }
        if self.now > self.options.seconds * 1_000 + self.options.quiet_max {
            let what = self.what_is_not_over();
            return self.fail(what);
        }
        self.agenda.plan(self.now + LOOK_MS, Event::Look);
    }

    fn is_over(&self) -> bool {
        self.schedules_stopped && self.client.is_satisfied() && self.nothing_goes_on()
    }

    fn all_counts(&self) -> Counts {
        let mut counts = self.counts;
        counts += self.ledger.lock().counts();
        for process in self.agents.iter().filter_map(|agent| agent.up.as_ref()) {
            let figures = process.supervisor.figures();
            counts.sessions += figures.sessions;
            counts.fenced += figures.refused;
        }
        counts
    }

    /// Requests that were refused, for the judge.
    pub(crate) fn was_refused(reply: &Reply) -> bool {
        matches!(reply, Reply::Refused(_))
    }
}
