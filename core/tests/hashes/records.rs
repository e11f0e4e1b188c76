use std::collections::BTreeMap;
use std::sync::Arc;

use berth_core::id::{
    AttemptHandle, ClassHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, RequestId, ResourceHandle,
    RunHandle, RunId, SpecHandle, StepHandle, TaskHandle, TenantHandle,
};
use berth_core::job_spec::ExecutorKind;
use berth_core::model::{
    Attempt, AttemptState, Cursor, Drain, ExecutorOffer, Files, Isolation, Job, Node, NodeFacts, NodeState,
    Outcome, OutcomeKind, Outputs, Previous, RequestClass, Run, RunCause, RunState, RunSummary, SpecRecord,
    Step, StepState, Stopping, Task, TaskState, Tenant, Timer, Usage,
};
use berth_core::reason::{EndReason, SkipReason};
use berth_core::reply::{Refusal, Reply};
use berth_core::resources::Resources;
use berth_core::state::{Counters, Header, RequestRecord, Tables};
use berth_core::time::Timestamp;

use crate::{Hashes, specs};

pub(crate) const RUN_ID: RunId = RunId(0x1234_5678_9abc_def0_1122_3344_5566_7788);
pub(crate) const KEY: RequestId = RequestId(0x0fed_cba9_8765_4321_8877_6655_4433_2211);

pub(crate) fn add(hashes: &mut Hashes) {
    add_work(hashes);
    add_cluster(hashes);
    add_reasons(hashes);
    add_replies(hashes);
    add_tables(hashes);
}

fn add_work(hashes: &mut Hashes) {
    hashes.add("spec", &a_spec());
    hashes.add("job", &a_job());
    hashes.add("cursor", &a_cursor());
    hashes.add("outcome", &an_outcome());
    let kinds = [OutcomeKind::Run(RUN_ID), OutcomeKind::Skipped(SkipReason::Full)];
    hashes.add_all("outcome-kind", &kinds);
    hashes.add("run", &a_run());
    hashes.add_all("cause", &[RunCause::Manual(KEY), RunCause::Schedule { generation: 3 }]);
    let ended = RunState::Ended { reason: EndReason::TimedOut, at: Timestamp(9) };
    hashes.add_all("run-state", &[RunState::Active, RunState::Cancelling { by: "ann".into() }, ended]);
    hashes.add_all("files", &[Files::Node(NodeHandle(4)), Files::Shared("nfs".into())]);
    hashes.add("summary", &a_summary());
    hashes.add("step", &a_step());
    let states = [StepState::Waiting, StepState::Open, StepState::Succeeded, StepState::Failed];
    hashes.add_all("step-state", &states);
    hashes.add("task", &a_task());
    let backoff = TaskState::Backoff { until: Timestamp(9) };
    let ended = TaskState::Ended(EndReason::Succeeded);
    hashes.add_all("task-state", &[TaskState::Ready, TaskState::Live, backoff, ended]);
    hashes.add("attempt", &an_attempt());
    let stopping = AttemptState::Stopping(EndReason::Preempted);
    let ended = AttemptState::Ended { reason: EndReason::Preempted, at: Timestamp(9) };
    hashes.add_all("attempt-state", &[AttemptState::Starting, AttemptState::Running, stopping, ended]);
    hashes.add("previous none", &Previous::from(None));
    hashes.add("previous first", &Previous::from(Some(AttemptHandle(0))));
    hashes.add("usage", &a_usage());
    hashes.add("outputs", &outputs());
}

fn add_cluster(hashes: &mut Hashes) {
    hashes.add("tenant", &a_tenant());
    hashes.add("class", &a_class());
    hashes.add("node", &a_node());
    hashes.add("facts", &facts());
    hashes.add_all("isolation", &[Isolation::ControlGroups, Isolation::PidNamespace]);
    hashes.add_all("node-state", &[NodeState::Ready, NodeState::Lost { at: Timestamp(9) }]);
    hashes.add("drain", &a_drain());
    hashes.add_all("timer", &timers());
    hashes.add("request", &a_request());
    hashes.add("header", &a_header());
}

fn add_reasons(hashes: &mut Hashes) {
    let skipped = [SkipReason::Overlap, SkipReason::CatchUp, SkipReason::Full, SkipReason::Superseded];
    hashes.add_all("skipped", &skipped);
    let reasons = [
        EndReason::Succeeded,
        EndReason::FailedExit(-1),
        EndReason::FailedSignal(9),
        EndReason::OomKilled,
        EndReason::DiskExceeded,
        EndReason::TimedOut,
        EndReason::Cancelled("ann".into()),
        EndReason::Preempted,
        EndReason::NodeLost,
        EndReason::StartFailed("no image".into()),
        EndReason::PreconditionFailed,
        EndReason::PostconditionFailed("no file".into()),
        EndReason::Unhealthy,
        EndReason::UpstreamFailed,
        EndReason::Skipped(SkipReason::Overlap),
    ];
    hashes.add_all("reason", &reasons);
}

