use std::sync::Arc;

use berth_core::command::{Command, DrainOrder, Placement, Registration, Submit};
use berth_core::id::{JournalId, NodeEpoch, NodeHandle, RequestId, RunId, TaskHandle};
use berth_core::time::Millis;

use super::{fire, report};
use crate::convert::field::{
    differences, id, id_bytes, optional_id, optional_id_bytes, required, same_length, sums,
};
use crate::convert::{Error, facts, job_spec, tenant};
use crate::store;
use crate::store::envelope::Command as Body;

pub(super) fn from_proto(command: Body) -> Result<Command, Error> {
    Ok(match command {
        Body::ApplyTenant(spec) => {
            Command::ApplyTenant(tenant::from_proto(spec).map_err(|error| error.inside("apply_tenant"))?)
        }
        Body::Submit(submit) => {
            Command::Submit(submit_from_proto(submit).map_err(|error| error.inside("submit"))?)
        }
        Body::StopJob(stop) => Command::StopJob { tenant: stop.tenant, job: stop.job },
        Body::CancelRun(cancel) => Command::CancelRun { run: RunId(id(&cancel.run, "cancel_run.run")?) },
        Body::RegisterNode(node) => Command::RegisterNode(
            registration_from_proto(node).map_err(|error| error.inside("register_node"))?,
        ),
        Body::LoseNode(lose) => {
            Command::LoseNode { node: NodeHandle(lose.node), epoch: NodeEpoch(lose.epoch) }
        }
        Body::DrainNode(drain) => Command::DrainNode {
            node: drain.node,
            drain: drain.drain.map(|order| DrainOrder { stop_after: order.stop_after_ms.map(Millis) }),
        },
        Body::RemoveNode(remove) => Command::RemoveNode { node: remove.node },
        Body::Place(place) => {
            Command::Place(place_from_proto(&place).map_err(|error| error.inside("place"))?)
        }
        Body::Report(message) => {
            Command::Report(report::from_proto(message).map_err(|error| error.inside("report"))?)
        }
        Body::Fires(fires) => Command::Fire(fire::from_proto(fires)?),
        Body::Advance(store::Advance {}) => Command::Advance,
        Body::CheckHash(check) => {
            Command::CheckHash { index: check.index, hash: id(&check.hash, "check_hash.hash")? }
        }
    })
}

pub(super) fn to_proto(command: &Command) -> Body {
    match command {
        Command::ApplyTenant(spec) => Body::ApplyTenant(tenant::to_proto(spec)),
        Command::Submit(submit) => Body::Submit(store::Submit {
            tenant: submit.tenant.clone(),
            job: submit.job.clone(),
            spec: submit.spec.as_ref().map(|spec| job_spec::to_proto(spec)),
            start: optional_id_bytes(submit.start.map(|RequestId(key)| key)),
        }),
        Command::StopJob { tenant, job } => {
            Body::StopJob(store::StopJob { tenant: tenant.clone(), job: job.clone() })
        }
        Command::CancelRun { run } => Body::CancelRun(store::CancelRun { run: id_bytes(run.0) }),
        Command::RegisterNode(node) => Body::RegisterNode(store::RegisterNode {
            name: node.name.clone(),
            journal: id_bytes(node.journal.0),
            facts: Some(facts::to_proto(&node.facts)),
        }),
        Command::LoseNode { node, epoch } => Body::LoseNode(store::LoseNode { node: node.0, epoch: epoch.0 }),
        Command::DrainNode { node, drain } => Body::DrainNode(store::DrainNode {
            node: node.clone(),
            drain: drain
                .map(|order| store::DrainOrder { stop_after_ms: order.stop_after.map(|span| span.0) }),
        }),
        Command::RemoveNode { node } => Body::RemoveNode(store::RemoveNode { node: node.clone() }),
        Command::Place(placements) => Body::Place(store::Place {
            task: differences(placements.iter().map(|placement| placement.task.0)),
            node: placements.iter().map(|placement| placement.node.0).collect(),
            epoch: differences(placements.iter().map(|placement| placement.epoch.0)),
        }),
        Command::Report(message) => Body::Report(report::to_proto(message)),
        Command::Fire(fires) => Body::Fires(fire::to_proto(fires)),
        Command::Advance => Body::Advance(store::Advance {}),
        Command::CheckHash { index, hash } => {
            Body::CheckHash(store::CheckHash { index: *index, hash: id_bytes(*hash) })
        }
    }
}

fn submit_from_proto(submit: store::Submit) -> Result<Submit, Error> {
    Ok(Submit {
        tenant: submit.tenant,
        job: submit.job,
        spec: submit
            .spec
            .map(|spec| job_spec::from_proto(spec).map(Arc::new))
            .transpose()
            .map_err(|error| error.inside("spec"))?,
        start: optional_id(&submit.start, "start")?.map(RequestId),
    })
}

fn registration_from_proto(node: store::RegisterNode) -> Result<Registration, Error> {
    Ok(Registration {
        name: node.name,
        journal: JournalId(id(&node.journal, "journal")?),
        facts: facts::from_proto(required(node.facts, "facts")?).map_err(|error| error.inside("facts"))?,
    })
}

fn place_from_proto(place: &store::Place) -> Result<Vec<Placement>, Error> {
    same_length(place.node.len(), place.task.len(), "node")?;
    same_length(place.epoch.len(), place.task.len(), "epoch")?;
    Ok(sums(&place.task)
        .zip(&place.node)
        .zip(sums(&place.epoch))
        .map(|((task, node), epoch)| Placement {
            task: TaskHandle(task),
            node: NodeHandle(*node),
            epoch: NodeEpoch(epoch),
        })
        .collect())
}
