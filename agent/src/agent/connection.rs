//! One connection to a server: the stream of the session, and the stream of logs beside it.

use std::error::Error as _;
use std::time::Duration;

use berth_daemon::tasks::{OnFailure, Tasks};
use berth_proto::agent as proto;
use berth_proto::agent::agents_client::AgentsClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

use super::{AgentHandle, log_stream};
use crate::logs::Sources;
use crate::message::Known;
use crate::session::SessionId;
use crate::supervisor::Input;
use crate::wire;

/// Messages that may wait to be sent. A leader that does not read for so long gets a new session.
const QUEUE: usize = 256;
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The largest message that is taken: one part of a node's orders.
const MESSAGE_MAX: usize = 16 << 20;

/// What a connection needs.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) session: SessionId,
    pub(super) address: String,
    pub(super) node: String,
    pub(super) handle: AgentHandle,
    pub(super) sources: Sources,
    pub(super) tasks: Tasks,
}

/// The driver's end of a connection. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Connection {
    session: SessionId,
    outgoing: mpsc::Sender<proto::FromAgent>,
    welcomed: Option<oneshot::Sender<Known>>,
    _open: DropGuard,
}

impl Connection {
    /// Begins to connect. What comes of it, the handle is told.
    pub(super) fn open(seat: Seat) -> Connection {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let (welcomed, welcome) = oneshot::channel();
        let open = CancellationToken::new();
        let (session, tasks) = (seat.session, seat.tasks.clone());
        let token = open.clone();
        tasks.spawn("agent.session", OnFailure::Log, async move {
            let handle = seat.handle.clone();
            tokio::select! {
                () = token.cancelled() => {}
                () = converse(seat, queue, welcome, token.clone()) => {
                    handle.input(Input::Disconnected(session)).await;
                }
            }
        });
        Connection { session, outgoing, welcomed: Some(welcomed), _open: open.drop_guard() }
    }

    /// Which one it is.
    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Queues a message; false when there is no room or no connection.
    pub(super) fn send(&self, message: proto::FromAgent) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// The session holds: logs may be served.
    pub(super) fn welcomed(&mut self, known: Known) {
        if let Some(welcomed) = self.welcomed.take() {
            // When the connection has ended meanwhile, nobody asks for logs.
            let _ = welcomed.send(known);
        }
    }
}

/// Connects and passes on what the leader says, until the connection ends.
async fn converse(
    seat: Seat,
    queue: mpsc::Receiver<proto::FromAgent>,
    welcome: oneshot::Receiver<Known>,
    open: CancellationToken,
) {
    let address = seat.address.clone();
    let channel = match connect(&address).await {
        Ok(channel) => channel,
        Err(error) => {
            tracing::debug!(address, error = reason(&error), "no connection");
            return;
        }
    };
    if !seat.handle.input(Input::Connected(seat.session)).await {
        return;
    }
    let mut client = AgentsClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX);
    let mut incoming = match client.session(ReceiverStream::new(queue)).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            tracing::debug!(address, code = ?status.code(), reason = status.message(), "no session");
            return;
        }
    };
    let (handle, session) = (seat.handle.clone(), seat.session);
    let tasks = seat.tasks.clone();
    let serving = async move {
        if let Ok(known) = welcome.await {
            log_stream::serve(channel, known, &seat).await;
        }
    };
    tasks.spawn("agent.logs", OnFailure::Log, async move {
        open.run_until_cancelled(serving).await;
    });
    loop {
        match incoming.message().await {
            Ok(Some(message)) => match wire::from_leader(message) {
                Ok(said) => {
                    if !handle.input(Input::Said(session, said)).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(address, %error, "the server makes no sense");
                    return;
                }
            },
            Ok(None) => return tracing::debug!(address, "the server has ended the session"),
            Err(status) => {
                return tracing::debug!(address, code = ?status.code(), reason = status.message(), "the session broke");
            }
        }
    }
}

async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .connect()
        .await
}

/// The last cause tells what the system said.
fn reason(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = next.to_string();
        cause = next.source();
    }
    text
}