fn add_replies(hashes: &mut Hashes) {
    let run = Some(RUN_ID);
    let replies = [
        Reply::Done,
        Reply::Submitted { job: JobHandle(1), version: 2, changed: true, run },
        Reply::Registered { node: NodeHandle(1), epoch: NodeEpoch(2) },
        Reply::Placed { refused: vec![(1, Refusal::NotReady), (0, Refusal::StaleEpoch)] },
        Reply::Reported { up_to: 7 },
        Reply::Fired { refused: vec![0, 2] },
        Reply::Refused(Refusal::KeyReused),
    ];
    hashes.add_all("reply", &replies);
    let [tenant, task, resource] = ["acme", "load", "cpu"].map(str::to_owned);
    let refusals = [
        Refusal::StaleTerm,
        Refusal::StaleClusterEpoch,
        Refusal::KeyReused,
        Refusal::UnknownTenant(tenant.clone()),
        Refusal::UnknownJob { tenant: tenant.clone(), job: "orders".into() },
        Refusal::UnknownRun(RUN_ID),
        Refusal::UnknownNode("n1".into()),
        Refusal::NeverFits { tenant: tenant.clone(), task, resource: resource.clone(), asked: 2, limit: 1 },
        Refusal::Invalid("what".into()),
        Refusal::Full { what: "jobs".into(), limit: 3 },
        Refusal::StaleEpoch,
        Refusal::ReportMissing { expected: 4 },
        Refusal::NodeClosed("lost".into()),
        Refusal::NodeBusy { node: "n1".into(), attempts: 5 },
        Refusal::NodeHasFiles { node: "n1".into(), runs: 6 },
        Refusal::NodeInService("n1".into()),
        Refusal::DoesNotFit("cpu".into()),
        Refusal::OverLimit { tenant, resource },
        Refusal::NotReady,
    ];
    hashes.add_all("refusal", &refusals);
}

/// All tables with one record each: what a snapshot names at its end.
fn add_tables(hashes: &mut Hashes) {
    let mut all = Tables::new();
    hashes.0.insert("tables empty".into(), all.hash());
    all.header = a_header();
    all.resources.insert(ResourceHandle(0), "cpu".into());
    all.classes.insert(ClassHandle(1), a_class());
    all.tenants.insert(TenantHandle(2), a_tenant());
    all.specs.insert(SpecHandle(3), a_spec());
    all.jobs.insert(JobHandle(4), a_job());
    all.outcomes.insert((JobHandle(4), Timestamp(5)), an_outcome());
    all.runs.insert(RunHandle(6), a_run());
    all.summaries.insert(RUN_ID, a_summary());
    all.steps.insert(StepHandle(7), a_step());
    all.tasks.insert(TaskHandle(8), a_task());
    all.attempts.insert(AttemptHandle(9), an_attempt());
    all.usages.insert(AttemptHandle(9), a_usage());
    all.outputs.insert(TaskHandle(8), Arc::new(outputs()));
    all.nodes.insert(NodeHandle(10), Arc::new(a_node()));
    for timer in timers() {
        all.timers.insert((Timestamp(11), timer), ());
    }
    all.requests.insert(KEY, a_request());
    hashes.0.insert("tables full".into(), all.hash());
}

fn a_spec() -> SpecRecord {
    SpecRecord::new(Arc::new(specs::a_job()), 3, vec![ClassHandle(0), ClassHandle(2)])
}

fn a_job() -> Job {
    Job {
        tenant: TenantHandle(1),
        name: "orders".into(),
        version: 2,
        spec: SpecHandle(3),
        enabled: true,
        generation: 4,
        cursor: Some(a_cursor()),
        updated: Timestamp(5),
        stopping: Some(Stopping { by: "ann".into(), from: RunHandle(6), until: RunHandle(7) }),
    }
}

fn a_cursor() -> Cursor {
    Cursor { generation: 1, last: Timestamp(2), next: Some(Timestamp(3)) }
}

fn an_outcome() -> Outcome {
    Outcome { kind: OutcomeKind::Skipped(SkipReason::CatchUp), count: 4 }
}

fn a_run() -> Run {
    Run {
        id: RUN_ID,
        job: JobHandle(1),
        spec: SpecHandle(2),
        version: 3,
        cause: RunCause::Manual(KEY),
        nominal: Timestamp(4),
        created: Timestamp(5),
        first_step: StepHandle(6),
        steps: 7,
        steps_open: 8,
        state: RunState::Cancelling { by: "ann".into() },
        collapsing: true,
        files: Some(Files::Shared("nfs".into())),
        output_bytes: 9,
    }
}

