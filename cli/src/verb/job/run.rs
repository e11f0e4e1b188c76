//! `berth job run`

use std::time::Duration;

use berth_client::api::RunView;
use berth_client::{Client, Error, Submit, Submitted};
use berth_daemon::config::HumanDuration;
use berth_spec::{Parsed, escape};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{color, say};
use crate::progress::{self, Followed};
use crate::session::Session;
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
    /// With --wait: exit 8 after this time; the run goes on
    #[arg(long, requires = "wait", value_name = "TIME")]
    wait_timeout: Option<HumanDuration>,
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
        let submitted = start(session, &client, &self.what).await?;
        let run = submitted.run.clone().ok_or(Error::Malformed { what: "the id of the run" })?;
        if !self.wait {
            say(&format!("follow it: berth run wait {0}   its output: berth logs {0} -f", short(&run)));
            let json = || json!({ "run": run, "version": submitted.version, "changed": submitted.changed });
            session.output.data(|| format!("{run}\n"), json)?;
            return Ok(Exit::Ok);
        }
        say(&format!("run {run}"));
        let limit = self.wait_timeout.map(HumanDuration::get);
        Box::pin(wait(session, &client, &run, limit)).await
    }
}

/// Submits and starts.
pub(crate) async fn start(
    session: &Session,
    client: &Client,
    what: &JobOrFile,
) -> Result<Submitted, Failure> {
    if !spec_file::is_file(&what.what) {
        let (tenant, name) = parts(&what.what, &what.tenant);
        return Ok(client.submit(Submit::job(tenant, name).start()).await?);
    }
    let parsed = match spec_file::read(&what.what) {
        Ok(parsed) => parsed,
        Err(failure) => return Err(largest_node::add(session, failure).await),
    };
    let submit = Submit::spec(parsed.job.clone()).start();
    submit_checked(session, client, parsed, submit).await
}

/// Submits a spec, unless the cluster has something against it; what it only warns of is shown once it is accepted.
pub(crate) async fn submit_checked(
    session: &Session,
    client: &Client,
    parsed: Parsed,
    submit: Submit,
) -> Result<Submitted, Failure> {
    let violations = client.validate(&parsed.job).await?.violations;
    if violations.iter().any(|violation| !violation.warning) {
        return Err(Failure::refused_spec(spec_file::report(parsed, &violations)));
    }
    match client.submit(submit).await {
        Ok(submitted) => {
            let report = spec_file::report(parsed, &violations);
            if !report.diagnostics.is_empty() && !session.output.is_json() {
                say(&report.render(color()));
            }
            Ok(submitted)
        }
        Err(error) => Err(refused(parsed, error)),
    }
}

/// Follows a run to its end and shows how it ended.
pub(crate) async fn wait(
    session: &Session,
    client: &Client,
    run: &str,
    limit: Option<Duration>,
) -> Result<Exit, Failure> {
    match progress::follow(client, run, limit, session.output.is_json()).await? {
        Followed::Ended(view) => conclude(session, client, &view).await,
        Followed::Interrupted => {
            say(&format!(
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
pub(crate) async fn conclude(session: &Session, client: &Client, view: &RunView) -> Result<Exit, Failure> {
    let failed = failed_tasks(client, view).await;
    let json = || {
        let mut value = json::run(view);
        value["failed_tasks"] =
            failed.iter().map(|failed| json::task(&failed.task)).collect::<Vec<Value>>().into();
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
