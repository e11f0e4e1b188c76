use std::pin::Pin;

use berth_core::command::Command;
use berth_core::id::{IdPrefix, RequestId, RunHandle, RunId, StepHandle, TaskHandle};
use berth_core::state::State;
use berth_core::time::Timestamp;
use berth_proto::v1::runs_server::Runs;
use berth_proto::v1::{self, ErrorCode};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::watch::{self, Selection};
use super::{gate::Gate, invalid, key, page, render, sees_job, unknown};
use crate::access::{Resource, Scope};
use crate::log::Log;

/// Runs.
#[derive(Debug, Clone)]
pub struct RunsService {
    gate: Gate<Log>,
}

impl RunsService {
    /// The service over a log.
    pub fn new(log: Log) -> RunsService {
        RunsService { gate: Gate::new(log) }
    }
}

#[tonic::async_trait]
impl Runs for RunsService {
    async fn get(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let view = admitted.read(request.stale_ok).await?;
        let state = &view.state;
        let run = match run_with_prefix(state, &request.run, admitted.scope())? {
            Known::Kept(handle) => render::run_with_steps(state, handle),
            Known::Summary(id) => {
                let record = state.tables().summaries.get(&id).expect("it was found a moment ago");
                render::summary(state, id, record)
            }
        };
        Ok(Response::new(v1::GetRunReply { run: Some(run), as_of_index: view.applied.index }))
    }

