//! Why a task ended and why it waits. Two closed lists: nothing is ever just "complete" or "pending".

mod detail;

use std::fmt;

use crate::canonical::canonical;
use crate::time::Timestamp;

pub use detail::Detail;

/// Why an attempt, a task or a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// It did what it was asked to.
    Succeeded,
    /// The program ended with another exit code than 0.
    FailedExit(i32),
    /// A signal ended the program.
    FailedSignal(i32),
    /// The kernel ended it at its memory limit.
    OomKilled,
    /// It wrote more than its disk limit.
    DiskExceeded,
    /// It ran longer than its `timeout`.
    TimedOut,
    /// Somebody asked for the end; the text names who.
    Cancelled(Detail),
    /// It had to make room, or its node was drained with `--stop`.
    Preempted,
    /// Its node was lost, or restarted, while it ran.
    NodeLost,
    /// It could not be started; the text says why.
    StartFailed(Detail),
    /// A precondition was not met in time.
    PreconditionFailed,
    /// A postcondition did not hold after exit code 0; the text says which. That what a task leaves for later ones can
    /// be read is one that every task has.
    PostconditionFailed(Detail),
    /// Its health checks failed.
    Unhealthy,
    /// A task it comes after did not succeed.
    UpstreamFailed,
    /// It was decided not to run it.
    Skipped(SkipReason),
}

canonical!(enum EndReason {
    1: Succeeded,
    2: FailedExit(code),
    3: FailedSignal(signal),
    4: OomKilled,
    5: DiskExceeded,
    6: TimedOut,
    7: Cancelled(by),
    8: Preempted,
    9: NodeLost,
    10: StartFailed(cause),
    11: PreconditionFailed,
    12: PostconditionFailed(what),
    13: Unhealthy,
    14: UpstreamFailed,
    15: Skipped(reason),
});

/// Why something that was due was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// The previous run of the schedule was still active.
    Overlap,
    /// The instant was missed, and the catch-up policy runs only a later one.
    CatchUp,
    /// The cluster had as many active runs as it takes.
    Full,
    /// The schedule was changed, or its job stopped, before it was decided.
    Superseded,
}

canonical!(enum SkipReason { 1: Overlap, 2: CatchUp, 3: Full, 4: Superseded });

impl EndReason {
    /// True when the work was done.
    pub fn is_success(&self) -> bool {
        matches!(self, EndReason::Succeeded)
    }

    /// The text that some reasons come with; empty for the others.
    pub fn text(&self) -> &str {
        match self {
            EndReason::Cancelled(text)
            | EndReason::StartFailed(text)
            | EndReason::PostconditionFailed(text) => text,
            EndReason::Succeeded
            | EndReason::FailedExit(_)
            | EndReason::FailedSignal(_)
            | EndReason::OomKilled
            | EndReason::DiskExceeded
            | EndReason::TimedOut
            | EndReason::Preempted
            | EndReason::NodeLost
            | EndReason::PreconditionFailed
            | EndReason::Unhealthy
            | EndReason::UpstreamFailed
            | EndReason::Skipped(_) => "",
        }
    }

    /// The same reason with at most so many bytes of its text.
    #[must_use]
    pub fn with_text_of(mut self, bytes_max: usize) -> EndReason {
        if let EndReason::Cancelled(text)
        | EndReason::StartFailed(text)
        | EndReason::PostconditionFailed(text) = &mut self
            && text.len() > bytes_max
        {
            *text = text[..text.floor_char_boundary(bytes_max)].into();
        }
        self
    }

    /// The word by which tables, JSON and metrics name the reason, without its detail.
    pub fn word(&self) -> &'static str {
        match self {
            EndReason::Succeeded => "succeeded",
            EndReason::FailedExit(_) | EndReason::FailedSignal(_) => "failed",
            EndReason::OomKilled => "oom_killed",
            EndReason::DiskExceeded => "disk_exceeded",
            EndReason::TimedOut => "timed_out",
            EndReason::Cancelled(_) => "cancelled",
            EndReason::Preempted => "preempted",
            EndReason::NodeLost => "node_lost",
            EndReason::StartFailed(_) => "start_failed",
            EndReason::PreconditionFailed => "precondition_failed",
            EndReason::PostconditionFailed(_) => "postcondition_failed",
            EndReason::Unhealthy => "unhealthy",
            EndReason::UpstreamFailed => "upstream_failed",
            EndReason::Skipped(_) => "skipped",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::FailedExit(code) => write!(f, "failed(exit code {code})"),
            EndReason::FailedSignal(signal) => write!(f, "failed(signal {signal})"),
            EndReason::Cancelled(by) => write!(f, "cancelled(by {by})"),
            EndReason::StartFailed(cause) => write!(f, "start_failed({cause})"),
            EndReason::PostconditionFailed(what) if !what.is_empty() => {
                write!(f, "postcondition_failed({what})")
            }
            EndReason::Skipped(SkipReason::Overlap) => write!(f, "skipped(overlap)"),
            EndReason::Skipped(SkipReason::CatchUp) => write!(f, "skipped(catch_up)"),
            EndReason::Skipped(SkipReason::Full) => write!(f, "skipped(full)"),
            EndReason::Skipped(SkipReason::Superseded) => write!(f, "skipped(superseded)"),
            EndReason::Succeeded
            | EndReason::OomKilled
            | EndReason::DiskExceeded
            | EndReason::TimedOut
            | EndReason::Preempted
            | EndReason::NodeLost
            | EndReason::PreconditionFailed
            | EndReason::PostconditionFailed(_)
            | EndReason::Unhealthy
            | EndReason::UpstreamFailed => f.write_str(self.word()),
        }
    }
}

/// Why a task waits, and what would unblock it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// The named tasks have to succeed first.
    Dependency { steps: Vec<String> },
    /// A precondition does not hold yet.
    Precondition { what: String },
    /// The tenant's limit is used up; named in the text with used and limit.
    Quota { what: String },
    /// No node can take it now; the text says what each kind of node lacks.
    Placement { what: String },
    /// Room is being made for it.
    Preemption,
    /// It failed and will be tried again at that instant.
    Retry { at: Timestamp },
    /// The job is paused.
    Paused,
    /// It is scheduled for that instant.
    Fire { at: Timestamp },
}

impl WaitReason {
    /// The word by which tables, JSON and metrics name the reason, without its detail.
    pub fn word(&self) -> &'static str {
        match self {
            WaitReason::Dependency { .. } => "dependency",
            WaitReason::Precondition { .. } => "precondition",
            WaitReason::Quota { .. } => "quota",
            WaitReason::Placement { .. } => "placement",
            WaitReason::Preemption => "preemption",
            WaitReason::Retry { .. } => "retry",
            WaitReason::Paused => "paused",
            WaitReason::Fire { .. } => "fire",
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::Dependency { steps } => write!(f, "comes after {}", steps.join(", ")),
            WaitReason::Precondition { what }
            | WaitReason::Quota { what }
            | WaitReason::Placement { what } => f.write_str(what),
            WaitReason::Preemption => f.write_str("room is being made for it"),
            WaitReason::Retry { at } => write!(f, "tried again at {}", at.rfc3339()),
            WaitReason::Paused => f.write_str("the job is paused"),
            WaitReason::Fire { at } => write!(f, "fires at {}", at.rfc3339()),
        }
    }
}
