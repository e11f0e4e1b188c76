//! What a server shows of itself on `/metrics`: read from where it is kept whenever somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use berth_daemon::metrics::Registry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::log::Log;
use crate::raft::metrics::Metrics;

/// The numbers of one server.
pub struct Measures {
    log: Log,
    raft: Arc<Metrics>,
}

impl fmt::Debug for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measures").finish_non_exhaustive()
    }
}

impl Measures {
    /// Shows the numbers of a server in a registry.
    pub fn register(registry: &Registry, log: &Log, raft: Arc<Metrics>) {
        registry.component("scheduler").collect(Box::new(Measures { log: log.clone(), raft }));
    }

    fn raft(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let raft = &self.raft;
        gauge(encoder, "berth_raft_term", "The current term", read(&raft.term))?;
        gauge(
            encoder,
            "berth_raft_commit_index",
            "The last index known to be committed",
            read(&raft.commit),
        )?;
        gauge(encoder, "berth_raft_applied_index", "The last index applied", read(&raft.applied))?;
        gauge(
            encoder,
            "berth_raft_persist_lag_writes",
            "Writes handed to the disk and not finished",
            read(&raft.persist_lag_writes),
        )?;
        gauge(
            encoder,
            "berth_raft_apply_lag_entries",
            "Entries committed and not applied",
            read(&raft.apply_lag_entries),
        )?;
        gauge(
            encoder,
            "berth_raft_proposals_in_flight",
            "Proposals without an answer",
            read(&raft.proposals_in_flight),
        )?;
        counter(
            encoder,
            "berth_raft_proposals_refused",
            "Proposals refused because a budget was used up",
            read(&raft.proposals_refused),
        )?;
        counter(
            encoder,
            "berth_raft_leader_changes",
            "Changes of the leader seen here",
            read(&raft.leader_changes),
        )?;
        counter(
            encoder,
            "berth_raft_messages_dropped",
            "Messages to peers that found a full queue",
            read(&raft.messages_dropped),
        )?;
        counter(
            encoder,
            "berth_raft_entries_written",
            "Entries written to the log",
            read(&raft.entries_written),
        )?;
        counter(encoder, "berth_raft_snapshots", "Snapshots written here or fetched", read(&raft.snapshots))?;
        let writes: u64 = raft.fsync.counts().iter().sum();
        counter(encoder, "berth_raft_fsync_writes", "Durable writes of the log", writes)?;
        counter(
            encoder,
            "berth_raft_fsync_microseconds",
            "Time of all durable writes of the log",
            raft.fsync.sum_micros(),
        )
    }

    fn state(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let view = self.log.latest();
        let index = view.state.index();
        let waiting = index.queue.iter().map(|key| u64::from(view.state.step(key.step).ready())).sum();
        gauge(
            encoder,
            "berth_scheduler_active_runs",
            "Runs that are not over",
            index.active_runs.len() as u64,
        )?;
        gauge(encoder, "berth_scheduler_waiting_tasks", "Tasks that wait for a place", waiting)?;
        gauge(
            encoder,
            "berth_scheduler_live_attempts",
            "Attempts that are not over",
            index.live_on_node.len() as u64,
        )?;
        gauge(
            encoder,
            "berth_scheduler_known_nodes",
            "Nodes, lost ones too",
            view.state.tables().nodes.len() as u64,
        )?;
        gauge(encoder, "berth_scheduler_known_jobs", "Jobs", view.state.tables().jobs.len() as u64)?;
        let doubted = self.log.time().doubt.is_some_and(|doubt| doubt.is_alarm());
        gauge(
            encoder,
            "berth_scheduler_clock_doubted_ratio",
            "1 while this server's wall clock is not trusted, so that schedules are held if it leads",
            u64::from(doubted),
        )?;
        gauge(
            encoder,
            "berth_scheduler_leading_ratio",
            "1 while this server leads",
            u64::from(self.log.leads()),
        )
    }
}

impl Collector for Measures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.raft(&mut encoder)?;
        self.state(&mut encoder)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
