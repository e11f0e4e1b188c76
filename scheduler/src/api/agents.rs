use std::pin::Pin;

use berth_daemon::tasks::{OnFailure, Tasks};
use berth_proto::agent::agents_server::Agents;
use berth_proto::agent::{self, log_frame, refused::Code, to_agent};
use futures_util::StreamExt;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::gate::Gate;
use crate::access::Resource;
use crate::lead::Connections;
use crate::log::Log;
use crate::log_hub::LogHub;

/// The agents' side of the server.
#[derive(Debug, Clone)]
pub struct AgentsService {
    gate: Gate<Reception>,
}

/// Where agents are sent on to.
#[derive(Debug, Clone)]
struct Reception {
    log: Log,
    connections: Connections,
    logs: LogHub,
    tasks: Tasks,
}

type Told<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl AgentsService {
    /// The service that hands agents to whoever leads here.
    pub fn new(log: Log, connections: Connections, logs: LogHub, tasks: Tasks) -> AgentsService {
        AgentsService { gate: Gate::new(Reception { log, connections, logs, tasks }) }
    }
}

impl Reception {
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
        let (admitted, mut said) = self.gate.admit(request, |_| Resource::Cluster)?;
        let Reception { log, connections, tasks, .. } = admitted.behind;
        if !log.leads() {
            let elsewhere = admitted.behind.elsewhere().await;
            return Ok(Response::new(Box::pin(futures_util::stream::iter([Ok(elsewhere)]))));
        }
        let connection = connections.open().await;
        let speaker = connection.speaker();
        let stop = tasks.child_token();
        tasks.spawn("agent-session", OnFailure::Log, async move {
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
        let (admitted, mut frames) = self.gate.admit(request, |_| Resource::Cluster)?;
        let Reception { logs, tasks, .. } = admitted.behind;
        let hello = match frames.next().await {
            Some(Ok(agent::LogFrame { message: Some(log_frame::Message::Hello(hello)), .. })) => hello,
            _ => return Err(Status::invalid_argument("the first frame is a hello")),
        };
        let (link, requests) = logs.connect(&hello.node);
        let stop = tasks.child_token();
        tasks.spawn("agent-logs", OnFailure::Log, async move {
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
