use berth_core::command::{Command, Fire, TRANSITIONS_MAX};
use berth_core::due;
use berth_core::event::Event;
use berth_core::id::{EntryId, NodeHandle};
use berth_core::model::NodeState;
use berth_core::placement::Planner;
use berth_core::time::Millis;

use super::lease::Leases;
use super::{NotApplied, Now};
use crate::machine::HASH_EVERY;
use crate::publish::{Past, View};

/// After a proposal that was not taken a duty waits this long.
const PAUSE: Millis = Millis(50);
/// After one that can never be taken as it is.
const LONG_PAUSE: Millis = Millis::from_secs(10);

/// What a leader sees to. Each duty has at most one proposal under way: the next is made on a state that has the one
/// before in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Duty {
    Place,
    Fire,
    Advance,
    LoseNode,
    CheckHash,
}

const DUTIES: [Duty; 5] = [Duty::Place, Duty::Fire, Duty::Advance, Duty::LoseNode, Duty::CheckHash];

/// Where a duty stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Free,
    /// Its proposal is under way.
    Proposed,
    /// Its proposal is applied; it goes on when the view has this entry.
    Applied(EntryId),
    /// Its proposal was not taken; it goes on at this time.
    Paused(Millis),
}

/// The duties of a leader.
#[derive(Debug)]
pub(super) struct Duties {
    pub(super) leases: Leases,
    planner: Planner,
    turns: [Turn; DUTIES.len()],
    /// Nothing has changed since a pass found no place for anything.
    nothing_fits: bool,
    /// The most placements of one pass; less after one that did not fit into an entry.
    placements_max: usize,
    /// The index of the last hash that was proposed.
    hash_checked: u64,
    /// The node that is being declared lost.
    losing: Option<NodeHandle>,
}

impl Duties {
    pub(super) fn new(lease: Millis, view: &View, now: Now) -> Duties {
        Duties {
            leases: Leases::new(lease, &view.state, now.steady),
            planner: Planner::new(&view.state),
            turns: [Turn::Free; DUTIES.len()],
            nothing_fits: false,
            placements_max: TRANSITIONS_MAX,
            hash_checked: view.applied.index,
            losing: None,
        }
    }

    /// Goes by a view of which the events are not all known. What is under way stays so: its outcomes still come.
    pub(super) fn rebuild(&mut self, view: &View, now: Now) {
        self.leases.reconcile(&view.state, now.steady);
        self.planner = Planner::new(&view.state);
        self.nothing_fits = false;
    }

    /// True while the node is being declared lost: whatever its agent says, its attempts go elsewhere, so it has to
    /// register anew before it may go on.
    pub(super) fn gives_up(&self, node: NodeHandle) -> bool {
        self.losing == Some(node)
    }

    /// Takes note of what happened.
    pub(super) fn observe(&mut self, view: &View, events: &[Past], now: Now) {
        if events.is_empty() {
            return;
        }
        self.nothing_fits = false;
        let events: Vec<Event> = events.iter().map(|past| past.event).collect();
        self.planner.observe(&view.state, &events);
        for event in &events {
            match *event {
                Event::NodeLost(node) | Event::NodeRemoved(node) => self.leases.drop(node),
                // Also when its session has ended before anybody heard of the registration.
                Event::NodeRegistered { node, epoch } => self.leases.renew(node, epoch, now.steady),
                _ => {}
            }
        }
    }

    /// What is to be proposed now.
    pub(super) fn due(&mut self, view: &View, now: Now) -> Vec<(Duty, Command)> {
        let mut commands = Vec::new();
        for (at, duty) in DUTIES.into_iter().enumerate() {
            if self.is_free(at, view, now)
                && let Some(command) = self.command(duty, view, now)
            {
                self.turns[at] = Turn::Proposed;
                commands.push((duty, command));
            }
        }
        commands
    }

    /// A duty's proposal is applied as an entry, or was not taken.
    pub(super) fn outcome(&mut self, duty: Duty, outcome: Result<EntryId, NotApplied>, now: Now) {
        let pause = |span: Millis| Turn::Paused(Millis(now.steady.0 + span.0));
        self.turns[duty as usize] = match (duty, outcome) {
            (_, Ok(entry)) => Turn::Applied(entry),
            (Duty::Place, Err(_)) | (_, Err(NotApplied::Busy { .. } | NotApplied::Deposed)) => pause(PAUSE),
            (_, Err(NotApplied::TooLarge)) => pause(LONG_PAUSE),
        };
        match (duty, outcome) {
            (Duty::Place, Err(error)) => {
                self.nothing_fits = false;
                if error == NotApplied::TooLarge {
                    self.placements_max = (self.placements_max / 2).max(1);
                }
            }
            (Duty::LoseNode, Err(_)) => self.losing = None,
            (Duty::Place | Duty::Fire | Duty::Advance | Duty::LoseNode | Duty::CheckHash, _) => {}
        }
    }

    fn is_free(&mut self, at: usize, view: &View, now: Now) -> bool {
        let free = match self.turns[at] {
            Turn::Free => true,
            Turn::Proposed => false,
            Turn::Applied(entry) => view.applied >= entry,
            Turn::Paused(until) => until <= now.steady,
        };
        if free {
            self.turns[at] = Turn::Free;
        }
        free
    }

    fn command(&mut self, duty: Duty, view: &View, now: Now) -> Option<Command> {
        match duty {
            Duty::Place => self.place(view),
            Duty::Fire => self.fire(view, now),
            // The state's own time may be later, where a former leader's clock was: what is due by it goes on.
            Duty::Advance => {
                due::advance_needed(&view.state, now.time.max(view.state.time())).then_some(Command::Advance)
            }
            Duty::LoseNode => self.lose(view),
            Duty::CheckHash => {
                let (index, hash) =
                    view.checkpoint.filter(|(index, _)| *index >= self.hash_checked + HASH_EVERY)?;
                self.hash_checked = index;
                Some(Command::CheckHash { index, hash })
            }
        }
    }

    /// A node whose lease is over. The lease stays until the state says that the node is lost, so that a proposal that
    /// is not taken is made again.
    fn lose(&mut self, view: &View) -> Option<Command> {
        // The one before is in the view by now.
        self.losing = None;
        loop {
            let (node, epoch) = self.leases.expired()?;
            let record = view.state.tables().nodes.get(node);
            if record.is_some_and(|record| record.state == NodeState::Ready && record.epoch == epoch) {
                self.losing = Some(node);
                return Some(Command::LoseNode { node, epoch });
            }
            self.leases.drop(node);
        }
    }

    fn place(&mut self, view: &View) -> Option<Command> {
        if self.nothing_fits {
            return None;
        }
        let placements = self.planner.pass(&view.state, self.placements_max);
        self.nothing_fits = placements.is_empty();
        (!placements.is_empty()).then_some(Command::Place(placements))
    }

    fn fire(&mut self, view: &View, now: Now) -> Option<Command> {
        if now.holds_fires {
            return None;
        }
        let fires: Vec<Fire> = due::fires(&view.state, now.time, TRANSITIONS_MAX);
        (!fires.is_empty()).then_some(Command::Fire(fires))
    }
}
