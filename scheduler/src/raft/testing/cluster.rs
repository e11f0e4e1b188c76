//! A cluster on one thread: virtual clock, seeded network, simulated disks. Links keep their order and may lose.

use std::collections::{BTreeMap, VecDeque};

use berth_core::id::{ClusterId, EntryId};
use prost::bytes::Bytes;
use raft::eraftpb::Message;

use crate::raft::config::{Settings, SnapshotPolicy};
use crate::raft::driver::{Answer, ChangeRequest, Input, Role};
use crate::raft::identity::Identity;
use crate::raft::jitter;
use crate::raft::machine::{Observer, StateMachine};
use crate::raft::member::Member;
use crate::raft::membership::{MemberId, Membership};
use crate::raft::recovery::Birth;
use crate::raft::sim_disk::{Faults, SimDisk};
use crate::raft::testing::Notebook;

const STEP_MS: u64 = 5;

/// What may go wrong, in parts of a thousand a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) crash: u64,
    pub(crate) cut: u64,
    pub(crate) lies_about_sync: bool,
}

pub(crate) struct Cluster {
    pub(crate) machines: BTreeMap<MemberId, Machine>,
    links: BTreeMap<(MemberId, MemberId), VecDeque<(u64, Message)>>,
    cut: Option<(MemberId, u64)>,
    pub(crate) now: u64,
    random: u64,
    settings: Settings,
    requests: BTreeMap<u64, Vec<u8>>,
    next_request: u64,
    pub(crate) acked: Vec<(EntryId, Vec<u8>)>,
    pub(crate) changes: Vec<Answer<usize>>,
    pub(crate) reads: Vec<Answer<usize>>,
    pub(crate) ledger: Ledger,
    seed: u64,
}

pub(crate) struct Machine {
    pub(crate) member: Option<Member<Notebook>>,
    pub(crate) log: SimDisk,
    snapshots: SimDisk,
    pub(crate) restart_at: u64,
    disk_free_at: u64,
    lives: u64,
}

/// The hash of the state at each index where any member stopped applying.
#[derive(Default)]
pub(crate) struct Ledger {
    hashes: BTreeMap<u64, u128>,
    leaders: BTreeMap<u64, MemberId>,
}

impl Ledger {
    fn compare(&mut self, machine: &Notebook, applied: EntryId) {
        let hash = machine.state_hash();
        let known = *self.hashes.entry(applied.index).or_insert(hash);
        assert_eq!(known, hash, "members differ at {}", applied.index);
    }
}

impl Observer<Notebook> for Ledger {
    fn on_batch(&mut self, machine: &Notebook, applied: EntryId, _: &[(EntryId, usize)]) {
        self.compare(machine, applied);
    }

    fn on_restored(&mut self, machine: &Notebook, applied: EntryId) {
        self.compare(machine, applied);
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        snapshots: SnapshotPolicy {
            every_entries: 100,
            every_bytes: 1 << 20,
            keep_entries: 30,
            keep_bytes: 0,
            keep_bytes_max: 1 << 20,
            hold_bytes_max: 1 << 20,
        },
        promotion_lag_max: 20,
        ..Settings::default()
    }
}

impl Cluster {
    pub(crate) fn new(seed: u64, members: u64) -> Self {
        let membership = Membership::first((1..=members).map(|id| (id, format!("member-{id}:1"))));
        let mut cluster = Self {
            machines: BTreeMap::new(),
            links: BTreeMap::new(),
            cut: None,
            now: 0,
            random: seed,
            settings: settings(),
            requests: BTreeMap::new(),
            next_request: 1,
            acked: Vec::new(),
            changes: Vec::new(),
            reads: Vec::new(),
            ledger: Ledger::default(),
            seed,
        };
        for id in 1..=members {
            let identity = Identity { cluster: ClusterId(7), member: id, incarnation: id };
            let birth = Birth::Bootstrap { identity: identity.clone(), membership: membership.clone() };
            cluster.add_machine(identity, &birth);
        }
        cluster
    }

    pub(crate) fn join(&mut self, id: MemberId) {
        let identity = Identity { cluster: ClusterId(7), member: id, incarnation: id };
        let birth = Birth::Join { identity: identity.clone() };
        self.add_machine(identity, &birth);
    }

