//! A server: the production member over simulated disks, moved on by the agenda.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use berth_core::id::{ClusterId, EntryId};
use berth_core::reply::Applied;
use berth_core::time::Timestamp;
use berth_scheduler::clock::{self, Boot, Clock, Frame};
use berth_scheduler::leader::{ConnectionId, Leader, NotApplied, Ticket};
use berth_scheduler::publish::{Publisher, Views};
use berth_scheduler::raft::config::{Settings, SnapshotPolicy};
use berth_scheduler::raft::driver::{Answer, Input, Role};
use berth_scheduler::raft::identity::Identity;
use berth_scheduler::raft::machine::Observer;
use berth_scheduler::raft::member::Member;
use berth_scheduler::raft::membership::Membership;
use berth_scheduler::raft::recovery::Birth;
use berth_scheduler::raft::sim_disk::{Faults as DiskFaults, SimDisk};
use raft::eraftpb::Message;

use super::agenda::{Event, Life};
use super::lead::Arrival;
use super::network::Place;
use super::options::Options;
use super::simulation::Simulation;
use super::watched::{Shared, Watched, Watcher};

/// How many servers there are.
pub(crate) const SERVERS: u64 = 3;
/// The cluster's id.
pub(crate) const CLUSTER: ClusterId = ClusterId(7);
/// Between ticks of consensus.
const TICK_MS: u64 = 50;
/// Between looks of the leader at its clock.
const LEAD_TICK_MS: u64 = 100;

/// A machine with a server, or with what a server left.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) id: u64,
    pub(crate) life: Life,
    pub(crate) log: SimDisk,
    pub(crate) snapshots: SimDisk,
    pub(crate) up: Option<Running>,
    /// The power goes in the middle of the writes to come.
    pub(crate) doomed: bool,
    /// Until then the disk does nothing.
    pub(crate) stalled_until: u64,
    /// Until then the process does nothing.
    pub(crate) paused_until: u64,
    /// How wrong its wall clock is at the moment, besides its skew.
    pub(crate) wrong: i64,
    born: bool,
    skew: u64,
}

/// What became of a proposal of a term.
pub(crate) type Outcome = (u64, Ticket, Result<(EntryId, Arc<Applied>), NotApplied>);

/// A server's process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) member: Member<Watched>,
    watcher: Watcher,
    pub(crate) views: Views,
    pub(crate) clock: Clock,
    pub(crate) frame: Frame,
    pub(crate) leader: Option<Leader>,
    /// The view that the leader has.
    pub(crate) seen: EntryId,
    pub(crate) arrivals: VecDeque<Arrival>,
    pub(crate) outcomes: VecDeque<Outcome>,
    /// Agents whose connection is open here.
    pub(crate) agents: BTreeSet<ConnectionId>,
    pub(crate) waiting: BTreeMap<u64, Waiting>,
    pub(crate) requests: u64,
    pub(crate) turning: bool,
    started: u64,
    writing: bool,
    applying: bool,
    building: bool,
    fetching: bool,
}

/// Who waits for the outcome of a proposal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    Leader(u64, Ticket),
    Client { request: usize, try_number: u32 },
}

impl Server {
    pub(crate) fn new(id: u64, options: &Options, skew: u64) -> Server {
        Server {
            id,
            life: 0,
            log: SimDisk::new(options.seed ^ (id << 32)),
            snapshots: SimDisk::new(options.seed ^ (id << 40)),
            up: None,
            doomed: false,
            stalled_until: 0,
            paused_until: 0,
            wrong: 0,
            born: false,
            skew,
        }
    }

    /// What its wall clock shows.
    pub(crate) fn wall(&self, now: u64) -> Timestamp {
        Timestamp((super::simulation::EPOCH + now + self.skew).saturating_add_signed(self.wrong))
    }

    /// Its clocks.
    pub(crate) fn clocks(&self, now: u64) -> clock::Now {
        clock::Now { wall: self.wall(now), boot: Boot(now) }
    }

