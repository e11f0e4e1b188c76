//! The state machine: one command in, the next state, an answer and events out.
//!
//! `apply` is total: every well-formed command is answered, done or refused. It is deterministic: ids come from
//! counters in the state, time comes in the command. It asserts only on what can be nothing but corruption.

mod advance;
mod fire;
mod job;
mod node;
mod placement;
mod report;
mod retention;
mod run;
mod step;
mod task;
mod tenant;
#[cfg(test)]
pub(crate) mod tests;

use crate::command::{Command, Envelope};
use crate::event::Event;
use crate::hash;
use crate::id::{EntryId, RequestId, StepHandle};
use crate::reply::{Applied, Refusal, Reply};
use crate::state::{RequestRecord, State};
use crate::time::Timestamp;

/// Applies the command of one entry.
pub fn apply(state: &mut State, entry: EntryId, envelope: Envelope) -> Applied {
    let at = state.tables.header.time;
    let refused = |refusal| Applied { reply: Reply::Refused(refusal), events: Vec::new(), at };
    if envelope.term != entry.term {
        return refused(Refusal::StaleTerm);
    }
    if envelope.cluster_epoch != state.tables.header.cluster_epoch {
        return refused(Refusal::StaleClusterEpoch);
    }
    if let Some(reply) = envelope.request.and_then(|key| first_answer(state, key, &envelope.command)) {
        return Applied { reply, events: Vec::new(), at };
    }
    let fingerprint = envelope.request.map(|_| hash::of(&envelope.command));

    state.tables.header.time = state.tables.header.time.max(envelope.time);
    let mut change = Change {
        now: state.tables.header.time,
        entry,
        actor: envelope.actor,
        budget: state.limits.transitions,
        to_open: Vec::new(),
        events: Vec::new(),
        state,
    };
    match change.dispatch(envelope.command) {
        Ok(reply) => {
            change.open_steps();
            if let Some((key, fingerprint)) = envelope.request.zip(fingerprint) {
                change.remember_request(key, fingerprint, &reply);
            }
            Applied { reply, events: change.events, at: change.now }
        }
        // A refusal changes nothing and is not remembered: asked again later, it may be done.
        Err(refusal) => refused(refusal),
    }
}

/// The answer that a request with this key was given before; `None` for a new one. A key that was used for something
/// else is refused.
pub fn first_answer(state: &State, key: RequestId, command: &Command) -> Option<Reply> {
    let known = state.tables.requests.get(&key)?;
    // Not the actor: asked again by way of another server, one without a name is known by another address.
    match known.fingerprint == hash::of(command) {
        true => Some(known.reply.clone()),
        false => Some(Reply::Refused(Refusal::KeyReused)),
    }
}

/// One command at work: the state it changes, and what it has to say about it.
struct Change<'a> {
    state: &'a mut State,
    entry: EntryId,
    now: Timestamp,
    actor: String,
    /// Changes that may still be made in this entry; what is left over goes on by a timer.
    budget: usize,
    /// Steps whose time has come. They are opened one after the other at the end: a chain of empty ones may be long.
    to_open: Vec<StepHandle>,
    events: Vec<Event>,
}

impl Change<'_> {
    fn dispatch(&mut self, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::ApplyTenant(spec) => self.apply_tenant(spec),
            Command::Submit(submit) => self.submit(submit),
            Command::StopJob { tenant, job } => self.stop_job(&tenant, &job),
            Command::CancelRun { run } => self.cancel_run_with_id(run),
            Command::RegisterNode(registration) => self.register_node(registration),
            Command::LoseNode { node, epoch } => self.lose_node(node, epoch),
            Command::DrainNode { node, drain } => self.drain_node(&node, drain),
            Command::RemoveNode { node } => self.remove_node(&node),
            Command::Place(placements) => Ok(self.place_all(&placements)),
            Command::Report(report) => self.take_report(report),
            Command::Fire(fires) => Ok(self.fire_all(fires)),
            Command::Advance => Ok(self.advance()),
            // Compared by whoever holds the state; it changes nothing.
            Command::CheckHash { .. } => Ok(Reply::Done),
        }
    }

    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Counts one change; false when there is no room for it in this entry.
    fn spend(&mut self) -> bool {
        let room = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        room
    }

    /// Counts as many changes, whether there is room for them or not.
    fn spend_all(&mut self, changes: usize) {
        self.budget = self.budget.saturating_sub(changes);
    }

    fn remember_request(&mut self, key: RequestId, fingerprint: u128, reply: &Reply) {
        let record = RequestRecord { fingerprint, reply: reply.clone(), at: self.now };
        self.state.tables.requests.insert(key, record);
        self.retain_request(key);
    }
}
