//! Random values of the core's types, each one that the core itself could have made.

use std::sync::Arc;

use berth_core::command::{
    AttemptReport, AttemptUpdate, Command, DrainOrder, Envelope, FORMAT, Fire, FireDecision, NodeReport,
    Origin, Placement, Registration, Submit, TenantSpec,
};
use berth_core::id::{
    AttemptHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, RequestId, RunId, TaskHandle,
};
use berth_core::job_spec::{
    Count, ExecutorKind, FakeProgram, JobKind, JobSpec, OnDisconnect, Overlap, ProgramSpec, Retry, Schedule,
    TaskSpec, When,
};
use berth_core::model::{ExecutorOffer, Isolation, NodeFacts, OUTPUT_BYTES_MAX, Outputs};
use berth_core::reason::{EndReason, SkipReason};
use berth_core::reply::{Refusal, Reply};
use berth_core::resources::NamedResources;
use berth_core::template::Template;
use berth_core::time::{Millis, Timestamp};
use berth_proto::convert::order::{Intent, Labels, Launch, Limits, Order, Program};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

pub(crate) fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_-]{0,12}"
}

pub(crate) fn instant() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn span() -> impl Strategy<Value = Millis> {
    (0u64..10_000_000).prop_map(Millis)
}

pub(crate) fn resources() -> impl Strategy<Value = NamedResources> {
    btree_map(prop_oneof![Just("cpu".to_owned()), Just("memory".to_owned()), name()], any::<u64>(), 0..4)
}

fn template() -> impl Strategy<Value = Template> {
    prop_oneof![
        "[a-z $./]{0,12}".prop_map(|text| Template::parse(&text).expect("no variables")),
        Just(Template::parse("a $${b} ${run.id} ${tenant} ${node.name}").expect("known variables")),
        "[a-z${}]{0,12}".prop_map(Template::literal).prop_map(reparsed),
    ]
}

/// Parsing normalises: pieces of text that touch are one.
fn reparsed(template: Template) -> Template {
    Template::parse(&template.to_string()).expect("its own text")
}

