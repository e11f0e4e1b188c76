//! `exit.rec`: the task is over.

use super::{Error, Fields, Record};
use crate::clock;

/// How the task's program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It was stopped because there was no contact to the servers for longer than it goes on without.
    Disconnected,
    /// It never began; the text says why.
    NotStarted(String),
}

/// The true end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitRecord {
    /// How it ended.
    pub outcome: Outcome,
    /// The kernel killed a process of the task at the memory limit.
    pub oom: bool,
    /// When it began, wall clock, milliseconds; `None` if it never did.
    pub started_ms: Option<u64>,
    /// When it ended, wall clock, milliseconds.
    pub finished_ms: u64,
    /// How long it ran by the boot clock, in milliseconds.
    pub ran_ms: u64,
    /// The largest memory use seen, in bytes; 0 if unknown.
    pub memory_peak: u64,
    /// Processor time used, in milliseconds; 0 if unknown.
    pub cpu_ms: u64,
    /// Bytes of output that could not be written to the log.
    pub log_lost: u64,
    /// Something of the task could not be killed and may still be there.
    pub leftover: bool,
    /// Where the streams of output end, with what was lost of them.
    pub log_ends: LogEnds,
}

impl ExitRecord {
    /// An end of which nothing else is known.
    pub fn bare(outcome: Outcome, finished_ms: u64) -> ExitRecord {
        ExitRecord {
            outcome,
            oom: false,
            started_ms: None,
            finished_ms,
            ran_ms: 0,
            memory_peak: 0,
            cpu_ms: 0,
            log_lost: 0,
            leftover: false,
            log_ends: LogEnds::default(),
        }
    }

    /// The end, now, of an attempt that never began.
    pub fn not_started(cause: impl Into<String>) -> ExitRecord {
        ExitRecord::bare(Outcome::NotStarted(cause.into()), clock::wall_ms())
    }
}

/// The bytes that a task has written to each stream, in the log or lost; `None` where nobody counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogEnds {
    /// Of standard output.
    pub stdout: Option<u64>,
    /// Of standard error.
    pub stderr: Option<u64>,
}

impl Record for ExitRecord {
    const KIND: &'static str = "exit";

    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        match &self.outcome {
            Outcome::Exited(code) => fields.put("exit_code", code),
            Outcome::Signalled(signal) => fields.put("signal", signal),
            Outcome::Disconnected => {
                // What an older agent makes of it.
                fields.put("signal", libc::SIGTERM);
                fields.put("disconnected", true);
            }
            Outcome::NotStarted(cause) => fields.put("not_started", cause),
        }
        fields.put("oom", self.oom);
        fields.put_some("started", self.started_ms);
        fields.put("finished", self.finished_ms);
        fields.put("ran", self.ran_ms);
        fields.put("memory_peak", self.memory_peak);
        fields.put("cpu", self.cpu_ms);
        fields.put("log_lost", self.log_lost);
        fields.put("leftover", self.leftover);
        fields.put_some("stdout_end", self.log_ends.stdout);
        fields.put_some("stderr_end", self.log_ends.stderr);
        fields
    }

    fn from_fields(fields: &Fields) -> Result<Self, Error> {
        let outcome = if fields.get("disconnected")?.unwrap_or(false) {
            Outcome::Disconnected
        } else if let Some(code) = fields.get("exit_code")? {
            Outcome::Exited(code)
        } else if let Some(signal) = fields.get("signal")? {
            Outcome::Signalled(signal)
        } else {
            Outcome::NotStarted(fields.need("not_started")?)
        };
        Ok(ExitRecord {
            outcome,
            oom: fields.need("oom")?,
            started_ms: fields.get("started")?,
            finished_ms: fields.need("finished")?,
            ran_ms: fields.need("ran")?,
            memory_peak: fields.need("memory_peak")?,
            cpu_ms: fields.need("cpu")?,
            log_lost: fields.need("log_lost")?,
            // Shims of the first release do not say.
            leftover: fields.get("leftover")?.unwrap_or(false),
            log_ends: LogEnds { stdout: fields.get("stdout_end")?, stderr: fields.get("stderr_end")? },
        })
    }
}
