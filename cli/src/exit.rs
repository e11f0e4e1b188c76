//! The exit codes, for scripts.

use std::process::ExitCode;

/// How the process ends. The numbers keep their meaning for ever. Misuse of the command line is 2, which clap says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Ok,
    /// Something that has no code of its own.
    Other,
    /// The command line is wrong.
    Usage,
    /// The spec or the configuration is wrong.
    InvalidSpec,
    /// There is no such thing.
    NotFound,
    /// The caller may not do this.
    Auth,
    /// A limit or the state of the cluster forbids it.
    QuotaOrConflict,
    /// No server, no leader, or too much load.
    Unavailable,
    /// It took longer than asked for.
    TimedOut,
    /// What would be applied differs from what is.
    PlanHasChanges,
    /// The awaited run did not succeed.
    RunFailed,
    /// Ctrl-C while waiting; what was waited for goes on.
    Interrupted,
}

impl Exit {
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Other => 1,
            Exit::Usage => 2,
            Exit::InvalidSpec => 3,
            Exit::NotFound => 4,
            Exit::Auth => 5,
            Exit::QuotaOrConflict => 6,
            Exit::Unavailable => 7,
            Exit::TimedOut => 8,
            Exit::PlanHasChanges => 10,
            Exit::RunFailed => 20,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}
