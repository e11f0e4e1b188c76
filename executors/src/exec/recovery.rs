//! Finding attempts again after the agent was restarted.
//!
//! | on disk and in the kernel | answer |
//! |---|---|
//! | no `order.rec` | no trace: it was never begun |
//! | `exit.rec` | ended as recorded, unless it tells of a leftover and the lock is held |
//! | order or `run.rec`, or if both are torn the agent's journal, of another boot | node_lost |
//! | lock held, `run.rec` | running; watched from here on |
//! | lock held, no `run.rec` yet | waited for; then running, watched closely |
//! | lock free, `run.rec` | its group is killed: failed(signal 9), for a task dies with its shim |
//! | lock free, no `run.rec` | start_failed |
//!
//! While something of an attempt that is over is still in its group, the answer is that it runs.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use berth_core::time::Timestamp;
use berth_shim::clock;
use berth_shim::control::Client;
use berth_shim::process::Pidfd;
use berth_shim::record::{ExitRecord, ORDER_FILE, RUN_FILE, RunRecord};

use super::straggler::Straggler;
use super::watcher::{Command, WatcherHandle};
use super::{Machine, lost};
use crate::ending;
use crate::executor::{End, Found, Launch};

/// How long shims that are just beginning are waited for, all together.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What is seen of an attempt.
#[derive(Debug)]
pub(super) enum Sight {
    /// It has no order.
    Nothing,
    /// Its shim lives and the task runs.
    Running { shim: Pidfd, started: Timestamp },
    /// Its shim lives; no more is known yet.
    Unheard,
    /// It is over, as recorded.
    Recorded(Box<ExitRecord>),
    /// Its shim was gone when it was looked at; it may have recorded the end since.
    Gone,
}

/// Looks at one attempt's directory.
pub(super) fn look(dir: &Path) -> Sight {
    if let Some(record) = ending::record(dir) {
        // Where there are no groups the shim stays with what it cannot kill.
        let stays = record.leftover && shim_lives(dir).unwrap_or(false);
        return if stays { Sight::Unheard } else { Sight::Recorded(Box::new(record)) };
    }
    match shim_lives(dir) {
        Ok(true) => {}
        Ok(false) => return Sight::Gone,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Sight::Nothing,
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "an order cannot be opened");
            return Sight::Unheard;
        }
    }
    let Some(run) = lost::read::<RunRecord>(dir, RUN_FILE) else { return Sight::Unheard };
    match run.shim.open() {
        Ok(shim) => Sight::Running { shim, started: Timestamp(run.started_ms) },
        // It ended between the two looks; the next one will see that.
        Err(_) => Sight::Unheard,
    }
}

/// Whether the shim holds its lock.
fn shim_lives(dir: &Path) -> io::Result<bool> {
    let order = File::open(dir.join(ORDER_FILE))?;
    match order.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Looks at all attempts that the agent's journal knows, and has those that run watched.
pub(super) fn recover(machine: &Machine, watcher: &WatcherHandle, known: Vec<Launch>) -> Vec<Found> {
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::with_capacity(known.len());
    let mut waiting = known;
    loop {
        waiting.retain(|launch| match recover_one(machine, watcher, launch) {
            Some(answer) => {
                found.extend(answer);
                false
            }
            None => true,
        });
        if waiting.is_empty() || Instant::now() >= deadline {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    for launch in waiting {
        let Launch { attempt, name, dir, .. } = launch;
        watcher.send(Command::AdoptUnheard { attempt, name, dir });
        found.push(Found::Running { attempt, started: Timestamp(clock::wall_ms()) });
    }
    found
}

/// The answer for one attempt, which may be that there is no trace of it; `None` to look again.
fn recover_one(machine: &Machine, watcher: &WatcherHandle, launch: &Launch) -> Option<Option<Found>> {
    let attempt = launch.attempt;
    let dir = &launch.dir;
    let end = match look(dir) {
        Sight::Nothing => return Some(None),
        Sight::Unheard => return None,
        Sight::Running { shim, started } => {
            let (name, dir) = (launch.name.clone(), dir.clone());
            watcher.send(Command::Adopt { attempt, name, dir, started, shim });
            return Some(Some(Found::Running { attempt, started }));
        }
        Sight::Recorded(record) => ending::end(dir, *record),
        Sight::Gone => match ending::recorded(dir) {
            Some(end) => end,
            // Pids and groups of another boot mean nothing.
            None if lost::boot_of(dir).as_ref().unwrap_or(&launch.boot_id) != &machine.boot_id => {
                lost::of_earlier_boot(dir)
            }
            None => lost::lost(dir, &machine.boot_id, None, None),
        },
    };
    Some(Some(over(machine, watcher, launch, end)))
}

/// The answer for an attempt that is over: that it still runs, while something of it is there.
fn over(machine: &Machine, watcher: &WatcherHandle, launch: &Launch, end: End) -> Found {
    let (attempt, name) = (launch.attempt, launch.name.clone());
    let groups = machine.cgroups().map(|cgroups| cgroups.groups(&name));
    if groups.is_some_and(|groups| groups.populated().unwrap_or(true)) {
        let started = end.started.unwrap_or(end.finished);
        watcher.send(Command::Straggle(Box::new(Straggler::new(attempt, name, Some(started), end))));
        return Found::Running { attempt, started };
    }
    watcher.send(Command::Remove { name });
    Found::Ended { attempt, end }
}

/// A handle on the shim of an attempt that is not heard: by `run.rec`, or where that could not be written by its
/// socket. `None` while neither is there.
pub(super) fn shim_of(dir: &Path) -> Option<Pidfd> {
    if let Some(run) = lost::read::<RunRecord>(dir, RUN_FILE) {
        return run.shim.open().ok();
    }
    let shim = Client::connect(dir).and_then(|client| client.shim()).ok()?;
    // The pid was the shim's when it began to listen; as it lives now, it was still so when the handle was opened.
    shim_lives(dir).is_ok_and(|lives| lives).then_some(shim)
}
