//! `berth job run`

use std::time::Duration;

use berth_client::api::RunView;
use berth_client::{Client, Error, RequestKey, Submit, Submitted};
use berth_spec::{Diagnostic, Parsed, escape};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::color;
use crate::progress::{self, Followed};
use crate::session::Session;
use crate::span::Span;
use crate::verb::job::{DEFAULT_TENANT, parts};
use crate::verb::run::failed_tasks;
use crate::{json, largest_node, spec_file, units, view};

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    what: JobOrFile,
    /// Follow the run to its end; exits 20 when it does not succeed
    #[arg(long)]
    wait: bool,
    /// The key of an earlier request whose outcome is not known (E504): the same one, applied once at most
    #[arg(long, value_name = "KEY")]
    key: Option<RequestKey>,
    /// With --wait: exit 8 after this time; the run goes on
    #[arg(long, requires = "wait", value_name = "TIME")]
    wait_timeout: Option<Span>,
}

/// A spec to register and run, or a registered job.
#[derive(Debug, Args)]
pub(crate) struct JobOrFile {
    /// A spec (a path, or - for standard input), or a registered job as NAME or TENANT/NAME
    #[arg(value_name = "FILE|JOB")]
    pub(crate) what: String,
    /// The tenant of a job given without one
    #[arg(long, env = "BERTH_TENANT", default_value = DEFAULT_TENANT)]
    pub(crate) tenant: String,
}

impl Run {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let Started { submitted, run, warnings } = start(session, &client, &self.what, self.key).await?;
        if !self.wait {
            session
                .output
                .say(&format!("follow it: berth run wait {0}   its output: berth logs {0} -f", short(&run)));
            let json = || {
                json!({
                    "run": run,
                    "version": submitted.version,
                    "changed": submitted.changed,
                    "warnings": warnings,
                })
            };
            session.output.data(|| format!("{run}\n"), json)?;
            return Ok(Exit::Ok);
        }
        session.output.say(&format!("run {run}"));
        let limit = self.wait_timeout.map(Span::get);
        Box::pin(wait(session, &client, &run, limit, &warnings)).await
    }
}

/// A run that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) submitted: Submitted,
    /// Its id.
    pub(crate) run: String,
    /// What is to be said of the spec, for programs.
    pub(crate) warnings: Vec<Value>,
}

/// Submits and starts.
pub(crate) async fn start(
    session: &Session,
    client: &Client,
    what: &JobOrFile,
    key: Option<RequestKey>,
) -> Result<Started, Failure> {
    let key = key.unwrap_or_else(RequestKey::random);
    let (submitted, warnings) = if spec_file::is_file(&what.what) {
        submit_spec(session, client, &what.what, |spec| spec.start().key(key)).await
    } else {
        let (tenant, name) = parts(&what.what, &what.tenant);
        let submitted = client.submit(Submit::job(tenant, name).start().key(key)).await;
        submitted.map(|submitted| (submitted, Vec::new())).map_err(Failure::from)
    }
    .map_err(|failure| failure.of_request(key))?;
    let run = submitted.run.clone().ok_or(Error::Malformed { what: "the id of the run" })?;
    Ok(Started { submitted, run, warnings })
}

/// Reads a spec and submits it as `how` says, unless the cluster has something against it. Its warnings are said to people and come back for programs.
pub(crate) async fn submit_spec(
    session: &Session,
    client: &Client,
    file: &str,
    how: impl FnOnce(Submit) -> Submit,
) -> Result<(Submitted, Vec<Value>), Failure> {
    let parsed = match spec_file::read(file) {
        Ok(parsed) => parsed,
        Err(failure) => return Err(largest_node::add(session, failure).await),
    };
    let violations = client.validate(&parsed.job).await?.violations;
    if violations.iter().any(|violation| !violation.warning) {
        return Err(Failure::refused_spec(spec_file::report(parsed, &violations)));
    }
    match client.submit(how(Submit::spec(parsed.job.clone()))).await {
        Ok(submitted) => {
            let report = spec_file::report(parsed, &violations);
            if !report.diagnostics.is_empty() {
                session.output.say(&report.render(color()));
            }
            Ok((submitted, report.diagnostics.iter().map(Diagnostic::to_json).collect()))
        }
        Err(error) => Err(refused(parsed, error)),
    }
}

/// Follows a run to its end and shows how it ended. `warnings` are those of its spec, for programs.
pub(crate) async fn wait(
    session: &Session,
    client: &Client,
    run: &str,
    limit: Option<Duration>,
    warnings: &[Value],
) -> Result<Exit, Failure> {
    // The cluster is out of reach, and with it only the view of a run that it has accepted.
    let goes_on = |failure: Failure| match failure.exit() {
        Exit::Unavailable => failure.note(format!(
            "runs go on with their cluster: `berth run wait {}` follows this one again",
            short(run)
        )),
        _ => failure,
    };
    match progress::follow(client, run, limit, session.output.is_json()).await.map_err(goes_on)? {
        Followed::Ended(view) => conclude(session, client, &view, warnings).await,
        Followed::Interrupted => {
            session.output.say(&format!(
                "\nthe run goes on. Follow it: berth run wait {0}   end it: berth run cancel {0}",
                short(run)
            ));
            Err(Failure::silent(Exit::Interrupted))
        }
        Followed::TimedOut => Err(Failure::new(
            Exit::TimedOut,
            None,
            format!("run {} is not over yet; it goes on", escape(run)),
        )
        .help(format!("follow it with `berth run wait {}`", escape(short(run))))),
    }
}

/// Prints a run that is over, and says by the exit code whether it succeeded.
pub(crate) async fn conclude(
    session: &Session,
    client: &Client,
    view: &RunView,
    warnings: &[Value],
) -> Result<Exit, Failure> {
    let failed = failed_tasks(client, view).await;
    let json = || {
        let mut value = json::run(view);
        value["failed_tasks"] =
            failed.iter().map(|failed| json::task(&failed.task)).collect::<Vec<Value>>().into();
        value["warnings"] = warnings.into();
        value
    };
    session.output.data(|| view::run::show(view, &failed, units::now_ms()), json)?;
    let succeeded =
        view.reason.as_ref().is_some_and(|reason| crate::words::reason_word(reason) == "succeeded");
    Ok(if succeeded { Exit::Ok } else { Exit::RunFailed })
}

/// A refusal of a spec, at its places in the text where it names fields.
pub(crate) fn refused(parsed: Parsed, error: Error) -> Failure {
    match error {
        Error::Invalid { ref violations, .. } if !violations.is_empty() => {
            Failure::spec(spec_file::report(parsed, violations))
        }
        other => other.into(),
    }
}

/// Enough of an id to type.
pub(crate) fn short(run: &str) -> &str {
    run.get(..12).unwrap_or(run)
}
