//! What is known about a snapshot without its chunks.

use berth_core::id::{ClusterId, EntryId};
use berth_proto::peer;
use prost::Message as _;
use prost::bytes::Bytes;

use crate::raft::membership::Membership;

const MAGIC: &[u8] = b"berthsnp";
const FORMAT: u32 = 1;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The cluster whose state it is.
    pub cluster: ClusterId,
    /// The last entry that it covers.
    pub entry: EntryId,
    /// The members at that entry.
    pub membership: Membership,
    /// The feature level of the state.
    pub feature_level: u32,
    /// The hash of the state, to be compared after it was rebuilt.
    pub state_hash: u128,
}

/// A finished snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it is of.
    pub header: Header,
    /// The number of its chunks.
    pub chunks: u32,
    /// All chunks together, compressed.
    pub bytes: u64,
    /// Over the compressed chunks in their order.
    pub blake3: [u8; 32],
}

/// The bytes do not describe a snapshot of a format that this version reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the description of a snapshot")]
pub struct NotAManifest;

impl Manifest {
    /// As it is stored, and sent in raft's snapshot message.
    pub fn encode(&self) -> Vec<u8> {
        let header = &self.header;
        let header = peer::SnapshotHeader {
            magic: Bytes::from_static(MAGIC),
            format: FORMAT,
            cluster_id: Bytes::copy_from_slice(&header.cluster.0.to_be_bytes()),
            term: header.entry.term,
            index: header.entry.index,
            membership: Some(header.membership.to_proto()),
            feature_level: header.feature_level,
            state_hash: Bytes::copy_from_slice(&header.state_hash.to_be_bytes()),
        };
        peer::SnapshotManifest {
            header: Some(header),
            chunks: self.chunks,
            bytes: self.bytes,
            blake3: Bytes::copy_from_slice(&self.blake3),
        }
        .encode_to_vec()
    }

    /// Reads what [`Manifest::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAManifest> {
        let manifest = peer::SnapshotManifest::decode(bytes).map_err(|_| NotAManifest)?;
        let header = manifest.header.ok_or(NotAManifest)?;
        if header.magic.as_ref() != MAGIC || header.format != FORMAT {
            return Err(NotAManifest);
        }
        let membership = header.membership.ok_or(NotAManifest)?;
        Ok(Self {
            header: Header {
                cluster: ClusterId(u128::from_be_bytes(array(&header.cluster_id)?)),
                entry: EntryId { term: header.term, index: header.index },
                membership: Membership::from_proto(&membership).map_err(|_| NotAManifest)?,
                feature_level: header.feature_level,
                state_hash: u128::from_be_bytes(array(&header.state_hash)?),
            },
            chunks: manifest.chunks,
            bytes: manifest.bytes,
            blake3: array(&manifest.blake3)?,
        })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], NotAManifest> {
    bytes.try_into().map_err(|_| NotAManifest)
}
