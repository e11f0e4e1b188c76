//! The node thread: gather inputs, let the driver decide, hand on what it wants done.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use raft::eraftpb::{Message, MessageType};
use tokio::sync::{oneshot, watch};

use crate::raft::driver::{
    Answer, ChangeDone, ChangeError, Driver, Fetch, Input, Output, ProposeError, ReadError, Status,
    TransferError,
};
use crate::raft::membership::MemberId;
use crate::raft::metrics::Metrics;
use crate::raft::node::apply::ApplyInput;
use crate::raft::node::budget::Taken;
use crate::raft::node::inbox::{Inbox, NodeInput, ProposeResult};
use crate::raft::node::{Fatal, threads};
use crate::raft::store::WriteBatch;
use crate::raft::transport::{Fetched, Fetcher, Transport};
use crate::raft::wire;

/// Inputs taken before the driver decides.
const TURN_INPUTS_MAX: usize = 4_096;

pub(super) struct Turns<O> {
    pub(super) driver: Driver<O>,
    pub(super) inputs: Receiver<NodeInput<O>>,
    pub(super) inbox: Inbox<O>,
    pub(super) write_queue: SyncSender<WriteBatch>,
    pub(super) apply_queue: SyncSender<ApplyInput>,
    pub(super) status: watch::Sender<Status>,
    pub(super) fetcher: Fetcher,
    pub(super) transport: Transport,
    pub(super) member: MemberId,
    pub(super) known: Vec<(MemberId, String)>,
    pub(super) hold_snapshots: Arc<AtomicBool>,
    pub(super) snapshot_wanted: Arc<AtomicBool>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) end: threads::End,
    pub(super) tick: Duration,
    pub(super) waiting: Waiting<O>,
}

/// Who waits for which answer.
pub(super) struct Waiting<O> {
    last: u64,
    proposals: HashMap<u64, (oneshot::Sender<ProposeResult<O>>, Taken)>,
    reads: HashMap<u64, oneshot::Sender<Result<u64, ReadError>>>,
    changes: HashMap<u64, oneshot::Sender<Result<ChangeDone, ChangeError>>>,
    transfers: HashMap<u64, oneshot::Sender<Result<MemberId, TransferError>>>,
}

impl<O> Default for Waiting<O> {
    fn default() -> Self {
        Self {
            last: 0,
            proposals: HashMap::new(),
            reads: HashMap::new(),
            changes: HashMap::new(),
            transfers: HashMap::new(),
        }
    }
}