fn program() -> impl Strategy<Value = ProgramSpec> {
    prop_oneof![
        vec(template(), 1..4).prop_map(|command| ProgramSpec::Exec { command }),
        ("[a-z]{1,9}", vec(template(), 0..4)).prop_map(|(image, command)| ProgramSpec::Docker {
            image: Template::parse(&image).expect("no variables"),
            command,
        }),
        (span(), any::<u32>(), any::<i32>(), "[a-z]{1,3}=[a-z]{0,3}").prop_map(
            |(runs_for, fail_first, exit_code, output)| {
                ProgramSpec::Fake(FakeProgram { runs_for, fail_first, exit_code, output })
            }
        ),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    (1u32..100, span(), 1000u32..5000, span()).prop_map(|(max_attempts, initial, factor_milli, max)| Retry {
        max_attempts,
        initial,
        factor_milli,
        max,
    })
}

/// A task at a place; its `after` and `count` are made to fit there.
fn task(place: u16) -> impl Strategy<Value = TaskSpec> {
    let after = vec(any::<bool>(), usize::from(place)).prop_map(|chosen| {
        (0u16..).zip(chosen).filter_map(|(before, is)| is.then_some(before)).collect::<Vec<u16>>()
    });
    let policy = prop_oneof![Just(OnDisconnect::Keep), span().prop_map(OnDisconnect::StopAfter)];
    let env = btree_map("[A-Z]{1,8}", template(), 0..3);
    (
        (after, 0u8..3, 1u32..1_000_000, program(), resources(), any::<bool>()),
        (env, retry(), option::of((1u64..1_000_000).prop_map(Millis)), span(), policy),
    )
        .prop_map(move |((after, kind, count, program, resources, limited), rest)| {
            let (env, retry, timeout, stop_grace, on_disconnect) = rest;
            let count = match (kind, after.first()) {
                (0, Some(task)) => Count::LengthOf { task: *task, key: "parts".to_owned() },
                (1, _) => Count::Fixed(count),
                _ => Count::Single,
            };
            let memory_max = limited.then(|| resources.get("memory").copied().unwrap_or(1 << 20));
            TaskSpec {
                name: format!("task-{place}"),
                after,
                count,
                program,
                resources,
                memory_max,
                env: env.into_iter().collect(),
                retry,
                timeout,
                stop_grace,
                on_disconnect,
            }
        })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let when = prop_oneof![
        (1000u64..1_000_000_000).prop_map(|period| When::Every(Millis(period))),
        (0u64..200_000_000_000_000).prop_map(|at| When::At(Timestamp(at))),
    ];
    (when, prop_oneof![Just(Overlap::Skip), Just(Overlap::AllowAll)])
        .prop_map(|(when, overlap)| Schedule { when, overlap })
}

pub(crate) fn spec() -> impl Strategy<Value = JobSpec> {
    let tasks =
        (1u16..5).prop_flat_map(|size| (0..size).map(|place| task(place).boxed()).collect::<Vec<_>>());
    let kind = prop_oneof![Just(JobKind::Job), Just(JobKind::Service)];
    (kind, name(), name(), 0u8..=100, option::of(schedule()), tasks).prop_map(
        |(kind, tenant, name, priority, schedule, tasks)| JobSpec {
            kind,
            tenant,
            name,
            priority,
            schedule,
            tasks,
        },
    )
}

pub(crate) fn facts() -> impl Strategy<Value = NodeFacts> {
    let kind = prop_oneof![Just(ExecutorKind::Exec), Just(ExecutorKind::Docker), Just(ExecutorKind::Fake)];
    let part = prop_oneof![Just(Isolation::ControlGroups), Just(Isolation::PidNamespace)];
    let offer = (any::<bool>(), ".{0,20}", btree_set(part, 0..3))
        .prop_map(|(ready, detail, missing)| ExecutorOffer { ready, detail, missing });
    (
        resources(),
        btree_map("[a-z.]{1,12}", ".{0,12}", 0..4),
        btree_map(kind, offer, 0..3),
        "/[a-z/]{0,12}",
        option::of("[a-z]{1,9}"),
    )
        .prop_map(|(capacity, attributes, executors, run_dirs, shared)| NodeFacts {
            capacity,
            attributes,
            executors,
            run_dirs,
            shared,
        })
}

pub(crate) fn skip() -> impl Strategy<Value = SkipReason> {
    prop_oneof![
        Just(SkipReason::Overlap),
        Just(SkipReason::CatchUp),
        Just(SkipReason::Full),
        Just(SkipReason::Superseded)
    ]
}

pub(crate) fn end_reason() -> impl Strategy<Value = EndReason> {
    prop_oneof![
        Just(EndReason::Succeeded),
        any::<i32>().prop_map(EndReason::FailedExit),
        any::<i32>().prop_map(EndReason::FailedSignal),
        Just(EndReason::OomKilled),
        Just(EndReason::DiskExceeded),
        Just(EndReason::TimedOut),
        ".{0,20}".prop_map(|by| EndReason::Cancelled(by.into())),
        Just(EndReason::Preempted),
        Just(EndReason::NodeLost),
        ".{0,20}".prop_map(|cause| EndReason::StartFailed(cause.into())),
        Just(EndReason::PreconditionFailed),
        ".{0,20}".prop_map(|what| EndReason::PostconditionFailed(what.into())),
        Just(EndReason::Unhealthy),
        Just(EndReason::UpstreamFailed),
        skip().prop_map(EndReason::Skipped),
    ]
}

pub(crate) fn attempt_report() -> impl Strategy<Value = AttemptReport> {
    let update = prop_oneof![
        instant().prop_map(|at| AttemptUpdate::Started { at }),
        (end_reason(), option::of(instant()), instant(), vec(any::<u8>(), 0..20), any::<(u32, u32)>())
            .prop_map(|(reason, started, at, output, (memory_peak_kib, cpu_ms))| {
                let usage = berth_core::model::Usage { memory_peak_kib, cpu_ms };
                AttemptUpdate::Ended { reason, started, at, output, usage }
            }),
    ];
    (1u64.., any::<u64>(), update).prop_map(|(sequence, attempt, update)| AttemptReport {
        sequence,
        attempt: AttemptHandle(attempt),
        update,
    })
}

fn fire() -> impl Strategy<Value = Fire> {
    let decision = (instant(), option::of(skip()), any::<u32>())
        .prop_map(|(nominal, skip, count)| FireDecision { nominal, skip, count });
    (any::<u64>(), any::<u64>(), instant(), vec(decision, 0..4), option::of(instant())).prop_map(
        |(job, generation, expected, decisions, next)| Fire {
            job: JobHandle(job),
            generation,
            expected,
            decisions,
            next,
        },
    )
}

fn placement() -> impl Strategy<Value = Placement> {
    (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(task, node, epoch)| Placement {
        task: TaskHandle(task),
        node: NodeHandle(node),
        epoch: NodeEpoch(epoch),
    })
}

fn node_report() -> impl Strategy<Value = NodeReport> {
    (any::<u32>(), any::<u64>(), any::<u128>(), vec(attempt_report(), 0..6)).prop_map(
        |(node, epoch, journal, reports)| NodeReport {
            node: NodeHandle(node),
            epoch: NodeEpoch(epoch),
            journal: JournalId(journal),
            reports,
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let key = || option::of(any::<u128>().prop_map(RequestId));
    prop_oneof![
        (name(), 1u32.., resources()).prop_map(|(name, weight, limit)| Command::ApplyTenant(TenantSpec {
            name,
            weight,
            limit
        })),
        (name(), name(), option::of(spec()), key()).prop_map(|(tenant, job, spec, start)| {
            Command::Submit(Submit { tenant, job, spec: spec.map(Arc::new), start })
        }),
        (name(), name()).prop_map(|(tenant, job)| Command::StopJob { tenant, job }),
        any::<u128>().prop_map(|run| Command::CancelRun { run: RunId(run) }),
        (name(), any::<u128>(), facts()).prop_map(|(name, journal, facts)| {
            Command::RegisterNode(Registration { name, journal: JournalId(journal), facts })
        }),
        (any::<u32>(), any::<u64>())
            .prop_map(|(node, epoch)| Command::LoseNode { node: NodeHandle(node), epoch: NodeEpoch(epoch) }),
        (name(), option::of(option::of(span()))).prop_map(|(node, drain)| Command::DrainNode {
            node,
            drain: drain.map(|stop_after| DrainOrder { stop_after }),
        }),
        name().prop_map(|node| Command::RemoveNode { node }),
        vec(placement(), 0..20).prop_map(Command::Place),
        node_report().prop_map(Command::Report),
        vec(fire(), 0..4).prop_map(Command::Fire),
        Just(Command::Advance),
        (any::<u64>(), any::<u128>()).prop_map(|(index, hash)| Command::CheckHash { index, hash }),
    ]
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    let origin = prop_oneof![Just(Origin::Client), Just(Origin::Agent), Just(Origin::Leader)];
    (
        (any::<u32>(), any::<u64>(), any::<u64>(), instant()),
        (option::of(any::<u128>().prop_map(RequestId)), ".{0,12}", origin, command()),
    )
        .prop_map(|((feature_level, cluster_epoch, term, time), (request, actor, origin, command))| {
            Envelope {
                format: FORMAT,
                feature_level,
                cluster_epoch,
                term,
                time,
                request,
                actor,
                origin,
                command,
            }
        })
}

pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::StaleTerm),
        Just(Refusal::StaleClusterEpoch),
        Just(Refusal::KeyReused),
        name().prop_map(Refusal::UnknownTenant),
        (name(), name()).prop_map(|(tenant, job)| Refusal::UnknownJob { tenant, job }),
        any::<u128>().prop_map(|run| Refusal::UnknownRun(RunId(run))),
        name().prop_map(Refusal::UnknownNode),
        (name(), name(), name(), any::<u64>(), any::<u64>()).prop_map(
            |(tenant, task, resource, asked, limit)| Refusal::NeverFits {
                tenant,
                task,
                resource,
                asked,
                limit
            }
        ),
        name().prop_map(Refusal::Invalid),
        (name(), any::<u64>()).prop_map(|(what, limit)| Refusal::Full { what, limit }),
        Just(Refusal::StaleEpoch),
        name().prop_map(Refusal::NodeClosed),
        (name(), any::<u64>()).prop_map(|(node, attempts)| Refusal::NodeBusy { node, attempts }),
        (name(), any::<u64>()).prop_map(|(node, runs)| Refusal::NodeHasFiles { node, runs }),
        name().prop_map(Refusal::NodeInService),
        name().prop_map(Refusal::DoesNotFit),
        (name(), name()).prop_map(|(tenant, resource)| Refusal::OverLimit { tenant, resource }),
        Just(Refusal::NotReady),
        any::<u64>().prop_map(|expected| Refusal::ReportMissing { expected }),
    ]
}

