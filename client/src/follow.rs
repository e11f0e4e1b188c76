//! One run to its end.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use berth_core::reason::EndReason;
use berth_proto::convert;
use berth_proto::v1::run_event::{Kind, Now};
use berth_proto::v1::{RunEvent, RunState, RunView};
use futures_util::stream::{BoxStream, Stream, StreamExt};

use crate::client::Client;
use crate::error::Error;
use crate::run_ref::RunRef;
use crate::watch::{RunWatch, WatchFilter, Watched};

/// How often [`Client::wait`] asks for the run, beside being told of its changes.
const WAIT_REFRESH: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult {
    /// The run with its steps.
    pub run: RunView,
    /// Why it ended.
    pub reason: EndReason,
}

/// A run, each time it has changed, up to its end. A stream that ends after its first error.
pub struct Followed(BoxStream<'static, Result<RunView, Error>>);

impl RunResult {
    /// True when all of it succeeded.
    pub fn succeeded(&self) -> bool {
        self.reason.is_success()
    }
}

impl Client {
    /// Waits until a run is over, over the loss of servers.
    ///
    /// It can be dropped at any time, as `tokio::time::timeout` does; the run goes on.
    ///
    /// # Errors
    /// As for every read; [`Error::NotFound`] and [`Error::AmbiguousRun`].
    pub async fn wait(&self, run: impl Into<RunRef>) -> Result<RunResult, Error> {
        let mut views = self.follow(run, WAIT_REFRESH);
        let mut last = None;
        while let Some(view) = views.next().await {
            last = Some(view?);
        }
        let run = last.ok_or(Error::Malformed { what: "the run" })?;
        let reason = run.reason.clone().ok_or(Error::Malformed { what: "the reason of the run's end" })?;
        let reason = convert::reason::from_proto(reason)
            .map_err(|_| Error::Malformed { what: "a known reason of the run's end" })?;
        Ok(RunResult { run, reason })
    }

    /// Follows one run: the complete view now and whenever it changes, the last one with its end. Counts within steps
    /// are renewed every `refresh`.
    pub fn follow(&self, run: impl Into<RunRef>, refresh: Duration) -> Followed {
        let following = Following {
            client: self.clone(),
            run: run.into(),
            refresh,
            watch: None,
            view: None,
            ready: VecDeque::new(),
        };
        Followed(
            futures_util::stream::unfold(Some(following), |following| async {
                let mut following = following?;
                match following.next().await {
                    Ok(Some(view)) => Some((Ok(view), Some(following))),
                    Ok(None) => None,
                    Err(error) => Some((Err(error), None)),
                }
            })
            .boxed(),
        )
    }
}

struct Following {
    client: Client,
    run: RunRef,
    refresh: Duration,
    /// Absent before the first view and after the last one.
    watch: Option<RunWatch>,
    view: Option<RunView>,
    ready: VecDeque<RunView>,
}

impl Following {
    async fn next(&mut self) -> Result<Option<RunView>, Error> {
        loop {
            if let Some(view) = self.ready.pop_front() {
                return Ok(Some(view));
            }
            let Some(watch) = &mut self.watch else {
                if self.view.is_some() {
                    return Ok(None);
                }
                self.begin().await?;
                continue;
            };
            match tokio::time::timeout(self.refresh, watch.next()).await {
                Ok(Some(watched)) => self.take(watched?).await?,
                // Not told of anything for a while, which is no proof that nothing happened.
                Ok(None) | Err(_) => self.look().await?,
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let view = self.client.run(self.run.clone()).await?;
        self.run = RunRef { run: view.id.clone(), tenant: view.tenant.clone() };
        if view.state() != RunState::Ended {
            let filter = WatchFilter { run: Some(self.run.clone()), ..WatchFilter::default() };
            self.watch = Some(self.client.watch(filter));
        }
        self.tell(view);
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Error> {
        match self.client.run(self.run.clone()).await {
            Ok(view) => {
                self.tell(view);
                Ok(())
            }
            // The watch knows how long to go on trying.
            Err(error) if error.is_safe_to_repeat() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn take(&mut self, watched: Watched) -> Result<(), Error> {
        match watched {
            Watched::Snapshot(view) => self.tell(*view),
            Watched::Event(event) if event.kind() == Kind::RunEnded => {
                let view = self.client.run(self.run.clone()).await?;
                self.tell(view);
            }
            Watched::Event(event) => self.change(*event),
            Watched::Gap { .. } | Watched::Mark(_) => {}
        }
        Ok(())
    }

    /// Puts what changed in its place.
    fn change(&mut self, event: RunEvent) {
        let Some(mut view) = self.view.clone() else { return };
        match event.now {
            Some(Now::RunView(mut now)) => {
                if now.steps.is_empty() {
                    now.steps = view.steps;
                }
                view = now;
            }
            Some(Now::Step(step)) => match view.steps.iter_mut().find(|known| known.name == step.name) {
                Some(known) => *known = step,
                None => view.steps.push(step),
            },
            Some(Now::Task(_)) | None => return,
        }
        self.tell(view);
    }

    fn tell(&mut self, view: RunView) {
        if view.state() == RunState::Ended {
            self.watch = None;
        }
        if self.view.as_ref() != Some(&view) {
            self.view = Some(view.clone());
            self.ready.push_back(view);
        }
    }
}

impl Stream for Followed {
    type Item = Result<RunView, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Followed")
    }
}
