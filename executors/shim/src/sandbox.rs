//! What a task cannot reach. Today that is little, and this is the one place where more will stand:
//! a root of its own, no capabilities, a filter of system calls, a user of its own.

use std::ffi::CStr;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, setsid};

use crate::sys;

/// Where a child failed; goes to the parent as one number with the error beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    JoinGroup,
    Fork,
    Session,
    WorkDir,
    Exec,
}

impl Step {
    const ALL: [Step; 5] = [Step::JoinGroup, Step::Fork, Step::Session, Step::WorkDir, Step::Exec];

    /// The step with this number.
    pub(crate) fn from_number(number: i32) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.number() == number)
    }

    pub(crate) fn number(self) -> i32 {
        match self {
            Step::JoinGroup => 1,
            Step::Fork => 2,
            Step::Session => 3,
            Step::WorkDir => 4,
            Step::Exec => 5,
        }
    }
}

/// Makes the new mount namespace the task's own and shows it its own processes in `/proc`. Runs once
/// per namespace, in the init. Where the mounts are refused the task sees the machine's `/proc`.
pub(crate) fn prepare_mounts() {
    let none: Option<&CStr> = None;
    if mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).is_ok() {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let _ = mount(Some(c"proc"), c"/proc", Some(c"proc"), flags, none);
    }
}

/// The last steps of the process that becomes the task: its own session, every signal as a program
/// expects it, its working directory. pivot_root, the dropping of capabilities, the user and the
/// filter of system calls belong here, in this order, before the working directory.
///
/// Runs between clone and exec: allocates nothing.
pub(crate) fn enter(work_dir: &CStr) -> Result<(), (Step, Errno)> {
    setsid().map_err(|error| (Step::Session, error))?;
    sys::reset_signal_handlers();
    nix::sys::signal::SigSet::all().thread_unblock().map_err(|error| (Step::Session, error))?;
    chdir(work_dir).map_err(|error| (Step::WorkDir, error))
}
