//! Jobs: submit, validate, stop, read.

use berth_core::job_spec::JobSpec;
use berth_proto::convert;
use berth_proto::v1::jobs_client::JobsClient;
use berth_proto::v1::{
    GetJobRequest, JobView, ListJobsRequest, StopJobRequest, SubmitRequest, ValidateRequest,
};

use crate::client::Client;
use crate::error::{Error, Violation};
use crate::key::RequestKey;
use crate::pages::Pages;

/// What to submit: a spec, the start of a run, or both in one command.
///
/// ```no_run
/// # async fn example(client: berth_client::Client, spec: berth_client::JobSpec) -> Result<(), berth_client::Error> {
/// use berth_client::{RequestKey, Submit};
///
/// client.submit(Submit::spec(spec.clone())).await?; // register only
/// client.submit(Submit::spec(spec).start()).await?; // register and run
/// let key = RequestKey::new(*b"nightly-20260731"); // known after a restart of this program too
/// client.submit(Submit::job("acme", "nightly").start().key(key)).await?; // run the job as it is
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Submit {
    tenant: String,
    job: String,
    spec: Option<Box<JobSpec>>,
    start: bool,
    key: Option<RequestKey>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The version of the job that is now in force.
    pub version: u64,
    /// Whether the spec was new.
    pub changed: bool,
    /// The id of the run that was started.
    pub run: Option<String>,
    /// The log index at which it was applied.
    pub index: u64,
}

/// What the cluster says of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// All errors and warnings; without errors the spec would be accepted.
    pub violations: Vec<Violation>,
    /// What would be registered differs from what is.
    pub changes: bool,
}

impl Submit {
    /// Registers this spec.
    pub fn spec(spec: JobSpec) -> Submit {
        let (tenant, job) = (spec.tenant.clone(), spec.name.clone());
        Submit { tenant, job, spec: Some(Box::new(spec)), start: false, key: None }
    }

    /// Takes a job as it is registered; of use with [`Submit::start`].
    pub fn job(tenant: impl Into<String>, job: impl Into<String>) -> Submit {
        Submit { tenant: tenant.into(), job: job.into(), spec: None, start: false, key: None }
    }

    /// The job it is about, as `TENANT/NAME`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.tenant, self.job)
    }

    /// Starts a run too.
    #[must_use]
    pub fn start(mut self) -> Submit {
        self.start = true;
        self
    }

    /// Under a key of the caller's own instead of a random one.
    #[must_use]
    pub fn key(mut self, key: RequestKey) -> Submit {
        self.key = Some(key);
        self
    }
}

/// What is wrong with a spec that has more bytes than a cluster stores. Needs no server.
pub fn too_large(spec: &JobSpec) -> Option<Violation> {
    let error = convert::job_spec::check_size(&convert::job_spec::to_proto(spec)).err()?;
    Some(Violation {
        path: String::new(),
        code: error.code().to_string(),
        message: error.to_string(),
        help: Some(error.help().to_owned()),
        warning: false,
    })
}

impl Client {
    /// Registers a job, starts a run of it, or both at once.
    ///
    /// # Errors
    /// As for every write; [`Error::Invalid`], [`Error::NeverFits`] and [`Error::NotFound`] for the tenant or job.
    pub async fn submit(&self, submit: Submit) -> Result<Submitted, Error> {
        if let Some(violation) = submit.spec.as_deref().and_then(too_large) {
            return Err(Error::Invalid { message: violation.message.clone(), violations: vec![violation] });
        }
        let key = submit.key.unwrap_or_else(RequestKey::random);
        let request = SubmitRequest {
            tenant: submit.tenant,
            job: submit.job,
            spec: submit.spec.as_deref().map(convert::job_spec::to_proto),
            start: submit.start,
            key: key.wire(),
        };
        let reply = self
            .write(key, |channel| {
                let request = request.clone();
                async move { JobsClient::new(channel).submit(request).await }
            })
            .await?;
        let run = (!reply.run.is_empty()).then_some(reply.run);
        Ok(Submitted { version: reply.version, changed: reply.changed, run, index: reply.index })
    }

    /// Says what [`Client::submit`] would say of a spec, and changes nothing.
    ///
    /// # Errors
    /// As for every read.
    pub async fn validate(&self, spec: &JobSpec) -> Result<Validation, Error> {
        let request =
            ValidateRequest { spec: Some(convert::job_spec::to_proto(spec)), stale_ok: self.stale_ok() };
        let reply = self
            .read(|channel| {
                let request = request.clone();
                async move { JobsClient::new(channel).validate(request).await }
            })
            .await?;
        let violations = reply.violations.into_iter().map(Violation::from).collect();
        Ok(Validation { violations, changes: reply.changes })
    }

    /// Disables a job's schedule and cancels its active runs. It can be submitted again.
    ///
    /// # Errors
    /// As for every write; [`Error::NotFound`].
    pub async fn stop_job(&self, tenant: &str, job: &str) -> Result<(), Error> {
        self.stop_job_with_key(tenant, job, RequestKey::random()).await
    }

    /// [`Client::stop_job`] under a key of the caller's own.
    ///
    /// # Errors
    /// As there.
    pub async fn stop_job_with_key(&self, tenant: &str, job: &str, key: RequestKey) -> Result<(), Error> {
        let request = StopJobRequest { tenant: tenant.to_owned(), job: job.to_owned(), key: key.wire() };
        self.write(key, |channel| {
            let request = request.clone();
            async move { JobsClient::new(channel).stop(request).await }
        })
        .await
        .map(drop)
    }

    /// A job with its spec and up to `runs` (at most 100) of its latest runs.
    ///
    /// # Errors
    /// As for every read; [`Error::NotFound`].
    pub async fn job(&self, tenant: &str, job: &str, runs: u32) -> Result<JobView, Error> {
        let request = GetJobRequest {
            tenant: tenant.to_owned(),
            job: job.to_owned(),
            with_spec: true,
            runs,
            stale_ok: self.stale_ok(),
        };
        let reply = self
            .read(|channel| {
                let request = request.clone();
                async move { JobsClient::new(channel).get(request).await }
            })
            .await?;
        reply.job.ok_or(Error::Malformed { what: "the job" })
    }

    /// The jobs of a tenant, or of all tenants that the caller may see, by tenant and name.
    pub fn jobs(&self, tenant: Option<&str>) -> Pages<JobView> {
        let client = self.clone();
        let tenant = tenant.unwrap_or_default().to_owned();
        Pages::new(move |page_token| {
            let client = client.clone();
            let request = ListJobsRequest {
                tenant: tenant.clone(),
                page_size: 0,
                page_token,
                stale_ok: client.stale_ok(),
            };
            async move {
                let ask = |channel| {
                    let request = request.clone();
                    async move { JobsClient::new(channel).list(request).await }
                };
                client.read(ask).await.map(|reply| (reply.jobs, reply.next_page_token))
            }
        })
    }
}
