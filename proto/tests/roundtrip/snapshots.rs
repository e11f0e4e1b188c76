use std::sync::Arc;

use berth_core::id::{
    AttemptHandle, ClassHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, RequestId, ResourceHandle,
    RunHandle, RunId, SpecHandle, StepHandle, TaskHandle, TenantHandle,
};
use berth_core::job_spec::{ExecutorKind, JobSpec};
use berth_core::model::{
    Attempt, AttemptState, Cursor, Drain, Files, Job, Node, NodeFacts, NodeState, Outcome, OutcomeKind,
    Outputs, RequestClass, Run, RunCause, RunState, RunSummary, SpecRecord, Step, StepState, Stopping, Task,
    TaskState, Tenant, Timer, Usage,
};
use berth_core::reason::{EndReason, SkipReason};
use berth_core::reply::Reply;
use berth_core::resources::{NamedResources, Resources};
use berth_core::state::{Counters, Header, RequestRecord, Tables};
use berth_core::time::Timestamp;
use berth_proto::convert::snapshot;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::values;

/// What a random state is made of; the numbers shape the records around them.
#[derive(Debug, Clone)]
struct Seeds {
    specs: Vec<JobSpec>,
    facts: Vec<NodeFacts>,
    limits: Vec<NamedResources>,
    reasons: Vec<EndReason>,
    replies: Vec<Reply>,
    outputs: Vec<Outputs>,
    salt: u64,
}

fn seeds() -> impl Strategy<Value = Seeds> {
    (
        vec(values::spec(), 1..3),
        vec(values::facts(), 1..3),
        vec(values::resources(), 1..3),
        vec(values::end_reason(), 1..12),
        vec(values::reply(), 0..4),
        vec(values::outputs(), 1..4),
        0u64..1_000_000,
    )
        .prop_map(|(specs, facts, limits, reasons, replies, outputs, salt)| Seeds {
            specs,
            facts,
            limits,
            reasons,
            replies,
            outputs,
            salt,
        })
}

fn tables(seeds: &Seeds) -> Tables {
    let mut tables = Tables::new();
    tables.header = header(seeds.salt);
    cluster(&mut tables, seeds);
    jobs(&mut tables, seeds);
    runs(&mut tables, seeds);
    tables
}

fn header(salt: u64) -> Header {
    let next = Counters {
        resource: 2,
        class: 3,
        tenant: 4,
        spec: 5,
        job: salt,
        run: 7,
        step: 8,
        task: salt + 9,
        attempt: 10,
        node: 11,
    };
    Header { time: Timestamp(salt), cluster_epoch: 2, feature_level: 3, next }
}

fn cluster(tables: &mut Tables, seeds: &Seeds) {
    let amounts: Resources = [(ResourceHandle(0), seeds.salt), (ResourceHandle(1), 7)].into_iter().collect();
    tables.resources.insert(ResourceHandle(0), "cpu".to_owned());
    tables.resources.insert(ResourceHandle(1), "memory".to_owned());
    for (number, executor) in (0u32..).zip([ExecutorKind::Exec, ExecutorKind::Docker, ExecutorKind::Fake]) {
        let class = RequestClass { resources: amounts.clone(), executor, uses_run_dir: number == 1 };
        tables.classes.insert(ClassHandle(number), class);
    }
    for (number, limit) in (0u32..).zip(&seeds.limits) {
        let tenant = Tenant {
            name: format!("tenant-{number}"),
            parent: (number > 0).then_some(TenantHandle(0)),
            weight: number + 1,
            limit: limit.clone(),
            grants: seeds.salt,
        };
        tables.tenants.insert(TenantHandle(number), tenant);
    }
    for (number, facts) in (0u32..).zip(&seeds.facts) {
        let drain =
            Drain { by: "ops".to_owned(), since: Timestamp(1), deadline: Some(Timestamp(seeds.salt)) };
        let node = Node {
            name: format!("node-{number}"),
            epoch: NodeEpoch(seeds.salt),
            journal: JournalId(u128::from(seeds.salt) << 70),
            facts: facts.clone().into(),
            capacity: amounts.clone(),
            state: if number == 0 { NodeState::Ready } else { NodeState::Lost { at: Timestamp(9) } },
            drain: (number > 0).then_some(drain),
            reported: 4,
        };
        // Holes as removed nodes leave them.
        tables.nodes.insert(NodeHandle(number * 100), Arc::new(node));
    }
    let timers = [
        Timer::Fire(JobHandle(1)),
        Timer::Retry(TaskHandle(seeds.salt)),
        Timer::Cancel(RunHandle(1)),
        Timer::Evacuate(NodeHandle(1)),
        Timer::DrainDeadline(NodeHandle(1)),
        Timer::StopJob(JobHandle(3)),
        Timer::Collapse(RunHandle(2)),
        Timer::ForgetRun(RunId(u128::MAX - 1)),
        Timer::ForgetRequest(RequestId(5)),
    ];
    for timer in timers {
        tables.timers.insert((Timestamp(seeds.salt), timer), ());
        tables.timers.insert((Timestamp(1), timer), ());
    }
    for (number, reply) in (0u64..).zip(&seeds.replies) {
        let record = RequestRecord { fingerprint: 77, reply: reply.clone(), at: Timestamp(number) };
        tables.requests.insert(RequestId(u128::from(number) << 64), record);
    }
}

