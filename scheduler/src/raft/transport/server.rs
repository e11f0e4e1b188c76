//! What peers can ask of this member.

use std::sync::Arc;

use berth_proto::peer::peer_server::{Peer, PeerServer};
use berth_proto::peer::{
    self as proto, ForwardReply, ForwardRequest, HelloReply, HelloRequest, RaftClosed, RaftMessages,
    ReadIndexReply, ReadIndexRequest, SnapshotChunkReply, SnapshotChunkRequest,
};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::{ForwardHandler, MESSAGE_BYTES_MAX, Transport, forward};
use crate::raft::identity::Identity;
use crate::raft::snapshots::{self, SnapshotStore};

/// Serves peers on this listener until shutdown.
pub(crate) fn serve(
    transport: &Transport,
    listener: TcpListener,
    snapshots: Arc<SnapshotStore>,
    forward: Arc<dyn ForwardHandler>,
) {
    let service = Service { transport: transport.clone(), snapshots, forward };
    let service = PeerServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let tasks = transport.shared.tasks.clone();
    transport.shared.tasks.spawn(async move {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let served = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, tasks.shutdown.cancelled())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "peers are not served any more");
        }
    });
}

struct Service {
    transport: Transport,
    snapshots: Arc<SnapshotStore>,
    forward: Arc<dyn ForwardHandler>,
}

impl Service {
    async fn admit(&self, caller: Option<proto::Identity>) -> Result<Identity, Status> {
        let shared = &self.transport.shared;
        if let Some(checked) = shared.admission.check_at_once(caller.as_ref()) {
            return checked.map_err(super::Refusal::to_status);
        }
        let admission = shared.admission.clone();
        let checked = shared.tasks.blocking(move || admission.check(caller.as_ref())).await;
        checked.ok_or_else(|| Status::unavailable("shutting down"))?.map_err(super::Refusal::to_status)
    }
}

#[tonic::async_trait]
impl Peer for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let HelloRequest { identity, to } = request.into_inner();
        let shared = &self.transport.shared;
        shared.admission.check_receiver(to).map_err(super::Refusal::to_status)?;
        self.admit(identity).await?;
        Ok(Response::new(HelloReply { identity: Some(shared.own.clone()) }))
    }

    async fn raft(&self, request: Request<Streaming<RaftMessages>>) -> Result<Response<RaftClosed>, Status> {
        let mut frames = request.into_inner();
        let shared = &self.transport.shared;
        let first = frames.message().await?.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        let caller = self.admit(first.identity).await?;
        loop {
            let frame = tokio::select! {
                () = shared.tasks.shutdown.cancelled() => return Err(Status::unavailable("shutting down")),
                frame = frames.message() => frame?,
            };
            let Some(frame) = frame else { return Ok(Response::new(RaftClosed {})) };
            // It may have been removed since the stream began, and nobody else tells it.
            shared.admission.check_present(caller.member).map_err(super::Refusal::to_status)?;
            for message in frame.messages {
                shared.local.raft_message(caller.member, message);
            }
        }
    }

    async fn forward(&self, request: Request<ForwardRequest>) -> Result<Response<ForwardReply>, Status> {
        let ForwardRequest { identity, requests } = request.into_inner();
        self.admit(identity).await?;
        let answers = forward::answer(&*self.forward, requests).await;
        Ok(Response::new(ForwardReply { answers }))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.admit(request.into_inner().identity).await?;
        match self.transport.shared.local.confirm_read().await {
            Ok(index) => Ok(Response::new(ReadIndexReply { index })),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    async fn snapshot_chunk(
        &self,
        request: Request<SnapshotChunkRequest>,
    ) -> Result<Response<SnapshotChunkReply>, Status> {
        let SnapshotChunkRequest { identity, index, number, .. } = request.into_inner();
        let caller = self.admit(identity).await?;
        let shared = &self.transport.shared;
        let snapshots = Arc::clone(&self.snapshots);
        let chunk = shared.tasks.blocking(move || snapshots.chunk(index, number)).await;
        shared.local.chunk_asked(caller.member, index, matches!(chunk, Some(Ok(_))));
        match chunk {
            Some(Ok(chunk)) => {
                Ok(Response::new(SnapshotChunkReply { chunk: chunk.bytes, crc32c: chunk.crc32c }))
            }
            Some(Err(snapshots::Error::Absent { .. })) => Err(Status::not_found("there is no such chunk")),
            Some(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a snapshot cannot be read");
                Err(Status::data_loss("the snapshot cannot be read"))
            }
            None => Err(Status::unavailable("shutting down")),
        }
    }
}
