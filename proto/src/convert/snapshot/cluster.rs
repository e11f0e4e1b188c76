//! Records of what the whole cluster shares.

use berth_core::canonical::Known;
use berth_core::id::{
    ClassHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, RequestId, ResourceHandle, RunHandle, RunId,
    TaskHandle, TenantHandle,
};
use berth_core::model::{Drain, Node, NodeState, RequestClass, Tenant, Timer};
use berth_core::resources::Resources;
use berth_core::state::{Counters, Header, RequestRecord};
use berth_core::time::Timestamp;

use crate::convert::facts::{executor_from_proto, executor_to_proto};
use crate::convert::field::{id, id_bytes, required, same_length};
use crate::convert::{Error, facts, reply};
use crate::store;
use crate::store::record::Record as Body;
use crate::store::timer_record::Timer as Kind;

pub(super) fn header_from_proto(header: &store::HeaderRecord) -> Header {
    Header {
        time: Timestamp(header.time_ms),
        cluster_epoch: header.cluster_epoch,
        feature_level: header.feature_level,
        next: Counters {
            resource: header.next_resource,
            class: header.next_class,
            tenant: header.next_tenant,
            spec: header.next_spec,
            job: header.next_job,
            run: header.next_run,
            step: header.next_step,
            task: header.next_task,
            attempt: header.next_attempt,
            node: header.next_node,
        },
    }
}

pub(super) fn header_to_proto(header: &Header) -> Body {
    let Header { time, cluster_epoch, feature_level, next } = *header;
    let Counters { resource, class, tenant, spec, job, run, step, task, attempt, node } = next;
    Body::Header(store::HeaderRecord {
        time_ms: time.0,
        cluster_epoch,
        feature_level,
        next_resource: resource,
        next_class: class,
        next_tenant: tenant,
        next_spec: spec,
        next_job: job,
        next_run: run,
        next_step: step,
        next_task: task,
        next_attempt: attempt,
        next_node: node,
    })
}

pub(super) fn resource_from_proto(record: store::ResourceRecord) -> (ResourceHandle, String) {
    (ResourceHandle(record.handle), record.name)
}

pub(super) fn resource_to_proto(handle: ResourceHandle, name: &str) -> Body {
    Body::Resource(store::ResourceRecord { handle: handle.0, name: name.to_owned() })
}

pub(super) fn class_from_proto(record: store::ClassRecord) -> Result<(ClassHandle, RequestClass), Error> {
    let class = RequestClass {
        resources: amounts_from_proto(&required(record.resources, "class.resources")?)?,
        executor: executor_from_proto(record.executor, "class.executor")?,
        uses_run_dir: record.uses_run_dir,
    };
    Ok((ClassHandle(record.handle), class))
}

pub(super) fn class_to_proto(handle: ClassHandle, class: &RequestClass) -> Body {
    Body::Class(store::ClassRecord {
        handle: handle.0,
        resources: Some(amounts_to_proto(&class.resources)),
        executor: executor_to_proto(class.executor).into(),
        uses_run_dir: class.uses_run_dir,
    })
}

pub(super) fn tenant_from_proto(record: store::TenantRecord) -> (TenantHandle, Tenant) {
    let tenant = Tenant {
        name: record.name,
        parent: record.parent.map(TenantHandle),
        weight: record.weight,
        limit: record.limit,
        grants: record.grants,
    };
    (TenantHandle(record.handle), tenant)
}

pub(super) fn tenant_to_proto(handle: TenantHandle, tenant: &Tenant) -> Body {
    Body::Tenant(store::TenantRecord {
        handle: handle.0,
        name: tenant.name.clone(),
        parent: tenant.parent.map(|parent| parent.0),
        weight: tenant.weight,
        limit: tenant.limit.clone(),
        grants: tenant.grants,
    })
}

pub(super) fn node_from_proto(record: store::NodeRecord) -> Result<(NodeHandle, Node), Error> {
    let node = Node {
        name: record.name,
        epoch: NodeEpoch(record.epoch),
        journal: JournalId(id(&record.journal, "node.journal")?),
        facts: facts::from_proto(required(record.facts, "node.facts")?)
            .map(Known::from)
            .map_err(|error| error.inside("node.facts"))?,
        capacity: amounts_from_proto(&required(record.capacity, "node.capacity")?)?,
        state: match required(record.state, "node.state")? {
            store::node_record::State::Ready(store::NodeReady {}) => NodeState::Ready,
            store::node_record::State::LostMs(at) => NodeState::Lost { at: Timestamp(at) },
        },
        drain: record.drain.map(|drain| Drain {
            by: drain.by,
            since: Timestamp(drain.since_ms),
            deadline: drain.deadline_ms.map(Timestamp),
        }),
        reported: record.reported,
    };
    Ok((NodeHandle(record.handle), node))
}

