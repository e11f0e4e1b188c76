//! An agent: the production supervisor and the fake executor, over a simulated disk, and the machine they are on.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_agent::clock::{Boot, Now};
use berth_agent::disk::{Disk, Durability, NewDir, SimulatedDisk};
use berth_agent::retention::Retention;
use berth_agent::supervisor::{Config, Input, Opened, Output, Supervisor};
use berth_core::id::JournalId;
use berth_core::job_spec::ExecutorKind;
use berth_core::model::{ExecutorOffer, NodeFacts};
use berth_core::resources::{CPU, MEMORY};
use berth_core::time::Timestamp;
use berth_executors::executor::{self, Executor};
use berth_executors::fake::{FakeExecutor, World};

use super::agenda::{Event, Life};
use super::connection::{Up, address};
use super::server::SERVERS;
use super::simulation::{EPOCH, Simulation};

/// How many agents there are.
pub(crate) const AGENTS: usize = 5;
/// Events of an executor on their way; more than there are attempts on one node.
const EVENTS_MAX: usize = 4_096;

/// A machine with an agent, or with what an agent left.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) disk: SharedDisk,
    pub(crate) world: World,
    pub(crate) up: Option<Process>,
    /// Until then the process does nothing.
    pub(crate) paused_until: u64,
    /// When no agent watched over what ran: from, to.
    pub(crate) unwatched: Vec<(u64, u64)>,
    /// Since when the process is gone.
    down_since: u64,
    /// When the next end of work is looked at.
    work_planned: Option<u64>,
    boots: u64,
    booted: u64,
    kernel: u64,
    journals: u128,
    skew: u64,
    seed: u64,
}

/// An agent's process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) supervisor: Supervisor<SharedDisk>,
    executor: FakeExecutor,
    events: Receiver<executor::Event>,
    /// What the executor has told and the agent has not heard yet.
    told: VecDeque<executor::Event>,
    hears: bool,
    wakes: u64,
    /// The process dies in the middle of what it does next.
    pub(crate) doomed: bool,
}

/// A disk that outlives the process that uses it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedDisk(Arc<Mutex<SimulatedDisk>>);

impl SharedDisk {
    pub(crate) fn lock(&self) -> MutexGuard<'_, SimulatedDisk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SharedDisk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.lock().read(path)
    }

    fn write(&mut self, path: &str, bytes: &[u8], durability: Durability) -> io::Result<()> {
        self.lock().write(path, bytes, durability)
    }

    fn create(&mut self, dirs: &[NewDir]) -> io::Result<()> {
        self.lock().create(dirs)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.lock().list(dir)
    }

    fn remove(&mut self, dir: &str) -> io::Result<()> {
        self.lock().remove(dir)
    }
}

impl Agent {
    pub(crate) fn new(number: usize, seed: u64, skew: u64) -> Agent {
        Agent {
            name: format!("node-{number}"),
            life: 0,
            disk: SharedDisk::default(),
            world: World::simulated(Timestamp(EPOCH)),
            up: None,
            paused_until: 0,
            unwatched: Vec::new(),
            down_since: 0,
            work_planned: None,
            boots: 1,
            booted: 0,
            kernel: 1,
            journals: 1,
            skew,
            seed: seed ^ ((number as u64 + 1) << 20),
        }
    }

    fn now(&self, at: u64) -> Now {
        Now { boot: Boot(1_000 + at - self.booted), wall: Timestamp(EPOCH + at + self.skew) }
    }

    fn facts(&self) -> NodeFacts {
        let offer =
            ExecutorOffer { ready: true, detail: "simulated work".to_owned(), ..ExecutorOffer::default() };
        NodeFacts {
            capacity: [(CPU.to_owned(), 4_000), (MEMORY.to_owned(), 8 << 30)].into(),
            attributes: [("kernel.version".to_owned(), format!("6.{}", self.kernel))].into(),
            executors: [(ExecutorKind::Fake, offer)].into(),
            run_dirs: "/runs".to_owned(),
            shared: None,
        }
    }

    fn config(&self) -> Config {
        Config {
            node: self.name.clone(),
            version: "0.1.0".to_owned(),
            servers: (1..=SERVERS).map(address).collect(),
            incarnation: u128::from(self.seed) << 64 | u128::from(self.life),
            fresh_journal: JournalId(u128::from(self.seed) << 64 | self.journals),
            boot_id: format!("boot-{}", self.boots),
            seed: self.seed ^ self.life,
            data_dir: PathBuf::from("/data"),
            run_dirs: PathBuf::from("/runs"),
            kinds: [ExecutorKind::Fake].into(),
            facts: self.facts(),
            retention: Retention::default(),
        }
    }

