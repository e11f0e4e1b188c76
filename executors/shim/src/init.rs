//! The first process of a task's pid namespace. It starts the task, passes signals on to it, buries
//! the orphans, and ends with it; then the kernel ends whatever else is in the namespace.
//!
//! A task that were itself the first process would ignore every signal that it does not handle.

use std::os::fd::BorrowedFd;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, write};

use crate::sys::{self, Ended};

/// How the task ended, in five bytes: a letter and a number.
fn encode(ended: Ended) -> [u8; 5] {
    let (letter, number) = match ended {
        Ended::Exited(code) => (b'e', code),
        Ended::Signalled(signal) => (b's', signal),
    };
    let mut bytes = [letter, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Reads what [`run`] wrote.
pub(crate) fn decode(bytes: [u8; 5]) -> Option<Ended> {
    let [letter, number @ ..] = bytes;
    let number = i32::from_le_bytes(number);
    match letter {
        b'e' => Some(Ended::Exited(number)),
        b's' => Some(Ended::Signalled(number)),
        _ => None,
    }
}

/// Runs as the init until `task`, its child, has ended; writes how to `status`. Gives the init's own
/// exit code. All signals are blocked, which is what makes the kernel deliver them to a first process.
pub(crate) fn run(task: Pid, status: BorrowedFd<'_>, null: BorrowedFd<'_>) -> i32 {
    // Only the task keeps its output open, and only the shim its lock and its socket.
    let _ = dup2_stdout(null);
    let _ = dup2_stderr(null);
    sys::close_others(3, Some(status));
    loop {
        // A number beyond the classic signals is no Signal to `wait`; such are not passed on.
        let Ok(signal) = SigSet::all().wait() else { continue };
        if signal != Signal::SIGCHLD {
            let _ = kill(task, signal);
            continue;
        }
        while let Some((pid, ended)) = sys::reap() {
            if pid == task.as_raw() {
                let _ = write(status, &encode(ended));
                return 0;
            }
        }
    }
}