    /// What its monotonic clock shows.
    pub(crate) fn steady(&self, now: u64) -> u64 {
        now - self.up.as_ref().map_or(0, |up| up.started)
    }

    fn open(&mut self, options: &Options, ledger: &Shared, now: u64) -> Result<Running, String> {
        let membership = Membership::first((1..=SERVERS).map(|id| (id, format!("member-{id}:1"))));
        let identity = Identity { cluster: CLUSTER, member: self.id, incarnation: self.id };
        let birth = if self.born { Birth::Existing } else { Birth::Bootstrap { identity, membership } };
        let settings = settings(options);
        let initial = Watched::new(ledger.clone());
        let seed = options.seed ^ self.life;
        let member =
            Member::open(self.log.backend(), self.snapshots.backend(), &birth, initial, &settings, seed)
                .map_err(|error| format!("server {} does not start from its disk: {error:?}", self.id))?;
        self.born = true;
        let (publisher, views) = Publisher::new();
        let mut watcher = Watcher { publisher, ledger: ledger.clone(), restored: 0 };
        watcher.on_restored(member.machine(), member.applied());
        watcher.restored = 0;
        let clocks = self.clocks(now);
        let mut clock = Clock::new(clocks, false);
        let frame = clock.look(clocks, views.latest().state.time());
        Ok(Running {
            member,
            watcher,
            views,
            clock,
            frame,
            leader: None,
            seen: EntryId::default(),
            arrivals: VecDeque::new(),
            outcomes: VecDeque::new(),
            agents: BTreeSet::new(),
            waiting: BTreeMap::new(),
            requests: 0,
            turning: false,
            started: now,
            writing: false,
            applying: false,
            building: false,
            fetching: false,
        })
    }
}

/// As in production, but for snapshots that are taken often enough to matter within a minute.
fn settings(options: &Options) -> Settings {
    Settings {
        snapshots: SnapshotPolicy {
            every_entries: options.snapshot_every,
            keep_entries: options.log_kept,
            keep_bytes: 0,
            ..SnapshotPolicy::default()
        },
        ..Settings::default()
    }
}

impl Simulation {
    pub(crate) fn server(&mut self, id: u64) -> &mut Server {
        let at = usize::try_from(id - 1).expect("ids are small");
        &mut self.servers[at]
    }

    /// The process of a server, if it is still the one that was meant.
    pub(crate) fn running(&mut self, id: u64, life: Life) -> Option<&mut Running> {
        let server = self.server(id);
        server.up.as_mut().filter(|_| server.life == life)
    }

    pub(crate) fn start_server(&mut self, id: u64) {
        let (now, options, ledger) = (self.now, self.options.clone(), self.ledger.clone());
        let server = self.server(id);
        server.life += 1;
        // A server that was to lose its power may have been killed before.
        server.log.set_faults(DiskFaults { lies_about_sync: options.disks_lie, ..DiskFaults::default() });
        server.snapshots.set_faults(DiskFaults::default());
        if server.born && self.faults.interrupts_recovery() {
            self.doom(id);
        }
        let server = self.server(id);
        match server.open(&options, &ledger, now) {
            Ok(running) => server.up = Some(running),
            Err(_) if server.doomed => return self.server_loses_power(id),
            Err(what) => return self.fail(what),
        }
        let life = server.life;
        self.agenda.plan(now + 7 * id, Event::RaftTick { server: id, life });
        self.agenda.plan(now + 11 * id, Event::LeadTick { server: id, life });
        self.agenda.plan(now, Event::ClockRound { server: id, life });
        self.settle(id);
    }

    /// The next writes of this server end in the middle.
    pub(crate) fn doom(&mut self, id: u64) {
        let (log, snapshots) = (self.faults.writes_left(), self.faults.writes_left());
        let lies = self.options.disks_lie;
        let server = self.server(id);
        server.doomed = true;
        server.log.set_faults(DiskFaults {
            dies_after: Some(log),
            lies_about_sync: lies,
            ..DiskFaults::default()
        });
        server.snapshots.set_faults(DiskFaults { dies_after: Some(snapshots), ..DiskFaults::default() });
    }

