//! The catalogue of everything that can be wrong, as users see it: one list for CLI, API and UI.
//!
//! Numbers of 100 to 399 are mistakes in the text of a spec, 400 to 499 refusals, 500 to 599 answers that did not
//! come, 600 and more what became of a task.

use std::fmt;
use std::str::FromStr;

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is submitted.
    Error,
    /// It is said and goes on.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $title:literal;)+) => {
        /// What is wrong, from a closed list. Numbers keep their meaning for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        const ALL: &[(Code, &str, &str)] = &[$((Code::$name, $text, $title),)+];

        impl Code {
            /// The code as people see it: `E101`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// One line that says what kind of mistake it is.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// A key that does not exist where it stands.
    UnknownField = "E101", "a field that does not exist";
    /// YAML wants spaces.
    Tab = "E102", "a tab as indentation";
    /// One of the two would be lost.
    KeyTwice = "E103", "a key that is set twice";
    /// Not UTF-8.
    Encoding = "E104", "text that is not UTF-8";
    /// Beyond a limit of size, depth or number.
    TooLarge = "E105", "a spec beyond the limits";
    /// Stands for a report with more than one mistake.
    Several = "E106", "several mistakes at once";
    /// Empty, of another kind or of another version.
    WrongDocument = "E107", "not a document that this server speaks";
    /// Known, and refused rather than ignored.
    NotHonoured = "E108", "a field that is not honoured yet";
    /// A list where a text is wanted, and the like.
    WrongType = "E109", "a value of the wrong type";
    /// The parser cannot go on.
    Syntax = "E110", "text that is not valid YAML";
    /// A field that must be there.
    Missing = "E111", "a required field is missing";
    /// Of the right type, but not one of the legal values.
    IllegalValue = "E112", "a value that is not allowed";
    /// Memory without a unit or with an unclear one.
    MemoryUnit = "E201", "an amount of memory without a clear unit";
    /// Negative, zero, too large, not a number.
    AmountRange = "E202", "an amount of a resource outside its range";
    /// Tasks that wait for each other.
    Cycle = "E203", "tasks that depend on each other in a circle";
    /// Two tasks of one name, or a name that no task has.
    TaskName = "E204", "a task name used twice, or a task that does not exist";
    /// None, two or an unknown one.
    Executor = "E205", "not exactly one known executor";
    /// Undefined, or defined only elsewhere.
    Variable = "E206", "a variable that is not defined here";
    /// A password in plain text.
    LiteralSecret = "E207", "a value that looks like a secret";
    /// A hard limit below the amount that is asked for.
    MemoryMax = "E208", "a memory limit below the memory asked for";
    /// The text of a schedule cannot be understood.
    Schedule = "E301", "a schedule that cannot be understood";
    /// Unknown or ambiguous.
    TimeZone = "E302", "a time zone that is unknown or ambiguous";
    /// A local time that some days do not have, or have twice.
    LocalTime = "E303", "a local time that is skipped or repeated";
    /// Never, too often, too many.
    ScheduleRange = "E304", "a schedule that never fires, or beyond the limits";
    /// Fields that no client of this release would send so.
    Invalid = "E400", "a request that is not valid";
    /// Accepted and waiting for the tenant's quota.
    QuotaQueued = "E401", "over quota now, queued";
    /// No amount of waiting would help.
    NeverFits = "E402", "can never fit";
    /// Unknown, or not visible to the caller.
    NotVisible = "E403", "not found or not visible to you";
    /// Expired, revoked or of another cluster.
    Token = "E404", "a token that is not valid here";
    /// Planned against an older revision.
    StaleRevision = "E405", "changed in the meantime";
    /// Its key stands for another request already.
    KeyReused = "E406", "a key that was used for another request";
    /// More than one run begins so.
    AmbiguousRun = "E407", "a run that is not named clearly";
    /// So many jobs, runs or nodes that there may be no more.
    Full = "E408", "a bound of the cluster is reached";
    /// Such as a node that still runs tasks.
    Conflict = "E409", "not possible in the present state";
    /// It would lose the quorum, or another change is under way.
    Membership = "E410", "a change of members that is not safe now";
    /// A bug; the message has an id that the server's log has too.
    Internal = "E500", "a fault of the server";
    /// No server answered.
    Unreachable = "E501", "no server can be reached";
    /// Servers answer, but none leads.
    NoLeader = "E502", "the cluster has no leader";
    /// A queue is full.
    Overloaded = "E503", "the cluster is overloaded";
    /// Cut off before the answer came.
    OutcomeUnknown = "E504", "the connection ended before the answer";
    /// They, or the node that has them, are out of reach.
    LogsUnavailable = "E505", "logs that cannot be had";
    /// Too little room for new work; what was begun may end.
    DiskFull = "E506", "a server's disk is almost full";
    /// The program did not start or did not end well.
    TaskFailed = "E601", "a task failed";
    /// Control characters where people look at text.
    ControlCharacters = "E604", "control characters in text";
}

/// Every code with its title, in the order of their numbers.
pub fn catalogue() -> impl Iterator<Item = (Code, &'static str)> {
    ALL.iter().map(|&(code, _, title)| (code, title))
}

impl Code {
    /// How grave it is when nothing else is said.
    pub fn severity(self) -> Severity {
        if matches!(self, Code::LiteralSecret | Code::LocalTime | Code::QuotaQueued) {
            Severity::Warning
        } else {
            Severity::Error
        }
    }
}

impl Severity {
    /// `error` or `warning`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not a code of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such code")]
pub struct NoSuchCode;

impl FromStr for Code {
    type Err = NoSuchCode;

    fn from_str(text: &str) -> Result<Code, NoSuchCode> {
        ALL.iter().find(|(_, known, _)| *known == text).map(|&(code, _, _)| code).ok_or(NoSuchCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_from_its_text_and_stands_in_order() {
        let texts: Vec<&str> = catalogue().map(|(code, _)| code.as_str()).collect();
        assert!(texts.is_sorted());
        for (code, title) in catalogue() {
            assert_eq!(code.as_str().parse(), Ok(code));
            assert_eq!(code.title(), title);
        }
        assert_eq!("E999".parse::<Code>(), Err(NoSuchCode));
    }
}
