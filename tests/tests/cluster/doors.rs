//! What processes offer to those who look at them: reflection, health and metrics.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::cluster::with_cluster;
use crate::waiting::until;

const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn servers_describe_themselves_and_say_whether_they_serve() {
    with_cluster(3, async |cluster| {
        let leader = cluster.leader().await?;
        let at = cluster.servers[leader].clients;
        let services = services(at).await?;
        for service in ["Jobs", "Runs", "Nodes", "Tenants", "Logs", "Operator"] {
            let name = format!("berth.v1.{service}");
            ensure!(services.contains(&name), "{name} is missing in {services:?}");
        }
        for server in &cluster.servers {
            health_is(server.clients, ServingStatus::Serving).await?;
        }
        // Alone it can neither lead nor hear of a leader.
        for other in (0..3).filter(|&other| other != leader) {
            cluster.kill_server(other)?;
        }
        health_is(at, ServingStatus::NotServing).await?;
        cluster.start_server((leader + 1) % 3)?;
        health_is(at, ServingStatus::Serving).await
    });
}

#[test]
fn every_daemon_shows_its_metrics() {
    with_cluster(1, async |cluster| {
        cluster.add_agent("a", "1")?;
        cluster.node_ready("a").await?;
        shows_metrics(cluster.servers[0].metrics, "berth_raft_applied_index ").await?;
        shows_metrics(cluster.agents[0].metrics, "berth_agent_").await
    });
}

/// Waits until a process shows measurements of which the names begin so, each in a line of the text format.
pub(crate) async fn shows_metrics(at: SocketAddr, prefix: &str) -> Result<()> {
    until(&format!("metrics at {at}"), WITHIN, async || {
        let answer = get(at, "/metrics")?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        ensure!(answer.lines().any(|line| line.starts_with(prefix)), "no {prefix}* in:\n{answer}");
        Ok(Some(()))
    })
    .await
}

fn get(at: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

async fn channel(at: SocketAddr) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{at}"))?.connect().await?)
}

async fn health_is(at: SocketAddr, expected: ServingStatus) -> Result<()> {
    let mut client = HealthClient::new(channel(at).await?);
    until(&format!("the health of {at} to be {expected:?}"), WITHIN, async || {
        let answer = client.check(HealthCheckRequest::default()).await?.into_inner();
        Ok((answer.status() == expected).then_some(()))
    })
    .await
}

async fn services(at: SocketAddr) -> Result<Vec<String>> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel(at).await?);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
    let answer = answers.message().await?.context("an answer")?;
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        anyhow::bail!("not a list: {answer:?}");
    };
    Ok(list.service.into_iter().map(|service| service.name).collect())
}