/// What is read from whatever a program may write: odd ends of lines too, and the largest of all.
pub(crate) fn outputs() -> impl Strategy<Value = Outputs> {
    let piece = prop_oneof![Just("a="), Just("b="), Just("\r"), Just("\n"), Just("x"), Just(" ")];
    let written = prop_oneof![
        9 => vec(piece, 0..20).prop_map(|pieces| pieces.concat()),
        1 => Just(format!("a={}", "x".repeat(OUTPUT_BYTES_MAX - 2))),
    ];
    written.prop_map(|text| Outputs::parse(text.as_bytes()).unwrap_or_default())
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        (any::<u64>(), any::<u64>(), any::<bool>(), option::of(any::<u128>().prop_map(RunId))).prop_map(
            |(job, version, changed, run)| Reply::Submitted { job: JobHandle(job), version, changed, run }
        ),
        (any::<u32>(), any::<u64>())
            .prop_map(|(node, epoch)| Reply::Registered { node: NodeHandle(node), epoch: NodeEpoch(epoch) }),
        vec((any::<u32>(), refusal()), 0..4).prop_map(|refused| Reply::Placed { refused }),
        any::<u64>().prop_map(|up_to| Reply::Reported { up_to }),
        vec(any::<u32>(), 0..4).prop_map(|refused| Reply::Fired { refused }),
        refusal().prop_map(Reply::Refused),
    ]
}