fn a_summary() -> RunSummary {
    RunSummary {
        job: JobHandle(1),
        version: 2,
        cause: RunCause::Schedule { generation: 3 },
        nominal: Timestamp(4),
        created: Timestamp(5),
        ended: Timestamp(6),
        reason: EndReason::FailedExit(7),
        tasks: 8,
        succeeded: 9,
    }
}

fn a_step() -> Step {
    Step {
        run: RunHandle(1),
        place: 2,
        state: StepState::Open,
        waits_for: 3,
        size: 4,
        first_task: TaskHandle(5),
        opened: 6,
        live: 7,
        backoff: 8,
        succeeded: 9,
        failed: 10,
        first_failure: Some(EndReason::OomKilled),
    }
}

fn a_task() -> Task {
    Task {
        step: StepHandle(1),
        index: 2,
        attempts: 3,
        blameless: 4,
        state: TaskState::Backoff { until: Timestamp(5) },
        latest: AttemptHandle(6),
    }
}

fn an_attempt() -> Attempt {
    Attempt {
        task: TaskHandle(1),
        number: 2,
        node: NodeHandle(3),
        class: ClassHandle(4),
        previous: Some(AttemptHandle(5)).into(),
        placed: Timestamp(6),
        started: Some(Timestamp(7)),
        state: AttemptState::Ended { reason: EndReason::NodeLost, at: Timestamp(8) },
    }
}

pub(crate) fn a_usage() -> Usage {
    Usage { memory_peak_kib: 1, cpu_ms: 2 }
}

fn outputs() -> Outputs {
    Outputs::parse(b"parts=one\nparts=two\nsize=3\n").expect("lines of key=value")
}

fn a_tenant() -> Tenant {
    Tenant {
        name: "acme".into(),
        parent: Some(TenantHandle(1)),
        weight: 2,
        limit: [("cpu".into(), 3), ("memory".into(), 4)].into(),
        grants: 5,
    }
}

fn a_class() -> RequestClass {
    RequestClass { resources: amounts(), executor: ExecutorKind::Docker, uses_run_dir: true }
}

fn amounts() -> Resources {
    [(ResourceHandle(0), 500), (ResourceHandle(1), 1 << 30)].into_iter().collect()
}

fn a_node() -> Node {
    Node {
        name: "n1".into(),
        epoch: NodeEpoch(1),
        journal: JournalId(2 << 64),
        facts: facts().into(),
        capacity: amounts(),
        state: NodeState::Lost { at: Timestamp(3) },
        drain: Some(a_drain()),
        reported: 4,
    }
}

pub(crate) fn facts() -> NodeFacts {
    let missing = [Isolation::ControlGroups, Isolation::PidNamespace].into();
    let offer = ExecutorOffer { ready: true, detail: "cgroup v2".into(), missing };
    NodeFacts {
        capacity: [("cpu".into(), 8000), ("memory".into(), 1 << 34)].into(),
        attributes: [("kernel.version".into(), "6.1".into()), ("zone".into(), "a".into())].into(),
        executors: BTreeMap::from([
            (ExecutorKind::Exec, offer),
            (ExecutorKind::Fake, ExecutorOffer::default()),
        ]),
        run_dirs: "/var/lib/berth/runs".into(),
        shared: Some("nfs".into()),
    }
}

fn a_drain() -> Drain {
    Drain { by: "ops".into(), since: Timestamp(1), deadline: Some(Timestamp(2)) }
}

fn timers() -> [Timer; 9] {
    [
        Timer::Fire(JobHandle(1)),
        Timer::Retry(TaskHandle(1)),
        Timer::Cancel(RunHandle(1)),
        Timer::Evacuate(NodeHandle(1)),
        Timer::DrainDeadline(NodeHandle(1)),
        Timer::StopJob(JobHandle(1)),
        Timer::Collapse(RunHandle(1)),
        Timer::ForgetRun(RunId(1)),
        Timer::ForgetRequest(RequestId(1)),
    ]
}

fn a_request() -> RequestRecord {
    let reply = Reply::Submitted { job: JobHandle(1), version: 2, changed: true, run: Some(RUN_ID) };
    RequestRecord { fingerprint: 1 << 100, reply, at: Timestamp(3) }
}

fn a_header() -> Header {
    let next = Counters {
        resource: 1,
        class: 2,
        tenant: 3,
        spec: 4,
        job: 5,
        run: 6,
        step: 7,
        task: 8,
        attempt: 9,
        node: 10,
    };
    Header { time: Timestamp(1), cluster_epoch: 2, feature_level: 3, next }
}
