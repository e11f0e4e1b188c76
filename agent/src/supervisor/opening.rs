//! Coming up: the journal says what was begun, the executors say what became of it.

use std::collections::BTreeMap;

use berth_core::command::AttemptUpdate;
use berth_core::id::AttemptHandle;
use berth_core::job_spec::ExecutorKind;
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_executors::executor::{End, Found, Launch};

use super::acting::executor_launch;
use super::{Config, Supervisor};
use crate::attempts::{Attempt, Attempts, Forgotten, kind_of};
use crate::clock::{Boot, Now};
use crate::disk::Disk;
use crate::journal::{self, Journal, Kept};
use crate::message::Intent;
use crate::reports::Reports;
use crate::rogues::Rogues;
use crate::session::Session;

/// An agent that has read its journal and has not looked at the machine yet.
#[derive(Debug)]
pub struct Opened<D> {
    config: Config,
    journal: Journal<D>,
    attempts: Attempts,
    known: BTreeMap<ExecutorKind, Vec<Launch>>,
}

impl<D: Disk> Opened<D> {
    /// Reads the journal.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn open(config: Config, disk: D) -> Result<Opened<D>, journal::Error> {
        let (journal, kept) = Journal::open(disk, config.fresh_journal, &config.boot_id)?;
        let mut opened = Opened { config, journal, attempts: Attempts::default(), known: BTreeMap::new() };
        for kept in kept {
            opened.take(kept);
        }
        Ok(opened)
    }

    fn take(&mut self, kept: Kept) {
        let handle = kept.order.attempt;
        let Intent::Start(launch) = kept.order.intent else { return };
        let kind = kind_of(&launch.program);
        if let Some(at) = kept.forgotten {
            self.attempts.insert_forgotten(handle, Forgotten { name: kept.order.name, kind, at });
            return;
        }
        let of_this_boot = kept.boot_id == self.config.boot_id;
        let known = executor_launch(&self.config, &kept.boot_id, handle, &kept.order.name, &launch);
        self.known.entry(kind).or_default().push(known);
        let mut state = kept.state;
        state.started = state.started.filter(|_| of_this_boot);
        let attempt = Attempt {
            name: kept.order.name,
            launch: Some(launch),
            kept: true,
            state,
            stopping: false,
            unwanted: false,
            end: kept.end,
        };
        self.attempts.insert(handle, attempt);
    }

    /// What each executor is to be asked about with [`Executor::recover`](berth_executors::executor::Executor), before
    /// [`Opened::resume`]. Attempts that are over are among them, because what is left of them is to be removed later.
    pub fn known(&self, kind: ExecutorKind) -> Vec<Launch> {
        self.known.get(&kind).cloned().unwrap_or_default()
    }

    /// Goes on with what the executors found. An attempt that was taken on and left no trace has ended with the
    /// process that took it on: whether it was begun cannot be known for certain, so it is never started again here,
    /// and a lost node does not count against the task's retries.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn resume(self, found: Vec<Found>, now: Now) -> Result<Supervisor<D>, journal::Error> {
        let contact = self.journal.contact().unwrap_or(now.boot).min(now.boot);
        let session = Session::new(self.config.servers.clone(), self.config.seed, now.boot, contact);
        let mut supervisor = Supervisor {
            config: self.config,
            journal: self.journal,
            attempts: self.attempts,
            reports: Reports::default(),
            session,
            facts_told: true,
            stopping: false,
            sessions: 0,
            refused: 0,
            started: 0,
            rogues: Rogues::default(),
            not_removed: 0,
            complained: Boot::default(),
        };
        for (attempt, end) in supervisor.attempts.iter() {
            // The server takes them again or passes over them.
            if let Some(end) = &end.end {
                supervisor.reports.push(attempt, end.clone());
            }
        }
        let mut traces: BTreeMap<AttemptHandle, Found> = found
            .into_iter()
            .map(|found| match &found {
                Found::Running { attempt, .. } | Found::Ended { attempt, .. } => (*attempt, found),
            })
            .collect();
        let live: Vec<AttemptHandle> =
            supervisor.attempts.iter().filter(|(_, a)| a.is_live()).map(|(handle, _)| handle).collect();
        for attempt in live {
            match traces.remove(&attempt) {
                Some(Found::Running { started, .. }) => supervisor.found_running(attempt, started, now)?,
                Some(Found::Ended { end, .. }) => supervisor.found_ended(attempt, end, now)?,
                None => supervisor.found_ended(attempt, lost(now.wall), now)?,
            }
        }
        Ok(supervisor)
    }
}

impl<D: Disk> Supervisor<D> {
    fn found_running(
        &mut self,
        attempt: AttemptHandle,
        started: Timestamp,
        now: Now,
    ) -> Result<(), journal::Error> {
        let noted = self.attempts.get(attempt).and_then(|attempt| attempt.state.started);
        match noted {
            // The report may have been lost with the process.
            Some((at, _)) => {
                let update = AttemptUpdate::Started { at };
                self.reports.push(attempt, update);
                Ok(())
            }
            None => {
                let since = Boot(now.boot.0.saturating_sub(now.wall.since(started).0));
                self.runs(attempt, started, since)
            }
        }
    }

    fn found_ended(&mut self, attempt: AttemptHandle, end: End, now: Now) -> Result<(), journal::Error> {
        // Nothing is unwanted yet, so nothing is to be removed.
        self.ended(attempt, end, now, &mut Vec::new())
    }
}

/// The end of an attempt of which nothing is left.
fn lost(at: Timestamp) -> End {
    End {
        reason: EndReason::NodeLost,
        started: None,
        finished: at,
        memory_peak: 0,
        cpu_ms: 0,
        output: Vec::new(),
    }
}
