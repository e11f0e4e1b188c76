//! Nodes that come and go.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use berth_client::{Client, Submit};

use crate::cluster::with_cluster;
use crate::specs;
use crate::waiting::until;

const MINUTE: Duration = Duration::from_secs(60);
/// From the start of its process.
const WORK_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_node_that_joins_under_a_backlog_takes_work_and_its_name_can_return_after_its_removal() {
    with_cluster(3, async |cluster| {
        for name in ["a", "b"] {
            cluster.add_agent(name, "200m")?;
            cluster.node_ready(name).await?;
        }
        let client = cluster.client()?;
        let backlog = specs::shell("backlog", 500, "100m", "sleep 1")?;
        let run = client.submit(Submit::spec(backlog).start()).await?.run.context("a run was asked for")?;
        until("two busy nodes", MINUTE, async || {
            Ok(some(busy(&client, "a").await? && busy(&client, "b").await?))
        })
        .await?;

        let began = Instant::now();
        let c = cluster.add_agent("c", "200m")?;
        until("work for node c", MINUTE, async || busy(&client, "c").await.map(some)).await?;
        let took = began.elapsed();
        println!("a node that joined had work {} ms after its start", took.as_millis());
        ensure!(took < WORK_WITHIN, "a node that joined had work after {took:?}");

        client.drain("c", Some(Duration::ZERO)).await?;
        ensure!(
            cluster.berth(&["node", "remove", "a"])?.status.code() == Some(6),
            "a node in service is not removed"
        );
        until("an empty node", MINUTE, async || Ok((!busy(&client, "c").await?).then_some(()))).await?;
        cluster.agents[c].daemon.as_mut().context("it runs")?.stop().await?;
        let removed = cluster.berth(&["node", "remove", "c"])?;
        ensure!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        ensure!(
            cluster.berth(&["node", "show", "c"])?.status.code() == Some(4),
            "a removed node is not found"
        );

        // With an empty directory, as another machine would come.
        cluster.add_agent("c", "200m")?;
        until("work for the new node c", MINUTE, async || busy(&client, "c").await.map(some)).await?;
        client.cancel(&run).await?;
        client.wait(&run).await?;
        Ok(())
    });
}

async fn busy(client: &Client, node: &str) -> Result<bool> {
    Ok(client.node(node).await?.attempts > 0)
}

fn some(holds: bool) -> Option<()> {
    holds.then_some(())
}
