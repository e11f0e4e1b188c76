//! What the state machine answers.

use berth_core::id::{JobHandle, NodeEpoch, NodeHandle, RunId};
use berth_core::reply::{Refusal, Reply};
use prost::Message;

use super::Error;
use super::field::{each, id, id_bytes, optional_id, optional_id_bytes, required};
use crate::store;
use crate::store::refusal::Refusal as Kind;
use crate::store::reply::Reply as Body;

/// The bytes of an answer.
pub fn encode(reply: &Reply) -> Vec<u8> {
    to_proto(reply).encode_to_vec()
}

/// The answer in bytes.
///
/// # Errors
/// When the bytes are no answer.
pub fn decode(bytes: &[u8]) -> Result<Reply, Error> {
    from_proto(store::Reply::decode(bytes)?)
}

/// The answer that a message carries.
///
/// # Errors
/// When something is missing or has the wrong length.
pub fn from_proto(reply: store::Reply) -> Result<Reply, Error> {
    Ok(match required(reply.reply, "reply")? {
        Body::Done(store::Done {}) => Reply::Done,
        Body::Submitted(submitted) => Reply::Submitted {
            job: JobHandle(submitted.job),
            version: submitted.version,
            changed: submitted.changed,
            run: optional_id(&submitted.run, "submitted.run")?.map(RunId),
        },
        Body::Registered(registered) => {
            Reply::Registered { node: NodeHandle(registered.node), epoch: NodeEpoch(registered.epoch) }
        }
        Body::Placed(placed) => Reply::Placed {
            refused: each(placed.refused, "refused", |one| {
                Ok((one.place, refusal_from_proto(required(one.refusal, "refusal")?)?))
            })
            .map_err(|error| error.inside("placed"))?,
        },
        Body::Reported(reported) => Reply::Reported { up_to: reported.up_to },
        Body::Fired(fired) => Reply::Fired { refused: fired.refused },
        Body::Refused(refusal) => {
            Reply::Refused(refusal_from_proto(refusal).map_err(|error| error.inside("refused"))?)
        }
    })
}

/// The message for an answer.
pub fn to_proto(reply: &Reply) -> store::Reply {
    let body = match reply {
        Reply::Done => Body::Done(store::Done {}),
        Reply::Submitted { job, version, changed, run } => Body::Submitted(store::Submitted {
            job: job.0,
            version: *version,
            changed: *changed,
            run: optional_id_bytes(run.map(|RunId(run)| run)),
        }),
        Reply::Registered { node, epoch } => {
            Body::Registered(store::Registered { node: node.0, epoch: epoch.0 })
        }
        Reply::Placed { refused } => Body::Placed(store::Placed {
            refused: refused
                .iter()
                .map(|(place, refusal)| store::RefusedPlacement {
                    place: *place,
                    refusal: Some(refusal_to_proto(refusal)),
                })
                .collect(),
        }),
        Reply::Reported { up_to } => Body::Reported(store::Reported { up_to: *up_to }),
        Reply::Fired { refused } => Body::Fired(store::Fired { refused: refused.clone() }),
        Reply::Refused(refusal) => Body::Refused(refusal_to_proto(refusal)),
    };
    store::Reply { reply: Some(body) }
}

fn refusal_from_proto(refusal: store::Refusal) -> Result<Refusal, Error> {
    Ok(match required(refusal.refusal, "refusal")? {
        Kind::StaleTerm(store::StaleTerm {}) => Refusal::StaleTerm,
        Kind::StaleClusterEpoch(store::StaleClusterEpoch {}) => Refusal::StaleClusterEpoch,
        Kind::KeyReused(store::KeyReused {}) => Refusal::KeyReused,
        Kind::UnknownTenant(tenant) => Refusal::UnknownTenant(tenant),
        Kind::UnknownJob(unknown) => Refusal::UnknownJob { tenant: unknown.tenant, job: unknown.job },
        Kind::UnknownRun(run) => Refusal::UnknownRun(RunId(id(&run, "unknown_run")?)),
        Kind::UnknownNode(node) => Refusal::UnknownNode(node),
        Kind::NeverFits(never) => Refusal::NeverFits {
            tenant: never.tenant,
            task: never.task,
            resource: never.resource,
            asked: never.asked,
            limit: never.limit,
        },
        Kind::Invalid(what) => Refusal::Invalid(what),
        Kind::Full(full) => Refusal::Full { what: full.what, limit: full.limit },
        Kind::StaleEpoch(store::StaleEpoch {}) => Refusal::StaleEpoch,
        Kind::NodeClosed(why) => Refusal::NodeClosed(why),
        Kind::NodeBusy(busy) => Refusal::NodeBusy { node: busy.node, attempts: busy.attempts },
        Kind::NodeHasFiles(files) => Refusal::NodeHasFiles { node: files.node, runs: files.runs },
        Kind::NodeInService(node) => Refusal::NodeInService(node),
        Kind::DoesNotFit(why) => Refusal::DoesNotFit(why),
        Kind::OverLimit(over) => Refusal::OverLimit { tenant: over.tenant, resource: over.resource },
        Kind::NotReady(store::NotReady {}) => Refusal::NotReady,
        Kind::ReportMissing(expected) => Refusal::ReportMissing { expected },
    })
}

fn refusal_to_proto(refusal: &Refusal) -> store::Refusal {
    let kind = match refusal.clone() {
        Refusal::StaleTerm => Kind::StaleTerm(store::StaleTerm {}),
        Refusal::StaleClusterEpoch => Kind::StaleClusterEpoch(store::StaleClusterEpoch {}),
        Refusal::KeyReused => Kind::KeyReused(store::KeyReused {}),
        Refusal::UnknownTenant(tenant) => Kind::UnknownTenant(tenant),
        Refusal::UnknownJob { tenant, job } => Kind::UnknownJob(store::UnknownJob { tenant, job }),
        Refusal::UnknownRun(RunId(run)) => Kind::UnknownRun(id_bytes(run)),
        Refusal::UnknownNode(node) => Kind::UnknownNode(node),
        Refusal::NeverFits { tenant, task, resource, asked, limit } => {
            Kind::NeverFits(store::NeverFits { tenant, task, resource, asked, limit })
        }
        Refusal::Invalid(what) => Kind::Invalid(what),
        Refusal::Full { what, limit } => Kind::Full(store::Full { what, limit }),
        Refusal::StaleEpoch => Kind::StaleEpoch(store::StaleEpoch {}),
        Refusal::NodeClosed(why) => Kind::NodeClosed(why),
        Refusal::NodeBusy { node, attempts } => Kind::NodeBusy(store::NodeBusy { node, attempts }),
        Refusal::NodeHasFiles { node, runs } => Kind::NodeHasFiles(store::NodeHasFiles { node, runs }),
        Refusal::NodeInService(node) => Kind::NodeInService(node),
        Refusal::DoesNotFit(why) => Kind::DoesNotFit(why),
        Refusal::OverLimit { tenant, resource } => Kind::OverLimit(store::OverLimit { tenant, resource }),
        Refusal::NotReady => Kind::NotReady(store::NotReady {}),
        Refusal::ReportMissing { expected } => Kind::ReportMissing(expected),
    };
    store::Refusal { refusal: Some(kind) }
}
