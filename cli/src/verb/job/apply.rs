//! `berth job apply`

use berth_client::Submit;
use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::verb::job::run::{refused, submit_checked};
use crate::{largest_node, spec_file};

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The spec; - reads standard input
    file: String,
    /// Only say whether it would change what is registered; exits 10 if so
    #[arg(long)]
    plan: bool,
}

impl Apply {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let parsed = match spec_file::read(&self.file) {
            Ok(parsed) => parsed,
            Err(failure) => return Err(largest_node::add(session, failure).await),
        };
        let client = session.client()?;
        let (tenant, name) = (parsed.job.tenant.clone(), parsed.job.name.clone());
        if self.plan {
            let answer = match client.validate(&parsed.job).await {
                Ok(answer) => answer,
                Err(error) => return Err(refused(parsed, error)),
            };
            let report = spec_file::report(parsed, &answer.violations);
            if report.has_errors() {
                return Err(Failure::refused_spec(report));
            }
            let what = if answer.changes { "would change" } else { "is as registered" };
            let json = || json!({ "tenant": tenant, "job": name, "changes": answer.changes });
            session.output.data(|| format!("{tenant}/{name}: {what}\n"), json)?;
            return Ok(if answer.changes { Exit::PlanHasChanges } else { Exit::Ok });
        }
        let submit = Submit::spec(parsed.job.clone());
        let submitted = submit_checked(session, &client, parsed, submit).await?;
        let what = if submitted.changed { "registered" } else { "unchanged" };
        session.output.data(
            || format!("{tenant}/{name}: {what}, version {}\n", submitted.version),
            || {
                json!({
                    "tenant": tenant,
                    "job": name,
                    "version": submitted.version,
                    "changed": submitted.changed,
                    "index": submitted.index,
                })
            },
        )?;
        Ok(Exit::Ok)
    }
}