    /// Another kernel, or another release: the node registers anew.
    pub(crate) fn change_facts(&mut self) {
        self.kernel += 1;
    }

    /// The machine loses power and comes back; what was not synced may be lost.
    pub(crate) fn reboot(&mut self, seed: u64, now: u64) {
        self.world.reboot();
        self.disk.lock().power_loss(seed);
        self.boots += 1;
        self.booted = now;
    }

    /// The machine comes back without its directory.
    pub(crate) fn wipe(&mut self) {
        self.disk = SharedDisk::default();
        self.journals += 1;
    }

    fn open(&self, now: u64) -> Result<(Process, u64), String> {
        let failed = |error| format!("{} does not start from its journal: {error}", self.name);
        let opened = Opened::open(self.config(), self.disk.clone()).map_err(failed)?;
        let (sink, events) = sync_channel(EVENTS_MAX);
        let mut executor = FakeExecutor::simulated(self.world.clone(), sink);
        let found = executor.recover(opened.known(ExecutorKind::Fake));
        let supervisor = opened.resume(found, self.now(now)).map_err(failed)?;
        let running = supervisor.attempts().iter().filter(|(_, attempt)| attempt.is_live()).count() as u64;
        let process = Process {
            supervisor,
            executor,
            events,
            told: VecDeque::new(),
            hears: false,
            wakes: u64::MAX,
            doomed: false,
        };
        Ok((process, running))
    }
}

impl Simulation {
    pub(crate) fn start_agent(&mut self, number: usize) {
        let now = self.now;
        let agent = &mut self.agents[number];
        agent.life += 1;
        agent.world.advance(Timestamp(EPOCH + now));
        if agent.life > 1 {
            agent.unwatched.push((agent.down_since, now));
        }
        match agent.open(now) {
            Ok((process, running)) => {
                agent.up = Some(process);
                let life = agent.life;
                self.trace.note(&[number as u64, life, running]);
                self.ledger.lock().tell(|| format!("agent {number} is up, with {running} attempts"));
                self.agenda.plan(now, Event::AgentTick { agent: number, life });
            }
            Err(what) => self.fail(what),
        }
    }

    /// The process is gone at once. What it had said is still on its way; what it ran goes on.
    pub(crate) fn agent_dies(&mut self, number: usize) {
        let now = self.now;
        let agent = &mut self.agents[number];
        let Some(process) = agent.up.take() else { return };
        let figures = process.supervisor.figures();
        self.counts.sessions += figures.sessions;
        self.counts.fenced += figures.refused;
        self.counts.agent_crashes += 1;
        agent.down_since = now;
        agent.disk.lock().repair();
        let life = agent.life;
        let fate = self.faults.agent_fate(&self.options, self.quiet);
        self.ledger.lock().tell(|| format!("agent {number} dies: {fate:?}"));
        if fate.facts_change {
            self.agents[number].change_facts();
        }
        match fate.power_loss {
            Some(seed) => {
                self.agents[number].world.advance(Timestamp(EPOCH + now));
                self.agents[number].reboot(seed, now);
                self.counts.agent_reboots += 1;
            }
            None => self.agent_connections_end(number, life),
        }
        if fate.wiped {
            self.agents[number].wipe();
            self.counts.agents_wiped += 1;
        }
        self.agenda.plan(now + fate.away, Event::RestartAgent { agent: number, life });
    }

    /// The agent of a machine sees that it has changed.
    pub(crate) fn facts_change(&mut self, number: usize) {
        let agent = &mut self.agents[number];
        // One that stands still sees it some other time.
        if agent.up.is_none() || agent.paused_until > self.now {
            return;
        }
        agent.change_facts();
        let (life, facts) = (agent.life, agent.facts());
        self.counts.facts_changes += 1;
        self.tell_agent(number, life, Input::Facts(Box::new(facts)));
    }

    fn process(&mut self, number: usize, life: Life) -> Option<&mut Process> {
        let agent = &mut self.agents[number];
        agent.up.as_mut().filter(|_| agent.life == life)
    }

    pub(crate) fn on_agent_tick(&mut self, number: usize, life: Life) {
        let now = self.now;
        let Some(process) = self.process(number, life) else { return };
        if process.wakes <= now {
            process.wakes = u64::MAX;
        }
        self.tell_agent(number, life, Input::Tick);
    }

    pub(crate) fn on_agent_events(&mut self, number: usize, life: Life) {
        let Some(process) = self.process(number, life) else { return };
        process.hears = false;
        while let Some(event) = self.process(number, life).and_then(|process| process.told.pop_front()) {
            self.tell_agent(number, life, Input::Executor(event));
        }
    }

