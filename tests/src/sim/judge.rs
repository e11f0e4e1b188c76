//! What has to be true when everything is over.

use berth_core::due;
use berth_core::invariants;
use berth_core::model::RunState;
use berth_core::state::State;
use berth_core::time::Timestamp;
use berth_proto::convert::snapshot;

use super::client::acknowledged_and_absent;
use super::simulation::{EPOCH, Simulation};

/// A due instant is decided within this time once all is mended.
const FIRE_BOUND_MS: u64 = 2_500;

impl Simulation {
    /// True when no run, no attempt and no message is left that could change anything.
    pub(crate) fn nothing_goes_on(&self) -> bool {
        let ledger = self.ledger.lock();
        let last = ledger.last();
        let caught_up = self
            .servers
            .iter()
            .all(|server| server.up.as_ref().is_some_and(|running| running.member.applied().index >= last));
        caught_up
            && ledger.latest().index().active_runs.is_empty()
            && self.agents.iter().all(|agent| agent.up.is_some())
            && self.live_on_agents().values().all(|live| *live == 0)
            && self
                .agents
                .iter()
                .all(|agent| agent.up.as_ref().is_some_and(|up| up.supervisor.all_reported()))
    }

    /// Says what is still there after the time for it is over.
    pub(crate) fn what_is_not_over(&self) -> String {
        let ledger = self.ledger.lock();
        let state = ledger.latest();
        let mut what = format!(
            "not everything is over: {} unanswered requests, live on agents {:?}",
            self.client.unanswered(),
            self.live_on_agents()
        );
        for server in &self.servers {
            let stands =
                server.up.as_ref().map(|running| (running.member.applied(), running.member.status().role));
            what.push_str(&format!("\n  server {} {stands:?} of {}", server.id, ledger.last()));
        }
        for (_, node) in state.tables().nodes.iter() {
            what.push_str(&format!(
                "\n  {} {:?} reported {} drain {:?}",
                node.name, node.state, node.reported, node.drain
            ));
        }
        for (_, run) in state.index().active_runs.iter().copied().take(3) {
            what.push_str(&format!("\n  {run:?} {:?}", state.run(run).state));
            for step in state.run(run).step_handles() {
                what.push_str(&format!("\n    {:?}", state.step(step)));
            }
            for (handle, attempt) in state.tables().attempts.iter() {
                if attempt.is_live() && state.step(state.task(attempt.task).step).run == run {
                    what.push_str(&format!("\n    live: {handle:?} {attempt:?}"));
                }
            }
        }
        what
    }

    /// Once all is mended no instant stays undecided.
    pub(crate) fn every_due_fire_is_decided(&mut self) {
        let now = Timestamp(EPOCH + self.now - FIRE_BOUND_MS);
        let late = due::fires(self.ledger.lock().latest(), now, 1);
        if let Some(fire) = late.first() {
            self.fail(format!("{:?} has not decided {:?}", fire.job, fire.decisions));
        }
    }

    /// The last look.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        let state = self.ledger.lock().latest().clone();
        for server in &self.servers {
            let member = &server.up.as_ref().ok_or("a server is down at the end")?.member;
            let hash = member.machine().machine().state().hash();
            if hash != state.hash() {
                return Err(format!("server {} ends in another state", server.id));
            }
        }
        invariants::check(&state).map_err(|broken| broken.to_string())?;
        every_run_has_ended(&state)?;
        a_snapshot_gives_the_same_state(&state)?;
        for (key, command, index, reply) in self.client.acknowledged() {
            if index > self.ledger.lock().last() {
                return Err(format!("the acknowledged entry {index} is past the end of the log"));
            }
            if let Some(what) = acknowledged_and_absent(&state, command, reply) {
                return Err(what);
            }
            let kept = state.tables().requests.get(&key).map(|record| &record.reply);
            if !Simulation::was_refused(reply) && kept != Some(reply) {
                return Err(format!("the answer to {key} was {reply:?} and is {kept:?}"));
            }
        }
        self.attempts_run_once(&state)
    }
}

fn every_run_has_ended(state: &State) -> Result<(), String> {
    for (handle, run) in state.tables().runs.iter() {
        if !matches!(run.state, RunState::Ended { .. }) {
            return Err(format!("{handle:?} has not ended: {:?}", run.state));
        }
    }
    Ok(())
}

fn a_snapshot_gives_the_same_state(state: &State) -> Result<(), String> {
    let chunks: Vec<Vec<u8>> = snapshot::encode(state.tables()).collect();
    let tables = snapshot::decode(chunks).map_err(|error| error.to_string())?;
    match State::from_tables(tables).hash() == state.hash() {
        true => Ok(()),
        false => Err("a snapshot restores to another state".to_owned()),
    }
}
