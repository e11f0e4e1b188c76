//! Containers that an earlier data directory of this node has left behind.
//!
//! An agent knows its own containers by its journal, and a directory that was wiped took the journal with it. What names
//! the node beyond that is the cluster and the node's name. The epoch says which of two agents is the later one: it grows
//! with each registration, and the cluster gives up what a node has under another journal when it takes a new one. So an
//! agent that was replaced and does not know it yet never takes its successor's containers for left behind.

use std::collections::HashMap;

use bollard::models::ContainerSummary;

use super::{Config, Shared, engine};
use crate::executor::Home;

const CLUSTER: &str = "berth.cluster";
const EPOCH: &str = "berth.epoch";

/// The labels by which a later agent of the node knows a container.
pub(super) fn labels(home: Home) -> [(String, String); 2] {
    let epoch = format!("{}.{}", home.cluster_epoch, home.epoch.0);
    [(CLUSTER.to_owned(), home.cluster.to_string()), (EPOCH.to_owned(), epoch)]
}

/// The containers that were left behind.
pub(super) async fn list(shared: &Shared, home: Home) -> Result<Vec<ContainerSummary>, engine::Error> {
    let config = &shared.config;
    let of_node = [format!("{CLUSTER}={}", home.cluster), format!("berth.node={}", config.node)];
    let mut listed = shared.engine.list(&of_node).await?;
    listed.retain(|one| one.labels.as_ref().is_some_and(|labels| is_left_behind(labels, config, home)));
    Ok(listed)
}

/// Whether a container of this cluster and node is of another journal and an earlier registration.
fn is_left_behind(labels: &HashMap<String, String>, config: &Config, home: Home) -> bool {
    let epoch = labels.get(EPOCH).and_then(|epoch| epoch.split_once('.'));
    let epoch = epoch.and_then(|(cluster, node)| Some((cluster.parse().ok()?, node.parse().ok()?)));
    let another = labels.get("berth.agent").is_some_and(|agent| *agent != config.agent);
    another && epoch.is_some_and(|epoch: (u64, u64)| epoch < (home.cluster_epoch, home.epoch.0))
}
