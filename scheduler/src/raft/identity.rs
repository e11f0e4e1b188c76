//! Who a member is, for good: cluster, member id, and the incarnation of its data directory.

use berth_core::id::ClusterId;
use berth_proto::peer;
use prost::Message as _;
use prost::bytes::Bytes;

use crate::raft::membership::{Member, MemberId};

/// Written once, when a data directory is first used, and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that this member belongs to.
    pub cluster: ClusterId,
    /// Its id there; given out once, never again.
    pub member: MemberId,
    /// Drawn at random with the directory. A member that comes back with another one has lost its memory
    /// of votes and must not act under this id.
    pub incarnation: u64,
}

/// The bytes do not describe an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the identity of a member")]
pub struct NotAnIdentity;

impl Identity {
    /// As it is sent and stored.
    pub fn to_proto(&self, address: &str) -> peer::Identity {
        peer::Identity {
            cluster_id: Bytes::copy_from_slice(&self.cluster.0.to_be_bytes()),
            member_id: self.member,
            incarnation: self.incarnation,
            address: address.to_owned(),
        }
    }

    /// Reads what [`Identity::to_proto`] made.
    pub fn from_proto(proto: &peer::Identity) -> Result<Self, NotAnIdentity> {
        let cluster: [u8; 16] = proto.cluster_id.as_ref().try_into().map_err(|_| NotAnIdentity)?;
        if proto.member_id == 0 {
            return Err(NotAnIdentity);
        }
        Ok(Self {
            cluster: ClusterId(u128::from_be_bytes(cluster)),
            member: proto.member_id,
            incarnation: proto.incarnation,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.to_proto("").encode_to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NotAnIdentity> {
        Self::from_proto(&peer::Identity::decode(bytes).map_err(|_| NotAnIdentity)?)
    }
}

/// The id of the cluster that is born with this name and these first members. Each of them computes the
/// same, so that no first among them is needed.
pub fn cluster_id(name: &str, members: &[Member]) -> ClusterId {
    let mut hasher = blake3::Hasher::new_derive_key("berth cluster id v1");
    hasher.update(name.as_bytes());
    let mut sorted: Vec<_> = members.iter().map(|member| (member.id, member.address.as_str())).collect();
    sorted.sort_unstable();
    for (id, address) in sorted {
        hasher.update(&[0]);
        hasher.update(&id.to_be_bytes());
        hasher.update(address.as_bytes());
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    ClusterId(u128::from_be_bytes(bytes))
}
