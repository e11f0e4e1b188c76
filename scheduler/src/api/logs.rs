use std::pin::Pin;

use berth_core::id::{AttemptHandle, TaskHandle};
use berth_core::state::State;
use berth_proto::agent::{self, log_frame, log_open};
use berth_proto::v1::logs_server::Logs;
use berth_proto::v1::{self, ErrorCode, LogStream, log_chunk, read_logs_request};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::runs::{Known, run_with_prefix, steps_named};
use super::{failed, gate::Gate, invalid, unknown};
use crate::access::{Resource, Scope};
use crate::log::Log;
use crate::log_hub::{LogHub, Reading};

/// What tasks wrote.
#[derive(Debug, Clone)]
pub struct LogsService {
    gate: Gate<Archive>,
}

/// Where it is found, and the nodes that have it.
#[derive(Debug, Clone)]
struct Archive {
    log: Log,
    hub: LogHub,
}

impl AsRef<Log> for Archive {
    fn as_ref(&self) -> &Log {
        &self.log
    }
}

impl LogsService {
    /// The service over the nodes' streams.
    pub fn new(log: Log, hub: LogHub) -> LogsService {
        LogsService { gate: Gate::new(Archive { log, hub }) }
    }
}

#[tonic::async_trait]
impl Logs for LogsService {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<v1::LogChunk, Status>> + Send>>;

    async fn read(
        &self,
        request: Request<v1::ReadLogsRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let (admitted, request) = self.gate.admit(request, |request| Resource::within(&request.tenant))?;
        let Archive { log, hub } = admitted.behind;
        if !log.leads() {
            // The nodes are connected to the leader.
            return Err(failed(&log.not_leader().await));
        }
        let view = admitted.read(false).await?;
        let place = find(&view.state, &request, admitted.scope())?;
        let open = agent::LogOpen {
            attempt: place.attempt.0,
            incarnation: 0,
            stream: request.stream,
            follow: request.follow,
            credit_bytes: 0,
            from: request.from.map(|from| match from {
                read_logs_request::From::Offset(offset) => log_open::From::Offset(offset),
                read_logs_request::From::TailBytes(bytes) => log_open::From::TailBytes(bytes),
                read_logs_request::From::TailLines(lines) => log_open::From::TailLines(lines),
            }),
        };
        let gone = || {
            let message = format!("node `{}`, which has the logs, is not connected", place.node);
            unknown(ErrorCode::LogsUnavailable, message)
        };
        let reading = hub.open(&place.node, open).await.ok_or_else(gone)?;
        Ok(Response::new(relay(reading, place.locator)))
    }
}

/// Where the bytes are, and under which name they are shown.
struct Place {
    attempt: AttemptHandle,
    node: String,
    locator: v1::LogLocator,
}

fn find(state: &State, request: &v1::ReadLogsRequest, scope: &Scope) -> Result<Place, Status> {
    if request.stream() == LogStream::Unspecified {
        return Err(invalid("stream", "is missing"));
    }
    let Known::Kept(run) = run_with_prefix(state, &request.run, scope)? else {
        return Err(unknown(ErrorCode::LogsUnavailable, "the run is so old that only a summary is left"));
    };
    let steps = steps_named(state, run, &request.task)?;
    let [step] = steps[..] else {
        let names: Vec<&str> =
            steps.iter().map(|step| state.task_spec(state.step(*step)).name.as_str()).take(20).collect();
        let message = format!("the run has several tasks: name one of {}", names.join(", "));
        return Err(unknown(ErrorCode::UnknownTask, message));
    };
    let step = state.step(step);
    if request.index >= step.size {
        let message = format!("task `{}` has {} indexes, from 0", state.task_spec(step).name, step.size);
        return Err(unknown(ErrorCode::UnknownTask, message));
    }
    let attempt = attempt_of(state, step.task(request.index), request.attempt)?;
    let record = state.attempt(attempt);
    let node = state.tables().nodes.get(record.node).map(|node| node.name.clone());
    let removed = || unknown(ErrorCode::LogsUnavailable, "the node that has the logs was removed");
    let locator = v1::LogLocator {
        run: state.run(run).id.to_string(),
        task: state.task_spec(step).name.clone(),
        index: request.index,
        attempt: record.number,
        incarnation: 0,
        stream: LogStream::Unspecified.into(),
    };
    Ok(Place { attempt, node: node.ok_or_else(removed)?, locator })
}

/// The attempt with that number; the latest for 0.
fn attempt_of(state: &State, task: TaskHandle, number: u32) -> Result<AttemptHandle, Status> {
    let mut next = state.tables().tasks.get(task).map(|task| task.latest);
    while let Some(handle) = next {
        let Some(attempt) = state.tables().attempts.get(handle) else { break };
        if number == 0 || attempt.number == number {
            return Ok(handle);
        }
        next = attempt.previous.get();
    }
    match number {
        0 => Err(unknown(ErrorCode::LogsUnavailable, "the task has not been started yet")),
        _ => Err(unknown(ErrorCode::UnknownTask, format!("the task has no attempt {number}"))),
    }
}

/// Hands frames on as chunks, and gives the node credit for what was taken.
fn relay(
    reading: Reading,
    locator: v1::LogLocator,
) -> Pin<Box<dyn Stream<Item = Result<v1::LogChunk, Status>> + Send>> {
    Box::pin(futures_util::stream::unfold(Some((reading, locator)), |at| async move {
        let (mut reading, locator) = at?;
        let Some(frame) = reading.next().await else {
            return Some((Err(unknown(ErrorCode::LogsUnavailable, "the node's connection has ended")), None));
        };
        match chunk_of(frame, &locator) {
            Ok((chunk, last)) => {
                if let Some(log_chunk::Piece::Data(data)) = &chunk.piece {
                    reading.grant(data.len() as u64).await;
                }
                Some((Ok(chunk), (!last).then_some((reading, locator))))
            }
            Err(status) => Some((Err(status), None)),
        }
    }))
}

fn chunk_of(frame: agent::LogFrame, locator: &v1::LogLocator) -> Result<(v1::LogChunk, bool), Status> {
    let of = |stream: i32| Some(v1::LogLocator { stream, ..locator.clone() });
    match frame.message {
        Some(log_frame::Message::Data(data)) => Ok((
            v1::LogChunk {
                locator: of(data.stream),
                offset: data.offset,
                piece: Some(log_chunk::Piece::Data(data.data)),
            },
            false,
        )),
        Some(log_frame::Message::Gap(gap)) => Ok((
            v1::LogChunk {
                locator: of(gap.stream),
                offset: gap.offset,
                piece: Some(log_chunk::Piece::GapBytes(gap.bytes)),
            },
            false,
        )),
        Some(log_frame::Message::End(end)) => {
            let piece = Some(log_chunk::Piece::End(v1::LogEnd { complete: end.complete }));
            Ok((v1::LogChunk { locator: of(LogStream::Unspecified.into()), offset: 0, piece }, true))
        }
        Some(log_frame::Message::Error(error)) => Err(unknown(ErrorCode::LogsUnavailable, error.message)),
        Some(log_frame::Message::Hello(_)) | None => {
            Err(unknown(ErrorCode::Internal, "the node sent a frame of another kind"))
        }
    }
}
