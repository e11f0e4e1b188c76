//! The raft stream to one peer: connect, say hello, send; on any failure drop what waits and begin again.

use std::sync::Arc;
use std::time::Duration;

use berth_proto::peer::{HelloRequest, RaftMessages};
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::{MESSAGE_BYTES_MAX, Refusal, Shared, client};
use crate::raft::backlog::Backlog;
use crate::raft::membership::MemberId;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages in one frame, as long as they fit its bytes.
const FRAME_MESSAGES_MAX: usize = 256;
/// A frame is closed once it is this long; with the longest message it stays under the limit.
const FRAME_BYTES: usize = MESSAGE_BYTES_MAX / 4;
/// Frames that HTTP/2 has not taken yet.
const FRAMES_WAITING: usize = 4;

pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: MemberId,
    pub(super) endpoint: Endpoint,
    pub(super) waiting: Waiting,
}

/// What waits for the peer.
pub(super) struct Waiting {
    pub(super) queue: mpsc::Receiver<Bytes>,
    pub(super) queued: Arc<Backlog>,
}

impl Waiting {
    async fn next(&mut self) -> Option<Bytes> {
        let next = self.queue.recv().await;
        self.left(next)
    }

    fn next_now(&mut self) -> Option<Bytes> {
        let next = self.queue.try_recv().ok();
        self.left(next)
    }

    fn left(&self, message: Option<Bytes>) -> Option<Bytes> {
        message.inspect(|message| self.queued.remove(message.len()))
    }
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("cannot connect")]
    Connect(#[from] tonic::transport::Error),
    #[error("the call failed")]
    Call(#[from] Box<tonic::Status>),
    #[error("the peer is not who it should be")]
    Stranger(#[from] Refusal),
    #[error("the peer did not answer in time")]
    Silent,
    #[error("the stream has ended")]
    Ended,
}

impl Link {
    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let mut connected = false;
            let broken = match self.stream(&mut connected).await {
                Ok(()) => return,
                Err(broken) => broken,
            };
            tracing::debug!(
                peer = self.peer,
                error = &broken as &dyn std::error::Error,
                "no stream to a peer"
            );
            if let Broken::Stranger(refusal) = &broken {
                tracing::warn!(peer = self.peer, %refusal, "a peer is not spoken with");
            }
            self.tell_if_refused(&broken);
            self.drop_waiting();
            backoff = if connected { BACKOFF_MIN } else { (backoff * 2).min(BACKOFF_MAX) };
            tokio::time::sleep(backoff).await;
        }
    }

    /// Runs until something breaks; `Ok` when nobody will send any more.
    async fn stream(&mut self, connected: &mut bool) -> Result<(), Broken> {
        let mut client = client(self.endpoint.connect().await?);
        let hello = HelloRequest { identity: Some(self.shared.own.clone()), to: self.peer };
        let reply = tokio::time::timeout(HELLO_TIMEOUT, client.hello(hello))
            .await
            .map_err(|_| Broken::Silent)?
            .map_err(Box::new)?;
        self.check(reply.into_inner().identity).await?;
        *connected = true;
        self.shared.local.met(self.peer).await;

        let (frames, stream) = mpsc::channel(FRAMES_WAITING);
        let first = RaftMessages { identity: Some(self.shared.own.clone()), messages: Vec::new() };
        frames.try_send(first).map_err(|_| Broken::Ended)?;
        let call = client.raft(ReceiverStream::new(stream));
        tokio::pin!(call);
        loop {
            tokio::select! {
                ended = &mut call => {
                    ended.map_err(Box::new)?;
                    return Err(Broken::Ended);
                }
                frame = next_frame(&mut self.waiting) => {
                    let Some(frame) = frame else { return Ok(()) };
                    tokio::select! {
                        ended = &mut call => {
                            ended.map_err(Box::new)?;
                            return Err(Broken::Ended);
                        }
                        sent = frames.send(frame) => sent.map_err(|_| Broken::Ended)?,
                    }
                }
            }
        }
    }

    async fn check(&self, identity: Option<berth_proto::peer::Identity>) -> Result<(), Broken> {
        let admission = self.shared.admission.clone();
        let peer = self.peer;
        let checked = self.shared.tasks.blocking(move || {
            let identity = admission.check(identity.as_ref())?;
            if identity.member == peer { admission.met(peer) } else { Err(Refusal::OtherMember) }
        });
        Ok(checked.await.ok_or(Refusal::Unavailable)??)
    }

    fn tell_if_refused(&self, broken: &Broken) {
        if let Broken::Call(status) = broken
            && let Some(refusal) = Refusal::of_self(status, self.shared.own.member_id)
        {
            self.shared.local.refused(self.peer, refusal);
        }
    }

    /// What waits is old by the time there is a stream again; raft will say something newer.
    fn drop_waiting(&mut self) {
        while self.waiting.next_now().is_some() {}
        self.shared.local.unreachable(self.peer);
    }
}

async fn next_frame(waiting: &mut Waiting) -> Option<RaftMessages> {
    let first = waiting.next().await?;
    let mut bytes = first.len();
    let mut messages = vec![first];
    while bytes < FRAME_BYTES && messages.len() < FRAME_MESSAGES_MAX {
        let Some(next) = waiting.next_now() else { break };
        bytes += next.len();
        messages.push(next);
    }
    Some(RaftMessages { identity: None, messages })
}