fn jobs(tables: &mut Tables, seeds: &Seeds) {
    for (number, spec) in (0u64..).zip(&seeds.specs) {
        let classes = spec.tasks.iter().map(|_| ClassHandle(0)).collect();
        let record = SpecRecord::new(Arc::new(spec.clone()), number + 1, classes);
        tables.specs.insert(SpecHandle(number), record);
        let cursor =
            Cursor { generation: 2, last: Timestamp(seeds.salt), next: (number > 0).then_some(Timestamp(5)) };
        let job = Job {
            tenant: TenantHandle(0),
            name: format!("job-{number}"),
            version: 3,
            spec: SpecHandle(number),
            enabled: number == 0,
            generation: 6,
            cursor: seeds.salt.is_multiple_of(2).then_some(cursor),
            updated: Timestamp(seeds.salt),
            stopping: (number == 0).then(|| Stopping {
                by: "me".to_owned(),
                from: RunHandle(2),
                until: RunHandle(seeds.salt),
            }),
        };
        tables.jobs.insert(JobHandle(number), job);
        let run = Outcome { kind: OutcomeKind::Run(RunId(3)), count: 1 };
        tables.outcomes.insert((JobHandle(number), Timestamp(seeds.salt)), run);
        let skipped = Outcome { kind: OutcomeKind::Skipped(SkipReason::CatchUp), count: 40 };
        tables.outcomes.insert((JobHandle(number), Timestamp(2_000_000)), skipped);
    }
    for (number, reason) in (0u64..).zip(&seeds.reasons) {
        let summary = RunSummary {
            job: JobHandle(number),
            version: 1,
            cause: RunCause::Manual(RequestId(u128::from(seeds.salt))),
            nominal: Timestamp(1),
            created: Timestamp(2),
            ended: Timestamp(3),
            reason: reason.clone(),
            tasks: 10,
            succeeded: 9,
        };
        tables.summaries.insert(RunId(u128::from(number) * 7 + u128::from(seeds.salt)), summary);
    }
}

fn runs(tables: &mut Tables, seeds: &Seeds) {
    for (number, reason) in (0u64..).zip(&seeds.reasons) {
        let ended = RunState::Ended { reason: reason.clone(), at: Timestamp(number) };
        let states = [RunState::Active, RunState::Cancelling { by: "me".to_owned() }, ended];
        let files = [None, Some(Files::Node(NodeHandle(1))), Some(Files::Shared("nfs".to_owned()))];
        let kind = usize::try_from(number % 3).expect("less than 3");
        let run = Run {
            id: RunId(u128::from(seeds.salt + number)),
            job: JobHandle(0),
            spec: SpecHandle(0),
            version: 1,
            cause: RunCause::Schedule { generation: seeds.salt },
            nominal: Timestamp(1),
            created: Timestamp(2),
            first_step: StepHandle(number),
            steps: 1,
            steps_open: 1,
            state: states[kind].clone(),
            collapsing: kind == 2,
            files: files[kind].clone(),
            output_bytes: 10,
        };
        tables.runs.insert(RunHandle(number), run);
        let step = Step {
            run: RunHandle(number),
            place: 0,
            state: [StepState::Waiting, StepState::Open, StepState::Failed][kind],
            waits_for: 1,
            size: 10,
            first_task: TaskHandle(number * 1000),
            opened: 4,
            live: 1,
            backoff: 1,
            succeeded: 1,
            failed: 1,
            first_failure: (kind == 2).then(|| reason.clone()),
        };
        tables.steps.insert(StepHandle(number), step);
        tasks(tables, number, reason, seeds);
    }
}

