//! System calls that have no safe wrapper elsewhere. All unsafe code of the crate is in this file.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// `libc` has this constant in 32 bits, where it does not fit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts a copy of this process that runs `child` and exits with its answer; gives the copy's pid.
///
/// `namespaces` puts the copy into a new pid and mount namespace; `cgroup` is the directory of the
/// cgroup v2 group in which it is born.
///
/// # Errors
/// What `clone3` answers: no right to namespaces (`EPERM`), a kernel or filter without it (`ENOSYS`).
pub(crate) fn clone_process(
    namespaces: bool,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<i32> {
    // SAFETY: all-zero is a valid value of this plain struct of integers.
    let mut order: libc::clone_args = unsafe { std::mem::zeroed() };
    order.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    if namespaces {
        order.flags |= u64::from((libc::CLONE_NEWPID | libc::CLONE_NEWNS).unsigned_abs());
    }
    if let Some(group) = cgroup {
        order.flags |= CLONE_INTO_CGROUP;
        order.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    let pid = if order.flags == 0 {
        // SAFETY: the shim has one thread (it starts none, and is entered before any runtime), so the
        // child is a whole copy of the program: no lock in it is held by a thread that is not there.
        unsafe { i64::from(libc::fork()) }
    } else {
        // SAFETY: as for fork above: no CLONE_VM, so the child has its own copy of everything. The
        // struct is alive during the call and its true size is given.
        unsafe { libc::syscall(libc::SYS_clone3, &raw const order, size_of::<libc::clone_args>()) }
    };
    match pid {
        0 => {
            // A panic must not unwind into the parent's code, of which this is a copy.
            let status = catch_unwind(AssertUnwindSafe(child)).unwrap_or(126);
            // SAFETY: ends this process without running anything of the parent's.
            unsafe { libc::_exit(status) }
        }
        pid if pid > 0 => Ok(i32::try_from(pid).expect("a pid")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Signalled(i32),
}

/// Takes the pid and end of a child that has ended; `None` when none has. Unlike the wrapper in nix
/// it does not lose a child that was ended by a real-time signal.
pub(crate) fn reap() -> Option<(i32, Ended)> {
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signalled(libc::WTERMSIG(status))
    } else {
        Ended::Exited(libc::WEXITSTATUS(status))
    };
    (pid > 0).then_some((pid, ended))
}

/// Closes every descriptor from `first` on, except `keep`.
///
/// For the two moments when nobody owns any: at the start of the shim, and in a child that owns only
/// what it names.
pub(crate) fn close_others(first: u32, keep: Option<BorrowedFd<'_>>) {
    let close = |from: u32, to: u32| {
        if from <= to {
            // SAFETY: closing numbers cannot touch memory. No live owner of them uses them again: at
            // the start nothing is open yet, and a child never returns to the parent's code.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    };
    match keep.map(|fd| fd.as_raw_fd().unsigned_abs()) {
        Some(kept) if kept >= first => {
            if kept > first {
                close(first, kept - 1);
            }
            close(kept + 1, u32::MAX);
        }
        _ => close(first, u32::MAX),
    }
}

/// Whether [`close_others`] works here. Closes nothing: there is no descriptor of that number.
pub(crate) fn can_close_others() -> bool {
    // SAFETY: closing numbers cannot touch memory, and nobody owns this one.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}

/// A descriptor that stands for a process and becomes readable when it ends.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers, touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel just gave us this descriptor, nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to the process behind a pidfd; it cannot hit another one that got its pid.
pub(crate) fn pidfd_signal(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo is allowed and means "as kill(2) does".
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets every signal to its default: ignored ones are inherited through exec, and Rust programs
/// ignore SIGPIPE.
pub(crate) fn reset_signal_handlers() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is no function of ours; for numbers that cannot be set the call fails.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Arguments or environment in the form that `execve` takes, made before the clone.
#[derive(Debug)]
pub(crate) struct ExecStrings {
    pointers: Vec<*const libc::c_char>,
    /// Owns what `pointers` point at; a `CString` does not move its text.
    _strings: Vec<CString>,
}

impl ExecStrings {
    pub(crate) fn new(strings: Vec<CString>) -> ExecStrings {
        let mut pointers: Vec<_> = strings.iter().map(|text| text.as_ptr()).collect();
        pointers.push(ptr::null());
        ExecStrings { pointers, _strings: strings }
    }
}

/// Becomes another program; comes back only with the reason why not. Allocates nothing.
pub(crate) fn exec(program: &CStr, arguments: &ExecStrings, environment: &ExecStrings) -> nix::errno::Errno {
    // SAFETY: both lists end with a null pointer and own the NUL-terminated texts they point at.
    unsafe { libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    nix::errno::Errno::last()
}
