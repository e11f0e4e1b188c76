//! The users: a client that asks by the SDK's own rounds, and users who ask again with the same key when it gives up.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_client::round::{GivenUp, Options as Ways, Passed, Round};
use berth_core::command::{Command, DrainOrder, Origin, Submit, TenantSpec};
use berth_core::id::{RequestId, RunId};
use berth_core::job_spec::When;
use berth_core::model::RunState;
use berth_core::reply::{Refusal, Reply};
use berth_core::resources::CPU;
use berth_core::state::State;
use berth_core::time::Millis;
use berth_scheduler::log::Request;

use super::agenda::Event;
use super::agent::AGENTS;
use super::network::Place;
use super::options::Options;
use super::random::Random;
use super::server::SERVERS;
use super::simulation::{EPOCH, Simulation};
use super::workload::{self, CPU_MAX, TENANTS};

/// After so long without an answer the client asks elsewhere.
const PATIENCE_MS: u64 = 1_500;
/// After so long it gives up, and the user asks again.
const DEADLINE_MS: u64 = 15_000;

/// What a server answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Applied at that log index.
    Applied(u64, Box<Reply>),
    /// Nothing was done; perhaps that one leads.
    NotLeader(Option<u64>),
    /// Nothing was done; ask again after that many milliseconds.
    Busy(u64),
    /// It may be applied, or not.
    Unknown,
}

impl Answer {
    pub(crate) fn word(&self) -> u64 {
        match self {
            Answer::Applied(index, _) => 1 + (index << 8),
            Answer::NotLeader(hint) => 2 + (hint.unwrap_or(0) << 8),
            Answer::Busy(_) => 3,
            Answer::Unknown => 4,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Asked {
    key: RequestId,
    command: Command,
    tries: u32,
    round: Round<u64>,
    deadline: u64,
    /// The log index at which it was applied, and the answer.
    pub(crate) answer: Option<(u64, Reply)>,
}

#[derive(Debug)]
pub(crate) struct Client {
    random: Random,
    ask_every: u64,
    schedules_per_mille: u64,
    asked: Vec<Asked>,
    open: usize,
    prefers: u64,
    runs: Vec<RunId>,
    /// The instants of the schedules that were applied last, by tenant and job.
    schedules: BTreeMap<(String, String), When>,
}

impl Client {
    pub(crate) fn new(options: &Options) -> Client {
        Client {
            random: Random::new(options.seed, "workload"),
            ask_every: options.ask_every,
            schedules_per_mille: options.schedules_per_mille,
            asked: Vec::new(),
            open: 0,
            prefers: 1,
            runs: Vec::new(),
            schedules: BTreeMap::new(),
        }
    }

    /// A request as it goes to a server; every try is the same.
    pub(crate) fn request(&self, request: usize) -> Request {
        let asked = &self.asked[request];
        Request {
            key: Some(asked.key),
            actor: "user ann".to_owned(),
            origin: Origin::Client,
            command: asked.command.clone(),
        }
    }

    /// True when everything has its answer.
    pub(crate) fn is_satisfied(&self) -> bool {
        self.open == 0
    }

    /// How many requests have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.open
    }

    /// What was acknowledged.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = (RequestId, &Command, u64, &Reply)> {
        self.asked.iter().filter_map(|asked| {
            let (index, reply) = asked.answer.as_ref()?;
            Some((asked.key, &asked.command, *index, reply))
        })
    }

    fn add(&mut self, command: Command, now: u64) -> usize {
        let key = match &command {
            Command::Submit(Submit { start: Some(key), .. }) => *key,
            _ => RequestId(self.random.next_u128()),
        };
        let round = Round::new(self.prefers, true);
        self.asked.push(Asked { key, command, tries: 0, round, deadline: now + DEADLINE_MS, answer: None });
        self.open += 1;
        self.asked.len() - 1
    }

    /// What the user wants next, and how long it waits for the best moment.
    fn thinks(&mut self, now: u64) -> (Command, u64) {
        let tenant = self.random.pick(&TENANTS);
        if self.random.chance(self.schedules_per_mille) {
            return self.schedules(tenant, now);
        }
        let node = format!("node-{}", self.random.below(AGENTS as u64));
        let command = match self.random.below(100) {
            0..=54 => {
                let name = workload::job_name(&mut self.random);
                let spec = workload::job(&mut self.random, tenant, &name);
                let start = Some(RequestId(self.random.next_u128()));
                Command::Submit(Submit { tenant: tenant.to_owned(), job: name, spec: Some(spec), start })
            }
            55..=69 => {
                let job = workload::job_name(&mut self.random);
                let start = Some(RequestId(self.random.next_u128()));
                Command::Submit(Submit { tenant: tenant.to_owned(), job, spec: None, start })
            }
            70..=79 if !self.runs.is_empty() => {
                // Mostly a late one, which may still run.
                let behind = self.random.below(6).min(self.runs.len() as u64 - 1);
                let at = self.runs.len() - 1 - usize::try_from(behind).expect("less than a length");
                Command::CancelRun { run: self.runs[at] }
            }
            70..=82 => {
                Command::StopJob { tenant: tenant.to_owned(), job: workload::job_name(&mut self.random) }
            }
            83..=87 => {
                let stop_after = self.random.pick(&[None, Some(Millis(0)), Some(Millis(1_000))]);
                Command::DrainNode { node, drain: Some(DrainOrder { stop_after }) }
            }
            88..=94 => Command::DrainNode { node, drain: None },
            95..=96 => Command::RemoveNode { node },
            _ => limit(tenant, CPU_MAX + self.random.below(8_000)),
        };
        (command, 0)
    }

    /// Applies a schedule, often just before the one that it replaces fires; or stops one.
    fn schedules(&mut self, tenant: &str, now: u64) -> (Command, u64) {
        let spec = workload::scheduled(&mut self.random, tenant);
        let key = (tenant.to_owned(), spec.name.clone());
        if self.random.chance(100) {
            self.schedules.remove(&key);
            return (Command::StopJob { tenant: key.0, job: key.1 }, 0);
        }
        let Some(schedule) = &spec.schedule else { unreachable!("it was made with a schedule") };
        let wait = match self.schedules.insert(key, schedule.when) {
            Some(When::Every(Millis(period))) => {
                let early = self.random.between(1, 60);
                (period - (EPOCH + now) % period).saturating_sub(early)
            }
            Some(When::At(_)) | None => 0,
        };
        let (tenant, job) = (tenant.to_owned(), spec.name.clone());
        (Command::Submit(Submit { tenant, job, spec: Some(spec), start: None }), wait)
    }
}

fn limit(tenant: &str, cpu: u64) -> Command {
    let limit = [(CPU.to_owned(), cpu)].into();
    Command::ApplyTenant(TenantSpec { name: tenant.to_owned(), weight: 1, limit })
}

impl Simulation {
    /// The first requests make the tenants.
    pub(crate) fn client_begins(&mut self) {
        for (at, tenant) in (0u64..).zip(&TENANTS[1..]) {
            self.client_asks(limit(tenant, 6_000), 200 * (at + 1));
        }
        self.agenda.plan(3_000, Event::ClientThinks);
    }