    pub(crate) fn server_loses_power(&mut self, id: u64) {
        let server = self.server(id);
        let torn = server.log.unsynced() + server.snapshots.unsynced() > 0;
        server.log.crash();
        server.snapshots.crash();
        self.counts.torn_writes += u64::from(torn);
        self.server_is_gone(id);
    }

    /// The process ends; its machine lives on.
    pub(crate) fn server_is_killed(&mut self, id: u64) {
        let server = self.server(id);
        server.log.kill();
        server.snapshots.kill();
        self.server_is_gone(id);
    }

    fn server_is_gone(&mut self, id: u64) {
        let away = self.faults.server_away();
        let now = self.now;
        let server = self.server(id);
        server.up = None;
        server.doomed = false;
        server.paused_until = 0;
        let life = server.life;
        self.counts.server_crashes += 1;
        self.server_connections_end(id);
        self.agenda.plan(now + away, Event::RestartServer { server: id, life });
    }

    fn step(&mut self, id: u64, life: Life, input: Input<Arc<Applied>>) {
        if let Some(running) = self.running(id, life) {
            running.member.step(input);
            self.settle(id);
        }
    }

    pub(crate) fn on_raft_tick(&mut self, id: u64, life: Life) {
        if self.running(id, life).is_some() {
            self.agenda.plan(self.now + TICK_MS, Event::RaftTick { server: id, life });
            self.step(id, life, Input::Tick);
        }
    }

    pub(crate) fn on_lead_tick(&mut self, id: u64, life: Life) {
        if self.running(id, life).is_some() {
            self.agenda.plan(self.now + LEAD_TICK_MS, Event::LeadTick { server: id, life });
            self.lead_tick(id);
            self.settle(id);
        }
    }

    pub(crate) fn on_raft(&mut self, from: u64, to: u64, life: Life, message: Message) {
        if !self.network.is_cut(Place::Server(from), Place::Server(to)) {
            self.step(to, life, Input::Message(message));
        }
    }

    pub(crate) fn on_written(&mut self, id: u64, life: Life) {
        let (now, stalled_until) = (self.now, self.server(id).stalled_until);
        let Some(running) = self.running(id, life) else { return };
        if stalled_until > now {
            return self.agenda.plan(stalled_until, Event::Written { server: id, life });
        }
        running.writing = false;
        let written = running.member.write();
        self.go_on(id, written.err());
    }

    pub(crate) fn on_apply(&mut self, id: u64, life: Life) {
        let Some(running) = self.running(id, life) else { return };
        running.applying = false;
        let applied = running.member.apply(&mut running.watcher);
        let installs = std::mem::take(&mut running.watcher.restored);
        self.counts.snapshot_installs += installs;
        self.go_on(id, applied.err());
    }

    pub(crate) fn on_build(&mut self, id: u64, life: Life) {
        let Some(running) = self.running(id, life) else { return };
        running.building = false;
        let built = running.member.build();
        self.counts.snapshots_built += 1;
        self.go_on(id, built.err());
    }

    /// Fetches the next chunk of a snapshot, as a call to the peer that has it.
    pub(crate) fn on_fetch(&mut self, id: u64, life: Life) {
        let Some(running) = self.running(id, life) else { return };
        running.fetching = false;
        let Some((from, entry, number)) = running.member.wants_chunk() else { return };
        let (here, there) = (Place::Server(id), Place::Server(from));
        let cut =
            self.network.is_cut(here, there) || self.network.is_cut(there, here) || self.network.loses();
        let paused = self.server(from).paused_until > self.now;
        let source = self.server(from).up.as_mut().filter(|_| !cut && !paused);
        let chunk = source.and_then(|source| source.member.serve_chunk(id, entry.index, number));
        self.settle(from);
        let Some(running) = self.running(id, life) else { return };
        let taken = running.member.take_chunk(entry, number, chunk.as_ref());
        self.go_on(id, taken.err());
    }

