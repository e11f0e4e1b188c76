//! What a server shows of itself on `/metrics`: read from where it is kept whenever somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use berth_core::due;
use berth_daemon::metrics::Registry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::log::Log;
use crate::raft::metrics::{BUCKETS_MICROS, Histogram, Metrics};

/// The numbers of the consensus, named `berth_raft_...`.
#[derive(Debug)]
struct Consensus {
    raft: Arc<Metrics>,
}

/// The numbers of the state and of what the leader does, named `berth_scheduler_...`.
#[derive(Debug)]
struct Scheduling {
    log: Log,
    lag: Arc<Histogram>,
}

/// Shows the numbers of a server in a registry. `lag` is how long runs wait for their first placement.
pub fn register(registry: &Registry, log: &Log, raft: Arc<Metrics>, lag: Arc<Histogram>) {
    registry.component("raft").collect(Box::new(Consensus { raft }));
    registry.component("scheduler").collect(Box::new(Scheduling { log: log.clone(), lag }));
}

impl Collector for Consensus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (raft, e) = (&self.raft, &mut encoder);
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        gauge(e, "current_term", "The current term", read(&raft.term))?;
        gauge(e, "commit_index", "The last index known to be committed", read(&raft.commit))?;
        gauge(e, "applied_index", "The last index applied", read(&raft.applied))?;
        let writes = read(&raft.persist_lag_writes);
        gauge(e, "persist_lag_writes", "Writes handed to the disk and not finished", writes)?;
        let (entries, bytes) = (read(&raft.apply_lag_entries), read(&raft.apply_lag_bytes));
        gauge(e, "apply_lag_entries", "Entries committed and not applied", entries)?;
        gauge(e, "apply_lag_bytes", "Bytes of entries committed and not applied", bytes)?;
        let (waiting, refused) = (read(&raft.proposals_in_flight), read(&raft.proposals_refused));
        gauge(e, "in_flight_proposals", "Proposals without an answer", waiting)?;
        counter(e, "refused_proposals", "Proposals refused because a budget was used up", refused)?;
        counter(e, "leader_changes", "Changes of the leader seen here", read(&raft.leader_changes))?;
        let dropped = read(&raft.messages_dropped);
        counter(e, "dropped_messages", "Messages to peers that found a full queue", dropped)?;
        counter(e, "written_entries", "Entries written to the log", read(&raft.entries_written))?;
        counter(e, "stored_snapshots", "Snapshots written here or fetched", read(&raft.snapshots))?;
        let unreadable = read(&raft.snapshots_unreadable);
        counter(e, "unreadable_snapshots", "Snapshots that did not give back their state", unreadable)?;
        seconds(e, "fsync_seconds", "Time of one durable write of the log", &raft.fsync)
    }
}

impl Collector for Scheduling {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let view = self.log.latest();
        let (index, tables) = (view.state.index(), view.state.tables());
        let waiting = index.queue.iter().map(|key| u64::from(view.state.step(key.step).ready())).sum();
        gauge(e, "active_runs", "Runs that are not over", count(index.active_runs.len()))?;
        gauge(e, "waiting_tasks", "Tasks that wait for a place", waiting)?;
        gauge(e, "live_attempts", "Attempts that are not over", count(index.live()))?;
        gauge(e, "known_nodes", "Nodes, lost ones too", count(tables.nodes.len()))?;
        gauge(e, "known_jobs", "Jobs", count(tables.jobs.len()))?;
        gauge(e, "leading_servers", "1 while this server leads, else 0", u64::from(self.log.leads()))?;
        let doubted = self.log.time().doubt.is_some_and(|doubt| doubt.is_alarm());
        let help = "1 while this server's wall clock is not trusted, so that schedules are held or late if it leads, else 0";
        gauge(e, "doubted_clocks", help, u64::from(doubted))?;
        let now = self.log.time().time.max(view.state.time());
        let late = due::next_instant(&view.state).map_or(0, |at| now.0.saturating_sub(at.0) / 1000);
        let help = "For how long the first timer is over without having been dealt with, in whole seconds";
        gauge(e, "timer_lag_seconds", help, late)?;
        let help = "Time from the making of a run to the first placement of a task that waits for no other";
        seconds(e, "scheduling_lag_seconds", help, &self.lag)
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn seconds(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    histogram: &Histogram,
) -> fmt::Result {
    let in_seconds = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64();
    let bounds = BUCKETS_MICROS.into_iter().map(in_seconds).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts()).collect();
    let all = buckets.iter().map(|(_, count)| count).sum();
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(in_seconds(histogram.sum_micros()), all, &buckets, None)
}
