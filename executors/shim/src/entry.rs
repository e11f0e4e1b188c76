//! From the first instruction to the last: the shim's life in order.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use nix::unistd::{dup2_stdout, setsid};

use crate::control::Server;
use crate::draft::Draft;
use crate::launch::{self, TMP_DIR, Task, WORK_DIR};
use crate::log::LOG_DIR;
use crate::probe::Probe;
use crate::process::Process;
use crate::record::{EXIT_FILE, ExitRecord, Order, RUN_FILE, Record, RunRecord};
use crate::supervise::{self, Seen, Supervisor};
use crate::{clock, sys};

/// The first argument that makes the `berth` binary a shim; the second is the attempt's directory.
pub const SHIM: &str = "__shim";
/// In place of the directory: only try what can be had here, with the group of the cgroup v2 tree that is the next
/// argument, if there is one; the exit code is a [`Probe`].
pub const PROBE: &str = "--probe";
/// Where a shim that meets trouble says so, in the attempt's directory.
const NOTES_FILE: &str = "shim.log";
/// How long a shim waits before it tries again to write what the disk did not take.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// An order larger than this is refused.
const ORDER_MAX: usize = 16 << 20;

/// Whether this process was started as a shim. To be asked first thing in `main`.
pub fn is_shim(args: &[OsString]) -> bool {
    args.get(1).is_some_and(|argument| argument == SHIM)
}

