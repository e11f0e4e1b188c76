//! Raft's own messages as bytes. They travel and rest opaque, so that raft's codec stays raft's affair.

use prost::bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState, Message};

/// The bytes are not what raft-rs wrote.
#[derive(Debug, thiserror::Error)]
#[error("not a raft record")]
pub(crate) struct Error(#[source] protobuf::ProtobufError);

pub(crate) fn encode_message(message: &Message) -> Bytes {
    Bytes::from(message.write_to_bytes().expect("a message without required fields always encodes"))
}

pub(crate) fn decode_message(bytes: &[u8]) -> Result<Message, Error> {
    Message::parse_from_bytes(bytes).map_err(Error)
}

pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    entry.write_to_bytes().expect("an entry without required fields always encodes")
}

pub(crate) fn decode_entry(bytes: &[u8]) -> Result<Entry, Error> {
    Entry::parse_from_bytes(bytes).map_err(Error)
}

pub(crate) fn encode_hard_state(state: &HardState) -> Vec<u8> {
    state.write_to_bytes().expect("a hard state without required fields always encodes")
}

pub(crate) fn decode_hard_state(bytes: &[u8]) -> Result<HardState, Error> {
    HardState::parse_from_bytes(bytes).map_err(Error)
}

/// What an entry weighs in budgets, in bytes; never less than its data.
pub(crate) fn entry_bytes(entry: &Entry) -> u64 {
    u64::try_from(entry.data.len() + entry.context.len() + 32).expect("a length fits 64 bits")
}
