//! The way into the node thread.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use async_trait::async_trait;
use berth_core::id::EntryId;
use prost::bytes::Bytes;
use tokio::sync::oneshot;

use crate::raft::backlog::Backlog;
use crate::raft::driver::{
    ChangeDone, ChangeError, ChangeRequest, Input, ProposeError, ReadError, TransferError,
};
use crate::raft::membership::MemberId;
use crate::raft::metrics::Metrics;
use crate::raft::node::Fatal;
use crate::raft::node::budget::{Budget, Class, Taken};
use crate::raft::transport::{Local, Refusal};

/// What a requester is told when the inbox is full, in milliseconds.
const RETRY_AFTER_MS: u64 = 100;

/// Bytes of raft messages that wait for the node thread: what one leader sends at most before it wants answers.
const RAFT_BYTES_MAX: usize = 256 << 20;
/// How long a task waits before it looks for room again.
const ROOM_AGAIN: Duration = Duration::from_millis(10);

pub(super) type ProposeResult<O> = Result<(EntryId, O), ProposeError>;

/// One thing for the node thread.
pub(super) enum NodeInput<O> {
    /// From a peer, still encoded.
    Raft { from: MemberId, message: Bytes },
    /// From another thread of this member.
    Driver(Input<O>),
    /// A proposal.
    Propose { term: u64, data: Bytes, room: Taken, reply: oneshot::Sender<ProposeResult<O>> },
    /// A read.
    Read { reply: oneshot::Sender<Result<u64, ReadError>> },
    /// A change of the membership.
    Change { change: ChangeRequest, reply: oneshot::Sender<Result<ChangeDone, ChangeError>> },
    /// A transfer of leadership.
    Transfer { to: Option<MemberId>, reply: oneshot::Sender<Result<MemberId, TransferError>> },
    /// This member cannot go on.
    Fatal(Fatal),
}

/// Cheap to clone; nothing here waits for room unless it says so.
pub(super) struct Inbox<O> {
    sender: SyncSender<NodeInput<O>>,
    budget: Arc<Budget>,
    raft_bytes: Arc<Backlog>,
    metrics: Arc<Metrics>,
}

impl<O> Clone for Inbox<O> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            budget: Arc::clone(&self.budget),
            raft_bytes: Arc::clone(&self.raft_bytes),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

impl<O> std::fmt::Debug for Inbox<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// There is no room, or nobody to read.
pub(super) enum NotSent {
    Full,
    Ended,
}

impl<O: Send + 'static> Inbox<O> {
    pub(super) fn new(sender: SyncSender<NodeInput<O>>, budget: Arc<Budget>, metrics: Arc<Metrics>) -> Self {
        Self { sender, budget, raft_bytes: Arc::default(), metrics }
    }

    /// A raft message of this length has left the inbox.
    pub(super) fn raft_message_left(&self, bytes: usize) {
        self.raft_bytes.remove(bytes);
    }

    /// For the member's own threads, whose news must not be lost: waits for room. `false` once the node thread
    /// has ended.
    pub(super) fn report(&self, input: Input<O>) -> bool {
        self.sender.send(NodeInput::Driver(input)).is_ok()
    }

    /// As [`Inbox::report`], from a task, which must not block its thread.
    pub(super) async fn report_from_task(&self, input: Input<O>) {
        let mut next = NodeInput::Driver(input);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(next) {
            next = back;
            tokio::time::sleep(ROOM_AGAIN).await;
        }
    }

    /// As [`Inbox::report`], for what ends the member.
    pub(super) fn fail(&self, fatal: Fatal) {
        // If the node thread has ended, so has the member.
        let _ = self.sender.send(NodeInput::Fatal(fatal));
    }

    pub(super) fn offer(&self, input: NodeInput<O>) -> Result<(), NotSent> {
        self.sender.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => NotSent::Full,
            TrySendError::Disconnected(_) => NotSent::Ended,
        })
    }

    /// What can be lost, because raft repeats it.
    pub(super) fn mention(&self, input: NodeInput<O>) {
        if let Err(NotSent::Full) = self.offer(input) {
            Metrics::add(self.dropped(), 1);
        }
    }

    pub(super) async fn read(&self) -> Result<u64, ReadError> {
        let (reply, answer) = oneshot::channel();
        match self.offer(NodeInput::Read { reply }) {
            Ok(()) => answer.await.unwrap_or(Err(ReadError::Stopped)),
            Err(NotSent::Full) => Err(ReadError::Busy { retry_after_ms: RETRY_AFTER_MS }),
            Err(NotSent::Ended) => Err(ReadError::Stopped),
        }
    }

    pub(super) async fn propose(&self, class: Class, term: u64, data: Bytes) -> ProposeResult<O> {
        let busy = || {
            Metrics::add(&self.metrics.proposals_refused, 1);
            Err(ProposeError::Busy { retry_after_ms: RETRY_AFTER_MS })
        };
        let Some(room) = self.budget.take(class, data.len()) else { return busy() };
        let (reply, answer) = oneshot::channel();
        match self.offer(NodeInput::Propose { term, data, room, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(ProposeError::Stopped)),
            Err(NotSent::Full) => busy(),
            Err(NotSent::Ended) => Err(ProposeError::Stopped),
        }
    }

    fn dropped(&self) -> &AtomicU64 {
        &self.metrics.messages_dropped
    }
}

#[async_trait]
impl<O: Send + 'static> Local for Inbox<O> {
    fn raft_message(&self, from: MemberId, message: Bytes) {
        let bytes = message.len();
        if !self.raft_bytes.add(bytes, RAFT_BYTES_MAX) {
            Metrics::add(self.dropped(), 1);
        } else if self.offer(NodeInput::Raft { from, message }).is_err() {
            self.raft_bytes.remove(bytes);
            Metrics::add(self.dropped(), 1);
        }
    }

    async fn met(&self, peer: MemberId) {
        self.report_from_task(Input::Met { peer }).await;
    }

    fn unreachable(&self, peer: MemberId) {
        self.mention(NodeInput::Driver(Input::Unreachable { peer }));
    }

    fn chunk_asked(&self, peer: MemberId, index: u64, found: bool) {
        let input =
            if found { Input::SnapshotServed { peer } } else { Input::SnapshotMissing { peer, index } };
        self.mention(NodeInput::Driver(input));
    }

    fn refused(&self, by: MemberId, refusal: Refusal) {
        self.mention(NodeInput::Fatal(Fatal::Refused { by, refusal }));
    }

    async fn confirm_read(&self) -> Result<u64, ReadError> {
        self.read().await
    }
}
