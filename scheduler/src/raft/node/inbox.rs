//! The way into the node thread.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, TrySendError};

use async_trait::async_trait;
use berth_core::id::EntryId;
use prost::bytes::Bytes;
use tokio::sync::oneshot;

use crate::raft::driver::{
    ChangeDone, ChangeError, ChangeRequest, Input, ProposeError, ReadError, TransferError,
};
use crate::raft::membership::MemberId;
use crate::raft::metrics::Metrics;
use crate::raft::node::Fatal;
use crate::raft::transport::{Local, Refusal};

/// What a requester is told when the inbox is full, in milliseconds.
const RETRY_AFTER_MS: u64 = 100;

pub(super) type ProposeResult<O> = Result<(EntryId, O), ProposeError>;

/// One thing for the node thread.
pub(super) enum NodeInput<O> {
    /// From a peer, still encoded.
    Raft { from: MemberId, message: Bytes },
    /// From another thread of this member.
    Driver(Input<O>),
    /// A proposal.
    Propose { term: u64, data: Bytes, reply: oneshot::Sender<ProposeResult<O>> },
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
    metrics: Arc<Metrics>,
}

impl<O> Clone for Inbox<O> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), metrics: Arc::clone(&self.metrics) }
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
    pub(super) fn new(sender: SyncSender<NodeInput<O>>, metrics: Arc<Metrics>) -> Self {
        Self { sender, metrics }
    }

    /// For the member's own threads, whose news must not be lost: waits for room. `false` once the node thread
    /// has ended.
    pub(super) fn report(&self, input: Input<O>) -> bool {
        self.sender.send(NodeInput::Driver(input)).is_ok()
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

    pub(super) async fn propose(&self, term: u64, data: Bytes) -> ProposeResult<O> {
        let (reply, answer) = oneshot::channel();
        match self.offer(NodeInput::Propose { term, data, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(ProposeError::Stopped)),
            Err(NotSent::Full) => {
                Metrics::add(&self.metrics.proposals_refused, 1);
                Err(ProposeError::Busy { retry_after_ms: RETRY_AFTER_MS })
            }
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
        self.mention(NodeInput::Raft { from, message });
    }

    fn unreachable(&self, peer: MemberId) {
        self.mention(NodeInput::Driver(Input::Unreachable { peer }));
    }

    fn chunk_asked(&self, peer: MemberId, found: bool) {
        let input = if found { Input::SnapshotServed { peer } } else { Input::SnapshotFailed { peer } };
        self.mention(NodeInput::Driver(input));
    }

    fn refused(&self, by: MemberId, refusal: Refusal) {
        self.mention(NodeInput::Fatal(Fatal::Refused { by, refusal }));
    }

    async fn confirm_read(&self) -> Result<u64, ReadError> {
        self.read().await
    }
}
