//! The agent's logic, without sockets, files, clocks and threads of its own.
//!
//! ```text
//! Input ──> handle ──> Output: dial, send, start, stop, remove
//!             │
//!             └─ journal: written, through a [`Disk`], before the outputs that rest on it are given out
//! ```
//! Whoever drives it performs the outputs in order and feeds back what comes of them. The daemon does so with
//! sockets and executors; the simulation with a virtual clock, network and disk. All that happens follows from the
//! inputs and the seed.

use std::path::PathBuf;

use berth_core::id::{AttemptHandle, JournalId};
use berth_core::job_spec::ExecutorKind;
use berth_core::time::{Millis, Timestamp};

pub use border::{Config, Figures, Input, Located, Output};
pub use opening::Opened;

use crate::attempts::{Attempts, Forgotten};
use crate::clock::{Boot, Now};
use crate::disk::Disk;
use crate::journal::{self, Journal};
use crate::message::{FromAgent, Known, ToAgent};
use crate::reconcile;
use crate::reports::Reports;
use crate::retention;
use crate::rogues::{self, Rogues};
use crate::session::{Session, Step};

mod acting;
mod border;
mod conversing;
mod ending;
mod opening;
#[cfg(test)]
mod tests;

/// How long it is quite normal that no server answers.
const ALONE_MAX: Millis = Millis(10_000);
/// The least time between two complaints that none does.
const COMPLAIN_EVERY: Millis = Millis(30_000);

/// When the removal of a directory that could not be removed is tried again, at the soonest.
const REMOVE_AGAIN_AFTER: Millis = Millis(600_000);

/// The agent's logic. See the module's text.
#[derive(Debug)]
pub struct Supervisor<D> {
    config: Config,
    journal: Journal<D>,
    attempts: Attempts,
    reports: Reports,
    session: Session,
    facts_told: bool,
    stopping: bool,
    sessions: u64,
    refused: u64,
    started: u64,
    rogues: Rogues,
    not_removed: u64,
    /// When it was last said that no server welcomes this node.
    complained: Boot,
}

impl<D: Disk> Supervisor<D> {
    /// Takes an input; gives what is to be done, in order.
    ///
    /// # Errors
    /// The journal cannot be written. The outputs of this input are lost, as by a crash; the agent has to end.
    pub fn handle(&mut self, input: Input, now: Now) -> Result<Vec<Output>, journal::Error> {
        let mut out = Vec::new();
        match input {
            Input::Connected(session) => {
                if self.session.connected(session, now.boot) {
                    self.facts_told = true;
                    let message = FromAgent::Hello(Box::new(self.hello()));
                    out.push(Output::Send { session, message });
                }
            }
            Input::Said(session, said) if self.session.is(session) => match said {
                ToAgent::Refused(refusal) => self.refused(session, &refusal, now, &mut out),
                ToAgent::Fenced(fence, said) => self.said(session, &fence, said, now, &mut out)?,
            },
            Input::Said(..) => {}
            Input::Disconnected(session) => {
                if self.session.open() == Some(session) {
                    tracing::info!(node = self.config.node, "the session with the leader is lost");
                }
                self.session.closed(session, None, now.boot);
            }
            Input::Executor(event) => self.executor(event, now, &mut out)?,
            Input::Facts(facts) => {
                self.facts_told &= self.config.facts == *facts;
                self.config.facts = *facts;
            }
            Input::Sizes(sizes) => {
                let over = retention::over_bytes(&self.attempts, &sizes, self.config.retention);
                self.drop_logs(&over, now.wall);
            }
            Input::Rogues(kind, names) => self.rogues_seen(kind, names, now.boot, &mut out),
            Input::StopAll => self.stop_all(&mut out)?,
            Input::Tick => {}
        }
        self.settle(now, &mut out)?;
        Ok(out)
    }

    /// When [`Input::Tick`] is to come next, if nothing else comes before.
    pub fn wake(&self) -> Boot {
        let contact = self.session.contact();
        let deadline = self.attempts.deadlines().next().map(|(deadline, _)| deadline);
        let leash = self.attempts.leashes().next().map(|(span, _)| contact + span);
        let in_flight = self.reports.in_flight().filter(|_| self.session.open().is_some());
        let resend = in_flight.map(|sent| sent + self.session.lease());
        [deadline, leash, resend].into_iter().flatten().fold(self.session.wake(), Boot::min)
    }

    /// True when nothing runs.
    pub fn is_idle(&self) -> bool {
        self.attempts.live() == 0
    }

    /// True when the server has taken everything that there is to report.
    pub fn all_reported(&self) -> bool {
        self.reports.is_empty()
    }

    /// The data directory's id.
    pub fn journal(&self) -> JournalId {
        self.journal.id()
    }

    /// What is known of the cluster.
    pub fn known(&self) -> &Known {
        self.journal.known()
    }

