//! What the agent observes of its attempts: a table without files and clocks.

use std::collections::{BTreeMap, BTreeSet};

use berth_core::command::AttemptUpdate;
use berth_core::id::AttemptHandle;
use berth_core::job_spec::{ExecutorKind, OnDisconnect};
use berth_core::time::{Millis, Timestamp};

use crate::clock::Boot;
use crate::journal::State;
use crate::message::{Launch, Program};

/// An attempt that the server has not told to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The name of its directory.
    pub name: String,
    /// What it runs; `None` when it was told to stop before it was told to start.
    pub launch: Option<Box<Launch>>,
    /// Whether it has a directory, so that it can be found again.
    pub kept: bool,
    /// How far it came, as in the journal.
    pub state: State,
    /// This process has asked its executor to stop it.
    pub stopping: bool,
    /// The server does not know it: when it is over it is forgotten, and nobody is told.
    pub unwanted: bool,
    /// How it ended; `None` while something of it may run.
    pub end: Option<AttemptUpdate>,
}

/// An attempt of which only logs are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// The name of its directory.
    pub name: String,
    /// What ran it.
    pub kind: ExecutorKind,
    /// Since when.
    pub at: Timestamp,
}

/// All attempts that the agent knows, with the instants by which something is to be done about them.
#[derive(Debug, Default)]
pub struct Attempts {
    known: BTreeMap<AttemptHandle, Attempt>,
    forgotten: BTreeMap<AttemptHandle, Forgotten>,
    /// The forgotten by age.
    ages: BTreeSet<(Timestamp, AttemptHandle)>,
    names: BTreeSet<String>,
    live: usize,
    /// When live attempts have run for as long as they may.
    deadlines: BTreeSet<(Boot, AttemptHandle)>,
    /// How long live attempts go on without contact to the servers.
    leashes: BTreeSet<(Millis, AttemptHandle)>,
}

impl Attempt {
    /// True while something of it may run.
    pub fn is_live(&self) -> bool {
        self.end.is_none()
    }

    /// What runs it; `None` when nothing ever will.
    pub fn kind(&self) -> Option<ExecutorKind> {
        self.launch.as_ref().map(|launch| kind_of(&launch.program))
    }

    fn deadline(&self) -> Option<Boot> {
        let timeout = self.launch.as_ref()?.timeout?;
        self.state.started.map(|(_, boot)| boot + timeout)
    }

    fn leash(&self) -> Option<Millis> {
        match self.launch.as_ref()?.on_disconnect {
            OnDisconnect::Keep => None,
            OnDisconnect::StopAfter(span) => Some(span),
        }
    }
}

/// The kind of executor that a program needs.
pub fn kind_of(program: &Program) -> ExecutorKind {
    match program {
        Program::Exec { .. } => ExecutorKind::Exec,
        Program::Docker { .. } => ExecutorKind::Docker,
        Program::Fake { .. } => ExecutorKind::Fake,
    }
}

impl Attempts {
    /// An attempt that is not forgotten.
    pub fn get(&self, attempt: AttemptHandle) -> Option<&Attempt> {
        self.known.get(&attempt)
    }

    /// An attempt of which only logs are left.
    pub fn forgotten(&self, attempt: AttemptHandle) -> Option<&Forgotten> {
        self.forgotten.get(&attempt)
    }

    /// All that are not forgotten.
    pub fn iter(&self) -> impl Iterator<Item = (AttemptHandle, &Attempt)> {
        self.known.iter().map(|(&handle, attempt)| (handle, attempt))
    }

    /// How many are not over.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many are over and not forgotten.
    pub fn ended(&self) -> usize {
        self.known.len() - self.live
    }

    /// True when a directory of that name is in use.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Adds an attempt.
    pub fn insert(&mut self, handle: AttemptHandle, attempt: Attempt) {
        if attempt.kept {
            self.names.insert(attempt.name.clone());
        }
        self.watch(handle, &attempt);
        self.known.insert(handle, attempt);
    }

    /// Changes an attempt and gives it as it is then; `None` when it is not known.
    pub fn update(&mut self, handle: AttemptHandle, change: impl FnOnce(&mut Attempt)) -> Option<&Attempt> {
        let mut attempt = self.known.remove(&handle)?;
        self.unwatch(handle, &attempt);
        change(&mut attempt);
        self.watch(handle, &attempt);
        Some(self.known.entry(handle).or_insert(attempt))
    }

    /// Takes out an attempt that is over.
    pub fn take(&mut self, handle: AttemptHandle) -> Option<Attempt> {
        let attempt = self.known.remove(&handle)?;
        self.unwatch(handle, &attempt);
        self.names.remove(&attempt.name);
        Some(attempt)
    }

    /// Keeps the name of an attempt of which logs are left.
    pub fn insert_forgotten(&mut self, handle: AttemptHandle, forgotten: Forgotten) {
        self.ages.insert((forgotten.at, handle));
        self.names.insert(forgotten.name.clone());
        self.forgotten.insert(handle, forgotten);
    }

    /// Takes out an attempt of which logs were left.
    pub fn take_forgotten(&mut self, handle: AttemptHandle) -> Option<Forgotten> {
        let forgotten = self.forgotten.remove(&handle)?;
        self.ages.remove(&(forgotten.at, handle));
        self.names.remove(&forgotten.name);
        Some(forgotten)
    }

    /// The forgotten, oldest first.
    pub fn by_age(&self) -> impl ExactSizeIterator<Item = (Timestamp, AttemptHandle)> {
        self.ages.iter().copied()
    }

    /// Live attempts by when they have run for as long as they may, soonest first; without those that were asked to
    /// stop.
    pub fn deadlines(&self) -> impl Iterator<Item = (Boot, AttemptHandle)> {
        self.deadlines.iter().copied()
    }

    /// Live attempts by how long they go on without contact, shortest first; without those that were asked to stop.
    pub fn leashes(&self) -> impl Iterator<Item = (Millis, AttemptHandle)> {
        self.leashes.iter().copied()
    }

    fn watch(&mut self, handle: AttemptHandle, attempt: &Attempt) {
        if !attempt.is_live() {
            return;
        }
        self.live += 1;
        if !attempt.stopping {
            self.deadlines.extend(attempt.deadline().map(|deadline| (deadline, handle)));
            self.leashes.extend(attempt.leash().map(|leash| (leash, handle)));
        }
    }

    fn unwatch(&mut self, handle: AttemptHandle, attempt: &Attempt) {
        if !attempt.is_live() {
            return;
        }
        self.live -= 1;
        if let Some(deadline) = attempt.deadline() {
            self.deadlines.remove(&(deadline, handle));
        }
        if let Some(leash) = attempt.leash() {
            self.leashes.remove(&(leash, handle));
        }
    }
}