pub(crate) fn order() -> impl Strategy<Value = Order> {
    let texts = || vec(".{0,8}", 1..4);
    let program = prop_oneof![
        texts().prop_map(|command| Program::Exec { command }),
        (".{0,8}", texts()).prop_map(|(image, command)| Program::Docker { image, command }),
        (span(), any::<i32>(), ".{0,8}").prop_map(|(runs_for, exit_code, output)| Program::Fake {
            runs_for,
            exit_code,
            output
        }),
    ];
    let limits = (option::of(any::<u64>()), option::of(any::<u64>()), any::<u64>())
        .prop_map(|(cpu_milli, memory_max, pids)| Limits { cpu_milli, memory_max, pids });
    let labels = (name(), name(), any::<u128>(), name(), any::<u32>(), any::<u32>()).prop_map(
        |(tenant, job, run, task, index, number)| Labels {
            tenant,
            job,
            run: RunId(run),
            task,
            index,
            number,
        },
    );
    let policy = prop_oneof![Just(OnDisconnect::Keep), span().prop_map(OnDisconnect::StopAfter)];
    let env = vec(("[A-Z]{1,4}", ".{0,8}"), 0..4);
    let launch =
        (program, env, limits, option::of("/[a-z]{1,8}"), option::of(span()), span(), policy, labels)
            .prop_map(|(program, env, limits, run_dir, timeout, stop_grace, on_disconnect, labels)| Launch {
                program,
                env,
                limits,
                run_dir,
                timeout,
                stop_grace,
                on_disconnect,
                labels,
            });
    let intent = prop_oneof![
        launch.prop_map(|launch| Intent::Start(Box::new(launch))),
        (span(), end_reason()).prop_map(|(grace, reason)| Intent::Stop { grace, reason }),
    ];
    (any::<u64>(), any::<u32>(), "[a-z0-9][a-z0-9._-]{0,20}", intent).prop_map(
        |(attempt, incarnation, name, intent)| Order {
            attempt: AttemptHandle(attempt),
            incarnation,
            name,
            intent,
        },
    )
}
