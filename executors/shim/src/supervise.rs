//! Watching over one running task: its output, its orders, its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::control::Server;
use crate::init;
use crate::launch::Task;
use crate::leash::Leash;
use crate::log::{Stream, Writer};
use crate::process::{Pidfd, Process};
use crate::record::{LogEnds, Order, Outcome};
use crate::stopping::Stopping;
use crate::sys::{self, Ended};

/// How long output is still read after the task's end, in case something holds the pipe open.
const DRAIN: Duration = Duration::from_secs(2);
/// How long killing may take before the end is recorded all the same: a process stuck in the kernel
/// must not keep the record from being written.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Grace of a task whose `end_with` process is gone.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);
/// How often what cannot be killed is killed again.
const KILL_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long to sleep where the kernel cannot tell when something happens.
const WITHOUT_POLL: Duration = Duration::from_millis(50);
/// Bytes read from a pipe at a time; a pipe's size.
const PUMP_BYTES: usize = 64 << 10;

/// What was seen of the task.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    /// Bytes of output that the disk did not take.
    pub(crate) log_lost: u64,
    /// Something of the task may still be there.
    pub(crate) leftover: bool,
    pub(crate) log_ends: LogEnds,
}

/// Tells of children that have ended. All signals must be blocked.
pub(crate) fn news_of_children() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// The supervisor of a running task.
#[derive(Debug)]
pub(crate) struct Supervisor<'a> {
    order: &'a Order,
    stopping: Stopping,
    status: Option<File>,
    outputs: [Output; 2],
    control: Server,
    signals: SignalFd,
    end_with: Option<Pidfd>,
    leash: Option<Leash>,
    /// The leash was what ended the task.
    disconnected: bool,
    /// How the shim's child ended.
    ended: Option<Ended>,
    buffer: Vec<u8>,
}

/// One stream on its way from the pipe to the log; no pipe once it is closed.
#[derive(Debug)]
struct Output {
    pipe: Option<File>,
    log: Writer,
}

