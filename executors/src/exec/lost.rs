//! The end of an attempt whose shim did not record one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use berth_core::reason::EndReason;
use berth_core::time::Timestamp;
use berth_shim::clock;
use berth_shim::group::Groups;
use berth_shim::process::Process;
use berth_shim::record::{ExitRecord, ORDER_FILE, Order, Outcome, RUN_FILE, Record, RunRecord};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ending::{end, write};
use crate::executor::End;

/// How long the group of a task without supervisor may take to be empty before its end is recorded all the same. Whoever
/// tells the end waits on; here many may have to be ended one after the other.
const KILL_PATIENCE: Duration = Duration::from_millis(200);

/// The boot of the machine in which an attempt was begun, as far as its records tell: the order need not have reached
/// the disk before the power went, and `run.rec` says the same.
pub(super) fn boot_of(dir: &Path) -> Option<String> {
    let order = read::<Order>(dir, ORDER_FILE).map(|order| order.boot_id);
    order.or_else(|| read::<RunRecord>(dir, RUN_FILE).map(|run| run.boot_id))
}

/// Ends what is left of an attempt of this boot whose shim is gone without an exit record, records that end, and gives
/// it. `said` is the shim's last word, if it was heard, and `started` when it said that the task began, if it did.
/// Something of the attempt may still be in its group.
///
/// A task dies with its shim by the kernel's hand, so the true end of one that ran is SIGKILL.
pub(super) fn lost(dir: &Path, boot_id: &str, said: Option<&str>, started: Option<Timestamp>) -> End {
    let run = read::<RunRecord>(dir, RUN_FILE);
    let groups = read::<Order>(dir, ORDER_FILE).map(|order| order.groups);
    let groups = groups.or_else(|| run.as_ref().map(|run| run.groups.clone())).unwrap_or_default();
    // Pids of another boot are those of strangers.
    let leftover = !end_rest(&groups, run.as_ref().filter(|run| run.boot_id == boot_id));
    let usage = groups.usage();
    // The shim tells of the start before the record of it is durable, so either may be all there is.
    let started_ms = run.as_ref().map(|run| run.started_ms).or(started.map(|started| started.0));
    let outcome = match started_ms {
        Some(_) => Outcome::Signalled(9),
        None => {
            let noted = fs::read_to_string(dir.join("shim.log")).unwrap_or_default();
            let said = noted.lines().next().or(said).unwrap_or("it left no word why");
            Outcome::NotStarted(format!("its supervisor ended before it began: {said}"))
        }
    };
    let record = ExitRecord {
        oom: usage.oom_kills > 0,
        started_ms,
        ran_ms: run.as_ref().map_or(0, |run| clock::boot_ms().saturating_sub(run.started_boot_ms)),
        memory_peak: usage.memory_peak,
        cpu_ms: usage.cpu_us / 1000,
        leftover,
        ..ExitRecord::bare(outcome, clock::wall_ms())
    };
    write(dir, &record);
    end(dir, record)
}

/// The end of an attempt of an earlier boot of this machine that has no exit record.
pub(super) fn of_earlier_boot(dir: &Path) -> End {
    let run = read::<RunRecord>(dir, RUN_FILE);
    End {
        reason: EndReason::NodeLost,
        started: run.map(|run| Timestamp(run.started_ms)),
        finished: Timestamp(clock::wall_ms()),
        memory_peak: 0,
        cpu_ms: 0,
        output: Vec::new(),
    }
}

/// A record of the attempt, if it is there and whole.
pub(super) fn read<R: Record>(dir: &Path, file: &str) -> Option<R> {
    R::read(&dir.join(file)).unwrap_or_else(|error| {
        tracing::error!(dir = %dir.display(), file, %error, "a record cannot be read");
        None
    })
}

/// Kills what is left; false when something may still be there.
fn end_rest(groups: &Groups, run: Option<&RunRecord>) -> bool {
    if groups.is_empty() {
        if let Some(run) = run {
            kill_session(run.task);
        }
        return true;
    }
    groups.kill(KILL_PATIENCE).unwrap_or_else(|error| {
        tracing::error!(?groups, %error, "processes without supervisor cannot be killed");
        false
    })
}

/// Kills what is left of a task without control group: the processes of its session that are not
/// older than it. Those that made a session of their own get away; that is the price of plain
/// isolation when the supervisor dies too.
fn kill_session(task: Process) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let session = nix::unistd::getsid(Some(Pid::from_raw(pid)));
        let young = Process::of(pid).is_ok_and(|process| process.start_ticks >= task.start_ticks);
        if session == Ok(Pid::from_raw(task.pid)) && young {
            // One that has just ended is as good as killed.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
