//! Why a command failed, as people and programs read it.

use std::fmt::Write;
use std::io;

use berth_client::{Error, Missing, RequestKey, Tried, Violation};
use berth_spec::{Code, Report, Severity, escape};
use serde_json::{Value, json};

use crate::exit::Exit;

/// A failed command: what, why, what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Of the catalogue; empty where it has none.
    code: String,
    message: String,
    /// A line each.
    notes: Vec<String>,
    help: Option<String>,
    /// Names the request to the cluster, where it is of use: the key of a write, which makes it safe to repeat.
    request_id: Option<Box<RequestKey>>,
    /// The mistakes of a spec, which say all of it.
    report: Option<Box<Report>>,
    /// Nothing is said about it, such as the end of a reader of our output.
    silent: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: impl Into<Option<Code>>, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            code: code.into().map(|code: Code| code.to_string()).unwrap_or_default(),
            message: message.into(),
            notes: Vec::new(),
            help: None,
            request_id: None,
            report: None,
            silent: false,
        }
    }

    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, None, message)
    }

    /// The mistakes of a spec.
    pub(crate) fn spec(report: Report) -> Failure {
        let code = match report.diagnostics.as_slice() {
            [only] => only.code,
            _ => Code::Several,
        };
        let mut failure = Failure::new(Exit::InvalidSpec, code, report.summary());
        failure.report = Some(Box::new(report));
        failure
    }

    /// A spec that the cluster refuses: it ends as the same refusal of a request would.
    pub(crate) fn refused_spec(report: Report) -> Failure {
        let errors = || report.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let exit = if errors().all(|found| found.code == Code::NotVisible) {
            Exit::NotFound
        } else if errors().all(|found| found.code == Code::NeverFits) {
            Exit::QuotaOrConflict
        } else {
            Exit::InvalidSpec
        };
        Failure { exit, ..Failure::spec(report) }
    }

    /// The mistakes of a spec, if it is about those.
    pub(crate) fn report_mut(&mut self) -> Option<&mut Report> {
        self.report.as_deref_mut()
    }

    /// Ends with this code and says nothing.
    pub(crate) fn silent(exit: Exit) -> Failure {
        Failure { silent: true, ..Failure::new(exit, None, "") }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    /// Adds a line below the message.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Failure {
        self.notes.push(note.into());
        self
    }

    /// Names the request that failed, unless that is done.
    #[must_use]
    pub(crate) fn of_request(mut self, key: RequestKey) -> Failure {
        self.request_id.get_or_insert_with(|| Box::new(key));
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// In one line, for a warning that goes on.
    pub(crate) fn in_short(&self) -> String {
        let mut text = self.message.clone();
        for note in &self.notes {
            let _ = write!(text, "; {note}");
        }
        escape(&text)
    }

    /// As people read it.
    pub(crate) fn render(&self, color: bool) -> String {
        if let Some(report) = &self.report {
            return report.render(color);
        }
        let (red, bold, reset) = if color { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let code = if self.code.is_empty() { String::new() } else { format!("[{}]", self.code) };
        let mut lines = self.message.lines().map(escape);
        let first = lines.next().unwrap_or_default();
        let mut text = format!("{red}error{code}{reset}: {bold}{first}{reset}\n");
        for line in lines.chain(self.notes.iter().map(|note| escape(note))) {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "help: {}", escape(help));
        }
        text
    }

    /// As programs read it.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = match &self.report {
            Some(report) => report.to_json(),
            None => {
                json!({ "code": self.code, "message": self.message, "notes": self.notes, "help": self.help })
            }
        };
        error["exit"] = self.exit.number().into();
        error["request_id"] = self.request_id.as_ref().map(ToString::to_string).into();
        json!({ "error": error })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (exit, help) = meaning(&error);
        let code = error.code().to_owned();
        let mut failure = Failure::new(exit, None, "");
        failure.code = code;
        failure.help = help.map(str::to_owned);
        match error {
            Error::Spec(report) => return Failure::spec(*report),
            Error::Unreachable { tried } => {
                failure.message = "no server can be reached".to_owned();
                failure.notes = answers(&tried);
            }
            Error::NoLeader { tried, waited } => {
                failure.message =
                    format!("the cluster had no leader for {} ms; nothing was applied", waited.as_millis());
                failure.notes = answers(&tried);
            }
            Error::OutcomeUnknown { key, tried } => {
                failure.message =
                    "the connection ended before the answer: it may have been applied or not".to_owned();
                failure.notes = answers(&tried);
                failure.notes.push(format!("the request's key: {key}"));
                failure.help = Some(format!(
                    "`berth job run`, `apply` and `stop` and `berth run cancel` take `--key {key}`: the same command with it \
                     is applied once at most and says what became of it. Look before you repeat another one"
                ));
                failure.request_id = Some(Box::new(key));
            }
            Error::Overloaded { ref retry_after, .. } => {
                failure.message = error.to_string();
                failure.notes =
                    vec![format!("retry after {} ms; nothing was applied", retry_after.as_millis())];
            }
            Error::Invalid { message, violations } => {
                failure.message = message;
                // A violation of a field alone is the message already.
                let said = |of: &&Violation| {
                    violations.len() == 1 && failure.message == format!("{}: {}", of.path, of.message)
                };
                failure.notes = violations.iter().filter(|of| !said(of)).map(violation).collect();
            }
            other => failure.message = other.to_string(),
        }
        failure
    }
}

