use berth_core::command::{Command, DrainOrder};
use berth_core::id::NodeHandle;
use berth_core::time::Millis;
use berth_proto::v1::nodes_server::Nodes;
use berth_proto::v1::{self, ErrorCode};
use tonic::{Request, Response, Status};

use super::{gate::Gate, key, page, render, unknown};
use crate::access::Resource;
use crate::log::Log;

/// Nodes.
#[derive(Debug, Clone)]
pub struct NodesService {
    gate: Gate<Log>,
}

impl NodesService {
    /// The service over a log.
    pub fn new(log: Log) -> NodesService {
        NodesService { gate: Gate::new(log) }
    }
}

#[tonic::async_trait]
impl Nodes for NodesService {
    async fn list(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let view = admitted.read(request.stale_ok).await?;
        let named = view.state.index().nodes.range(request.page_token..);
        let (nodes, next_page_token) = page::cut(
            named.map(|(name, handle)| (name.clone(), *handle)),
            page::size(request.page_size),
            |(_, handle): &(String, NodeHandle)| render::node(&view.state, *handle),
            |(name, _)| name.clone(),
        );
        Ok(Response::new(v1::ListNodesReply { nodes, next_page_token, as_of_index: view.applied.index }))
    }

    async fn get(&self, request: Request<v1::GetNodeRequest>) -> Result<Response<v1::GetNodeReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let view = admitted.read(request.stale_ok).await?;
        let unknown = || unknown(ErrorCode::UnknownNode, format!("no node `{}`", request.name));
        let handle = view.state.node_named(&request.name).ok_or_else(unknown)?;
        let node = Some(render::node(&view.state, handle));
        Ok(Response::new(v1::GetNodeReply { node, as_of_index: view.applied.index }))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let key = key(&request.key)?;
        let order = DrainOrder { stop_after: request.stop_after_ms.map(Millis) };
        let command = Command::DrainNode { node: request.name, drain: Some(order) };
        let (index, _) = admitted.write(key, command).await?;
        Ok(Response::new(v1::DrainNodeReply { index }))
    }

    async fn undrain(
        &self,
        request: Request<v1::UndrainNodeRequest>,
    ) -> Result<Response<v1::UndrainNodeReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let key = key(&request.key)?;
        let command = Command::DrainNode { node: request.name, drain: None };
        let (index, _) = admitted.write(key, command).await?;
        Ok(Response::new(v1::UndrainNodeReply { index }))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeReply>, Status> {
        let (admitted, request) = self.gate.admit(request, |_| Resource::Cluster)?;
        let key = key(&request.key)?;
        let (index, _) = admitted.write(key, Command::RemoveNode { node: request.name }).await?;
        Ok(Response::new(v1::RemoveNodeReply { index }))
    }
}
