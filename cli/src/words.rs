//! The words for states and reasons.

use berth_client::api::{
    AttemptState, EndReason, ExecutorKind, ExecutorOffer, Isolation, JobKind, MemberRole, NodeState,
    NodeView, RunState, RunView, StepState, TaskState, WaitReason, wait_reason,
};

use crate::units;

/// `succeeded`, `failed(exit code 3)` and so on; empty when there is none.
pub(crate) fn reason(reason: Option<&EndReason>) -> String {
    let Some(reason) = reason else { return String::new() };
    match berth_proto::convert::reason::from_proto(reason.clone()) {
        Ok(reason) => reason.to_string(),
        Err(_) => "unknown to this release".to_owned(),
    }
}

/// The reason without its detail: `failed`.
pub(crate) fn reason_word(reason: &EndReason) -> &'static str {
    berth_proto::convert::reason::from_proto(reason.clone()).map_or("unknown", |reason| reason.word())
}

/// `quota: what would unblock it`; empty when it does not wait.
pub(crate) fn wait(wait: Option<&WaitReason>, now_ms: u64) -> String {
    let Some(wait) = wait else { return String::new() };
    let when = wait.at_ms.map(|at| format!(" {}", units::relative(now_ms, at))).unwrap_or_default();
    let text = if wait.text.is_empty() { String::new() } else { format!(": {}", wait.text) };
    format!("{}{text}{when}", wait_word(wait))
}

/// The kind of a wait.
pub(crate) fn wait_word(wait: &WaitReason) -> &'static str {
    use wait_reason::Kind;
    match wait.kind() {
        Kind::Unspecified => "unknown",
        Kind::Dependency => "dependency",
        Kind::Precondition => "precondition",
        Kind::Quota => "quota",
        Kind::Placement => "placement",
        Kind::Preemption => "preemption",
        Kind::Retry => "retry",
        Kind::Paused => "paused",
        Kind::Fire => "fire",
    }
}

/// `ready`, `ready, without control groups and pid namespace`, `unavailable`.
pub(crate) fn offer(offer: &ExecutorOffer) -> String {
    let missing: Vec<&str> = offer
        .missing()
        .map(|part| match part {
            Isolation::Unspecified => "something unknown to this release",
            Isolation::ControlGroups => berth_core::model::Isolation::ControlGroups.words(),
            Isolation::PidNamespace => berth_core::model::Isolation::PidNamespace.words(),
        })
        .collect();
    match (offer.ready, missing.as_slice()) {
        (false, _) => "unavailable".to_owned(),
        (true, []) => "ready".to_owned(),
        (true, missing) => format!("ready, without {}", missing.join(" and ")),
    }
}

/// The state of a run, or how it ended.
pub(crate) fn run(run: &RunView) -> String {
    match run.state() {
        RunState::Ended => reason(run.reason.as_ref()),
        state => run_state(state).to_owned(),
    }
}

pub(crate) fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Unspecified => "unknown",
        RunState::Active => "active",
        RunState::Cancelling => "cancelling",
        RunState::Ended => "ended",
    }
}

pub(crate) fn step_state(state: StepState) -> &'static str {
    match state {
        StepState::Unspecified => "unknown",
        StepState::Waiting => "waiting",
        StepState::Open => "open",
        StepState::Succeeded => "succeeded",
        StepState::Failed => "failed",
        StepState::Cancelled => "cancelled",
    }
}

pub(crate) fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::Waiting => "waiting",
        TaskState::Starting => "starting",
        TaskState::Running => "running",
        TaskState::Stopping => "stopping",
        TaskState::Ended => "ended",
    }
}

pub(crate) fn attempt_state(state: AttemptState) -> &'static str {
    match state {
        AttemptState::Unspecified => "unknown",
        AttemptState::Starting => "starting",
        AttemptState::Running => "running",
        AttemptState::Stopping => "stopping",
        AttemptState::Ended => "ended",
    }
}

/// `ready`, `ready, drained`, `lost`.
pub(crate) fn node(node: &NodeView) -> String {
    let state = node_state(node.state());
    match (&node.drain, node.attempts) {
        (None, _) => state.to_owned(),
        (Some(_), 0) => format!("{state}, drained"),
        (Some(_), _) => format!("{state}, draining"),
    }
}

pub(crate) fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Unspecified => "unknown",
        NodeState::Ready => "ready",
        NodeState::Lost => "lost",
    }
}

pub(crate) fn executor(kind: ExecutorKind) -> &'static str {
    match kind {
        ExecutorKind::Unspecified => "unknown",
        ExecutorKind::Exec => "exec",
        ExecutorKind::Docker => "docker",
        ExecutorKind::Fake => "fake",
    }
}

pub(crate) fn job_kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Unspecified => "unknown",
        JobKind::Job => "job",
        JobKind::Service => "service",
    }
}

pub(crate) fn member_role(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Unspecified => "unknown",
        MemberRole::Leader => "leader",
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
    }
}

/// `count[3]`, or `merge` for a task that is no array.
pub(crate) fn task(name: &str, index: u32, array: bool) -> String {
    if array { format!("{name}[{index}]") } else { name.to_owned() }
}
