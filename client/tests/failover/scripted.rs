//! A gRPC server that answers one request after the other as a script says and then stops, so that a script that is at
//! its end looks like a server that was killed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_proto::convert::status;
use berth_proto::v1::jobs_server::{Jobs, JobsServer};
use berth_proto::v1::log_chunk::Piece;
use berth_proto::v1::logs_server::{Logs, LogsServer};
use berth_proto::v1::read_logs_request::From as LogFrom;
use berth_proto::v1::run_event::{Kind, Now};
use berth_proto::v1::runs_server::{Runs, RunsServer};
use berth_proto::v1::watch_runs_reply::Message;
use berth_proto::v1::*;
use futures_util::stream::{BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// An answer.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Fail(ErrorCode),
    NotLeader(String),
    Overloaded(Duration),
    Submitted,
    Run { ended: bool },
    Watch(Vec<WatchRunsReply>),
    Logs(Vec<LogChunk>),
}

/// What was asked, and what is still to be answered.
#[derive(Debug, Default)]
struct Record {
    steps: VecDeque<Step>,
    keys: Vec<Vec<u8>>,
    after: Vec<Option<EventId>>,
    logs: Vec<(u32, Option<u64>)>,
}

/// A running server; it ends with this value.
#[derive(Debug)]
pub(crate) struct Scripted {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    _serving: JoinSet<()>,
}

/// The services.
#[derive(Debug, Clone)]
struct Script {
    record: Arc<Mutex<Record>>,
    /// Says that the script is at its end.
    over: Arc<watch::Sender<bool>>,
}

impl Scripted {
    pub(crate) async fn start(steps: impl IntoIterator<Item = Step>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let steps: VecDeque<Step> = steps.into_iter().collect();
        let record = Arc::new(Mutex::new(Record { steps, ..Record::default() }));
        let (over, mut ended) = watch::channel(false);
        let script = Script { record: Arc::clone(&record), over: Arc::new(over) };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let serve = tonic::transport::Server::builder()
                .add_service(JobsServer::new(script.clone()))
                .add_service(RunsServer::new(script.clone()))
                .add_service(LogsServer::new(script))
                .serve_with_incoming(TcpListenerStream::new(listener));
            tokio::select! {
                served = serve => served.unwrap(),
                // Dropping it closes the port.
                _ = ended.wait_for(|over| *over) => {}
            }
        });
        Scripted { address, record, _serving: serving }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.record.lock().unwrap().keys.clone()
    }

    pub(crate) fn resumed_after(&self) -> Vec<Option<EventId>> {
        self.record.lock().unwrap().after.clone()
    }

    /// Attempt and offset of each.
    pub(crate) fn log_requests(&self) -> Vec<(u32, Option<u64>)> {
        self.record.lock().unwrap().logs.clone()
    }
}

impl Script {
    fn next(&self) -> Result<Step, Status> {
        match self.record.lock().unwrap().steps.pop_front() {
            Some(Step::Fail(error)) => Err(status::to_status(&status::detail(error, "as scripted"))),
            Some(Step::NotLeader(leader_address)) => {
                let detail = status::detail(ErrorCode::NotLeader, "as scripted");
                Err(status::to_status(&ErrorDetail { leader_address, ..detail }))
            }
            Some(Step::Overloaded(after)) => {
                let retry_after_ms = Some(u64::try_from(after.as_millis()).unwrap());
                let detail = status::detail(ErrorCode::Overloaded, "as scripted");
                Err(status::to_status(&ErrorDetail { retry_after_ms, ..detail }))
            }
            Some(step) => Ok(step),
            None => Err(Status::unavailable("the script is at its end")),
        }
    }

    /// The items, and then the loss of the server when nothing else is to be answered; else the end of the stream.
    fn stream<T: Send + 'static>(&self, items: Vec<T>) -> BoxStream<'static, Result<T, Status>> {
        let over = Arc::clone(&self.over);
        let last = self.record.lock().unwrap().steps.is_empty();
        let items = futures_util::stream::iter(items.into_iter().map(Ok));
        if !last {
            return items.boxed();
        }
        let end = futures_util::stream::once(async move {
            over.send_replace(true);
            Err(Status::unavailable("the server is gone"))
        });
        items.chain(end).boxed()
    }
}

