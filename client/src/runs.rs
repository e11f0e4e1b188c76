//! Runs and their tasks: read and cancel.

use berth_proto::v1::runs_client::RunsClient;
use berth_proto::v1::{
    CancelRunRequest, GetRunRequest, ListRunsRequest, ListTasksRequest, RunView, TaskState, TaskView,
};

use crate::client::Client;
use crate::error::Error;
use crate::key::RequestKey;
use crate::pages::Pages;
use crate::run_ref::RunRef;

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only of this job.
    pub job: Option<String>,
    /// Leaves out runs that are over.
    pub active_only: bool,
}

/// Which tasks of a run to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only of the step with this name.
    pub step: Option<String>,
    /// Only this index of each step.
    pub index: Option<u32>,
    /// Only tasks in one of these states; none means all.
    pub states: Vec<TaskState>,
    /// Adds what the tasks left for later ones.
    pub with_outputs: bool,
}

impl Client {
    /// A run with its steps.
    ///
    /// # Errors
    /// As for every read; [`Error::NotFound`] and [`Error::AmbiguousRun`].
    pub async fn run(&self, run: impl Into<RunRef>) -> Result<RunView, Error> {
        let RunRef { run, tenant } = run.into();
        let request = GetRunRequest { run, tenant, stale_ok: self.stale_ok() };
        let reply = self
            .read(|channel| {
                let request = request.clone();
                async move { RunsClient::new(channel).get(request).await }
            })
            .await?;
        reply.run.ok_or(Error::Malformed { what: "the run" })
    }

    /// Runs without their steps, newest first.
    pub fn runs(&self, filter: RunFilter) -> Pages<RunView> {
        let client = self.clone();
        Pages::new(move |page_token| {
            let client = client.clone();
            let request = ListRunsRequest {
                tenant: filter.tenant.clone().unwrap_or_default(),
                job: filter.job.clone().unwrap_or_default(),
                active_only: filter.active_only,
                page_size: 0,
                page_token,
                stale_ok: client.stale_ok(),
            };
            async move {
                let ask = |channel| {
                    let request = request.clone();
                    async move { RunsClient::new(channel).list(request).await }
                };
                client.read(ask).await.map(|reply| (reply.runs, reply.next_page_token))
            }
        })
    }

    /// The tasks of a run, by step and index.
    pub fn tasks(&self, run: impl Into<RunRef>, filter: TaskFilter) -> Pages<TaskView> {
        let client = self.clone();
        let RunRef { run, tenant } = run.into();
        Pages::new(move |page_token| {
            let client = client.clone();
            let request = ListTasksRequest {
                run: run.clone(),
                tenant: tenant.clone(),
                step: filter.step.clone().unwrap_or_default(),
                index: filter.index,
                states: filter.states.iter().map(|&state| state.into()).collect(),
                with_outputs: filter.with_outputs,
                page_size: 0,
                page_token,
                stale_ok: client.stale_ok(),
            };
            async move {
                let ask = |channel| {
                    let request = request.clone();
                    async move { RunsClient::new(channel).list_tasks(request).await }
                };
                client.read(ask).await.map(|reply| (reply.tasks, reply.next_page_token))
            }
        })
    }

    /// Asks a run to end, and gives its full id. It is over when its state says so: [`Client::wait`].
    ///
    /// # Errors
    /// As for every write; [`Error::NotFound`] and [`Error::AmbiguousRun`].
    pub async fn cancel(&self, run: impl Into<RunRef>) -> Result<String, Error> {
        self.cancel_with_key(run, RequestKey::random()).await
    }

    /// [`Client::cancel`] under a key of the caller's own.
    ///
    /// # Errors
    /// As there.
    pub async fn cancel_with_key(&self, run: impl Into<RunRef>, key: RequestKey) -> Result<String, Error> {
        let RunRef { run, tenant } = run.into();
        let request = CancelRunRequest { run, tenant, key: key.wire() };
        let reply = self
            .write(key, |channel| {
                let request = request.clone();
                async move { RunsClient::new(channel).cancel(request).await }
            })
            .await?;
        Ok(reply.run)
    }
}
