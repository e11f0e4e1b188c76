//! `berth job validate | apply | run | list | show | stop`

mod apply;
mod run;
mod validate;

pub(crate) use run::{JobOrFile, Started, conclude, short, start, wait};

use berth_client::api::JobView;
use berth_client::{JobSpec, RequestKey};
use berth_spec::Code;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::job as view;
use crate::{json, units};

/// The tenant of a job that is named without one.
pub(crate) const DEFAULT_TENANT: &str = "default";
/// How many runs `job show` adds.
const RUNS_SHOWN: u32 = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Check a spec; what only a cluster knows is added when a server can be asked
    Validate(validate::Validate),
    /// Register a job without running it
    Apply(apply::Apply),
    /// Register a job and run it, or run a registered one
    Run(run::Run),
    /// List the jobs
    List {
        /// Only of this tenant
        #[arg(long, env = "BERTH_TENANT")]
        tenant: Option<String>,
    },
    /// Show a job with its latest runs
    Show {
        #[command(flatten)]
        job: Named,
        /// Print its spec as it is registered
        #[arg(long)]
        spec: bool,
    },
    /// Stop a job's schedule and cancel its active runs
    Stop {
        #[command(flatten)]
        job: Named,
        /// The key of an earlier request whose outcome is not known (E504): the same one, applied once at most
        #[arg(long, value_name = "KEY")]
        key: Option<RequestKey>,
    },
}

/// A registered job.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Named {
    /// The job, as NAME or TENANT/NAME
    #[arg(value_name = "JOB")]
    name: String,
    /// The tenant of a job given without one
    #[arg(long, env = "BERTH_TENANT", default_value = DEFAULT_TENANT)]
    tenant: String,
}

impl Named {
    fn parts(&self) -> (&str, &str) {
        parts(&self.name, &self.tenant)
    }
}

/// The spec of a job as it is registered, where it came with the job.
pub(crate) fn registered_spec(job: &JobView) -> Result<Option<JobSpec>, Failure> {
    let spec = job.spec.clone().map(berth_proto::convert::job_spec::from_proto).transpose();
    spec.map_err(|error| Failure::new(Exit::Other, Code::Internal, format!("the registered spec: {error}")))
}

/// Tenant and name of `TENANT/NAME`, or of `NAME` with a tenant beside it.
pub(crate) fn parts<'a>(name: &'a str, tenant: &'a str) -> (&'a str, &'a str) {
    name.split_once('/').unwrap_or((tenant, name))
}

impl Job {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Job::Validate(validate) => Box::pin(validate.run(session)).await,
            Job::Apply(apply) => Box::pin(apply.run(session)).await,
            Job::Run(run) => Box::pin(run.run(session)).await,
            Job::List { tenant } => {
                let jobs = session.client()?.jobs(tenant.as_deref()).collect().await?;
                let json = || json!({ "jobs": jobs.iter().map(json::job).collect::<Vec<Value>>() });
                session.output.data(|| view::list(&jobs, units::now_ms()), json)?;
                Ok(Exit::Ok)
            }
            Job::Show { job, spec } => Box::pin(show(session, &job, spec)).await,
            Job::Stop { job, key } => {
                let (tenant, name) = job.parts();
                let key = key.unwrap_or_else(RequestKey::random);
                let stopped = session.client()?.stop_job_with_key(tenant, name, key).await;
                stopped.map_err(|error| Failure::from(error).of_request(key))?;
                let text = format!("{tenant}/{name}: stopped; its active runs are being cancelled\n");
                session
                    .output
                    .data(|| text, || json!({ "tenant": tenant, "job": name, "enabled": false }))?;
                Ok(Exit::Ok)
            }
        }
    }
}

async fn show(session: &Session, job: &Named, spec: bool) -> Result<Exit, Failure> {
    let (tenant, name) = job.parts();
    let job = session.client()?.job(tenant, name, RUNS_SHOWN).await?;
    let yaml = registered_spec(&job)?.as_ref().map(berth_spec::to_yaml).unwrap_or_default();
    let json = || {
        let mut value = json::job(&job);
        value["spec"] = yaml.clone().into();
        value
    };
    let table = || if spec { yaml.clone() } else { view::show(&job, units::now_ms()) };
    session.output.data(table, json)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_be_named_with_its_tenant() {
        assert_eq!(parts("acme/nightly", "default"), ("acme", "nightly"));
        assert_eq!(parts("nightly", "default"), ("default", "nightly"));
    }
}
