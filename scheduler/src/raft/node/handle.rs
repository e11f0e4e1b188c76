//! How the rest of the server speaks with its member.

use std::time::Duration;

use berth_core::id::EntryId;
use prost::bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::raft::driver::{
    ChangeDone, ChangeError, ChangeRequest, ProposeError, ReadError, Role, Status, TransferError,
};
use crate::raft::identity::Identity;
use crate::raft::membership::MemberId;
use crate::raft::node::budget::Class;
use crate::raft::node::inbox::{Inbox, NodeInput};
use crate::raft::transport::{self, Transport};

/// A leader that has not confirmed a read by then is taken to be gone.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// As [`READ_WITHIN`], for a request that may have to wait for disks.
const FORWARD_WITHIN: Duration = Duration::from_secs(3);
/// How far a member may lag behind what it is asked for, in time.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

/// A handle on a running member; cheap to clone.
pub struct NodeHandle<O> {
    inbox: Inbox<O>,
    status: watch::Receiver<Status>,
    applied: watch::Receiver<EntryId>,
    transport: Transport,
    identity: Identity,
}

impl<O> Clone for NodeHandle<O> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            status: self.status.clone(),
            applied: self.applied.clone(),
            transport: self.transport.clone(),
            identity: self.identity.clone(),
        }
    }
}

impl<O> std::fmt::Debug for NodeHandle<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeHandle").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl<O: Send + 'static> NodeHandle<O> {
    pub(super) fn new(
        inbox: Inbox<O>,
        status: watch::Receiver<Status>,
        applied: watch::Receiver<EntryId>,
        transport: Transport,
        identity: Identity,
    ) -> Self {
        Self { inbox, status, applied, transport, identity }
    }

    /// Puts data made for `term` into the log and waits until it is applied here. Refused unless this member
    /// leads in exactly that term.
    pub async fn propose(&self, term: u64, data: Bytes) -> Result<(EntryId, O), ProposeError> {
        self.propose_as(Class::Submission, term, data).await
    }

    /// As [`NodeHandle::propose`], with a say in what is refused first when much is under way.
    pub async fn propose_as(
        &self,
        class: Class,
        term: u64,
        data: Bytes,
    ) -> Result<(EntryId, O), ProposeError> {
        self.inbox.propose(class, term, data).await
    }

    /// Waits until this member has applied everything that was true anywhere when this was called, and says up
    /// to which index that is. Works on any member; a follower asks the leader.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let (role, leader) = {
            let status = self.status.borrow();
            (status.role, status.leader)
        };
        let index = match (role, leader) {
            (Role::Leader, _) => self.inbox.read().await?,
            (Role::Follower | Role::Candidate, None) => return Err(ReadError::NotLeader { leader: None }),
            (Role::Follower | Role::Candidate, Some(leader)) => self
                .while_it_leads(leader, READ_WITHIN, self.transport.read_index(leader))
                .await
                .map_err(|_| ReadError::NotLeader { leader: Some(leader) })?,
        };
        self.wait_applied(index).await?;
        Ok(index)
    }

    /// Waits until this member has applied the entry at `index`, but not for long: one that lags far behind does not
    /// answer requests.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ReadError> {
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| applied.index >= index);
        match tokio::time::timeout(APPLIED_WITHIN, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::Timeout),
        }
    }

    /// Where the member stands, and a way to hear when that changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The last entry applied; what the observer published is at least as new.
    pub fn applied(&self) -> watch::Receiver<EntryId> {
        self.applied.clone()
    }

    /// Changes the membership, one member at a time, and waits until the change is applied.
    pub async fn change_membership(&self, change: ChangeRequest) -> Result<ChangeDone, ChangeError> {
        let (reply, answer) = oneshot::channel();
        if self.inbox.offer(NodeInput::Change { change, reply }).is_err() {
            return Err(ChangeError::Stopped);
        }
        answer.await.unwrap_or(Err(ChangeError::Stopped))
    }

    /// Begins to hand leadership over, to `to` or to the voter that is furthest along. While it lasts, at most an
    /// election time-out, proposals are refused as busy.
    pub async fn transfer_leadership(&self, to: Option<MemberId>) -> Result<MemberId, TransferError> {
        let (reply, answer) = oneshot::channel();
        if self.inbox.offer(NodeInput::Transfer { to, reply }).is_err() {
            return Err(TransferError::Stopped);
        }
        answer.await.unwrap_or(Err(TransferError::Stopped))
    }

    /// Hands a request to the leader's [`transport::ForwardHandler`]. Gives up when another member leads.
    pub async fn forward(&self, request: Bytes) -> Result<Bytes, transport::Error> {
        let leader = self.status.borrow().leader.ok_or(transport::Error::NoLeader)?;
        self.while_it_leads(leader, FORWARD_WITHIN, self.transport.forward(leader, request)).await
    }

    /// Hands a small question to the [`transport::ForwardHandler`] of any member, past the requests that wait.
    pub async fn ask(&self, member: MemberId, question: Bytes) -> Result<Bytes, transport::Error> {
        let answer = tokio::time::timeout(READ_WITHIN, self.transport.ask(member, question)).await;
        answer.unwrap_or(Err(transport::Error::Unanswered { member }))
    }

    /// A leader that is paused or cut off answers late or never, while another may lead long since.
    async fn while_it_leads<T>(
        &self,
        leader: MemberId,
        within: Duration,
        call: impl Future<Output = Result<T, transport::Error>>,
    ) -> Result<T, transport::Error> {
        let mut status = self.status.clone();
        tokio::select! {
            biased;
            answer = call => answer,
            _ = status.wait_for(|status| status.leader != Some(leader)) => {
                Err(transport::Error::Unanswered { member: leader })
            }
            () = tokio::time::sleep(within) => Err(transport::Error::Unanswered { member: leader }),
        }
    }

    /// Who this member is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
