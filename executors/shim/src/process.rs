//! Naming a process so that a reused pid is not mistaken for it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// A process of this boot: its pid and the clock tick at which it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// The pid, as seen from the agent's pid namespace.
    pub pid: i32,
    /// Clock ticks after boot at which it started.
    pub start_ticks: u64,
}

impl Process {
    /// This very process.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn this() -> io::Result<Process> {
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        Process::of(pid)
    }

    /// The process that has this pid now.
    ///
    /// # Errors
    /// There is none, or `/proc` is not mounted.
    pub fn of(pid: i32) -> io::Result<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the program's name in brackets and may hold anything.
        let after_name = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
        let ticks = after_name.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
        match ticks {
            Some(start_ticks) => Ok(Process { pid, start_ticks }),
            None => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not readable")))
            }
        }
    }

    /// A handle on the process, if it still is this one.
    ///
    /// # Errors
    /// `NotFound` when it has ended; others when descriptors run out.
    pub fn open(self) -> io::Result<Pidfd> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("process {} has ended", self.pid));
        let fd = match sys::pidfd_open(self.pid) {
            Ok(fd) => fd,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(gone()),
            Err(error) => return Err(error),
        };
        // Only now does the pid stay with whom it is: compare after opening.
        match Process::of(self.pid) {
            Ok(now) if now == self => Ok(Pidfd(fd)),
            _ => Err(gone()),
        }
    }
}

/// A handle on one process: readable once it has ended, and never another process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// A handle on a child that has not been waited for, whose pid therefore cannot be reused.
    ///
    /// # Errors
    /// No such process, or descriptors have run out.
    pub fn of_child(pid: i32) -> io::Result<Pidfd> {
        Pidfd::of(pid)
    }

    /// A handle on whatever process has this pid now.
    ///
    /// # Errors
    /// There is none, or descriptors have run out.
    pub(crate) fn of(pid: i32) -> io::Result<Pidfd> {
        sys::pidfd_open(pid).map(Pidfd)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has ended, or may not be signalled.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        sys::pidfd_signal(self.0.as_fd(), signal)
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel's name for this boot; pids and ticks of another boot mean nothing.
///
/// # Errors
/// `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
