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

use super::runs::{Known, run_with_prefix};
use super::{render, sees_job};
use crate::access::Scope;
use crate::publish::{View, Views};

/// A watch that has nothing to tell says so at least this often, so that both sides know that the other is there.
const MARK_EVERY: Duration = Duration::from_secs(5);
/// How many events are rendered before the first of them is sent.
const EVENTS_AT_ONCE: usize = 256;

/// What is watched.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    scope: Scope,
    job: Option<JobHandle>,
    run: Option<RunId>,
    with_tasks: bool,
}

impl Selection {
    pub(super) fn new(
        state: &State,
        request: &v1::WatchRunsRequest,
        scope: &Scope,
    ) -> Result<Selection, Status> {
        let run = match request.run.is_empty() {
            true => None,
            false => Some(match run_with_prefix(state, &request.run, scope)? {
                Known::Kept(handle) => state.run(handle).id,
                Known::Summary(id) => id,
            }),
        };
        let job = match request.job.is_empty() {
            true => None,
            false => Some(super::jobs::job_named(state, scope, &request.job)?),
        };
        Ok(Selection { scope: scope.clone(), job, run, with_tasks: request.with_tasks })
    }

    fn holds_job(&self, state: &State, job: JobHandle) -> bool {
        self.job.is_none_or(|wanted| wanted == job) && sees_job(&self.scope, state, job)
    }

    fn holds(&self, state: &State, id: RunId) -> bool {
        if self.run.is_some_and(|wanted| wanted != id) {
            return false;
        }
        let kept = state.run_with_id(id).map(|handle| state.run(handle).job);
        let job = kept.or_else(|| state.tables().summaries.get(&id).map(|summary| summary.job));
        job.is_some_and(|job| self.holds_job(state, job))
    }

    /// The active runs to begin with, oldest first.
    fn active(&self, state: &State) -> VecDeque<RunHandle> {
        let active = state.index().active_runs.iter().filter(|(job, _)| self.holds_job(state, *job));
        let mut runs: Vec<RunHandle> = active.map(|(_, run)| *run).collect();
        runs.sort_unstable();
        runs.into()
    }
}

/// The stream of one watch.
pub(super) fn stream(
    views: Views,
    selection: Selection,
    after: Option<EventId>,
) -> Pin<Box<dyn Stream<Item = Result<v1::WatchRunsReply, Status>> + Send>> {
    let watch = Watch { views, selection, seen: after, beginning: None, queue: VecDeque::new() };
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
    beginning: Option<Beginning>,
    queue: VecDeque<Message>,
}

/// The runs that there were at some event and that are still to be told of. Each is told as it stands when its turn
/// comes: a watcher that reads slowly keeps no old state alive, and what has happened since follows as events.
struct Beginning {
    as_of: EventId,
    runs: VecDeque<RunHandle>,
}

impl Watch {
    /// The next message; `None` when the server stops.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.queue.pop_front().or_else(|| self.go_on_beginning()) {
                return Some(message);
            }
            let view = self.views.latest();
            let more = self.take(&view);
            if !more && self.queue.is_empty() && self.beginning.is_none() {
                match timeout(MARK_EVERY, self.views.changed()).await {
                    Ok(changed) => drop(changed?),
                    Err(_) => return self.seen.map(|seen| Message::Mark(v1::Mark { as_of: Some(id(seen)) })),
                }
            }
        }
    }

    /// Takes in some events; true when there may be more.
    fn take(&mut self, view: &Arc<View>) -> bool {
        let Some(seen) = self.seen else {
            self.begin(view);
            return true;
        };
        let Ok(events) = view.events_after(seen) else {
            self.queue.push_back(Message::Gap(v1::Gap { after: Some(id(seen)) }));
            self.begin(view);
            return true;
        };
        let with_tasks = self.selection.with_tasks;
        let (mut taken, mut last) = (0, seen);
        for past in events.take(EVENTS_AT_ONCE) {
            (taken, last) = (taken + 1, past.id);
            if let Some((run, event)) = render::run_event(&view.state, past, with_tasks)
                && self.selection.holds(&view.state, run)
            {
                self.queue.push_back(Message::Event(event));
            }
        }
        let more = taken == EVENTS_AT_ONCE;
        self.seen = Some(if more { last } else { view.last_event().max(seen) });
        more
    }

    /// Begins with what there is: the run that is watched, or all that are not over.
    fn begin(&mut self, view: &Arc<View>) {
        let (state, as_of) = (&view.state, view.last_event());
        self.seen = Some(as_of);
        let Some(run) = self.selection.run else {
            self.beginning = Some(Beginning { as_of, runs: self.selection.active(state) });
            return;
        };
        let kept = state.run_with_id(run).map(|handle| render::run_with_steps(state, handle));
        let old = || state.tables().summaries.get(&run).map(|record| render::summary(state, run, record));
        self.queue.extend(kept.or_else(old).map(|run| snapshot(as_of, run)));
        self.queue.push_back(Message::Mark(v1::Mark { as_of: Some(id(as_of)) }));
    }

    fn go_on_beginning(&mut self) -> Option<Message> {
        let beginning = self.beginning.as_mut()?;
        let as_of = beginning.as_of;
        let view = self.views.latest();
        let state = &view.state;
        // One that is gone since is told of by its events.
        let there = |run: &RunHandle| state.tables().runs.get(*run).is_some_and(|record| !record.collapsing);
        while let Some(run) = beginning.runs.pop_front() {
            if there(&run) {
                return Some(snapshot(as_of, render::run_with_steps(state, run)));
            }
        }
        self.beginning = None;
        Some(Message::Mark(v1::Mark { as_of: Some(id(as_of)) }))
    }
}

