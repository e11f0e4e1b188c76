//! The servers' wall clocks: each asks its peers what time it is, as the production shell does, and now and then one is
//! set wrong.

use berth_core::time::Timestamp;
use berth_scheduler::clock::{Boot, Reading};

use super::agenda::{Event, Life};
use super::network::Place;
use super::server::SERVERS;
use super::simulation::Simulation;

/// Between two rounds of questions.
const ROUND_MS: u64 = 500;
/// From one wrong clock to the next: what was said by it no longer counts anywhere by then.
const APART_MS: u64 = 12_000;

impl Simulation {
    /// What the time is, as far as a server knows.
    pub(crate) fn reading(&self, id: u64) -> Option<Reading> {
        let server = &self.servers[usize::try_from(id - 1).expect("ids are small")];
        let frame = server.up.as_ref()?.frame;
        Some(frame.read(server.clocks(self.now)))
    }

    pub(crate) fn on_clock_round(&mut self, id: u64, life: Life) {
        if self.running(id, life).is_none() {
            return;
        }
        for peer in (1..=SERVERS).filter(|peer| *peer != id) {
            let (here, there) = (Place::Server(id), Place::Server(peer));
            let cut = self.network.is_cut(here, there) || self.network.is_cut(there, here);
            let asleep = self.server(peer).up.is_none() || self.server(peer).paused_until > self.now;
            if cut || asleep || self.network.loses() || self.network.loses() {
                continue;
            }
            let (there, back) = (self.network.delay(), self.network.delay());
            let (sent, arrives) = (self.now, self.now + there);
            let wall = self.server(peer).wall(arrives);
            let answer = Event::ClockAnswer { server: id, life, peer, sent, wall };
            self.agenda.plan(arrives + back, answer);
        }
        self.look_at_clock(id);
        self.agenda.plan(self.now + ROUND_MS, Event::ClockRound { server: id, life });
    }

    pub(crate) fn on_clock_answer(&mut self, id: u64, life: Life, peer: u64, sent: u64, wall: Timestamp) {
        let now = self.now;
        let Some(running) = self.running(id, life) else { return };
        running.clock.measured(peer, Boot(sent), Boot(now), wall);
        self.look_at_clock(id);
    }

    fn look_at_clock(&mut self, id: u64) {
        let now = self.now;
        let server = self.server(id);
        let clocks = server.clocks(now);
        if let Some(running) = server.up.as_mut() {
            let stamped = running.views.latest().state.time();
            running.frame = running.clock.look(clocks, stamped);
        }
    }

    /// Sets one clock wrong for a while, one at a time: a majority that is wrong together cannot be told from one that
    /// is right.
    pub(crate) fn a_clock_goes_wrong(&mut self, id: u64, by: i64, span: u64) {
        let last = self.clock_right_since;
        if self.servers.iter().any(|server| server.wrong != 0)
            || last.is_some_and(|at| at + APART_MS > self.now)
        {
            return;
        }
        self.counts.wrong_clocks += 1;
        self.ledger.lock().tell(|| format!("the clock of server {id} is wrong by {by} for {span}"));
        self.server(id).wrong = by;
        self.agenda.plan(self.now + span, Event::ClockIsRight { server: id });
    }

    pub(crate) fn on_clock_is_right(&mut self, id: u64) {
        if self.server(id).wrong != 0 {
            self.server(id).wrong = 0;
            self.clock_right_since = Some(self.now);
        }
    }
}