    async fn list(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let view = admitted.read(request.stale_ok).await?;
        let state = &view.state;
        let listed = Listed::new(state, &request);
        let (runs, next_page_token) = page::cut(
            listed.runs(state, &request, admitted.scope())?,
            page::size(request.page_size),
            |known| match known {
                Known::Kept(handle) => render::run(state, *handle),
                Known::Summary(id) => render::summary(
                    state,
                    *id,
                    state.tables().summaries.get(id).expect("it was listed a moment ago"),
                ),
            },
            |known| match known {
                Known::Kept(handle) => format!("run/{handle}"),
                Known::Summary(id) => {
                    let ended = state.tables().summaries.get(id).map_or(0, |summary| summary.ended.0);
                    format!("old/{ended}/{id}")
                }
            },
        );
        Ok(Response::new(v1::ListRunsReply { runs, next_page_token, as_of_index: view.applied.index }))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let view = admitted.read(request.stale_ok).await?;
        let state = &view.state;
        let Known::Kept(run) = run_with_prefix(state, &request.run, admitted.scope())? else {
            let reply = v1::ListTasksReply { as_of_index: view.applied.index, ..Default::default() };
            return Ok(Response::new(reply));
        };
        let steps = steps_named(state, run, &request.step)?;
        let first: u64 = request.page_token.parse().unwrap_or(0);
        let wanted = |view: &v1::TaskView| request.states.is_empty() || request.states.contains(&view.state);
        let tasks = steps
            .into_iter()
            .flat_map(|step| tasks_of(state, step, request.index))
            .filter(|task| task.0 >= first)
            .filter_map(|task| Some((task, render::task(state, task, request.with_outputs)?)))
            .filter(|(_, view)| wanted(view));
        let size = page::size(request.page_size);
        let (tasks, next_page_token) =
            page::cut(tasks, size, |(_, view)| view.clone(), |(task, _)| task.to_string());
        Ok(Response::new(v1::ListTasksReply { tasks, next_page_token, as_of_index: view.applied.index }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let key = key(&request.key)?;
        let view = admitted.read(false).await?;
        let run = match run_with_prefix(&view.state, &request.run, admitted.scope()) {
            Ok(Known::Kept(handle)) => view.state.run(handle).id,
            Ok(Known::Summary(id)) => id,
            // Forgotten since it was cancelled: the first answer stands.
            Err(refused) => cancelled(&view.state, &request.run, key).ok_or(refused)?,
        };
        let (index, _) = admitted.write(key, Command::CancelRun { run }).await?;
        Ok(Response::new(v1::CancelRunReply { run: run.to_string(), index }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunsReply, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRunsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let view = admitted.read(false).await?;
        let selection = Selection::new(&view.state, &request, admitted.scope())?;
        let after =
            request.after.map(|id| berth_core::event::EventId { index: id.index, ordinal: id.ordinal });
        // This member is by now at least as far as the cluster was when it was asked, so what the watcher has seen is
        // known here, or it is of another history.
        Ok(Response::new(watch::stream(admitted.behind.views(), selection, after)))
    }
}

/// A run that is known, in full or by its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Kept(RunHandle),
    Summary(RunId),
}

/// The one run whose id begins as the request says, among those of this scope.
pub(super) fn run_with_prefix(state: &State, prefix: &str, scope: &Scope) -> Result<Known, Status> {
    let ids: IdPrefix =
        prefix.parse().map_err(|_| invalid("run", "is not the id of a run or the beginning of one"))?;
    let job = |known: Known| match known {
        Known::Kept(handle) => state.run(handle).job,
        Known::Summary(id) => state.tables().summaries.get(&id).expect("it is in the range").job,
    };
    let kept = state.index().runs.range(ids.range()).map(|(_, handle)| Known::Kept(*handle));
    let old = state.tables().summaries.range(ids.range()).map(|(id, _)| Known::Summary(*id));
    let mut found = kept.chain(old).filter(|known| sees_job(scope, state, job(*known)));
    match (found.next(), found.next()) {
        (Some(known), None) => Ok(known),
        (None, _) => Err(unknown(ErrorCode::UnknownRun, format!("no run `{prefix}`"))),
        (Some(_), Some(_)) => Err(unknown(
            ErrorCode::AmbiguousRun,
            format!("more than one run begins with `{prefix}`; give more of the id"),
        )),
    }
}

/// The run of which nothing is left while a request with this key is still known; given by its whole id.
fn cancelled(state: &State, run: &str, key: Option<RequestId>) -> Option<RunId> {
    let run: RunId = run.parse().ok()?;
    state.tables().requests.get(&key?)?;
    let forgotten = state.run_with_id(run).is_none() && state.tables().summaries.get(&run).is_none();
    forgotten.then_some(run)
}

/// The steps of a run with that name; all of them when it is empty.
pub(super) fn steps_named(state: &State, run: RunHandle, name: &str) -> Result<Vec<StepHandle>, Status> {
    let record = state.run(run);
    if name.is_empty() {
        return Ok(record.step_handles().collect());
    }
    let (place, _) = state.spec(record.spec).task(name).ok_or_else(|| {
        let names: Vec<&str> =
            state.spec(record.spec).tasks.iter().map(|task| task.name.as_str()).take(20).collect();
        unknown(ErrorCode::UnknownTask, format!("no task `{name}` in this run; it has {}", names.join(", ")))
    })?;
    Ok(vec![record.step(place)])
}

fn tasks_of(state: &State, step: StepHandle, index: Option<u32>) -> Vec<TaskHandle> {
    let Some(step) = state.tables().steps.get(step) else { return Vec::new() };
    let indexes = match index {
        Some(index) => index..step.size.min(index.saturating_add(1)),
        None => 0..step.size,
    };
    indexes.map(|index| step.task(index)).collect()
}

/// Where a list of runs begins.
enum Listed {
    /// With runs that have their steps, up to this one.
    Kept(RunHandle),
    /// With older ones, up to this end and id.
    Old(Timestamp, RunId),
}

impl Listed {
    fn new(state: &State, request: &v1::ListRunsRequest) -> Listed {
        let token: Vec<&str> = request.page_token.split('/').collect();
        match token[..] {
            ["run", handle] => Listed::Kept(RunHandle(handle.parse().unwrap_or(u64::MAX))),
            ["old", ended, id] => Listed::Old(
                Timestamp(ended.parse().unwrap_or(u64::MAX)),
                id.parse().unwrap_or(RunId(u128::MAX)),
            ),
            _ => Listed::Kept(RunHandle(state.tables().header.next.run)),
        }
    }

    /// Newest first: by the order in which they were made, then summaries by their end.
    fn runs<'a>(
        &self,
        state: &'a State,
        request: &'a v1::ListRunsRequest,
        scope: &'a Scope,
    ) -> Result<Box<dyn Iterator<Item = Known> + 'a>, Status> {
        let job = match request.job.is_empty() {
            true => None,
            false => Some(super::jobs::job_named(state, scope, &request.job)?),
        };
        let in_scope = move |job| sees_job(scope, state, job);
        let (newest, end) = match self {
            Listed::Kept(handle) => (Some(*handle), (Timestamp::FAR, RunId(u128::MAX))),
            Listed::Old(ended, id) => (None, (*ended, *id)),
        };
        let of_cluster = || state.index().runs_of_job.iter().map(|(job, run)| (*run, *job));
        let mut kept: Vec<(RunHandle, _)> = match job {
            Some(job) => state.index().runs_of(job).map(|run| (run, job)).collect(),
            None => of_cluster().filter(|(_, job)| in_scope(*job)).collect(),
        };
        kept.retain(|(run, job)| {
            newest.is_some_and(|newest| *run <= newest)
                && (!request.active_only || state.index().active_runs.contains(&(*job, *run)))
        });
        kept.sort_unstable();
        let kept = kept.into_iter().rev().map(|(run, _)| Known::Kept(run));
        let old = state.index().summaries_by_end.range(..=end).rev().filter(move |(_, id)| {
            let owner = state.tables().summaries.get(id).map(|summary| summary.job);
            !request.active_only
                && owner.is_some_and(|owner| job.is_none_or(|job| job == owner) && in_scope(owner))
        });
        Ok(Box::new(kept.chain(old.map(|(_, id)| Known::Summary(*id)))))
    }
}
