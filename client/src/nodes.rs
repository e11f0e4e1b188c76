//! Nodes: read, drain, remove.

use std::time::Duration;

use berth_proto::v1::nodes_client::NodesClient;
use berth_proto::v1::{
    DrainNodeRequest, GetNodeRequest, ListNodesRequest, NodeView, RemoveNodeRequest, UndrainNodeRequest,
};

use crate::client::Client;
use crate::error::Error;
use crate::key::RequestKey;
use crate::pages::Pages;

impl Client {
    /// A node.
    ///
    /// # Errors
    /// As for every read; [`Error::NotFound`].
    pub async fn node(&self, name: &str) -> Result<NodeView, Error> {
        let request = GetNodeRequest { name: name.to_owned(), stale_ok: self.stale_ok() };
        let reply = self
            .read(|channel| {
                let request = request.clone();
                async move { NodesClient::new(channel).get(request).await }
            })
            .await?;
        reply.node.ok_or(Error::Malformed { what: "the node" })
    }

    /// The nodes by name.
    pub fn nodes(&self) -> Pages<NodeView> {
        let client = self.clone();
        Pages::new(move |page_token| {
            let client = client.clone();
            let request = ListNodesRequest { page_size: 0, page_token, stale_ok: client.stale_ok() };
            async move {
                let ask = |channel| {
                    let request = request.clone();
                    async move { NodesClient::new(channel).list(request).await }
                };
                client.read(ask).await.map(|reply| (reply.nodes, reply.next_page_token))
            }
        })
    }

    /// Lets a node take no new work. What runs there may end by itself, or has `stop_after` before it is stopped and
    /// placed elsewhere.
    ///
    /// # Errors
    /// As for every write; [`Error::NotFound`].
    pub async fn drain(&self, name: &str, stop_after: Option<Duration>) -> Result<(), Error> {
        let key = RequestKey::random();
        let stop_after_ms = stop_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let request = DrainNodeRequest { name: name.to_owned(), stop_after_ms, key: key.wire() };
        self.write(key, |channel| {
            let request = request.clone();
            async move { NodesClient::new(channel).drain(request).await }
        })
        .await
        .map(drop)
    }

    /// Lets a node take work again.
    ///
    /// # Errors
    /// As for every write; [`Error::NotFound`].
    pub async fn undrain(&self, name: &str) -> Result<(), Error> {
        let key = RequestKey::random();
        let request = UndrainNodeRequest { name: name.to_owned(), key: key.wire() };
        self.write(key, |channel| {
            let request = request.clone();
            async move { NodesClient::new(channel).undrain(request).await }
        })
        .await
        .map(drop)
    }

    /// Forgets a node that is lost or drained and runs nothing. Its name may come back.
    ///
    /// # Errors
    /// As for every write; [`Error::NotFound`], and [`Error::Conflict`] while it is in service or runs tasks.
    pub async fn remove_node(&self, name: &str) -> Result<(), Error> {
        let key = RequestKey::random();
        let request = RemoveNodeRequest { name: name.to_owned(), key: key.wire() };
        self.write(key, |channel| {
            let request = request.clone();
            async move { NodesClient::new(channel).remove(request).await }
        })
        .await
        .map(drop)
    }
}
