//! What goes wrong, and when.

use super::agenda::Event;
use super::agent::AGENTS;
use super::network::{Cut, Place};
use super::options::Options;
use super::random::Random;
use super::server::SERVERS;
use super::simulation::Simulation;
use berth_scheduler::raft::driver::Input;

/// A kind of mishap; each comes again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    ServerCrash,
    Cut,
    Stall,
    Pause,
    Transfer,
    AgentCrash,
    /// A server's wall clock is set wrong for a while.
    WrongClock,
    /// A machine offers something else from now on, and its agent sees it.
    FactsChange,
}

pub(crate) const FAULTS: [Fault; 8] = [
    Fault::ServerCrash,
    Fault::Cut,
    Fault::Stall,
    Fault::Pause,
    Fault::Transfer,
    Fault::AgentCrash,
    Fault::FactsChange,
    Fault::WrongClock,
];

/// How wrong a clock may be, in milliseconds.
const WRONG_CLOCKS: [i64; 5] = [-3_600_000, -10_000, 10_000, 120_000, 3_600_000];

/// Draws what goes wrong. Disks and processes have sequences of their own.
#[derive(Debug)]
pub(crate) struct Faults {
    random: Random,
    disk: Random,
    timing: Random,
}

/// What becomes of an agent that died.
#[derive(Debug)]
pub(crate) struct AgentFate {
    /// How long it stays away.
    pub(crate) away: u64,
    /// The machine lost power, and with this seed what was not synced.
    pub(crate) power_loss: Option<u64>,
    pub(crate) wiped: bool,
    pub(crate) facts_change: bool,
}

impl Faults {
    pub(crate) fn new(options: &Options) -> Faults {
        Faults {
            random: Random::new(options.seed, "faults"),
            disk: Random::new(options.seed, "disk"),
            timing: Random::new(options.seed, "timing"),
        }
    }

    /// How wrong a clock is.
    pub(crate) fn skew(&mut self, most: u64) -> u64 {
        self.random.between(0, most)
    }

    /// How long something short takes, at most `most`.
    pub(crate) fn short(&mut self, most: u64) -> u64 {
        self.timing.between(0, most)
    }

    /// Whether the leader sees a view before the outcomes that are in it.
    pub(crate) fn view_first(&mut self) -> bool {
        self.timing.chance(300)
    }

    /// How much of what was to be done is done before a process dies.
    pub(crate) fn some_of(&mut self, all: usize) -> usize {
        let all = u64::try_from(all).unwrap_or(0);
        usize::try_from(self.timing.below(all + 1)).unwrap_or(0)
    }

    pub(crate) fn write_time(&mut self, most: u64) -> u64 {
        self.disk.between(1, most)
    }

    /// Writes that a doomed disk still does.
    pub(crate) fn writes_left(&mut self) -> u64 {
        self.disk.below(12)
    }

    pub(crate) fn interrupts_recovery(&mut self) -> bool {
        self.disk.chance(30)
    }

    /// How long a server stays away.
    pub(crate) fn server_away(&mut self) -> u64 {
        match self.random.chance(200) {
            true => self.random.between(2_000, 8_000),
            false => self.random.between(50, 2_000),
        }
    }

    pub(crate) fn agent_fate(&mut self, options: &Options, quiet: bool) -> AgentFate {
        let lost = self.random.chance(options.agent_lost_per_mille) && !quiet;
        let away = match (lost, self.random.chance(700)) {
            (true, _) => self.random.between(5_500, 12_000),
            (false, true) => self.random.between(2, 400),
            (false, false) => self.random.between(400, 4_000),
        };
        let wiped = self.random.chance(options.agent_wiped_per_mille) && !quiet;
        let seed = self.random.next();
        let power_loss = (wiped || self.random.chance(250)).then_some(seed);
        let facts_change = self.random.chance(options.facts_change_per_mille);
        AgentFate { away, power_loss, wiped, facts_change }
    }

    fn every(options: &Options, fault: Fault) -> u64 {
        match fault {
            Fault::ServerCrash => options.server_crash_every,
            Fault::Cut => options.cut_every,
            Fault::Stall => options.stall_every,
            Fault::Pause => options.pause_every,
            Fault::Transfer => options.transfer_every,
            Fault::AgentCrash => options.agent_crash_every,
            Fault::FactsChange => options.facts_change_every,
            Fault::WrongClock => options.wrong_clock_every,
        }
    }

    fn a_server(&mut self) -> u64 {
        self.random.between(1, SERVERS)
    }

    fn an_agent(&mut self) -> usize {
        usize::try_from(self.random.below(AGENTS as u64)).unwrap_or(0)
    }