pub(super) fn node_to_proto(handle: NodeHandle, node: &Node) -> Body {
    Body::Node(store::NodeRecord {
        handle: handle.0,
        name: node.name.clone(),
        epoch: node.epoch.0,
        journal: id_bytes(node.journal.0),
        facts: Some(facts::to_proto(&node.facts)),
        capacity: Some(amounts_to_proto(&node.capacity)),
        state: Some(match node.state {
            NodeState::Ready => store::node_record::State::Ready(store::NodeReady {}),
            NodeState::Lost { at } => store::node_record::State::LostMs(at.0),
        }),
        drain: node.drain.as_ref().map(|drain| store::DrainState {
            by: drain.by.clone(),
            since_ms: drain.since.0,
            deadline_ms: drain.deadline.map(|at| at.0),
        }),
        reported: node.reported,
    })
}

pub(super) fn timer_from_proto(record: store::TimerRecord) -> Result<(Timestamp, Timer), Error> {
    let timer = match required(record.timer, "timer.timer")? {
        Kind::Fire(job) => Timer::Fire(JobHandle(job)),
        Kind::Retry(task) => Timer::Retry(TaskHandle(task)),
        Kind::Cancel(run) => Timer::Cancel(RunHandle(run)),
        Kind::Evacuate(node) => Timer::Evacuate(NodeHandle(node)),
        Kind::DrainDeadline(node) => Timer::DrainDeadline(NodeHandle(node)),
        Kind::StopJob(job) => Timer::StopJob(JobHandle(job)),
        Kind::Collapse(run) => Timer::Collapse(RunHandle(run)),
        Kind::ForgetRun(run) => Timer::ForgetRun(RunId(id(&run, "timer.forget_run")?)),
        Kind::ForgetRequest(key) => Timer::ForgetRequest(RequestId(id(&key, "timer.forget_request")?)),
    };
    Ok((Timestamp(record.at_ms), timer))
}

pub(super) fn timer_to_proto(at: Timestamp, timer: Timer) -> Body {
    let kind = match timer {
        Timer::Fire(job) => Kind::Fire(job.0),
        Timer::Retry(task) => Kind::Retry(task.0),
        Timer::Cancel(run) => Kind::Cancel(run.0),
        Timer::Evacuate(node) => Kind::Evacuate(node.0),
        Timer::DrainDeadline(node) => Kind::DrainDeadline(node.0),
        Timer::StopJob(job) => Kind::StopJob(job.0),
        Timer::Collapse(run) => Kind::Collapse(run.0),
        Timer::ForgetRun(run) => Kind::ForgetRun(id_bytes(run.0)),
        Timer::ForgetRequest(key) => Kind::ForgetRequest(id_bytes(key.0)),
    };
    Body::Timer(store::TimerRecord { at_ms: at.0, timer: Some(kind) })
}

pub(super) fn request_from_proto(record: store::RequestRecord) -> Result<(RequestId, RequestRecord), Error> {
    let key = RequestId(id(&record.key, "request.key")?);
    let request = RequestRecord {
        fingerprint: id(&record.fingerprint, "request.fingerprint")?,
        reply: reply::from_proto(required(record.reply, "request.reply")?)
            .map_err(|error| error.inside("request.reply"))?,
        at: Timestamp(record.at_ms),
    };
    Ok((key, request))
}

pub(super) fn request_to_proto(key: RequestId, request: &RequestRecord) -> Body {
    Body::Request(store::RequestRecord {
        key: id_bytes(key.0),
        fingerprint: id_bytes(request.fingerprint),
        reply: Some(reply::to_proto(&request.reply)),
        at_ms: request.at.0,
    })
}

fn amounts_from_proto(amounts: &store::Amounts) -> Result<Resources, Error> {
    same_length(amounts.amount.len(), amounts.resource.len(), "amount")?;
    Ok(amounts.resource.iter().copied().map(ResourceHandle).zip(amounts.amount.iter().copied()).collect())
}

fn amounts_to_proto(resources: &Resources) -> store::Amounts {
    let (resource, amount) = resources.iter().map(|(handle, amount)| (handle.0, amount)).unzip();
    store::Amounts { resource, amount }
}