    pub(crate) fn on_client_thinks(&mut self) {
        if self.quiet {
            return;
        }
        let (command, wait) = self.client.thinks(self.now);
        self.client_asks(command, wait);
        let gap = self.client.random.gap(self.client.ask_every);
        self.agenda.plan(self.now + gap, Event::ClientThinks);
    }

    /// When all is mended the users open every node, raise every limit, and let no schedule go on.
    pub(crate) fn client_ends(&mut self) {
        for tenant in TENANTS {
            self.client_asks(limit(tenant, 100_000), 0);
        }
        for node in 0..AGENTS {
            self.client_asks(Command::DrainNode { node: format!("node-{node}"), drain: None }, 0);
        }
    }

    /// Stops every schedule that there is.
    pub(crate) fn client_stops_schedules(&mut self) {
        let jobs = |state: &State| {
            let with_cursor = state.tables().jobs.iter().filter(|(_, job)| job.cursor.is_some());
            let named = with_cursor.map(|(_, job)| (state.tenant(job.tenant).name.clone(), job.name.clone()));
            named.collect::<Vec<_>>()
        };
        let jobs = jobs(self.ledger.lock().latest());
        for (tenant, job) in jobs {
            self.client_asks(Command::StopJob { tenant, job }, 0);
        }
    }

    pub(crate) fn client_asks(&mut self, command: Command, wait: u64) {
        self.counts.requests += 1;
        let request = self.client.add(command, self.now + wait);
        let server = self.client.prefers;
        self.agenda.plan(self.now + wait, Event::ClientSends { request, try_number: 1, server });
    }

    pub(crate) fn on_client_sends(&mut self, request: usize, try_number: u32, server: u64) {
        let asked = &mut self.client.asked[request];
        if asked.answer.is_some() || asked.tries >= try_number {
            return;
        }
        asked.tries = try_number;
        self.counts.repeated_requests += u64::from(try_number > 1);
        if !self.network.is_cut(Place::Client, Place::Server(server)) && !self.network.loses() {
            let at = self.now + self.network.delay();
            self.agenda.plan(at, Event::Asked { request, try_number, server });
        }
        self.agenda.plan(self.now + PATIENCE_MS, Event::ClientWaited { request, try_number });
    }