    /// The attempts as the agent sees them.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Where an attempt's logs are; `None` when they are gone or never were here.
    pub fn locate(&self, attempt: AttemptHandle) -> Option<Located> {
        let (name, kind, over) = match (self.attempts.get(attempt), self.attempts.forgotten(attempt)) {
            (Some(known), _) => (&known.name, known.kind()?, !known.is_live()),
            (None, Some(Forgotten { name, kind, .. })) => (name, *kind, true),
            (None, None) => return None,
        };
        Some(Located { dir: self.dir(name), kind, over })
    }

    /// The directories of forgotten attempts, for [`Input::Sizes`].
    pub fn forgotten(&self) -> Vec<(AttemptHandle, PathBuf)> {
        let dir = |attempt| self.attempts.forgotten(attempt).map(|forgotten| self.dir(&forgotten.name));
        self.attempts.by_age().filter_map(|(_, attempt)| Some((attempt, dir(attempt)?))).collect()
    }

    /// Figures for metrics.
    pub fn figures(&self) -> Figures {
        Figures {
            live: self.attempts.live(),
            ended: self.attempts.ended(),
            forgotten: self.attempts.by_age().len(),
            reports: self.reports.len(),
            sessions: self.sessions,
            refused: self.refused,
            started: self.started,
            rogues: self.rogues.len(),
            not_removed: self.not_removed,
            connected: self.session.open().is_some(),
        }
    }

    /// The disk, for a simulation that goes on with it after a crash.
    pub fn into_disk(self) -> D {
        self.journal.into_disk()
    }

    /// Does what has become due.
    fn settle(&mut self, now: Now, out: &mut Vec<Output>) -> Result<(), journal::Error> {
        let due = reconcile::overdue(&self.attempts, now.boot, self.session.contact());
        self.act(due, now, out)?;
        while let Some(step) = self.session.due(now.boot) {
            out.push(match step {
                Step::Dial { session, address } => Output::Dial { session, address },
                Step::HangUp { session } => Output::HangUp { session },
                Step::Heartbeat { session } => Output::Send {
                    session,
                    message: FromAgent::Heartbeat {
                        boot: now.boot,
                        applied: self.session.applied(),
                        time: now.wall,
                    },
                },
            });
        }
        self.speak(now, out);
        self.complain(now.boot);
        let old = retention::over_age(&self.attempts, now.wall, self.config.retention);
        self.drop_logs(&old, now.wall);
        Ok(())
    }

    /// Sends what the leader does not know yet.
    fn speak(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(session) = self.session.open() else { return };
        if !self.facts_told {
            self.facts_told = true;
            let message = FromAgent::FactsChanged(Box::new(self.config.facts.clone()));
            out.push(Output::Send { session, message });
        }
        if self.reports.in_flight().is_some_and(|sent| sent + self.session.lease() <= now.boot) {
            self.reports.retry();
        }
        if let Some(reports) = self.reports.batch(now.boot) {
            let epoch = self.journal.known().epoch;
            out.push(Output::Send { session, message: FromAgent::Reports { epoch, reports } });
        }
    }

    /// Says now and then that nobody welcomes this node, so that a wrong address is noticed.
    fn complain(&mut self, now: Boot) {
        let alone = now.since(self.session.contact());
        let quiet = self.session.open().is_some() || alone < ALONE_MAX;
        if quiet || now.since(self.complained) < COMPLAIN_EVERY {
            return;
        }
        self.complained = now;
        let servers = self.config.servers.join(", ");
        tracing::warn!(node = self.config.node, servers, "no server has welcomed this node for {alone}");
    }

    /// What the journal knows is no rogue, whatever the executor has heard of it.
    fn rogues_seen(&mut self, kind: ExecutorKind, mut names: Vec<String>, now: Boot, out: &mut Vec<Output>) {
        names.retain(|name| self.attempts.iter().all(|(_, attempt)| attempt.name != *name));
        let look = self.rogues.look(kind, names, now);
        let node = &self.config.node;
        for name in look.new {
            let kill_after = rogues::KILL_AFTER;
            tracing::error!(
                node,
                executor = kind.word(),
                name,
                "what runs here belongs to no attempt; it is killed after {kill_after}"
            );
        }
        for name in look.overdue {
            tracing::error!(node, executor = kind.word(), name, "what belongs to no attempt is killed");
            out.push(Output::KillRogue { kind, name });
        }
    }

    /// Puts directories aside. One that does not go stays for now: the agent has better to do than to end over it.
    fn drop_logs(&mut self, attempts: &[AttemptHandle], now: Timestamp) {
        for &handle in attempts {
            let Some(forgotten) = self.attempts.take_forgotten(handle) else { continue };
            if let Err(error) = self.journal.remove(&forgotten.name) {
                tracing::warn!(
                    attempt = forgotten.name,
                    error = &error as &dyn std::error::Error,
                    "what is left of an attempt cannot be removed; it is tried again later"
                );
                self.not_removed += 1;
                self.attempts
                    .insert_forgotten(handle, Forgotten { at: now + REMOVE_AGAIN_AFTER, ..forgotten });
            }
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        attempt_dir(&self.config, name)
    }
}

fn attempt_dir(config: &Config, name: &str) -> PathBuf {
    config.data_dir.join(journal::ATTEMPTS).join(name)
}