/// Runs the shim: `berth __shim <attempt directory>`, with `order.rec`, locked, as standard input
/// and a pipe to the agent as standard output. On the pipe it writes one line: `started <ms>` or
/// `failed <cause>`. Everything else it has to say is in the attempt's directory.
pub fn main(args: &[OsString]) -> ExitCode {
    // Whatever the agent left open by mistake must not reach the task.
    sys::close_others(3, None);
    let Some(dir) = args.get(2) else { return ExitCode::from(2) };
    if dir == PROBE {
        return Probe::here(args.get(3).map(Path::new)).exit_code();
    }
    match live(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

fn live(dir: &Path) -> io::Result<()> {
    std::env::set_current_dir(dir)?;
    std::panic::set_hook(Box::new(|panic| complain(&panic.to_string())));
    let order = read_order()?;
    // Not of the agent's session any more: what ends its terminal does not end the task. It fails
    // only for a session's leader, who needs it not.
    let _ = setsid();
    // Orphans of the task come to the shim, so that it can end and bury them.
    let _ = prctl::set_child_subreaper(true);
    SigSet::all().thread_block()?;
    leave_agent_group(&order);
    for dir in [LOG_DIR, WORK_DIR, TMP_DIR] {
        make_dir(dir)?;
    }
    let means = Means::new()?;
    match launch::launch(&order) {
        Ok(task) => supervise(&order, task, means),
        Err(error) => {
            means.exit.publish(&ExitRecord::not_started(error.to_string()), Path::new(EXIT_FILE))?;
            tell_agent(&format!("failed {error}"));
            Ok(())
        }
    }
}

/// All that a supervisor needs besides its task, had before the task begins: from then on nothing that can fail may
/// end this process, for the task would end with it.
struct Means {
    this: Process,
    control: Server,
    news: SignalFd,
    run: Draft,
    exit: Draft,
}

impl Means {
    fn new() -> io::Result<Means> {
        Ok(Means {
            this: Process::this()?,
            control: Server::bind()?,
            news: supervise::news_of_children()?,
            run: Draft::new(RUN_FILE)?,
            exit: Draft::new(Path::new(EXIT_FILE).with_extension("tmp"))?,
        })
    }
}

fn supervise(order: &Order, task: Task, means: Means) -> io::Result<()> {
    let Means { this, control, news, run, exit } = means;
    let (started_ms, started_boot_ms) = (clock::wall_ms(), clock::boot_ms());
    // The agent may tell the world before the record is durable: while this process lives its lock
    // says so, and after a crash of the machine the order's boot id does.
    tell_agent(&format!("started {started_ms}"));
    // Not yet waited for, so it is there, dead or alive.
    let noted = Process::of(task.child.as_raw()).and_then(|task| {
        run.write(&RunRecord {
            shim: this,
            task,
            boot_id: order.boot_id.clone(),
            groups: order.groups.clone(),
            started_ms,
            started_boot_ms,
        })
    });
    if let Err(error) = noted {
        // A restarted agent sees by the lock that the task runs, and hears of its end.
        note(&format!("cannot write {RUN_FILE}: {error}"));
    }
    let mut supervisor = Supervisor::new(order, task, control, news);
    let record = exit_record(order, supervisor.run(), started_ms, started_boot_ms);
    record_end(exit, &record)?;
    if record.leftover {
        note("something of the task cannot be killed");
        supervisor.outlast();
    }
    Ok(())
}

/// Records the end, however long it takes until the disk has room again: as long as this process holds its lock nobody
/// takes the task for lost. Gives up when the directory itself is gone, for then nobody will ask.
fn record_end(exit: Draft, record: &ExitRecord) -> io::Result<()> {
    let path = Path::new(EXIT_FILE);
    let mut result = exit.publish(record, path);
    if let Err(error) = &result {
        note(&format!("cannot write {EXIT_FILE}, and tries on: {error}"));
    }
    while result.is_err() {
        result = record.write_atomically(path);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(_) => thread::sleep(RECORD_AGAIN_AFTER),
            Ok(()) => {}
        }
    }
    result
}

fn exit_record(order: &Order, seen: Seen, started_ms: u64, started_boot_ms: u64) -> ExitRecord {
    let usage = order.groups.usage();
    let (memory_peak, cpu_ms) =
        if order.groups.is_empty() { usage_of_children() } else { (usage.memory_peak, usage.cpu_us / 1000) };
    ExitRecord {
        outcome: seen.outcome,
        oom: usage.oom_kills > 0,
        started_ms: Some(started_ms),
        finished_ms: clock::wall_ms(),
        ran_ms: clock::boot_ms().saturating_sub(started_boot_ms),
        memory_peak,
        cpu_ms,
        log_lost: seen.log_lost,
        leftover: seen.leftover,
        log_ends: seen.log_ends,
    }
}

/// Peak memory in bytes and processor time in milliseconds of all processes that were waited for.
fn usage_of_children() -> (u64, u64) {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return (0, 0) };
    let ms = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1000 + u64::try_from(time.tv_usec()).unwrap_or(0) / 1000
    };
    (u64::try_from(usage.max_rss()).unwrap_or(0) * 1024, ms(usage.user_time()) + ms(usage.system_time()))
}

/// Reads the order from standard input, which stays open: its lock is the sign of life.
fn read_order() -> io::Result<Order> {
    let file = fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > ORDER_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the order is too large"));
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Order::decode(&bytes).map_err(io::Error::other)
}

/// Moves this process out of the agent's control groups, so that a service manager that ends the
/// agent's group does not end the tasks. Where that is refused the task runs all the same.
fn leave_agent_group(order: &Order) {
    for group in &order.shim_groups {
        // v1 groups have `tasks`, which takes the writer alone without halting the machine's forks.
        let tasks = group.join("tasks");
        let file = if tasks.exists() { tasks } else { group.join("cgroup.procs") };
        let _ = fs::write(file, "0");
    }
}

fn make_dir(name: &str) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Writes the one line for the agent and hangs up. An agent that is gone reads the records later.
fn tell_agent(line: &str) {
    let line = format!("{}\n", line.replace('\n', " "));
    let _ = nix::unistd::write(io::stdout().as_fd(), line.as_bytes());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = dup2_stdout(null.as_fd());
    }
}

/// Says why this shim ends without a record, to the agent and to whoever wonders later.
fn complain(text: &str) {
    note(text);
    tell_agent(text);
}

/// Leaves a word in the attempt's directory.
fn note(text: &str) {
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(NOTES_FILE) {
        let _ = writeln!(file, "{text}");
    }
}
