//! The writer thread: what waits together becomes durable together.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::raft::driver::Input;
use crate::raft::metrics::Metrics;
use crate::raft::node::inbox::Inbox;
use crate::raft::node::{Fatal, threads};
use crate::raft::store::{LogStore, WriteBatch};
use crate::raft::transport::Transport;
use crate::raft::wire;

/// Bytes of entries after which a transaction takes no more batches, so that none gets too slow.
const TRANSACTION_BYTES: u64 = 8 << 20;

pub(super) struct Writer<O> {
    pub(super) log: Arc<LogStore>,
    pub(super) writes: Receiver<WriteBatch>,
    pub(super) transport: Transport,
    pub(super) inbox: Inbox<O>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) end: threads::End,
}

impl<O: Send + 'static> Writer<O> {
    pub(super) fn run(self) {
        while let Ok(first) = self.writes.recv() {
            if self.end.has_come() {
                return;
            }
            let batches = self.gather(first);
            let entries = batches.iter().map(|batch| batch.entries.len()).sum::<usize>();
            let began = Instant::now();
            if let Err(error) = self.log.write(&batches) {
                // Never tried again: after a failed sync nobody knows what is on the disk.
                self.end.with(Fatal::Log(error));
                return;
            }
            if batches.iter().any(WriteBatch::writes) {
                self.metrics.fsync.observe(began.elapsed());
                Metrics::add(&self.metrics.entries_written, u64::try_from(entries).unwrap_or(u64::MAX));
            }
            let number = batches.last().expect("there is at least the first").number;
            for message in batches.iter().flat_map(|batch| &batch.messages) {
                if !self.transport.send(message.to, wire::encode_message(message)) {
                    Metrics::add(&self.metrics.messages_dropped, 1);
                }
            }
            if !self.inbox.report(Input::Persisted { number }) {
                return;
            }
        }
    }

    fn gather(&self, first: WriteBatch) -> Vec<WriteBatch> {
        let weigh = |batch: &WriteBatch| batch.entries.iter().map(wire::entry_bytes).sum::<u64>();
        let mut bytes = weigh(&first);
        let mut batches = vec![first];
        while bytes < TRANSACTION_BYTES
            && let Ok(next) = self.writes.try_recv()
        {
            bytes += weigh(&next);
            batches.push(next);
        }
        batches
    }
}
