//! What is done to the tasks: first until a third each stands where it should, then on and on.

use berth_core::command::{AttemptUpdate, Command};
use berth_core::event::Event;
use berth_core::id::RequestId;
use berth_core::model::Timer;
use berth_core::reason::EndReason;
use berth_core::time::Timestamp;

use super::NODES;
use super::feed::{Feed, Measured};
use super::fleet::{BACKOFF, Fleet};
use crate::report::Report;

type Keyed = (Option<RequestId>, Command);

/// How much goes into one command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grain {
    placements: usize,
    updates: usize,
    nodes: usize,
}

impl Grain {
    /// As a busy leader does it: passes of 256 placements, reports of 16 updates.
    pub(super) const COALESCED: Grain = Grain { placements: 256, updates: 16, nodes: 64 };
    /// Nothing is coalesced.
    pub(super) const SINGLE: Grain = Grain { placements: 1, updates: 1, nodes: 1024 };
}

/// What a third of the tasks is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Third {
    Pending,
    Running,
    Waiting,
}

fn third(task: u32) -> Third {
    match task % 3 {
        0 => Third::Pending,
        1 => Third::Running,
        _ => Third::Waiting,
    }
}

/// Brings every task where it should be, by the commands that bring it there in a cluster.
pub(super) fn fill(fleet: &mut Fleet, feed: &mut Feed, report: &Report) {
    let mut measured = Measured::default();
    feed.apply(&fleet.tenants(), &mut measured);
    feed.apply(&fleet.registrations(), &mut measured);
    let mut submissions = fleet.submissions();
    loop {
        let some: Vec<Keyed> = submissions.by_ref().take(1024).collect();
        if some.is_empty() {
            break;
        }
        feed.apply(&some, &mut measured);
    }
    report.tell("tenants, nodes, jobs", &measured.to_string());

    let mut measured = Measured::default();
    let all: Vec<u32> = (0..fleet.tasks()).collect();
    for tasks in all.chunks(256 * 64) {
        let commands: Vec<Keyed> =
            tasks.chunks(256).map(|some| (None, Fleet::place(some, feed.state()))).collect();
        feed.apply(&commands, &mut measured);
    }
    drop(all);
    report.tell("placed", &measured.to_string());

    let started = report_all(fleet, feed, |_| true, &|at| AttemptUpdate::Started { at });
    report.tell("started", &started.to_string());
    let pending = report_all(fleet, feed, |task| third(task) == Third::Pending, &failed);
    report.tell("failed", &pending.to_string());
    let due = last_timer(feed);
    let mut measured = Measured::default();
    feed.pass(due);
    while !feed.apply(&[(None, Command::Advance)], &mut measured).is_empty() {}
    report.tell("ready again", &measured.to_string());
    let waiting = report_all(fleet, feed, |task| third(task) == Third::Waiting, &failed);
    report.tell("failed", &waiting.to_string());

    for task in 0..fleet.tasks() {
        let seat = &mut fleet.seats[Fleet::home(task) as usize];
        match third(task) {
            Third::Pending => seat.ready.push(task),
            Third::Running => seat.running.push(task),
            Third::Waiting => {}
        }
    }
}

/// The nodes in turn, each with the next 16 of its tasks.
fn report_all(
    fleet: &mut Fleet,
    feed: &mut Feed,
    which: impl Fn(u32) -> bool,
    update: &dyn Fn(Timestamp) -> AttemptUpdate,
) -> Measured {
    const UPDATES: u32 = 16;
    let mut measured = Measured::default();
    let rounds = fleet.tasks().div_ceil(NODES * UPDATES);
    for round in 0..rounds {
        let mut commands = Vec::new();
        for node in 0..NODES {
            let first = round * UPDATES;
            let tasks = (first..first + UPDATES).map(|row| row * NODES + node);
            let tasks: Vec<u32> = tasks.filter(|task| *task < fleet.tasks() && which(*task)).collect();
            if !tasks.is_empty() {
                let at = feed.state().time();
                commands.push((None, fleet.report(feed.state(), node, &tasks, &|| update(at))));
            }
        }
        feed.apply(&commands, &mut measured);
    }
    measured
}

fn failed(at: Timestamp) -> AttemptUpdate {
    AttemptUpdate::Ended {
        reason: EndReason::FailedExit(1),
        started: None,
        at,
        output: Vec::new(),
        usage: berth_core::model::Usage::default(),
    }
}

/// When the last retry is due.
fn last_timer(feed: &Feed) -> Timestamp {
    feed.state().time() + BACKOFF
}

/// Keeps the thirds while everything moves: in each round tasks are placed, start, others fail, and as many
/// become due.
pub(super) fn steady(fleet: &mut Fleet, feed: &mut Feed, grain: Grain, rounds: usize) -> Measured {
    let mut measured = Measured::default();
    for _ in 0..rounds {
        round(fleet, feed, grain, &mut measured);
    }
    measured
}

/// One round of steady work.
pub(super) fn round(fleet: &mut Fleet, feed: &mut Feed, grain: Grain, measured: &mut Measured) {
    let mut seats: Vec<(u32, Vec<u32>)> = Vec::new();
    for _ in 0..grain.nodes {
        let node = u32::try_from(fleet.below(NODES as usize)).expect("few nodes");
        let picked = take(fleet, node, grain.updates, |seat| &mut seat.ready);
        seats.push((node, picked));
    }
    let placed: Vec<u32> = seats.iter().flat_map(|(_, tasks)| tasks).copied().collect();
    let commands: Vec<Keyed> =
        placed.chunks(grain.placements).map(|tasks| (None, Fleet::place(tasks, feed.state()))).collect();
    feed.apply(&commands, measured);

    let at = feed.state().time();
    let mut commands: Vec<Keyed> = Vec::new();
    for (node, tasks) in &seats {
        commands.push((None, fleet.report(feed.state(), *node, tasks, &|| AttemptUpdate::Started { at })));
        let ending = take(fleet, *node, grain.updates, |seat| &mut seat.running);
        commands.push((None, fleet.report(feed.state(), *node, &ending, &|| failed(at))));
        fleet.seats[*node as usize].running.extend(tasks);
    }
    feed.apply(&commands, measured);

    let due = nth_retry(feed, placed.len());
    feed.pass(due);
    for event in feed.apply(&[(None, Command::Advance)], measured) {
        if let Event::TaskReady(task) = event {
            let task = u32::try_from(task.0).expect("few tasks");
            fleet.seats[Fleet::home(task) as usize].ready.push(task);
        }
    }
}

fn take(
    fleet: &mut Fleet,
    node: u32,
    most: usize,
    list: impl Fn(&mut super::fleet::Seat) -> &mut Vec<u32>,
) -> Vec<u32> {
    let mut taken = Vec::with_capacity(most);
    for _ in 0..most {
        let length = list(&mut fleet.seats[node as usize]).len();
        if length == 0 {
            break;
        }
        let at = fleet.below(length);
        taken.push(list(&mut fleet.seats[node as usize]).swap_remove(at));
    }
    taken
}

/// When the n-th retry from now is due.
fn nth_retry(feed: &Feed, n: usize) -> Timestamp {
    let timers = feed.state().tables().timers.iter();
    let mut retries = timers.filter(|((_, timer), ())| matches!(timer, Timer::Retry(_)));
    retries.nth(n.saturating_sub(1)).map(|((at, _), ())| *at).expect("a third waits for a retry")
}
