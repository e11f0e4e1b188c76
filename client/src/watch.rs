//! Following what happens to runs, over the loss of servers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use berth_proto::v1::runs_client::RunsClient;
use berth_proto::v1::watch_runs_reply::Message;
use berth_proto::v1::{EventId, RunEvent, RunView, WatchRunsReply, WatchRunsRequest};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Error, Tried};
use crate::key::RequestKey;
use crate::run_ref::RunRef;
use crate::status::{Verdict, judge};

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WatchFilter {
    /// Only runs of this tenant.
    pub tenant: Option<String>,
    /// Only runs of this job.
    pub job: Option<String>,
    /// Only this run.
    pub run: Option<RunRef>,
    /// Goes on behind this event, from an earlier watch, instead of beginning with what there is.
    pub after: Option<EventId>,
    /// Adds changes of tasks and attempts to those of runs and steps.
    pub with_tasks: bool,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// A run as it stands, at the beginning and after a gap.
    Snapshot(Box<RunView>),
    /// A change.
    Event(Box<RunEvent>),
    /// What followed `after` is no longer known; snapshots of everything come next.
    Gap { after: EventId },
    /// Everything up to here has been told. A later watch can go on from it.
    Mark(EventId),
}

/// A watch: a stream that goes on at another server behind the last event, and ends after its first error.
pub struct RunWatch(BoxStream<'static, Result<Watched, Error>>);

impl Client {
    /// Follows runs: first what there is (a snapshot each, then a mark), then every change.
    ///
    /// ```no_run
    /// # async fn example(client: berth_client::Client) -> Result<(), berth_client::Error> {
    /// use berth_client::{WatchFilter, Watched};
    /// use futures_util::StreamExt;
    ///
    /// let mut watch = client.watch(WatchFilter { job: Some("nightly".into()), ..WatchFilter::default() });
    /// while let Some(watched) = watch.next().await {
    ///     match watched? {
    ///         Watched::Snapshot(run) => println!("{} {:?}", run.id, run.state()),
    ///         Watched::Event(event) => println!("{} {:?}", event.run, event.kind()),
    ///         Watched::Gap { after } => println!("what followed {after:?} was missed"),
    ///         Watched::Mark(_) => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, filter: WatchFilter) -> RunWatch {
        let watching = Watching::new(self.clone(), filter);
        RunWatch(
            futures_util::stream::unfold(Some(watching), |watching| async {
                let mut watching = watching?;
                let next = watching.next().await;
                // An error ends it.
                let rest = next.is_ok().then_some(watching);
                Some((next, rest))
            })
            .boxed(),
        )
    }
}

/// A watch between two of its messages.
struct Watching {
    client: Client,
    request: WatchRunsRequest,
    /// The open stream and who sends it.
    open: Option<(Streaming<WatchRunsReply>, Arc<Endpoint>)>,
    /// No gap is being filled, so that events may be resumed behind.
    level: bool,
    outage: Outage,
}

impl Watching {
    fn new(client: Client, filter: WatchFilter) -> Watching {
        let run = filter.run.unwrap_or_else(|| RunRef::from(""));
        let tenant = filter.tenant.unwrap_or(run.tenant);
        let request = WatchRunsRequest {
            tenant,
            job: filter.job.unwrap_or_default(),
            run: run.run,
            after: filter.after,
            with_tasks: filter.with_tasks,
        };
        Watching { client, request, open: None, level: false, outage: Outage::default() }
    }

    async fn next(&mut self) -> Result<Watched, Error> {
        loop {
            let (stream, endpoint) = self.stream().await?;
            match stream.message().await {
                Ok(Some(reply)) => {
                    self.outage = Outage::default();
                    if let Some(watched) = self.take(reply) {
                        return Ok(watched);
                    }
                }
                ended => {
                    let endpoint = Arc::clone(endpoint);
                    self.open = None;
                    self.outage.after(&self.client, &endpoint, ended.err()).await?;
                }
            }
        }
    }

    async fn stream(&mut self) -> Result<&mut (Streaming<WatchRunsReply>, Arc<Endpoint>), Error> {
        if self.open.is_none() {
            let request = &self.request;
            let ask = |channel| async move { RunsClient::new(channel).watch(request.clone()).await };
            self.open = Some(self.client.ask(None, ask).await?);
            self.level = self.request.after.is_some();
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }

    /// Keeps the place at which to go on. While snapshots come it stays before the gap, so that a stream that breaks
    /// among them begins with all of them again.
    fn take(&mut self, reply: WatchRunsReply) -> Option<Watched> {
        Some(match reply.message? {
            Message::Snapshot(snapshot) => Watched::Snapshot(Box::new(snapshot.run?)),
            Message::Event(event) => {
                if self.level && event.id.is_some() {
                    self.request.after = event.id;
                }
                Watched::Event(Box::new(event))
            }
            Message::Gap(gap) => {
                self.level = false;
                Watched::Gap { after: gap.after.or(self.request.after)? }
            }
            Message::Mark(mark) => {
                self.level = true;
                self.request.after = mark.as_of;
                Watched::Mark(mark.as_of?)
            }
        })
    }
}

/// A time without any message from any server.
#[derive(Default)]
pub(crate) struct Outage {
    since: Option<(Instant, Backoff)>,
}

impl Outage {
    /// A stream from `endpoint` broke: waits for the next try, or says that it has lasted too long.
    pub(crate) async fn after(
        &mut self,
        client: &Client,
        endpoint: &Arc<Endpoint>,
        status: Option<Status>,
    ) -> Result<(), Error> {
        client.pool().pass_over(endpoint);
        let mut answer = "the server ended the stream".to_owned();
        if let Some(status) = status {
            match judge(&status) {
                Verdict::Refused(error) => return Err(*error),
                Verdict::Elsewhere(why) => answer = why.answer,
                Verdict::Later { message, after } => {
                    answer = message;
                    tokio::time::sleep(after.min(client.config().deadline)).await;
                }
            }
        }
        tracing::debug!(endpoint = endpoint.name(), answer, "going on at another server");
        let (since, backoff) = self.since.get_or_insert_with(|| (Instant::now(), Backoff::new()));
        if since.elapsed() > client.config().deadline {
            let tried = vec![Tried { endpoint: endpoint.name().to_owned(), answer }];
            return Err(Error::Unreachable { tried });
        }
        tokio::time::sleep(backoff.pause(RequestKey::random().bytes()[0])).await;
        Ok(())
    }
}

impl Stream for RunWatch {
    type Item = Result<Watched, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for RunWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunWatch")
    }
}
