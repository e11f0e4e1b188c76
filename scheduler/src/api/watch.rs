//! Watching runs: first what there is, then every change, and an explicit gap where changes are no longer known.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use berth_core::event::EventId;
use berth_core::id::{JobHandle, RunHandle, RunId};
use berth_core::state::State;
use berth_proto::v1::{self, watch_runs_reply::Message};
use tokio::time::timeout;
use tokio_stream::Stream;
use tonic::Status;

use super::render;
use super::runs::{Known, run_with_prefix};
use crate::publish::{View, Views};

/// A watch that has nothing to tell says so at least this often, so that both sides know that the other is there.
const MARK_EVERY: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    tenant: String,
    job: Option<JobHandle>,
    run: Option<RunId>,
    with_tasks: bool,
}

impl Selection {
    pub(super) fn new(state: &State, request: &v1::WatchRunsRequest) -> Result<Selection, Status> {
        let run = match request.run.is_empty() {
            true => None,
            false => Some(match run_with_prefix(state, &request.run, &request.tenant)? {
                Known::Kept(handle) => state.run(handle).id,
                Known::Summary(id) => id,
            }),
        };
        let job = match request.job.is_empty() {
            true => None,
            false => Some(super::jobs::job_named(state, &request.tenant, &request.job)?),
        };
        Ok(Selection { tenant: request.tenant.clone(), job, run, with_tasks: request.with_tasks })
    }

    fn holds_job(&self, state: &State, job: JobHandle) -> bool {
        let of_tenant = || self.tenant.is_empty() || state.tenant(state.job(job).tenant).name == self.tenant;
        self.job.is_none_or(|wanted| wanted == job) && of_tenant()
    }

    fn holds(&self, state: &State, id: RunId) -> bool {
        if self.run.is_some_and(|wanted| wanted != id) {
            return false;
        }
        let kept = state.run_with_id(id).map(|handle| state.run(handle).job);
        let job = kept.or_else(|| state.tables().summaries.get(&id).map(|summary| summary.job));
        job.is_some_and(|job| self.holds_job(state, job))
    }

    /// The runs to begin with: the one that is watched, or all that are not over.
    fn present(&self, state: &State) -> Vec<v1::RunView> {
        if let Some(id) = self.run {
            let kept = state.run_with_id(id).map(|handle| render::run_with_steps(state, handle));
            let old = || state.tables().summaries.get(&id).map(|record| render::summary(state, id, record));
            return kept.or_else(old).into_iter().collect();
        }
        let active = state.index().active_runs.iter().filter(|(job, _)| self.holds_job(state, *job));
        let mut runs: Vec<RunHandle> = active.map(|(_, run)| *run).collect();
        runs.sort_unstable();
        runs.into_iter().map(|run| render::run_with_steps(state, run)).collect()
    }
}

/// The stream of one watch.
pub(super) fn stream(
    views: Views,
    selection: Selection,
    after: Option<EventId>,
) -> Pin<Box<dyn Stream<Item = Result<v1::WatchRunsReply, Status>> + Send>> {
    let watch = Watch { views, selection, seen: after, queue: VecDeque::new() };
    Box::pin(futures_util::stream::unfold(watch, |mut watch| async move {
        let message = watch.next().await?;
        Some((Ok(v1::WatchRunsReply { message: Some(message) }), watch))
    }))
}

struct Watch {
    views: Views,
    selection: Selection,
    /// Everything up to this event was told; `None` before the beginning.
    seen: Option<EventId>,
    queue: VecDeque<Message>,
}

impl Watch {
    /// The next message; `None` when the server stops.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Some(message);
            }
            let view = self.views.latest();
            self.take(&view);
            if self.queue.is_empty() {
                match timeout(MARK_EVERY, self.views.changed()).await {
                    Ok(changed) => drop(changed?),
                    Err(_) => return self.seen.map(|seen| Message::Mark(v1::Mark { as_of: Some(id(seen)) })),
                }
            }
        }
    }

    fn take(&mut self, view: &Arc<View>) {
        let Some(seen) = self.seen else { return self.begin(view) };
        let Ok(events) = view.events_after(seen) else {
            self.queue.push_back(Message::Gap(v1::Gap { after: Some(id(seen)) }));
            return self.begin(view);
        };
        let with_tasks = self.selection.with_tasks;
        for past in events {
            if let Some((run, event)) = render::run_event(&view.state, past, with_tasks)
                && self.selection.holds(&view.state, run)
            {
                self.queue.push_back(Message::Event(event));
            }
        }
        self.seen = Some(view.last_event().max(seen));
    }

    fn begin(&mut self, view: &Arc<View>) {
        let as_of = view.last_event();
        for run in self.selection.present(&view.state) {
            let snapshot = v1::RunSnapshot { as_of: Some(id(as_of)), run: Some(run) };
            self.queue.push_back(Message::Snapshot(snapshot));
        }
        self.queue.push_back(Message::Mark(v1::Mark { as_of: Some(id(as_of)) }));
        self.seen = Some(as_of);
    }
}

fn id(event: EventId) -> v1::EventId {
    v1::EventId { index: event.index, ordinal: event.ordinal }
}