    pub(crate) fn on_client_waited(&mut self, request: usize, try_number: u32) {
        let asked = &self.client.asked[request];
        if asked.answer.is_none() && asked.tries == try_number {
            self.ask_elsewhere(request, Passed { no_leader: false, maybe_applied: true }, None);
        }
    }

    fn ask_elsewhere(&mut self, request: usize, why: Passed, leader: Option<u64>) {
        let chance = u8::try_from(self.client.random.below(256)).expect("a byte");
        let remaining = self.time_left(request);
        let round = &mut self.client.asked[request].round;
        let ways = Ways {
            leader,
            following: round.server() % SERVERS + 1,
            servers: usize::from(u8::try_from(SERVERS).expect("a few")),
        };
        let pause = round.elsewhere(why, ways, remaining, chance);
        self.ask_again(request, pause);
    }

    fn time_left(&self, request: usize) -> Duration {
        Duration::from_millis(self.client.asked[request].deadline.saturating_sub(self.now))
    }

    /// After the pause that the round asks for; when it gives up, the user begins a new one.
    fn ask_again(&mut self, request: usize, pause: Result<Duration, GivenUp>) {
        let (now, prefers) = (self.now, self.client.prefers);
        let asked = &mut self.client.asked[request];
        let pause = pause.unwrap_or_else(|_| {
            asked.round = Round::new(prefers, true);
            asked.deadline = now + DEADLINE_MS;
            Duration::from_millis(100)
        });
        let (try_number, server) = (asked.tries + 1, *asked.round.server());
        let wait = u64::try_from(pause.as_millis()).expect("less than the deadline");
        self.agenda.plan(now + wait, Event::ClientSends { request, try_number, server });
    }

    pub(crate) fn on_answered(&mut self, request: usize, try_number: u32, server: u64, answer: Answer) {
        let late = self.client.asked[request].tries != try_number;
        let leaderless = |maybe_applied| Passed { no_leader: true, maybe_applied };
        match answer {
            Answer::Applied(_, reply) if is_fleeting(&reply) => {
                if !late {
                    self.ask_elsewhere(request, leaderless(false), None);
                }
            }
            Answer::Applied(index, reply) => {
                self.client.prefers = server;
                self.acknowledged(request, index, *reply);
            }
            Answer::NotLeader(_) | Answer::Busy(_) | Answer::Unknown if late => {}
            Answer::NotLeader(hint) => self.ask_elsewhere(request, leaderless(false), hint),
            Answer::Busy(wait) => {
                let left = self.time_left(request);
                let pause = self.client.asked[request].round.later(Duration::from_millis(wait), left);
                self.ask_again(request, pause);
            }
            Answer::Unknown => self.ask_elsewhere(request, leaderless(true), None),
        }
    }

    fn acknowledged(&mut self, request: usize, index: u64, reply: Reply) {
        let asked = &mut self.client.asked[request];
        if let Some((_, first)) = &asked.answer {
            // A refusal is not remembered: asked again later it may be done.
            let refused = |reply: &Reply| matches!(reply, Reply::Refused(_));
            if *first != reply && !refused(first) && !refused(&reply) {
                let what = format!("one key, two answers: {first:?} and {reply:?} to {:?}", asked.command);
                self.fail(what);
            }
            return;
        }
        asked.answer = Some((index, reply.clone()));
        self.client.open -= 1;
        let command = asked.command.clone();
        if let Reply::Submitted { run: Some(run), .. } = reply {
            self.client.runs.push(run);
        }
        let wrong = acknowledged_and_absent(self.ledger.lock().latest(), &command, &reply);
        if let Some(what) = wrong {
            self.fail(what);
        }
    }
}

/// Refusals that say nothing of the request.
fn is_fleeting(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(Refusal::StaleTerm | Refusal::StaleClusterEpoch))
}

/// What was acknowledged has to be in the state from then on.
pub(crate) fn acknowledged_and_absent(state: &State, command: &Command, reply: &Reply) -> Option<String> {
    if let Reply::Submitted { job, run, .. } = reply {
        let has_job = state.tables().jobs.get(*job).is_some();
        let has_run = run.is_none_or(|run| {
            state.run_with_id(run).is_some() || state.tables().summaries.get(&run).is_some()
        });
        return (!has_job || !has_run).then(|| format!("acknowledged and lost: {command:?} as {reply:?}"));
    }
    if let (Command::CancelRun { run }, Reply::Done) = (command, reply) {
        let active = state.run_with_id(*run).is_some_and(|run| state.run(run).state == RunState::Active);
        return active.then(|| format!("the cancelled run {run} is active"));
    }
    None
}
