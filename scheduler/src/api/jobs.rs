use std::sync::Arc;

use berth_core::command::{Command, Submit};
use berth_core::id::{JobHandle, TenantHandle};
use berth_core::reply::Reply;
use berth_core::state::State;
use berth_proto::convert::job_spec;
use berth_proto::convert::status::of_invalid;
use berth_proto::v1::jobs_server::Jobs;
use berth_proto::v1::{self, ErrorCode};
use tonic::{Request, Response, Status};

use super::gate::Gate;
use super::{failed, invalid, key, page, render, unknown};
use crate::access::{Resource, Scope};
use crate::admission;
use crate::log::Log;

/// How many of a job's runs can be shown with it.
const RUNS_MAX: usize = 100;

/// Jobs.
#[derive(Debug, Clone)]
pub struct JobsService {
    gate: Gate<Log>,
}

impl JobsService {
    /// The service over a log.
    pub fn new(log: Log) -> JobsService {
        JobsService { gate: Gate::new(log) }
    }
}

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::Tenant(&request.tenant))?;
        let key = key(&request.key)?.ok_or_else(|| invalid("key", "is missing"))?;
        let spec = request.spec.map(job_spec::from_client).transpose();
        let spec = spec.map_err(|error| failed(&of_invalid(&error.inside("spec"))))?;
        if spec.is_none() && !request.start {
            return Err(invalid("start", "asks for nothing: neither a spec nor a start"));
        }
        let submit = Submit {
            tenant: request.tenant,
            job: request.job,
            spec: spec.map(Arc::new),
            start: request.start.then_some(key),
        };
        match admitted.write(Some(key), Command::Submit(submit)).await? {
            (index, Reply::Submitted { version, changed, run, .. }) => Ok(Response::new(v1::SubmitReply {
                version,
                changed,
                run: run.map(|run| run.to_string()).unwrap_or_default(),
                index,
            })),
            (_, other) => Err(unknown(ErrorCode::Internal, format!("an answer of another kind: {other:?}"))),
        }
    }

    async fn validate(
        &self,
        request: Request<v1::ValidateRequest>,
    ) -> Result<Response<v1::ValidateReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| {
            Resource::Tenant(request.spec.as_ref().map_or("", |spec| spec.tenant.as_str()))
        })?;
        let spec = request.spec.ok_or_else(|| invalid("spec", "is missing"))?;
        let view = admitted.read(request.stale_ok).await?;
        let as_of_index = view.applied.index;
        let spec = match job_spec::from_client(spec) {
            Ok(spec) => spec,
            Err(error) => {
                let violations = of_invalid(&error).violations;
                return Ok(Response::new(v1::ValidateReply { violations, changes: false, as_of_index }));
            }
        };
        let (violations, changes) = admission::violations(&view.state, &spec);
        Ok(Response::new(v1::ValidateReply { violations, changes, as_of_index }))
    }

    async fn stop(&self, request: Request<v1::StopJobRequest>) -> Result<Response<v1::StopJobReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::Tenant(&request.tenant))?;
        let key = key(&request.key)?;
        let command = Command::StopJob { tenant: request.tenant, job: request.job };
        let (index, _) = admitted.write(key, command).await?;
        Ok(Response::new(v1::StopJobReply { index }))
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::GetJobReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let view = admitted.read(request.stale_ok).await?;
        let handle = job_named(&view.state, admitted.scope(), &request.job)?;
        let runs = usize::try_from(request.runs).unwrap_or(RUNS_MAX).min(RUNS_MAX);
        let job = Some(render::job(&view.state, handle, runs, request.with_spec));
        Ok(Response::new(v1::GetJobReply { job, as_of_index: view.applied.index }))
    }

    async fn list(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let view = admitted.read(request.stale_ok).await?;
        let (tenant, job) = request.page_token.split_once('/').unwrap_or_default();
        let wanted = |name: &str| admitted.scope().sees(name) && name >= tenant;
        let jobs =
            view.state.index().tenants.iter().filter(|(name, _)| wanted(name)).flat_map(|(name, owner)| {
                let first = if name == tenant { job } else { "" };
                jobs_of(&view.state, *owner, first)
                    .map(move |(job, handle)| (format!("{name}/{job}"), handle))
            });
        let (jobs, next_page_token) = page::cut(
            jobs,
            page::size(request.page_size),
            |(_, handle)| render::job(&view.state, *handle, 0, false),
            |(token, _)| token.clone(),
        );
        Ok(Response::new(v1::ListJobsReply { jobs, next_page_token, as_of_index: view.applied.index }))
    }
}

/// The jobs of a tenant by name, from a name on.
fn jobs_of(state: &State, owner: TenantHandle, first: &str) -> impl Iterator<Item = (String, JobHandle)> {
    let from = (owner, first.to_owned());
    let jobs = state.index().jobs.range(from..).take_while(move |((tenant, _), _)| *tenant == owner);
    jobs.map(|((_, name), handle)| (name.clone(), *handle))
}

/// The job that a request names, within the one tenant that it is about.
pub(super) fn job_named(state: &State, scope: &Scope, job: &str) -> Result<JobHandle, Status> {
    let Scope::Tenant(tenant) = scope else {
        return Err(invalid("tenant", "is needed with the name of a job"));
    };
    let owner = state
        .tenant_named(tenant)
        .ok_or_else(|| unknown(ErrorCode::UnknownTenant, format!("no tenant `{tenant}`")))?;
    state
        .job_named(owner, job)
        .ok_or_else(|| unknown(ErrorCode::UnknownJob, format!("no job `{job}` in tenant `{tenant}`")))
}