    fn add_machine(&mut self, identity: Identity, birth: &Birth) {
        let id = identity.member;
        let log = SimDisk::new(self.seed ^ (id << 32));
        let snapshots = SimDisk::new(self.seed ^ (id << 40));
        let member = Member::open(
            log.backend(),
            snapshots.backend(),
            birth,
            Notebook::default(),
            &self.settings,
            self.seed,
        )
        .unwrap();
        let machine =
            Machine { member: Some(member), log, snapshots, restart_at: 0, disk_free_at: 0, lives: 1 };
        self.machines.insert(id, machine);
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        jitter::mix(self.random) % below
    }

    /// Runs for a while; `load` says whether proposals come in.
    pub(crate) fn run(&mut self, millis: u64, weather: &Weather, load: bool) {
        let until = self.now + millis;
        for machine in self.machines.values() {
            let faults = Faults { lies_about_sync: weather.lies_about_sync, ..Faults::default() };
            machine.log.set_faults(faults);
        }
        while self.now < until {
            self.now += STEP_MS;
            self.misfortune(weather);
            if load && self.draw(4) == 0 {
                self.propose();
            }
            let ids: Vec<MemberId> = self.machines.keys().copied().collect();
            for id in ids {
                self.move_on(id, weather);
            }
        }
    }

    fn misfortune(&mut self, weather: &Weather) {
        let victim = 1 + self.draw(u64::try_from(self.machines.len()).unwrap());
        if self.draw(1_000) < weather.crash {
            let pause = self.draw(2_000);
            self.crash(victim, pause);
        }
        if self.draw(1_000) < weather.cut {
            self.cut = Some((victim, self.now + 500 + self.draw(1_500)));
        }
        if self.cut.is_some_and(|(_, until)| self.now > until) {
            self.cut = None;
        }
    }

    /// The power of one machine goes for a while.
    pub(crate) fn crash(&mut self, id: MemberId, pause: u64) {
        let machine = self.machines.get_mut(&id).unwrap();
        machine.log.crash();
        machine.snapshots.crash();
        machine.member = None;
        machine.restart_at = self.now + pause;
        self.links.retain(|(from, to), _| *from != id && *to != id);
    }

    fn move_on(&mut self, id: MemberId, weather: &Weather) {
        if self.machines[&id].member.is_none() {
            if self.now >= self.machines[&id].restart_at {
                self.restart(id);
            }
            return;
        }
        if (self.now + id * STEP_MS).is_multiple_of(50) {
            self.member(id).step(Input::Tick);
        }
        for (from, _) in self.links.keys().copied().filter(|(_, to)| *to == id).collect::<Vec<_>>() {
            while let Some((due, _)) = self.links[&(from, id)].front() {
                if *due > self.now {
                    break;
                }
                let (_, message) = self.links.get_mut(&(from, id)).unwrap().pop_front().unwrap();
                self.member(id).step(Input::Message(message));
            }
        }
        self.member(id).turn().unwrap();
        if self.member(id).wants_write() && self.now >= self.machines[&id].disk_free_at {
            self.member(id).write().unwrap();
            let stall = if self.draw(200) == 0 { self.draw(400) } else { self.draw(10) };
            self.machines.get_mut(&id).unwrap().disk_free_at = self.now + stall;
        }
        let machine = self.machines.get_mut(&id).unwrap();
        machine.member.as_mut().unwrap().apply(&mut self.ledger).unwrap();
        if self.draw(20) == 0 {
            self.member(id).build().unwrap();
        }
        self.fetch(id, weather);
        self.collect(id, weather);
    }

    fn restart(&mut self, id: MemberId) {
        let machine = self.machines.get_mut(&id).unwrap();
        machine.lives += 1;
        let member = Member::open(
            machine.log.backend(),
            machine.snapshots.backend(),
            &Birth::Existing,
            Notebook::default(),
            &self.settings,
            self.seed ^ machine.lives,
        );
        machine.member = Some(member.unwrap());
    }

