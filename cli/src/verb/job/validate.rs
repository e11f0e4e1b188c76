//! `berth job validate`

use std::time::Duration;

use berth_client::{Error, Validation};
use berth_spec::Parsed;
use clap::Args;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::color;
use crate::session::Session;
use crate::{largest_node, spec_file};

/// How long a cluster is asked; without an answer the text alone is checked.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The spec; - reads standard input
    file: String,
    /// Check the text alone, and ask no server
    #[arg(long)]
    offline: bool,
}

impl Validate {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let parsed = match spec_file::read(&self.file) {
            Ok(parsed) => parsed,
            Err(failure) if self.offline => return invalid(session, failure),
            Err(failure) => return invalid(session, largest_node::add(session, failure).await),
        };
        let (answer, silent) = match self.offline {
            true => (None, None),
            false => match ask(session, &parsed).await? {
                Ok(answer) => (Some(answer), None),
                Err(why) => (None, Some(why)),
            },
        };
        let checked = answer.is_some();
        let violations = answer.as_ref().map(|answer| answer.violations.clone()).unwrap_or_default();
        let report = spec_file::report(parsed, &violations);
        if report.has_errors() {
            return invalid(session, Failure::spec(report));
        }
        if !report.diagnostics.is_empty() {
            session.output.say(&report.render(color()));
        }
        let changes = answer.map(|answer| answer.changes);
        let by = if checked { "valid" } else { "valid, as far as the text alone tells" };
        session.output.data(
            || format!("{}: {by}\n", berth_spec::escape(&self.file)),
            || {
                let mut json = report.to_json();
                json["code"] = None::<&str>.into();
                json["valid"] = true.into();
                json["asked_cluster"] = checked.into();
                json["not_asked"] = silent.into();
                json["changes"] = changes.into();
                json
            },
        )?;
        Ok(Exit::Ok)
    }
}

/// A spec that is not valid is an answer here, so that its JSON is data.
fn invalid(session: &Session, failure: Failure) -> Result<Exit, Failure> {
    if session.output.is_json() && failure.exit() == Exit::InvalidSpec {
        let mut json = failure.to_json()["error"].take();
        json["valid"] = false.into();
        session.output.data(String::new, || json)?;
        return Ok(Exit::InvalidSpec);
    }
    Err(failure)
}

/// What a cluster says, or why none says anything.
async fn ask(session: &Session, parsed: &Parsed) -> Result<Result<Validation, String>, Failure> {
    Ok(match session.impatient_client(PATIENCE)?.validate(&parsed.job).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid { violations, .. }) if !violations.is_empty() => {
            Ok(Validation { violations, changes: true })
        }
        Err(error) => {
            let why = Failure::from(error).in_short();
            session.output.warn(&format!("not checked against a cluster: {why}"));
            Err(why)
        }
    })
}