    fn go_on(&mut self, id: u64, error: Option<berth_scheduler::raft::member::Error>) {
        match error {
            None => self.settle(id),
            Some(_) if self.server(id).doomed => self.server_loses_power(id),
            Some(error) => self.fail(format!("server {id} cannot use its disk: {error}")),
        }
    }

    /// Lets the driver decide, passes on what it wants done, and plans what takes time.
    pub(crate) fn settle(&mut self, id: u64) {
        let Some(running) = self.server(id).up.as_mut() else { return };
        if let Err(error) = running.member.turn() {
            return self.go_on(id, Some(error));
        }
        let status = running.member.status().clone();
        let messages = running.member.take_messages();
        let answers = running.member.take_answers();
        if status.role == Role::Leader {
            self.ledger.lock().leads(status.term, id);
        }
        for message in messages {
            self.send(id, message);
        }
        for answer in answers {
            self.answer(id, answer);
        }
        self.lead_or_not(id, status.leader_ready_term);
        self.plan_work(id);
    }

    fn send(&mut self, from: u64, message: Message) {
        let to = message.to;
        if self.network.is_cut(Place::Server(from), Place::Server(to)) || self.network.loses() {
            if self.network.tells_of_loss()
                && let Some(running) = self.server(from).up.as_mut()
            {
                running.member.step(Input::Unreachable { peer: to });
            }
            return;
        }
        let at = self.network.arrival(from, to, self.now);
        let life = self.server(to).life;
        self.agenda.plan(at, Event::Raft { from, to, life, message: Box::new(message) });
    }

    fn answer(&mut self, id: u64, answer: Answer<Arc<Applied>>) {
        let Answer::Proposal { request, result } = answer else { return };
        let Some(running) = self.server(id).up.as_mut() else { return };
        match running.waiting.remove(&request) {
            Some(Waiting::Leader(term, ticket)) => {
                running.outcomes.push_back((term, ticket, result.map_err(NotApplied::from)));
                self.plan_lead_turn(id);
            }
            Some(Waiting::Client { request, try_number }) => {
                self.answer_client(id, request, try_number, result)
            }
            None => {}
        }
    }

    fn plan_work(&mut self, id: u64) {
        let now = self.now;
        let write = self.faults.write_time(self.options.write_max);
        let (apply, build, fetch) = (self.faults.short(2), self.faults.short(40), self.network.delay());
        let server = self.server(id);
        let (life, disk_free) = (server.life, server.stalled_until.max(now));
        let Some(running) = server.up.as_mut() else { return };
        let (wants_write, wants_apply) = (running.member.wants_write(), running.member.wants_apply());
        let (wants_build, wants_chunk) =
            (running.member.wants_build(), running.member.wants_chunk().is_some());
        let write_now = begins(&mut running.writing, wants_write);
        let apply_now = begins(&mut running.applying, wants_apply);
        let build_now = begins(&mut running.building, wants_build);
        let fetch_now = begins(&mut running.fetching, wants_chunk);
        let news = running.leader.is_some() && running.views.latest().applied > running.seen;
        if write_now {
            self.agenda.plan(disk_free + write, Event::Written { server: id, life });
        }
        if apply_now {
            self.agenda.plan(now + apply, Event::Apply { server: id, life });
        }
        if build_now {
            self.agenda.plan(now + build, Event::Build { server: id, life });
        }
        if fetch_now {
            self.agenda.plan(now + fetch, Event::Fetch { server: id, life });
        }
        if news {
            self.plan_lead_turn(id);
        }
    }
}

/// True when something is wanted and not yet on its way; then it is.
fn begins(on_its_way: &mut bool, wanted: bool) -> bool {
    wanted && !std::mem::replace(on_its_way, true)
}