    pub(crate) fn on_work_ends(&mut self, number: usize) {
        let agent = &mut self.agents[number];
        agent.work_planned = agent.work_planned.filter(|planned| *planned > self.now);
        agent.world.advance(Timestamp(EPOCH + self.now));
        self.hear(number);
    }

    /// Something happens to an agent, and it does what follows.
    pub(crate) fn tell_agent(&mut self, number: usize, life: Life, input: Input) {
        let now = self.agents[number].now(self.now);
        let told = if self.tells_story { format!("{input:?}") } else { String::new() };
        let Some(process) = self.process(number, life) else { return };
        let Ok(mut outputs) = process.supervisor.handle(input, now) else {
            return self.agent_dies(number);
        };
        if self.tells_story && !outputs.is_empty() {
            self.ledger.lock().tell(|| format!("agent {number} {told}: {outputs:?}"));
        }
        let Some(process) = self.process(number, life) else { return };
        let dies = process.doomed && !outputs.is_empty();
        if dies {
            let done = self.faults.some_of(outputs.len());
            outputs.truncate(done);
        }
        for output in outputs {
            self.do_for_agent(number, output);
        }
        if dies {
            return self.agent_dies(number);
        }
        self.what_need_not_be_told_is_known(number);
        self.hear(number);
        self.plan_wake(number, life);
    }

    /// When an agent has nothing left to report, every attempt that is over there is over in the state, too: an
    /// acknowledged report is never lost.
    fn what_need_not_be_told_is_known(&mut self, number: usize) {
        let agent = &self.agents[number];
        let Some(process) = agent.up.as_ref().filter(|up| up.supervisor.all_reported()) else { return };
        let ended = process.supervisor.attempts().iter().filter(|(_, attempt)| attempt.end.is_some());
        let mut ledger = self.ledger.lock();
        let attempts = &ledger.latest().tables().attempts;
        let mut unknown =
            ended.filter(|(handle, _)| attempts.get(*handle).is_some_and(|known| known.is_live()));
        if let Some((handle, attempt)) = unknown.next() {
            let name = &agent.name;
            ledger
                .violate(format!("{name} has reported all, and {handle:?} lives in the state: {attempt:?}"));
        }
    }

    fn do_for_agent(&mut self, number: usize, output: Output) {
        self.agents[number].world.advance(Timestamp(EPOCH + self.now));
        let Some(process) = self.agents[number].up.as_mut() else { return };
        match output {
            Output::Dial { session, address } => self.dial(number, session, &address),
            Output::Send { session, message } => self.tell(number, session, Simulation::on_wire(&message)),
            Output::HangUp { session } => self.tell(number, session, Up::End),
            Output::Welcomed { .. } => {}
            Output::Start { launch, .. } => process.executor.start(*launch),
            Output::Stop { attempt, grace, .. } => process.executor.stop(attempt, grace),
            Output::Remove { attempt, .. } => process.executor.remove(attempt),
            Output::KillRogue { name, .. } => process.executor.kill_rogue(&name),
        }
    }

    /// Plans when the agent hears of what its executor tells, and when its next work ends.
    fn hear(&mut self, number: usize) {
        let soon = self.now + self.faults.short(4);
        let agent = &mut self.agents[number];
        if let Some(end) = agent.world.next_end() {
            let at = end.0.saturating_sub(EPOCH).max(self.now);
            if agent.work_planned.is_none_or(|planned| at < planned) {
                agent.work_planned = Some(at);
                self.agenda.plan(at, Event::WorkEnds { agent: number });
            }
        }
        let life = agent.life;
        let Some(process) = agent.up.as_mut() else { return };
        process.told.extend(process.events.try_iter());
        if !process.told.is_empty() && !process.hears {
            process.hears = true;
            self.agenda.plan(soon, Event::AgentEvents { agent: number, life });
        }
    }

    fn plan_wake(&mut self, number: usize, life: Life) {
        let now = self.now;
        let booted = self.agents[number].booted;
        let Some(process) = self.process(number, life) else { return };
        let at = (process.supervisor.wake().0 + booted).saturating_sub(1_000).max(now + 1);
        if at < process.wakes {
            process.wakes = at;
            self.agenda.plan(at, Event::AgentTick { agent: number, life });
        }
    }

    /// Everything that is live on some agent, by node.
    pub(crate) fn live_on_agents(&self) -> BTreeMap<String, usize> {
        let live = |agent: &Agent| {
            let process = agent.up.as_ref().map_or(0, |process| process.supervisor.figures().live);
            agent.world.running().len().max(process)
        };
        self.agents.iter().map(|agent| (agent.name.clone(), live(agent))).collect()
    }
}
