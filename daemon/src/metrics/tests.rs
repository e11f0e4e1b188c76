use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Endpoint, Health, Registry, Status};
use crate::tasks::{OnFailure, Tasks};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_name_is_made_of_component_and_rest() {
    let registry = Registry::new();
    let raft = registry.component("raft");
    raft.counter("entries", "Entries applied").inc_by(3);
    raft.gauge("log_bytes", "Size of the log").set(7);
    raft.seconds("apply_seconds", "Time to apply an entry").observe(0.002);
    let text = registry.encode();
    for line in ["berth_raft_entries_total 3", "berth_raft_log_bytes 7", "berth_raft_apply_seconds_count 1"] {
        assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
    }
}

#[derive(Debug)]
struct Weather;

impl prometheus_client::collector::Collector for Weather {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric as _;
        let metric = prometheus_client::metrics::gauge::ConstGauge::new(7_i64);
        metric.encode(encoder.encode_descriptor(
            "air_kelvins",
            "How warm it is",
            None,
            metric.metric_type(),
        )?)
    }
}

#[test]
fn what_is_read_at_each_scrape_has_the_name_of_its_component_too() {
    let registry = Registry::new();
    registry.component("raft").collect(Box::new(Weather));
    registry.component("agent").collect(Box::new(Weather));
    let text = registry.encode();
    for line in ["berth_raft_air_kelvins 7", "# HELP berth_agent_air_kelvins How warm it is"] {
        assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
    }
}

#[test]
#[should_panic(expected = "registered twice")]
fn a_name_is_registered_once() {
    let raft = Registry::new().component("raft");
    let _first = raft.counter("entries", "Entries applied");
    let _second = raft.counter("entries", "Entries applied");
}

#[tokio::test]
async fn metrics_and_health_are_served_until_the_stop() {
    let (registry, health, tasks) = (Registry::new(), Health::new(), Tasks::new());
    let entries = registry.component("raft").counter("entries", "Entries applied");
    let loopback = "127.0.0.1:0".parse().unwrap();
    let (endpoint, address) = Endpoint::bind(loopback, false, registry, health.clone()).await.unwrap();
    let served = tasks.spawn("metrics", OnFailure::StopProcess, endpoint.run(tasks.token()));

    entries.inc();
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("berth_raft_entries_total 1"), "{answer}");

    health.report("raft", Status::NotReady("no leader is known".to_owned()));
    let answer = get(address, "/health").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("raft: not ready: no leader is known"),
        "{answer}"
    );
    health.report("raft", Status::Ready);
    health.ready().await;
    assert!(get(address, "/health").await.starts_with("HTTP/1.1 200"));

    tasks.begin_shutdown();
    served.ended().await;
    assert_eq!(tasks.failure(), None);
}