impl<'a> Supervisor<'a> {
    /// Takes over a task; the news of its end waits in `signals` if it has come already.
    pub(crate) fn new(order: &'a Order, task: Task, control: Server, signals: SignalFd) -> Supervisor<'a> {
        let output =
            |pipe, stream| Output { pipe: Some(pipe), log: Writer::new(Path::new("."), stream, order.log) };
        let mut supervisor = Supervisor {
            order,
            stopping: Stopping::new(task.child),
            status: task.status,
            outputs: [output(task.stdout, Stream::Stdout), output(task.stderr, Stream::Stderr)],
            control,
            signals,
            end_with: None,
            leash: order.leash.clone().map(|leash| Leash::new(leash, order.boot_id.clone())),
            disconnected: false,
            ended: None,
            buffer: vec![0; PUMP_BYTES],
        };
        match order.end_with.map(Process::open) {
            Some(Ok(process)) => supervisor.end_with = Some(process),
            Some(Err(_)) => supervisor.stopping.stop(ORPHAN_GRACE),
            None => {}
        }
        supervisor
    }

    /// Watches until the task is over, nothing of it runs, and its output is in the log.
    pub(crate) fn run(&mut self) -> Seen {
        self.reap();
        while self.ended.is_none() {
            let look_at = self.leash.as_ref().map(Leash::look_at);
            let owner_gone = self.wait([self.stopping.kill_at(), look_at].into_iter().flatten().min());
            self.reap();
            self.pump();
            if self.ended.is_some() {
                // It is buried: its pid may be another's, and is not to be signalled any more.
                break;
            }
            self.control.serve(|request| self.stopping.handle(request));
            if owner_gone {
                self.end_with = None;
                self.stopping.stop(ORPHAN_GRACE);
            }
            if let Some(leash) = self.leash.take_if(Leash::is_over) {
                self.disconnected = !self.stopping.is_stopping();
                self.stopping.stop(leash.grace());
            }
            if self.stopping.kill_is_due() {
                self.kill_all();
            }
        }
        // What the task left behind ends with it, before the rest of its output is read: then nobody
        // can keep the pipes open for long.
        let leftover = !self.kill_rest();
        let deadline = Instant::now() + DRAIN;
        while self.outputs.iter().any(|output| output.pipe.is_some()) && Instant::now() < deadline {
            self.wait(Some(deadline));
            self.pump();
        }
        let log_lost = self.outputs.iter().map(|output| output.log.lost()).sum();
        let [stdout, stderr] = self.outputs.each_ref().map(|output| Some(output.log.offset()));
        Seen { outcome: self.outcome(), log_lost, leftover, log_ends: LogEnds { stdout, stderr } }
    }

    /// Stays until nothing of the task is left, where nobody but its supervisor can tell: without control groups the
    /// kernel hands orphans to this process, and to strangers once that is gone.
    pub(crate) fn outlast(mut self) {
        while self.order.groups.is_empty() && !self.order.namespaces && self.stopping.kill_descendants() {
            self.reap();
            thread::sleep(KILL_AGAIN_AFTER);
        }
    }

    /// Sleeps until something happens or the deadline is there. True when the process that the task
    /// shall end with is gone.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let timeout = match deadline {
            // One more than the rest, so as not to wake a moment too early and spin.
            Some(at) => {
                let rest = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(16);
        fds.extend(self.end_with.iter().map(|owner| PollFd::new(owner.as_fd(), PollFlags::POLLIN)));
        fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        fds.extend(self.control.descriptors().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let pipes = self.outputs.iter().filter_map(|output| output.pipe.as_ref());
        fds.extend(pipes.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) => self.end_with.is_some() && fds[0].any().unwrap_or(false),
            Err(Errno::EINTR) => false,
            // A kernel short of memory is no reason to leave the task; everything is looked at without a hint.
            Err(_) => {
                thread::sleep(WITHOUT_POLL);
                false
            }
        }
    }

    /// Buries the dead: the child, and orphans that were handed to this process.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        while let Some((pid, ended)) = sys::reap() {
            if pid == self.stopping.child() {
                self.ended = Some(ended);
            }
        }
    }

    /// Moves what is in the pipes to the log, at most one pipe's worth a stream.
    fn pump(&mut self) {
        for output in &mut self.outputs {
            let Some(pipe) = &mut output.pipe else { continue };
            match pipe.read(&mut self.buffer) {
                Ok(0) => output.pipe = None,
                Ok(count) => output.log.write(&self.buffer[..count]),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => output.pipe = None,
            }
        }
    }

    /// Ends the whole task by force.
    fn kill_all(&mut self) {
        self.stopping.kill_child();
        self.kill_rest();
    }

    /// Ends whatever is left of the task; false when something may still be there. In a pid namespace
    /// nothing is left once the init is dead.
    fn kill_rest(&mut self) -> bool {
        if !self.order.groups.is_empty() {
            return self.order.groups.kill(KILL_PATIENCE).unwrap_or(false);
        }
        if !self.order.namespaces {
            let deadline = Instant::now() + KILL_PATIENCE;
            while self.stopping.kill_descendants() {
                if Instant::now() >= deadline {
                    return false;
                }
                self.reap();
                thread::sleep(Duration::from_millis(1));
            }
        }
        true
    }

    /// How the program ended: as the init saw it, or if the init did not live to tell, as the shim
    /// saw the init end.
    fn outcome(&mut self) -> Outcome {
        if self.disconnected {
            return Outcome::Disconnected;
        }
        let mut told = [0; 5];
        let told = match &mut self.status {
            Some(status) => status.read_exact(&mut told).ok().and_then(|()| init::decode(told)),
            None => None,
        };
        match told.or(self.ended) {
            Some(Ended::Exited(code)) => Outcome::Exited(code),
            Some(Ended::Signalled(signal)) => Outcome::Signalled(signal),
            None => Outcome::Signalled(libc::SIGKILL),
        }
    }
}
