//! `berth job apply`

use berth_client::{Client, Error, RequestKey};
use clap::Args;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::plan::{self, Change};
use crate::session::Session;
use crate::verb::job::registered_spec;
use crate::verb::job::run::{refused, submit_spec};
use crate::{largest_node, spec_file};

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The spec; - reads standard input
    file: String,
    /// Only say what it would change of what is registered; exits 10 if anything
    #[arg(long)]
    plan: bool,
    /// The key of an earlier request whose outcome is not known (E504): the same one, applied once at most
    #[arg(long, value_name = "KEY", conflicts_with = "plan")]
    key: Option<RequestKey>,
}

impl Apply {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        if self.plan {
            return Box::pin(show_plan(session, &client, &self.file)).await;
        }
        let key = self.key.unwrap_or_else(RequestKey::random);
        let mut job = String::new();
        let applied = submit_spec(session, &client, &self.file, |submit| {
            job = submit.name();
            submit.key(key)
        });
        let (submitted, warnings) = applied.await.map_err(|failure| failure.of_request(key))?;
        let (tenant, name) = job.split_once('/').unwrap_or_default();
        let what = if submitted.changed { "registered" } else { "unchanged" };
        session.output.data(
            || format!("{job}: {what}, version {}\n", submitted.version),
            || {
                json!({
                    "tenant": tenant,
                    "job": name,
                    "version": submitted.version,
                    "changed": submitted.changed,
                    "index": submitted.index,
                    "warnings": warnings,
                })
            },
        )?;
        Ok(Exit::Ok)
    }
}

async fn show_plan(session: &Session, client: &Client, file: &str) -> Result<Exit, Failure> {
    let parsed = match spec_file::read(file) {
        Ok(parsed) => parsed,
        Err(failure) => return Err(largest_node::add(session, failure).await),
    };
    let spec = parsed.job.clone();
    let (tenant, name) = (&spec.tenant, &spec.name);
    let answer = match client.validate(&spec).await {
        Ok(answer) => answer,
        Err(error) => return Err(refused(parsed, error)),
    };
    let report = spec_file::report(parsed, &answer.violations);
    if report.has_errors() {
        return Err(Failure::refused_spec(report));
    }
    let registered = match client.job(tenant, name, 0).await {
        Ok(job) => registered_spec(&job)?,
        Err(Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let changes = registered.as_ref().map(|before| plan::changes(before, &spec)).unwrap_or_default();
    let table = || {
        let what = match (answer.changes, &registered) {
            (false, _) => "is as registered",
            (true, None) => "would be new",
            (true, Some(_)) if changes.is_empty() => {
                "would be enabled again, or differ in the order of its tasks"
            }
            (true, Some(_)) => "would change",
        };
        let lines: String = changes.iter().map(|change| format!("  {}\n", change.line())).collect();
        format!("{tenant}/{name}: {what}\n{lines}")
    };
    let json = || {
        json!({
            "tenant": tenant,
            "job": name,
            "changes": answer.changes,
            "registered": registered.is_some(),
            "differences": changes.iter().map(Change::to_json).collect::<Vec<Value>>(),
        })
    };
    session.output.data(table, json)?;
    Ok(if answer.changes { Exit::PlanHasChanges } else { Exit::Ok })
}
