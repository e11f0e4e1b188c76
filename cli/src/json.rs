//! Views as JSON documents, the same fields in every command. Times are milliseconds since the Unix epoch (`_ms`), cpu is
//! in thousandths of a core and memory in bytes, as in the API; what is absent is null.

use berth_client::api::{
    AttemptView, EndReason, JobView, MemberView, NodeView, RunView, Schedule, StatusReply, StepView,
    TaskView, TenantView, WaitReason, end_reason, schedule,
};
use serde_json::{Value, json};

use crate::words;

pub(crate) fn run(run: &RunView) -> Value {
    json!({
        "id": run.id,
        "tenant": run.tenant,
        "job": run.job,
        "version": run.version,
        "state": words::run_state(run.state()),
        "reason": run.reason.as_ref().map(reason),
        "cancelled_by": some(&run.cancelled_by),
        "cause": run.cause,
        "nominal_ms": run.nominal_ms,
        "created_ms": run.created_ms,
        "ended_ms": run.ended_ms,
        "tasks": run.tasks,
        "tasks_succeeded": run.tasks_succeeded,
        "tasks_failed": run.tasks_failed,
        "tasks_running": run.tasks_running,
        "collapsed": run.collapsed,
        "steps": run.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &StepView) -> Value {
    json!({
        "name": step.name,
        "state": words::step_state(step.state()),
        "array": step.array,
        "size": step.size,
        "ready": step.ready,
        "live": step.live,
        "backoff": step.backoff,
        "succeeded": step.succeeded,
        "failed": step.failed,
        "wait": step.wait.as_ref().map(wait),
        "first_failure": step.first_failure.as_ref().map(reason),
    })
}

pub(crate) fn task(task: &TaskView) -> Value {
    let outputs: serde_json::Map<String, Value> =
        task.outputs.iter().map(|(key, values)| (key.clone(), json!(values.values))).collect();
    json!({
        "name": task.name,
        "index": task.index,
        "array": task.array,
        "state": words::task_state(task.state()),
        "wait": task.wait.as_ref().map(wait),
        "reason": task.reason.as_ref().map(reason),
        "attempts": task.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "outputs": outputs,
    })
}

fn attempt(attempt: &AttemptView) -> Value {
    json!({
        "number": attempt.number,
        "node": attempt.node,
        "state": words::attempt_state(attempt.state()),
        "reason": attempt.reason.as_ref().map(reason),
        "placed_ms": attempt.placed_ms,
        "started_ms": attempt.started_ms,
        "ended_ms": attempt.ended_ms,
        "memory_peak_bytes": attempt.memory_peak_bytes,
        "cpu_ms": attempt.cpu_ms,
    })
}

pub(crate) fn reason(reason: &EndReason) -> Value {
    let number = |kind| (reason.kind() == kind).then_some(reason.number);
    json!({
        "word": words::reason_word(reason),
        "text": words::reason(Some(reason)),
        "exit_code": number(end_reason::Kind::FailedExit),
        "signal": number(end_reason::Kind::FailedSignal),
    })
}

fn wait(wait: &WaitReason) -> Value {
    json!({ "word": words::wait_word(wait), "text": wait.text, "tasks": wait.tasks, "at_ms": wait.at_ms })
}

pub(crate) fn job(job: &JobView) -> Value {
    let outcomes: Vec<Value> = job
        .outcomes
        .iter()
        .map(|due| {
            json!({
                "nominal_ms": due.nominal_ms,
                "run": some(&due.run),
                "skipped": some(&due.skipped),
                "count": due.count,
            })
        })
        .collect();
    json!({
        "tenant": job.tenant,
        "name": job.name,
        "version": job.version,
        "enabled": job.enabled,
        "kind": words::job_kind(job.kind()),
        "priority": job.priority,
        "schedule": job.schedule.as_ref().map(|when| schedule_json(when, &job.schedule_text)),
        "next_fire_ms": job.next_fire_ms,
        "updated_ms": job.updated_ms,
        "tasks": job.tasks,
        "active_runs": job.active_runs,
        "runs": job.runs.iter().map(run).collect::<Vec<_>>(),
        "outcomes": outcomes,
    })
}

fn schedule_json(schedule: &Schedule, text: &str) -> Value {
    let (every_ms, at_ms) = match schedule.when {
        Some(schedule::When::EveryMs(every)) => (Some(every), None),
        Some(schedule::When::AtMs(at)) => (None, Some(at)),
        None => (None, None),
    };
    json!({ "text": text, "every_ms": every_ms, "at_ms": at_ms })
}

pub(crate) fn node(node: &NodeView) -> Value {
    let facts = node.facts.clone().unwrap_or_default();
    let executors: Vec<Value> = facts
        .executors
        .iter()
        .map(|offer| json!({ "kind": words::executor(offer.kind()), "ready": offer.ready, "detail": offer.detail }))
        .collect();
    json!({
        "name": node.name,
        "state": words::node_state(node.state()),
        "lost_ms": node.lost_ms,
        "drain": node.drain.as_ref().map(|drain| {
            json!({ "by": drain.by, "since_ms": drain.since_ms, "deadline_ms": drain.deadline_ms })
        }),
        "epoch": node.epoch,
        "capacity": facts.capacity,
        "used": node.used,
        "attempts": node.attempts,
        "attributes": facts.attributes,
        "executors": executors,
        "run_dirs": facts.run_dirs,
        "shared": facts.shared,
    })
}

pub(crate) fn tenant(tenant: &TenantView) -> Value {
    json!({
        "name": tenant.name,
        "weight": tenant.weight,
        "limit": tenant.limit,
        "used": tenant.used,
        "grants": tenant.grants,
        "jobs": tenant.jobs,
        "active_runs": tenant.active_runs,
    })
}

pub(crate) fn member(member: &MemberView) -> Value {
    json!({
        "id": member.id,
        "role": words::member_role(member.role()),
        "address": member.address,
        "client_address": some(&member.client_address),
        "match_index": member.match_index,
        "reachable": member.reachable,
    })
}

pub(crate) fn status(status: &StatusReply) -> Value {
    let hash: String = status.state_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "cluster_id": status.cluster_id,
        "member_id": status.member_id,
        "role": words::member_role(status.role()),
        "term": status.term,
        "leader_id": status.leader_id,
        "leader_address": some(&status.leader_address),
        "commit_index": status.commit_index,
        "applied_index": status.applied_index,
        "cluster_epoch": status.cluster_epoch,
        "feature_level": status.feature_level,
        "version": status.version,
        "uptime_ms": status.uptime_ms,
        "state_hash": hash,
        "alarms": status.alarms,
        "nodes_ready": status.nodes_ready,
        "runs_active": status.runs_active,
        "tasks_waiting": status.tasks_waiting,
        "tasks_running": status.tasks_running,
        "time_ms": status.time_ms,
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