fn meaning(error: &Error) -> (Exit, Option<&'static str>) {
    match error {
        Error::Endpoint { .. } => (Exit::Usage, Some("give --server host:port or set BERTH_SERVER")),
        Error::Unreachable { .. } => (
            Exit::Unavailable,
            Some("is a server running there? Start one with `berth dev`, or give --server host:port"),
        ),
        Error::NoLeader { .. } => (
            Exit::Unavailable,
            Some(
                "more than half of the servers must be up; `berth operator status` asks each. It is safe to repeat",
            ),
        ),
        // Its help names its key.
        Error::OutcomeUnknown { .. } => (Exit::Unavailable, None),
        Error::Overloaded { .. } => (Exit::Unavailable, Some("it is safe to repeat")),
        Error::LogsUnavailable(_) => {
            (Exit::Unavailable, Some("the node that has the logs may be down: `berth node list`"))
        }
        Error::Spec(_) | Error::Invalid { .. } => (Exit::InvalidSpec, None),
        Error::NotFound { what, .. } => (Exit::NotFound, listing(*what)),
        Error::AmbiguousRun(_) => (Exit::Usage, Some("give more digits of the run's id: `berth run list`")),
        Error::Denied(_) => (Exit::Auth, None),
        Error::NeverFits(_) | Error::Conflict(_) | Error::KeyReused(_) | Error::Full(_) => {
            (Exit::QuotaOrConflict, None)
        }
        _ => (Exit::Other, None),
    }
}

fn listing(what: Missing) -> Option<&'static str> {
    match what {
        Missing::Tenant => {
            Some("`berth tenant list` shows what there is; `berth tenant apply NAME` adds one")
        }
        Missing::Job => Some("`berth job list` shows what there is"),
        Missing::Run => Some("`berth run list` shows what there is"),
        Missing::Node => Some("`berth node list` shows what there is"),
        Missing::Task => Some("`berth run show RUN` shows the tasks"),
        Missing::Member => Some("`berth operator members` shows what there is"),
        Missing::Other => None,
    }
}

fn answers(tried: &[Tried]) -> Vec<String> {
    tried.iter().map(|tried| format!("{}: {}", tried.endpoint, tried.answer)).collect()
}

fn violation(violation: &Violation) -> String {
    let help = violation.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("[{}] {}: {}{help}", violation.code, violation.path, violation.message)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        // The reader of our output has what it wanted.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::silent(Exit::Ok);
        }
        Failure::new(Exit::Other, None, error.to_string())
    }
}

impl From<berth_daemon::config::Error> for Failure {
    fn from(error: berth_daemon::config::Error) -> Failure {
        let mut failure = Failure::new(Exit::InvalidSpec, None, error.to_string());
        failure.notes.extend(std::error::Error::source(&error).map(ToString::to_string));
        failure
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tried() -> Vec<Tried> {
        ["a", "b"]
            .map(|host| Tried {
                endpoint: format!("http://{host}:7070"),
                answer: "connection refused".into(),
            })
            .into()
    }

    #[test]
    fn an_unreachable_cluster_names_each_server_with_its_answer() {
        let failure = Failure::from(Error::Unreachable { tried: tried() });
        insta::assert_snapshot!(failure.render(false), @r"
        error[E501]: no server can be reached
          http://a:7070: connection refused
          http://b:7070: connection refused
        help: is a server running there? Start one with `berth dev`, or give --server host:port
        ");
        assert_eq!(failure.exit().number(), 7);
        assert_eq!(failure.to_json()["error"]["code"], "E501");
    }

    #[test]
    fn a_cluster_without_a_leader_says_that_nothing_was_applied() {
        let failure = Failure::from(Error::NoLeader { tried: tried(), waited: Duration::from_secs(15) });
        let text = failure.render(false);
        assert!(
            text.starts_with("error[E502]: the cluster had no leader for 15000 ms; nothing was applied\n"),
            "{text}"
        );
        assert!(text.contains("safe to repeat"), "{text}");
    }

    #[test]
    fn a_write_in_doubt_says_how_to_learn_what_became_of_it() {
        let key = RequestKey::new(*b"nightly-20260731");
        let failure = Failure::from(Error::OutcomeUnknown { key, tried: tried() });
        let text = failure.render(false);
        assert!(text.starts_with("error[E504]: ") && text.contains(&format!("--key {key}")), "{text}");
        assert_eq!(failure.to_json()["error"]["request_id"], key.to_string());
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn what_servers_say_cannot_move_the_cursor() {
        let text = Failure::new(Exit::Other, Code::Internal, "a\x1b[2Jb\nc\rd").render(false);
        assert_eq!(text, "error[E500]: a\\x1b[2Jb\n  c\\rd\n");
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.is_silent());
        assert_eq!(failure.exit(), Exit::Ok);
    }
}
