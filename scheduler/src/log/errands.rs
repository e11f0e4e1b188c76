//! What members ask of each other: commands for the leader, and small questions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use berth_core::command::{Envelope, FORMAT};
use berth_core::reply::Reply;
use berth_core::time::Timestamp;
use berth_proto::convert::status::{detail, of_invalid, to_status};
use berth_proto::convert::{envelope, reply};
use berth_proto::peer;
use berth_proto::peer::errand::Errand;
use berth_proto::peer::errand_reply::Answer;
use berth_proto::v1::{ErrorCode, ErrorDetail};
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::time::{timeout, timeout_at};

use super::bounds::Bounds;
use super::errors::{UNANSWERED, of_transport};
use super::{Log, Request};
use crate::clock_watch;
use crate::raft::membership::MemberId;
use crate::raft::transport::ForwardHandler;

/// How long a member is waited for that is asked for its address.
const ADDRESS_MAX: Duration = Duration::from_millis(500);

impl Log {
    /// Has the leader apply a request.
    pub(super) async fn forward(
        &self,
        request: Request,
        bounds: Bounds,
    ) -> Result<(u64, Reply), ErrorDetail> {
        let envelope = Envelope {
            format: FORMAT,
            feature_level: 0,
            cluster_epoch: 0,
            term: 0,
            time: Timestamp(0),
            request: request.key,
            actor: request.actor,
            origin: request.origin,
            command: request.command,
        };
        let errand = Errand::Command(envelope::encode(&envelope).into());
        let unreadable = || detail(ErrorCode::UnknownOutcome, "the leader's answer cannot be read");
        let late = |_| detail(ErrorCode::UnknownOutcome, UNANSWERED);
        match timeout_at(bounds.answer, self.run_errand(errand)).await.map_err(late)?? {
            Answer::Applied(applied) => {
                Ok((applied.index, reply::decode(&applied.reply).map_err(|_| unreadable())?))
            }
            Answer::Address(_) | Answer::TimeMs(_) | Answer::Hash(_) => Err(unreadable()),
        }
    }

    /// Where clients and agents reach the leader; empty when that is not known.
    pub async fn leader_address(&self) -> String {
        let leader = self.node.status().borrow().leader;
        match leader {
            Some(leader) => self.address_of(leader).await.unwrap_or_default(),
            None => String::new(),
        }
    }

    /// Where clients and agents reach another member; `None` when it does not say within a moment.
    pub async fn address_of(&self, member: MemberId) -> Option<String> {
        let errand = peer::Errand { errand: Some(Errand::AskAddress(peer::AskAddress {})) };
        let asked = self.node.ask(member, errand.encode_to_vec().into());
        let answer = timeout(ADDRESS_MAX, asked).await.ok()?.ok()?;
        match peer::ErrandReply::decode(answer).ok()?.answer? {
            Answer::Address(address) => Some(address),
            Answer::Applied(_) | Answer::TimeMs(_) | Answer::Hash(_) => None,
        }
    }

    /// What another member's wall clock shows; `None` when it does not say.
    pub async fn time_of(&self, member: MemberId) -> Option<Timestamp> {
        let errand = peer::Errand { errand: Some(Errand::AskTime(peer::AskTime {})) };
        let answer = self.node.ask(member, errand.encode_to_vec().into()).await.ok()?;
        match peer::ErrandReply::decode(answer).ok()?.answer? {
            Answer::TimeMs(time) => Some(Timestamp(time)),
            Answer::Applied(_) | Answer::Address(_) | Answer::Hash(_) => None,
        }
    }

    /// Says that only the leader can do this, and where it is.
    pub async fn not_leader(&self) -> ErrorDetail {
        let leader_address = self.leader_address().await;
        ErrorDetail { leader_address, ..detail(ErrorCode::NotLeader, "this member does not lead") }
    }

    /// The hash of another member's state at an index, if it has kept it and answers.
    pub async fn hash_of(&self, member: MemberId, index: u64) -> Option<u128> {
        let errand = Errand::AskHash(peer::AskHash { index });
        let request = peer::Errand { errand: Some(errand) }.encode_to_vec();
        let answer = self.node.ask(member, request.into()).await.ok()?;
        match peer::ErrandReply::decode(answer).ok()?.answer? {
            Answer::Hash(hash) => Some(u128::from_be_bytes(hash.as_ref().try_into().ok()?)),
            Answer::Applied(_) | Answer::Address(_) | Answer::TimeMs(_) => None,
        }
    }

    async fn run_errand(&self, errand: Errand) -> Result<Answer, ErrorDetail> {
        let request = peer::Errand { errand: Some(errand) }.encode_to_vec();
        let answer = self.node.forward(request.into()).await.map_err(|error| of_transport(&error))?;
        let answer = peer::ErrandReply::decode(answer).ok().and_then(|reply| reply.answer);
        answer.ok_or_else(|| detail(ErrorCode::UnknownOutcome, "the leader's answer cannot be read"))
    }
}

/// Takes what other members forward to this one. The member is started with it, and it is told of the log after.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// Where clients and agents reach this member.
    address: String,
    log: Arc<OnceCell<Log>>,
}

impl Forwarded {
    /// Takes requests for the member that clients and agents reach at `address`.
    pub fn new(address: String) -> Forwarded {
        Forwarded { address, log: Arc::default() }
    }

    /// From now on requests are answered.
    pub fn open(&self, log: Log) {
        // A second log would be a second member in one process; the first one stays.
        let _ = self.log.set(log);
    }

    /// Empty if it is not known.
    fn hash_at(&self, index: u64) -> Bytes {
        let hashes = self.log.get().map(|log| Arc::clone(&log.latest().hashes)).unwrap_or_default();
        let kept = hashes.iter().find(|(at, _)| *at == index);
        kept.map(|(_, hash)| Bytes::copy_from_slice(&hash.to_be_bytes())).unwrap_or_default()
    }

    async fn command(&self, bytes: &[u8]) -> Result<Answer, ErrorDetail> {
        let starting = || detail(ErrorCode::NoLeader, "this server is starting");
        let log = self.log.get().ok_or_else(starting)?;
        let envelope = envelope::decode(bytes).map_err(|error| of_invalid(&error))?;
        let request = Request {
            key: envelope.request,
            actor: envelope.actor,
            origin: envelope.origin,
            command: envelope.command,
        };
        let (index, answer) = log.write_here(request, Bounds::of_try()).await?;
        Ok(Answer::Applied(peer::ErrandApplied { index, reply: reply::encode(&answer).into() }))
    }
}

#[async_trait]
impl ForwardHandler for Forwarded {
    async fn forward(&self, request: Bytes) -> Result<Bytes, tonic::Status> {
        let errand = peer::Errand::decode(request)
            .map_err(|error| tonic::Status::invalid_argument(error.to_string()))?;
        let answer = match errand.errand {
            Some(Errand::Command(bytes)) => self.command(&bytes).await.map_err(|error| to_status(&error))?,
            Some(Errand::AskAddress(_)) => Answer::Address(self.address.clone()),
            Some(Errand::AskTime(_)) => Answer::TimeMs(clock_watch::now().wall.0),
            Some(Errand::AskHash(peer::AskHash { index })) => Answer::Hash(self.hash_at(index)),
            None => return Err(tonic::Status::invalid_argument("an errand of another kind")),
        };
        Ok(peer::ErrandReply { answer: Some(answer) }.encode_to_vec().into())
    }
}
