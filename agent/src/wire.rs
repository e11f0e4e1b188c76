//! The messages on the network and the values they stand for.

use berth_core::id::{AttemptHandle, ClusterId, EntryId, NodeEpoch};
use berth_core::time::Millis;
use berth_proto::agent as wire;
use berth_proto::convert::{facts, order, report};

use crate::clock::Boot;
use crate::message::{Desired, Fence, FromAgent, Hello, Refusal, RefusalCode, Said, ToAgent};

/// The version of the protocol that this agent speaks.
pub const PROTOCOL: u32 = 1;

/// A message of the leader that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part of it is missing.
    #[error("the message has no {0}")]
    Missing(&'static str),
    /// It has a value that this agent does not know.
    #[error("the message's {0} is wrong")]
    Wrong(&'static str),
    /// An order in it is malformed.
    #[error("an order is malformed: {0}")]
    Order(berth_proto::convert::Error),
}

/// What a message of the leader says.
///
/// # Errors
/// It is malformed; the session is of no use then.
pub fn from_leader(message: wire::ToAgent) -> Result<ToAgent, Error> {
    use wire::to_agent::Message;
    let fence = message.fence;
    let said = match message.message.ok_or(Error::Missing("content"))? {
        Message::Refused(refused) => return refusal(refused).map(ToAgent::Refused),
        Message::Welcome(welcome) => Said::Welcome {
            lease: Millis(welcome.lease_ms),
            heartbeat: Millis(welcome.heartbeat_ms),
            reported: welcome.reported,
        },
        Message::Desired(part) => Said::Desired(desired(part)?),
        Message::HeartbeatAck(ack) => {
            Said::HeartbeatAck { boot: Boot(ack.boot_ms), lease: Millis(ack.lease_ms) }
        }
        Message::ReportsAck(ack) => Said::ReportsAck { up_to: ack.up_to },
    };
    let fence = fence.ok_or(Error::Missing("fence"))?;
    let fence = Fence {
        cluster: ClusterId(id(&fence.cluster_id).ok_or(Error::Wrong("cluster id"))?),
        cluster_epoch: fence.cluster_epoch,
        term: fence.term,
        epoch: NodeEpoch(fence.node_epoch),
    };
    Ok(ToAgent::Fenced(fence, said))
}

fn id(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

fn desired(part: wire::Desired) -> Result<Desired, Error> {
    let generation = part.generation.ok_or(Error::Missing("generation"))?;
    Ok(Desired {
        generation: EntryId { term: generation.term, index: generation.index },
        full: part.full,
        more: part.more,
        set: part.set.into_iter().map(order::from_proto).collect::<Result<_, _>>().map_err(Error::Order)?,
        forget: part.forget.into_iter().map(AttemptHandle).collect(),
    })
}

fn refusal(refused: wire::Refused) -> Result<Refusal, Error> {
    use wire::refused::Code;
    let code = match Code::try_from(refused.code).map_err(|_| Error::Wrong("code"))? {
        Code::Unspecified => return Err(Error::Missing("code")),
        Code::NotLeader => RefusalCode::NotLeader,
        Code::WrongCluster => RefusalCode::WrongCluster,
        Code::NameTaken => RefusalCode::NameTaken,
        Code::Invalid => RefusalCode::Invalid,
        Code::Protocol => RefusalCode::Protocol,
        Code::Replaced => RefusalCode::Replaced,
        Code::Full => RefusalCode::Full,
        Code::StaleEpoch => RefusalCode::StaleEpoch,
        Code::Closed => RefusalCode::Closed,
    };
    Ok(Refusal {
        code,
        message: refused.message,
        leader: (!refused.leader_address.is_empty()).then_some(refused.leader_address),
        retry_after: Millis(refused.retry_after_ms),
    })
}

/// The message for what the agent says.
pub fn to_leader(message: &FromAgent) -> wire::FromAgent {
    use wire::from_agent::Message;
    let message = match message {
        FromAgent::Hello(said) => Message::Hello(hello(said)),
        FromAgent::Heartbeat { boot, applied, time } => Message::Heartbeat(wire::Heartbeat {
            boot_ms: boot.0,
            applied: Some(wire::Generation { term: applied.term, index: applied.index }),
            time_ms: time.0,
        }),
        FromAgent::Reports { epoch, reports } => Message::Reports(wire::Reports {
            epoch: epoch.0,
            reports: reports.iter().map(report::to_proto).collect(),
        }),
        FromAgent::FactsChanged(changed) => {
            Message::FactsChanged(wire::FactsChanged { facts: Some(facts::to_proto(changed)) })
        }
    };
    wire::FromAgent { message: Some(message) }
}

fn hello(hello: &Hello) -> wire::Hello {
    let cluster = hello.known.cluster.map(|cluster| cluster.0.to_be_bytes().to_vec());
    wire::Hello {
        cluster_id: cluster.unwrap_or_default().into(),
        node: hello.node.clone(),
        journal: hello.journal.0.to_be_bytes().to_vec().into(),
        epoch: hello.known.epoch.0,
        incarnation: hello.incarnation.to_be_bytes().to_vec().into(),
        facts: Some(facts::to_proto(&hello.facts)),
        protocol: PROTOCOL,
        term: hello.known.term,
        cluster_epoch: hello.known.cluster_epoch,
        version: hello.version.clone(),
        reported: hello.reported,
    }
}
