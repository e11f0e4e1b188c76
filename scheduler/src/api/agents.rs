use std::pin::Pin;

use berth_daemon::tasks::{OnFailure, Tasks};
use berth_proto::agent::agents_server::Agents;
use berth_proto::agent::{self, log_frame, refused::Code, to_agent};
use futures_util::StreamExt;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admit;
use crate::access::{Action, Resource};
use crate::lead::Connections;
use crate::log::Log;
use crate::log_hub::LogHub;

/// The agents' side of the server.
#[derive(Debug, Clone)]
pub struct AgentsService {
    log: Log,
    connections: Connections,
    logs: LogHub,
    tasks: Tasks,
}

type Told<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl AgentsService {
    /// The service that hands agents to whoever leads here.
    pub fn new(log: Log, connections: Connections, logs: LogHub, tasks: Tasks) -> AgentsService {
        AgentsService { log, connections, logs, tasks }
    }

    async fn elsewhere(&self) -> agent::ToAgent {
        let refused = agent::Refused {
            code: Code::NotLeader.into(),
            message: "this server does not lead".to_owned(),
            leader_address: self.log.leader_address().await,
            retry_after_ms: 0,
        };
        agent::ToAgent { fence: None, message: Some(to_agent::Message::Refused(refused)) }
    }
}

#[tonic::async_trait]
impl Agents for AgentsService {
    type SessionStream = Told<agent::ToAgent>;
    type LogsStream = Told<agent::LogRequest>;

    async fn session(
        &self,
        request: Request<Streaming<agent::FromAgent>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        admit(&request, Action::Serve, Resource::Cluster)?;
        if !self.log.leads() {
            let elsewhere = self.elsewhere().await;
            return Ok(Response::new(Box::pin(futures_util::stream::iter([Ok(elsewhere)]))));
        }
        let mut said = request.into_inner();
        let connection = self.connections.open().await;
        let speaker = connection.speaker();
        let stop = self.tasks.child_token();
        self.tasks.spawn("agent-session", OnFailure::Log, async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    message = said.next() => match message {
                        Some(Ok(message)) => {
                            if !speaker.say(message).await {
                                break;
                            }
                        }
                        // An agent that hangs up is no news.
                        Some(Err(_)) | None => break,
                    },
                }
            }
            speaker.close().await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(connection.messages).map(Ok))))
    }

    async fn logs(
        &self,
        request: Request<Streaming<agent::LogFrame>>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        admit(&request, Action::Serve, Resource::Cluster)?;
        let mut frames = request.into_inner();
        let hello = match frames.next().await {
            Some(Ok(agent::LogFrame { message: Some(log_frame::Message::Hello(hello)), .. })) => hello,
            _ => return Err(Status::invalid_argument("the first frame is a hello")),
        };
        let (link, requests) = self.logs.connect(&hello.node);
        let stop = self.tasks.child_token();
        self.tasks.spawn("agent-logs", OnFailure::Log, async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    frame = frames.next() => match frame {
                        Some(Ok(frame)) => link.deliver(frame),
                        Some(Err(_)) | None => break,
                    },
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(requests).map(Ok))))
    }
}