    fn a_cut(&mut self) -> Cut {
        let server = self.a_server();
        let other = server % SERVERS + 1;
        let agent = Place::Agent(self.an_agent());
        match self.random.below(8) {
            0 => Cut::Mute(Place::Server(server)),
            1 => Cut::Deaf(Place::Server(server)),
            2 => Cut::Alone(Place::Server(server)),
            3 => Cut::FromPeers(server),
            4 => Cut::Way(Place::Server(server), Place::Server(other)),
            5 => Cut::Between(Place::Server(server), Place::Server(other)),
            6 => Cut::Alone(agent),
            _ => Cut::Between(agent, Place::Server(server)),
        }
    }
}

impl Simulation {
    pub(crate) fn plan_fault(&mut self, fault: Fault) {
        let gap = self.faults.random.gap(Faults::every(&self.options, fault));
        self.agenda.plan(self.now + gap, Event::Fault(fault));
    }

    pub(crate) fn on_fault(&mut self, fault: Fault) {
        if self.quiet {
            return;
        }
        match fault {
            Fault::ServerCrash => self.crash_a_server(),
            Fault::Cut => {
                let cut = self.faults.a_cut();
                let span = match self.faults.random.chance(200) {
                    true => self.faults.random.between(3_000, 10_000),
                    false => self.faults.random.between(100, 3_000),
                };
                let number = self.network.cut(cut);
                self.counts.cuts += 1;
                self.ledger.lock().tell(|| format!("cut {number}: {cut:?} for {span}"));
                self.agenda.plan(self.now + span, Event::Heal(number));
            }
            Fault::Stall => {
                let (server, span) = (self.faults.a_server(), self.faults.disk.between(100, 3_000));
                self.server(server).stalled_until = self.now + span;
                self.counts.stalls += 1;
            }
            Fault::Pause => self.pause_someone(),
            Fault::Transfer => {
                let leaders = (1..=SERVERS).filter(|id| {
                    let up = self.servers[usize::try_from(id - 1).expect("small")].up.as_ref();
                    up.is_some_and(|running| running.leader.is_some())
                });
                for id in leaders.collect::<Vec<_>>() {
                    if let Some(running) = self.server(id).up.as_mut() {
                        running.member.step(Input::Transfer { request: 0, to: None });
                    }
                    self.settle(id);
                }
            }
            Fault::AgentCrash => self.crash_an_agent(),
            Fault::FactsChange => {
                let agent = self.faults.an_agent();
                self.facts_change(agent);
            }
            Fault::WrongClock => {
                let server = self.faults.a_server();
                let by = self.faults.random.pick(&WRONG_CLOCKS);
                let span = self.faults.random.between(1_000, 15_000);
                self.a_clock_goes_wrong(server, by, span);
            }
        }
        self.plan_fault(fault);
    }

    fn crash_a_server(&mut self) {
        let id = self.faults.a_server();
        if self.server(id).up.is_none() {
            return;
        }
        match self.faults.random.below(3) {
            0 => self.server_is_killed(id),
            1 => self.server_loses_power(id),
            _ => {
                self.doom(id);
                let life = self.server(id).life;
                self.agenda.plan(self.now + 1_000, Event::CrashServer { server: id, life });
            }
        }
    }

    pub(crate) fn on_crash_server(&mut self, id: u64, life: u64) {
        let server = self.server(id);
        if server.life == life && server.doomed && server.up.is_some() {
            self.server_loses_power(id);
        }
    }

    fn pause_someone(&mut self) {
        let span = self.faults.random.between(200, 7_000);
        self.counts.pauses += 1;
        if self.faults.random.chance(400) {
            let agent = self.faults.an_agent();
            let until = self.now + span;
            self.agents[agent].paused_until = until;
            self.agents[agent].unwatched.push((self.now, until));
        } else {
            let server = self.faults.a_server();
            self.server(server).paused_until = self.now + span.min(4_000);
        }
    }

    fn crash_an_agent(&mut self) {
        let agent = self.faults.an_agent();
        let how = self.faults.random.below(3);
        let writes = self.faults.disk.below(6);
        let Some(process) = self.agents[agent].up.as_mut() else { return };
        match how {
            0 => self.agent_dies(agent),
            1 => process.doomed = true,
            _ => self.agents[agent].disk.lock().fail_after(writes),
        }
    }

    /// All that was wrong is mended.
    pub(crate) fn mend(&mut self) {
        self.quiet = true;
        self.network.heal_all();
        for id in 1..=SERVERS {
            self.on_clock_is_right(id);
            let lies = self.options.disks_lie;
            let server = self.server(id);
            server.stalled_until = 0;
            server.paused_until = 0;
            if server.doomed && server.up.is_some() {
                self.server_loses_power(id);
            } else if !lies {
                let server = self.server(id);
                server.log.set_faults(Default::default());
                server.snapshots.set_faults(Default::default());
            }
        }
        for agent in &mut self.agents {
            agent.paused_until = 0;
            agent.disk.lock().repair();
            if let Some(process) = agent.up.as_mut() {
                process.doomed = false;
            }
        }
    }
}