    fn fetch(&mut self, id: MemberId, weather: &Weather) {
        let Some((from, entry, number)) = self.member(id).wants_chunk() else { return };
        if self.is_cut(id, from) || self.draw(1_000) < weather.loss {
            return;
        }
        let Some(source) = self.machines.get_mut(&from).and_then(|machine| machine.member.as_mut()) else {
            self.member(id).take_chunk(entry, number, None).unwrap();
            return;
        };
        let chunk = source.serve_chunk(id, entry.index, number);
        self.member(id).take_chunk(entry, number, chunk.as_ref()).unwrap();
    }

    fn collect(&mut self, id: MemberId, weather: &Weather) {
        let status = self.member(id).status().clone();
        if status.role == Role::Leader {
            let known = *self.ledger.leaders.entry(status.term).or_insert(id);
            assert_eq!(known, id, "two leaders in term {}", status.term);
        }
        for message in self.member(id).take_messages() {
            let to = message.to;
            if self.is_cut(id, to) || self.draw(1_000) < weather.loss {
                if self.draw(2) == 0 {
                    self.member(id).step(Input::Unreachable { peer: to });
                }
                continue;
            }
            let delay = 1 + self.draw(20);
            let link = self.links.entry((id, to)).or_default();
            let due = link.back().map_or(0, |(due, _)| *due).max(self.now + delay);
            link.push_back((due, message));
        }
        for answer in self.member(id).take_answers() {
            match answer {
                Answer::Proposal { request, result } => {
                    let text = self.requests.remove(&request).unwrap();
                    if let Ok((entry, _)) = result {
                        self.acked.push((entry, text));
                    }
                }
                Answer::Change { .. } | Answer::Transfer { .. } => self.changes.push(answer),
                Answer::Read { .. } => self.reads.push(answer),
            }
        }
    }

    fn is_cut(&self, a: MemberId, b: MemberId) -> bool {
        self.cut.is_some_and(|(victim, _)| victim == a || victim == b)
    }

    pub(crate) fn member(&mut self, id: MemberId) -> &mut Member<Notebook> {
        self.machines.get_mut(&id).unwrap().member.as_mut().unwrap()
    }

    /// The leader of the highest term.
    pub(crate) fn leader(&self) -> Option<(MemberId, u64)> {
        self.machines
            .iter()
            .filter_map(|(id, machine)| Some((*id, machine.member.as_ref()?.status().leader_ready_term?)))
            .max_by_key(|(_, term)| *term)
    }

    pub(crate) fn propose(&mut self) {
        let Some((leader, term)) = self.leader() else { return };
        let request = self.next_request;
        self.next_request += 1;
        let length = usize::try_from(self.draw(200)).unwrap();
        let text = format!("{request}:{}", "x".repeat(length)).into_bytes();
        self.requests.insert(request, text.clone());
        self.member(leader).step(Input::Propose { request, term, data: Bytes::from(text) });
    }

    pub(crate) fn change(&mut self, change: ChangeRequest) {
        let (leader, _) = self.leader().expect("there is a leader");
        self.member(leader).step(Input::Change { request: 0, change });
    }

    /// Good weather until all agree; then everything that was acknowledged has to be there.
    pub(crate) fn heal_and_check(&mut self) {
        self.cut = None;
        for machine in self.machines.values_mut() {
            machine.restart_at = machine.restart_at.min(self.now);
        }
        self.run(12_000, &Weather::default(), true);
        self.run(3_000, &Weather::default(), false);
        let (leader, _) = self.leader().expect("the cluster finds a leader again");
        let membership = self.member(leader).status().membership.clone();
        let applied = self.member(leader).applied();
        let lines = self.member(leader).machine().lines.clone();
        for member in membership.members() {
            let own = self.member(member.id);
            assert_eq!(own.applied(), applied, "member {} has not caught up", member.id);
            assert_eq!(own.machine().lines, lines, "member {} has another state", member.id);
        }
        let mut by_text = std::collections::BTreeSet::new();
        for line in lines.iter() {
            assert!(by_text.insert(line.clone()), "an entry was applied twice");
        }
        for (entry, text) in &self.acked {
            assert!(by_text.contains(text), "the acknowledged entry {entry:?} is lost");
        }
        assert!(!self.acked.is_empty());
    }
}
