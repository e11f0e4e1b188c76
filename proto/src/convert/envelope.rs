//! Envelopes: what the log holds.

mod command;
mod fire;
mod report;

use berth_core::command::{Envelope, Origin};
use berth_core::id::RequestId;
use berth_core::time::Timestamp;
use prost::Message;

use super::field::{choice, optional_id, optional_id_bytes, required};
use super::{Error, Fault};
use crate::store;

/// The bytes of an envelope, as the log holds them.
pub fn encode(envelope: &Envelope) -> Vec<u8> {
    let origin = match envelope.origin {
        Origin::Client => store::Origin::Client,
        Origin::Agent => store::Origin::Agent,
        Origin::Leader => store::Origin::Leader,
    };
    store::Envelope {
        format: envelope.format,
        feature_level: envelope.feature_level,
        cluster_epoch: envelope.cluster_epoch,
        term: envelope.term,
        time_ms: envelope.time.0,
        request: optional_id_bytes(envelope.request.map(|RequestId(key)| key)),
        actor: envelope.actor.clone(),
        origin: origin.into(),
        command: Some(command::to_proto(&envelope.command)),
    }
    .encode_to_vec()
}

/// The envelope in bytes of the log.
///
/// # Errors
/// When the bytes are no envelope, are in a format that this release does not know, or have a command that breaks a
/// promise of the core's types.
pub fn decode(bytes: &[u8]) -> Result<Envelope, Error> {
    let envelope = store::Envelope::decode(bytes)?;
    if envelope.format != berth_core::command::FORMAT {
        let format = u64::from(envelope.format);
        let known = u64::from(berth_core::command::FORMAT);
        return Err(Error::at("format", Fault::OutOfRange { value: format, min: known, max: known }));
    }
    let origin = match choice::<store::Origin>(envelope.origin, "origin")? {
        store::Origin::Unspecified => return Err(Error::at("origin", Fault::Unspecified)),
        store::Origin::Client => Origin::Client,
        store::Origin::Agent => Origin::Agent,
        store::Origin::Leader => Origin::Leader,
    };
    Ok(Envelope {
        format: envelope.format,
        feature_level: envelope.feature_level,
        cluster_epoch: envelope.cluster_epoch,
        term: envelope.term,
        time: Timestamp(envelope.time_ms),
        request: optional_id(&envelope.request, "request")?.map(RequestId),
        actor: envelope.actor,
        origin,
        command: command::from_proto(required(envelope.command, "command")?)?,
    })
}