impl<O> Waiting<O> {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl<O: Send + 'static> Turns<O> {
    /// Until shutdown. Whoever still waits then is told by the end of its channel.
    pub(super) fn run(mut self) {
        let mut next_tick = Instant::now() + self.tick;
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            match self.inputs.recv_timeout(wait) {
                Ok(input) => {
                    self.take(input);
                    for _ in 1..TURN_INPUTS_MAX {
                        let Ok(input) = self.inputs.try_recv() else { break };
                        self.take(input);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.end.has_come() {
                return;
            }
            let now = Instant::now();
            if now >= next_tick {
                self.driver.step(Input::Tick);
                // A process that was stopped for a while has not seen that time: one tick, not all at once,
                // or it would call an election before it has read what its peers sent meanwhile.
                next_tick = (next_tick + self.tick).max(now);
            }
            let output = self.driver.turn();
            self.carry_out(output);
            self.measure();
        }
    }

    fn take(&mut self, input: NodeInput<O>) {
        let input = match input {
            NodeInput::Driver(input) => input,
            NodeInput::Raft { from, message } => {
                self.inbox.raft_message_left(message.len());
                match wire::decode_message(&message) {
                    Ok(message) if message.from == from => Input::Message(message),
                    Ok(_) | Err(_) => {
                        tracing::warn!(peer = from, "a message from a peer was not what it should be");
                        return;
                    }
                }
            }
            NodeInput::Propose { term, data, room, reply } => {
                let request = self.waiting.next();
                self.waiting.proposals.insert(request, (reply, room));
                Input::Propose { request, term, data }
            }
            NodeInput::Read { reply } => {
                let request = self.waiting.next();
                self.waiting.reads.insert(request, reply);
                Input::Read { request }
            }
            NodeInput::Change { change, reply } => {
                let request = self.waiting.next();
                self.waiting.changes.insert(request, reply);
                Input::Change { request, change }
            }
            NodeInput::Transfer { to, reply } => {
                let request = self.waiting.next();
                self.waiting.transfers.insert(request, reply);
                Input::Transfer { request, to }
            }
            NodeInput::Fatal(fatal) => {
                self.end.with(fatal);
                return;
            }
        };
        self.driver.step(input);
    }

    fn carry_out(&mut self, output: Output<O>) {
        for message in output.messages {
            self.send(&message);
        }
        for batch in output.writes {
            // The driver keeps fewer batches under way than fit. An error means the writer has ended, and the
            // member with it.
            let _ = self.write_queue.send(batch);
        }
        for work in output.work {
            let _ = self.apply_queue.send(ApplyInput::Work(work));
        }
        if output.snapshot_wanted {
            self.snapshot_wanted.store(true, Ordering::Relaxed);
        }
        if let Some(fetch) = output.fetch {
            self.fetch(fetch);
        }
        if let Some(status) = output.status {
            self.publish(status);
        }
        // Last, so that who hears of an outcome finds the status that goes with it.
        for answer in output.answers {
            self.answer(answer);
        }
        self.hold_snapshots.store(self.driver.is_sending_snapshot(), Ordering::Relaxed);
    }

    fn send(&mut self, message: &Message) {
        let to = message.to;
        if self.transport.send(to, wire::encode_message(message)) {
            return;
        }
        Metrics::add(&self.metrics.messages_dropped, 1);
        self.driver.step(Input::Unreachable { peer: to });
        if message.get_msg_type() == MessageType::MsgSnapshot {
            self.driver.step(Input::SnapshotFailed { peer: to });
        }
    }

    fn fetch(&mut self, fetch: Fetch) {
        let entry = fetch.manifest.header.entry;
        tracing::info!(peer = fetch.from, log.index = entry.index, "fetching a snapshot");
        let (inbox, metrics, end) = (self.inbox.clone(), Arc::clone(&self.metrics), self.end.clone());
        self.fetcher.start(fetch, async move |fetched| {
            let input = match fetched {
                Fetched::Whole(manifest) => {
                    Metrics::add(&metrics.snapshots, 1);
                    Input::SnapshotFetched(manifest)
                }
                Fetched::NotToBeHad => Input::SnapshotNotFetched { entry },
                Fetched::Failed(error) => return end.with(Fatal::Snapshots(error)),
            };
            inbox.report_from_task(input).await;
        });
    }

    fn publish(&mut self, status: Status) {
        let before = self.status.borrow().clone();
        if before.membership != status.membership {
            self.transport.set_members(&status.membership, &self.known);
        }
        if before.leader != status.leader {
            Metrics::add(&self.metrics.leader_changes, 1);
            tracing::info!(term = status.term, leader = status.leader, role = ?status.role, "the leader has changed");
        }
        let removed = status.removed;
        self.status.send_replace(status);
        if removed {
            self.end.with(Fatal::Removed { member: self.member });
        }
    }

    fn answer(&mut self, answer: Answer<O>) {
        // Who has stopped waiting is not told.
        match answer {
            Answer::Proposal { request, result } => {
                if matches!(result, Err(ProposeError::Busy { .. })) {
                    Metrics::add(&self.metrics.proposals_refused, 1);
                }
                self.waiting.proposals.remove(&request).map(|(reply, _)| reply.send(result).ok());
            }
            Answer::Read { request, result } => {
                self.waiting.reads.remove(&request).map(|reply| reply.send(result).ok());
            }
            Answer::Change { request, result } => {
                self.waiting.changes.remove(&request).map(|reply| reply.send(result).ok());
            }
            Answer::Transfer { request, result } => {
                self.waiting.transfers.remove(&request).map(|reply| reply.send(result).ok());
            }
        }
    }

    fn measure(&self) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (lag_bytes, lag_entries) = self.driver.apply_lag();
        let status = self.driver.status();
        Metrics::set(&self.metrics.apply_lag_bytes, lag_bytes);
        Metrics::set(&self.metrics.apply_lag_entries, lag_entries);
        Metrics::set(&self.metrics.persist_lag_writes, count(self.driver.writes_in_flight()));
        Metrics::set(&self.metrics.proposals_in_flight, count(self.driver.proposals_in_flight()));
        Metrics::set(&self.metrics.term, status.term);
        Metrics::set(&self.metrics.commit, status.commit);
    }
}