fn snapshot(as_of: EventId, run: v1::RunView) -> Message {
    Message::Snapshot(v1::RunSnapshot { as_of: Some(id(as_of)), run: Some(run) })
}

fn id(event: EventId) -> v1::EventId {
    v1::EventId { index: event.index, ordinal: event.ordinal }
}

#[cfg(test)]
mod tests {
    use berth_core::command::{Command, Origin, Submit};
    use berth_core::id::{EntryId, RequestId};
    use berth_core::job_spec::{
        Count, FakeProgram, JobKind, JobSpec, OnDisconnect, ProgramSpec, Retry, TaskSpec,
    };
    use berth_core::time::{Millis, Timestamp};
    use berth_proto::convert::envelope;

    use super::*;
    use crate::log::Request;
    use crate::machine::Machine;
    use crate::publish::Publisher;
    use crate::raft::machine::{Observer, StateMachine};

    struct House {
        machine: Machine,
        publisher: Publisher,
        index: u64,
    }

    impl House {
        fn apply(&mut self, command: Command) {
            self.index += 1;
            let entry = EntryId { term: 1, index: self.index };
            let request = Request { key: None, actor: "ann".into(), origin: Origin::Client, command };
            let time = Timestamp(1_000_000);
            let bytes = envelope::encode(&request.into_envelope(self.machine.state(), 1, time));
            let applied = self.machine.apply(entry, &bytes);
            self.publisher.on_batch(&self.machine, entry, &[(entry, applied)]);
        }

        fn start(&mut self, key: u128) {
            let program =
                FakeProgram { runs_for: Millis(10), fail_first: 0, exit_code: 0, output: String::new() };
            let task = TaskSpec {
                name: "a".into(),
                after: Vec::new(),
                count: Count::Single,
                program: ProgramSpec::Fake(program),
                resources: [].into(),
                memory_max: None,
                env: Vec::new(),
                retry: Retry::default(),
                timeout: None,
                stop_grace: Millis::from_secs(10),
                on_disconnect: OnDisconnect::Keep,
            };
            let (tenant, job) = ("default".to_owned(), "j".to_owned());
            let spec = JobSpec {
                kind: JobKind::Job,
                tenant: tenant.clone(),
                name: job.clone(),
                priority: 50,
                schedule: None,
                tasks: vec![task],
            };
            let start = Some(RequestId(key));
            self.apply(Command::Submit(Submit { tenant, job, spec: Some(Arc::new(spec)), start }));
        }
    }

    fn house() -> (House, Views) {
        let (publisher, views) = Publisher::new();
        (House { machine: Machine::new(), publisher, index: 0 }, views)
    }

    fn watch(views: Views, seen: Option<EventId>) -> Watch {
        let selection = Selection { scope: Scope::Everything, job: None, run: None, with_tasks: false };
        Watch { views, selection, seen, beginning: None, queue: VecDeque::new() }
    }

    #[tokio::test]
    async fn a_watch_renders_a_run_when_its_turn_comes_and_tells_what_has_happened_since() {
        let (mut house, views) = house();
        house.start(1);
        house.start(2);
        let mut watch = watch(views, None);
        assert!(matches!(watch.next().await, Some(Message::Snapshot(_))));
        let second = house.machine.state().index().active_runs.iter().map(|(_, run)| *run).max().unwrap();
        let run = house.machine.state().run(second).id;
        house.apply(Command::CancelRun { run });
        let Some(Message::Snapshot(snapshot)) = watch.next().await else { panic!("a second run") };
        assert_eq!(snapshot.run.unwrap().state(), v1::RunState::Ended);
        assert!(matches!(watch.next().await, Some(Message::Mark(_))));
        let Some(Message::Event(event)) = watch.next().await else { panic!("the end of the run") };
        assert_eq!(event.run, run.to_string());
    }

    #[tokio::test]
    async fn a_watch_that_goes_on_from_what_has_not_happened_here_gets_a_gap() {
        let (mut house, views) = house();
        house.start(1);
        let mut watch = watch(views, Some(EventId { index: 1_000, ordinal: 0 }));
        assert!(matches!(watch.next().await, Some(Message::Gap(_))));
        assert!(matches!(watch.next().await, Some(Message::Snapshot(_))));
        let Some(Message::Mark(mark)) = watch.next().await else { panic!("the end of the beginning") };
        assert_eq!(mark.as_of.unwrap().index, 1);
    }
}