#[tonic::async_trait]
impl Jobs for Script {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        self.record.lock().unwrap().keys.push(request.into_inner().key.to_vec());
        match self.next()? {
            Step::Submitted => {
                Ok(Response::new(SubmitReply { version: 1, run: "therun".into(), ..Default::default() }))
            }
            step => panic!("{step:?}"),
        }
    }

    async fn validate(&self, _: Request<ValidateRequest>) -> Result<Response<ValidateReply>, Status> {
        unimplemented!()
    }

    async fn stop(&self, _: Request<StopJobRequest>) -> Result<Response<StopJobReply>, Status> {
        unimplemented!()
    }

    async fn get(&self, _: Request<GetJobRequest>) -> Result<Response<GetJobReply>, Status> {
        unimplemented!()
    }

    async fn list(&self, _: Request<ListJobsRequest>) -> Result<Response<ListJobsReply>, Status> {
        unimplemented!()
    }
}

#[tonic::async_trait]
impl Runs for Script {
    type WatchStream = BoxStream<'static, Result<WatchRunsReply, Status>>;

    async fn get(&self, _: Request<GetRunRequest>) -> Result<Response<GetRunReply>, Status> {
        match self.next()? {
            Step::Run { ended } => Ok(Response::new(GetRunReply { run: Some(run(ended)), as_of_index: 1 })),
            step => panic!("{step:?}"),
        }
    }

    async fn watch(&self, request: Request<WatchRunsRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.record.lock().unwrap().after.push(request.into_inner().after);
        match self.next()? {
            Step::Watch(replies) => Ok(Response::new(self.stream(replies))),
            step => panic!("{step:?}"),
        }
    }

    async fn list(&self, _: Request<ListRunsRequest>) -> Result<Response<ListRunsReply>, Status> {
        unimplemented!()
    }

    async fn list_tasks(&self, _: Request<ListTasksRequest>) -> Result<Response<ListTasksReply>, Status> {
        unimplemented!()
    }

    async fn cancel(&self, _: Request<CancelRunRequest>) -> Result<Response<CancelRunReply>, Status> {
        unimplemented!()
    }
}

#[tonic::async_trait]
impl Logs for Script {
    type ReadStream = BoxStream<'static, Result<LogChunk, Status>>;

    async fn read(&self, request: Request<ReadLogsRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let offset = match request.from {
            Some(LogFrom::Offset(offset)) => Some(offset),
            _ => None,
        };
        self.record.lock().unwrap().logs.push((request.attempt, offset));
        match self.next()? {
            Step::Logs(chunks) => Ok(Response::new(self.stream(chunks))),
            step => panic!("{step:?}"),
        }
    }
}

/// A port that was free a moment ago.
pub(crate) async fn a_port_where_nobody_listens() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn run(ended: bool) -> RunView {
    let state = if ended { RunState::Ended } else { RunState::Active };
    let succeeded = EndReason { kind: end_reason::Kind::Succeeded.into(), ..EndReason::default() };
    RunView {
        id: "therun".into(),
        state: state.into(),
        reason: ended.then_some(succeeded),
        ..RunView::default()
    }
}

fn id(index: u64) -> Option<EventId> {
    Some(EventId { index, ordinal: 0 })
}

pub(crate) fn mark(index: u64) -> WatchRunsReply {
    WatchRunsReply { message: Some(Message::Mark(Mark { as_of: id(index) })) }
}

pub(crate) fn gap(index: u64) -> WatchRunsReply {
    WatchRunsReply { message: Some(Message::Gap(Gap { after: id(index) })) }
}

pub(crate) fn snapshot(index: u64) -> WatchRunsReply {
    WatchRunsReply {
        message: Some(Message::Snapshot(RunSnapshot { as_of: id(index), run: Some(run(false)) })),
    }
}

pub(crate) fn event(index: u64) -> WatchRunsReply {
    WatchRunsReply { message: Some(Message::Event(RunEvent { id: id(index), ..RunEvent::default() })) }
}

pub(crate) fn run_ended(index: u64) -> WatchRunsReply {
    let event = RunEvent {
        id: id(index),
        kind: Kind::RunEnded.into(),
        run: "therun".into(),
        now: Some(Now::RunView(run(true))),
        ..RunEvent::default()
    };
    WatchRunsReply { message: Some(Message::Event(event)) }
}

fn locator(attempt: u32) -> Option<LogLocator> {
    Some(LogLocator { run: "therun".into(), task: "load".into(), attempt, ..LogLocator::default() })
}

pub(crate) fn chunk(offset: u64, bytes: &'static [u8], attempt: u32) -> LogChunk {
    LogChunk { locator: locator(attempt), offset, piece: Some(Piece::Data(bytes.to_vec().into())) }
}

pub(crate) fn end_of_log(offset: u64) -> LogChunk {
    LogChunk { locator: locator(2), offset, piece: Some(Piece::End(LogEnd { complete: true })) }
}