fn tasks(tables: &mut Tables, run: u64, reason: &EndReason, seeds: &Seeds) {
    let salt = seeds.salt;
    let states = [
        (TaskState::Ready, AttemptState::Starting),
        (TaskState::Live, AttemptState::Running),
        (TaskState::Backoff { until: Timestamp(salt) }, AttemptState::Stopping(reason.clone())),
        (
            TaskState::Ended(reason.clone()),
            AttemptState::Ended { reason: reason.clone(), at: Timestamp(salt) },
        ),
    ];
    for (index, (task_state, attempt_state)) in (0u32..).zip(states) {
        let task = TaskHandle(run * 1000 + u64::from(index));
        let attempt = AttemptHandle(run * 10 + u64::from(index));
        let record = Task {
            step: StepHandle(run),
            index,
            attempts: 2,
            blameless: 1,
            state: task_state,
            latest: attempt,
        };
        tables.tasks.insert(task, record);
        let record = Attempt {
            task,
            number: 2,
            node: NodeHandle(0),
            class: ClassHandle(0),
            previous: (index > 0).then_some(AttemptHandle(1)).into(),
            placed: Timestamp(salt),
            started: (index > 1).then_some(Timestamp(salt)),
            state: attempt_state,
        };
        tables.attempts.insert(attempt, record);
        tables.usages.insert(attempt, Usage { memory_peak_kib: index + 1, cpu_ms: 5 });
        let nth = usize::try_from(index).expect("one of four") % seeds.outputs.len();
        let outputs = &seeds.outputs[nth];
        tables.outputs.insert(task, Arc::new(outputs.clone()));
    }
}

fn chunks(tables: &Tables) -> Vec<Vec<u8>> {
    snapshot::encode(tables).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_state_reads_back_with_the_same_hash_and_the_same_bytes(seeds in seeds()) {
        let before = tables(&seeds);
        let bytes = chunks(&before);
        let after = snapshot::decode(&bytes).unwrap();
        prop_assert_eq!(after.hash(), before.hash());
        prop_assert_eq!(after.header, before.header);
        let specs = |tables: &Tables| {
            tables.specs.iter().map(|(handle, record)| (handle, record.clone())).collect::<Vec<_>>()
        };
        prop_assert_eq!(specs(&after), specs(&before));
        prop_assert_eq!(chunks(&after), bytes);
    }

    #[test]
    fn a_damaged_snapshot_is_refused(
        seeds in seeds(),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let before = tables(&seeds);
        let mut bytes = chunks(&before).concat();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        // A flipped bit may hit what the hash leaves out (the inside of a spec); then it reads as another valid state.
        if let Ok(after) = snapshot::decode([&bytes]) {
            prop_assert_eq!(after.hash(), before.hash());
        }
        prop_assert!(snapshot::decode([&bytes[..place]]).is_err());
    }
}

#[test]
fn a_new_state_reads_back() {
    let bytes = chunks(&Tables::new());
    assert_eq!(bytes.len(), 1);
    assert_eq!(snapshot::decode(&bytes).unwrap().hash(), Tables::new().hash());
    assert!(snapshot::decode(Vec::<Vec<u8>>::new()).is_err(), "nothing at all is no snapshot");
}

#[test]
fn chunks_are_bounded_and_need_their_order() {
    let mut tables = Tables::new();
    for number in 0..200_000u64 {
        let task = Task {
            step: StepHandle(number / 1000),
            index: 0,
            attempts: 1,
            blameless: 0,
            state: TaskState::Backoff { until: Timestamp(number) },
            latest: AttemptHandle(number),
        };
        tables.tasks.insert(TaskHandle(number), task);
    }
    let mut bytes = chunks(&tables);
    assert!(bytes.len() > 2);
    assert!(bytes.iter().all(|chunk| chunk.len() <= snapshot::CHUNK_BYTES_MAX));
    assert_eq!(snapshot::decode(&bytes).unwrap().hash(), tables.hash());
    bytes.swap(1, 2);
    assert!(snapshot::decode(&bytes).is_err());
}
