//! Trying out what a shim can do here. Only a try tells: the kernel's age, rights, the filters of an outer container and
//! kernel settings all have a say.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::sys;

/// The oldest kernel on which shims work, for people: since 5.9 a process can close all descriptors that it does not
/// name, without which neither a task nor its init can be kept from those of others.
pub const KERNEL_MIN: &str = "5.9";
/// Added to what is lacking, so that the exit code of something else is not taken for an answer.
const ANSWER: u8 = 0x20;

/// What a shim was able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The system calls that every shim needs.
    pub kernel: bool,
    /// A process born in new pid and mount namespaces.
    pub namespaces: bool,
    /// A process born in a group of the cgroup v2 tree, with namespaces if there are any. True where there was no
    /// group to try it with.
    pub birth_in_group: bool,
}

impl Probe {
    /// Tries everything, with this group of the cgroup v2 tree.
    pub(crate) fn here(group: Option<&Path>) -> Probe {
        let kernel = sys::can_close_others() && sys::pidfd_open(std::process::id().cast_signed()).is_ok();
        let namespaces = can_start(true, None);
        let birth_in_group = group
            .is_none_or(|group| File::open(group).is_ok_and(|group| can_start(namespaces, Some(&group))));
        Probe { kernel, namespaces, birth_in_group }
    }

    /// As the exit code of the shim that tried.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// What the exit code of a shim that tried says; `None` when the shim did not come to an answer.
    pub fn from_exit_code(code: i32) -> Option<Probe> {
        let number = u8::try_from(code).ok()?;
        let lacks = |bit| number & bit != 0;
        let probe = Probe { kernel: !lacks(1), namespaces: !lacks(2), birth_in_group: !lacks(4) };
        (probe.number() == number).then_some(probe)
    }

    fn number(self) -> u8 {
        ANSWER
            | u8::from(!self.kernel)
            | u8::from(!self.namespaces) << 1
            | u8::from(!self.birth_in_group) << 2
    }
}

fn can_start(namespaces: bool, group: Option<&File>) -> bool {
    match sys::clone_process(namespaces, group.map(AsFd::as_fd), || 0) {
        Ok(child) => {
            // It is out of the group before anyone tries to remove that.
            let _ = waitpid(Pid::from_raw(child), None);
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back_and_nothing_else_is_taken_for_one() {
        for number in 0..8 {
            let probe = Probe {
                kernel: number & 1 == 0,
                namespaces: number & 2 == 0,
                birth_in_group: number & 4 == 0,
            };
            assert_eq!(Probe::from_exit_code(i32::from(probe.number())), Some(probe));
        }
        // Success, failure, a panic, a program that is not there, a signal.
        for other in [0, 1, 2, 101, 127, 137, -1] {
            assert_eq!(Probe::from_exit_code(other), None, "{other}");
        }
    }

    #[test]
    fn a_group_that_is_none_takes_no_process() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Probe::here(Some(dir.path())).birth_in_group);
        assert!(Probe::here(None).birth_in_group);
        assert!(Probe::here(None).kernel);
    }
}
