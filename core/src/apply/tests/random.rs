//! Random commands: whatever comes, every state and every step keeps the invariants, and the same commands give
//! the same state.

use proptest::prelude::*;

use super::house::{House, a_job, a_node, a_task, every, submit};
use crate::apply::retention::DETAILS_KEPT;
use crate::command::{
    AttemptReport, AttemptUpdate, Command, DrainOrder, Fire, FireDecision, NodeReport, Placement,
    Registration, TenantSpec,
};
use crate::id::{
    AttemptHandle, JobHandle, JournalId, NodeEpoch, NodeHandle, RequestId, RunHandle, TaskHandle,
};
use crate::job_spec::{Count, JobSpec, Overlap, Retry, TaskSpec};
use crate::model::NodeState;
use crate::reason::EndReason;
use crate::reply::{Refusal, Reply};
use crate::state::Limits;
use crate::time::Millis;

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Tenant { name: u8, cpu: Option<u64> },
    Submit { tenant: u8, job: u8, shape: u8, start: bool, key: u8 },
    Stop { tenant: u8, job: u8 },
    Cancel(u8),
    Register { node: u8, journal: u8 },
    Lose { node: u8, stale: bool },
    Drain { node: u8, drain: Option<Option<u64>> },
    Remove(u8),
    Place(Vec<(u16, u8)>),
    Report { attempt: u16, what: u8, stale: bool, ahead: u8 },
    Fire { job: u8, behind: u64, skip: bool },
    Advance,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u64..100_000).prop_map(Step::Pass),
        1 => (0u8..3, prop::option::of(500u64..5000)).prop_map(|(name, cpu)| Step::Tenant { name, cpu }),
        4 => (0u8..4, 0u8..4, any::<u8>(), any::<bool>(), any::<u8>())
            .prop_map(|(tenant, job, shape, start, key)| Step::Submit { tenant, job, shape, start, key }),
        1 => (0u8..4, 0u8..4).prop_map(|(tenant, job)| Step::Stop { tenant, job }),
        1 => any::<u8>().prop_map(Step::Cancel),
        2 => (0u8..4, 0u8..2).prop_map(|(node, journal)| Step::Register { node, journal }),
        1 => (0u8..4, any::<bool>()).prop_map(|(node, stale)| Step::Lose { node, stale }),
        1 => (0u8..4, prop::option::of(prop::option::of(0u64..5000)))
            .prop_map(|(node, drain)| Step::Drain { node, drain }),
        1 => (0u8..4).prop_map(Step::Remove),
        6 => prop::collection::vec((any::<u16>(), 0u8..4), 1..8).prop_map(Step::Place),
        8 => (any::<u16>(), any::<u8>(), prop::bool::weighted(0.1), prop_oneof![8 => Just(1u8), 2 => 0u8..4])
            .prop_map(|(attempt, what, stale, ahead)| Step::Report { attempt, what, stale, ahead }),
        2 => (0u8..8, 0u64..3, any::<bool>()).prop_map(|(job, behind, skip)| Step::Fire { job, behind, skip }),
        3 => Just(Step::Advance),
    ]
}

fn tenant_name(tenant: u8) -> String {
    ["default", "t0", "t1", "t2"][usize::from(tenant) % 4].to_owned()
}

fn spec(tenant: u8, job: u8, shape: u8) -> JobSpec {
    let retry = Retry { max_attempts: 1 + u32::from(shape % 3), initial: Millis(1000), ..Retry::default() };
    let first = TaskSpec {
        count: if shape & 4 == 0 { Count::Single } else { Count::Fixed(u32::from(shape % 5) + 1) },
        retry,
        ..a_task("a", &[])
    };
    let listed = Count::LengthOf { task: 0, key: "k".into() };
    let second = TaskSpec {
        count: if shape & 8 == 0 { Count::Single } else { listed },
        env: match shape & 16 {
            0 => vec![],
            _ => vec![("D".into(), crate::template::Template::parse("${run.dir}").unwrap())],
        },
        ..a_task("b", &[0])
    };
    let mut spec = a_job(&format!("j{job}"), vec![first, second, a_task("c", &[0, 1]), a_task("d", &[])]);
    spec.tenant = tenant_name(tenant);
    spec.priority = shape % 101;
    if shape & 32 != 0 {
        spec.schedule = every(Millis(7000), if shape & 64 == 0 { Overlap::Skip } else { Overlap::AllowAll });
    }
    spec
}

fn perform(house: &mut House, step: &Step) -> Option<Reply> {
    let node_name = |node: &u8| format!("n{node}");
    let command = match step {
        Step::Pass(span) => {
            house.pass(Millis(*span));
            return None;
        }
        Step::Tenant { name, cpu } => Command::ApplyTenant(TenantSpec {
            name: format!("t{name}"),
            weight: 1,
            limit: cpu.map(|cpu| ("cpu".to_owned(), cpu)).into_iter().collect(),
        }),
        Step::Submit { tenant, job, shape, start, key } => {
            let key = RequestId(u128::from(*key));
            let command = submit(spec(*tenant, *job, *shape), start.then_some(key));
            return Some(house.apply(Some(key), command).reply);
        }
        Step::Stop { tenant, job } => {
            Command::StopJob { tenant: tenant_name(*tenant), job: format!("j{job}") }
        }
        Step::Cancel(pick) => {
            let runs: Vec<_> = house.state.tables().runs.iter().map(|(_, run)| run.id).collect();
            Command::CancelRun { run: *runs.get(usize::from(*pick) % runs.len().max(1))? }
        }
        Step::Register { node, journal } => Command::RegisterNode(Registration {
            journal: JournalId(u128::from(*journal)),
            ..a_node(&node_name(node))
        }),
        Step::Lose { node, stale } => {
            let node = house.state.node_named(&node_name(node)).unwrap_or(NodeHandle(99));
            let epoch = house.state.tables().nodes.get(node).map_or(0, |node| node.epoch.0);
            Command::LoseNode { node, epoch: NodeEpoch(epoch - u64::from(*stale && epoch > 0)) }
        }
        Step::Drain { node, drain } => Command::DrainNode {
            node: node_name(node),
            drain: drain.map(|stop_after| DrainOrder { stop_after: stop_after.map(Millis) }),
        },
        Step::Remove(node) => Command::RemoveNode { node: node_name(node) },
        Step::Place(picks) => {
            Command::Place(picks.iter().filter_map(|(task, node)| placement(house, *task, *node)).collect())
        }
        Step::Report { attempt, what, stale, ahead } => {
            return reported(house, report(house, *attempt, *what, *stale, *ahead)?);
        }
        Step::Fire { job, behind, skip } => Command::Fire(vec![a_fire(house, *job, *behind, *skip)?]),
        Step::Advance => Command::Advance,
    };
    Some(house.ask(command))
}

/// A task of the queue, or any number, for any node.
fn placement(house: &House, pick: u16, node: u8) -> Option<Placement> {
    let queue: Vec<_> = house.state.index().queue.iter().collect();
    let node = house.state.node_named(&format!("n{node}")).unwrap_or(NodeHandle(77));
    let epoch = house.state.tables().nodes.get(node).map(|node| node.epoch).unwrap_or_default();
    let task = match queue.get(usize::from(pick) % (queue.len() + 1)) {
        Some(key) => {
            let step = house.state.step(key.step);
            let again = house.state.index().ready_tasks_of(step).next();
            again.unwrap_or_else(|| step.task(step.opened))
        }
        None => TaskHandle(u64::from(pick)),
    };
    Some(Placement { task, node, epoch })
}

/// A report is taken exactly when it is of the node's registration and follows on the one before, or is known.
fn reported(house: &mut House, report: NodeReport) -> Option<Reply> {
    let node = house.state.node(report.node);
    let (known, ready) = (node.reported, node.state == NodeState::Ready && node.epoch == report.epoch);
    let (handle, sequence) = (report.node, report.reports[0].sequence);
    let reply = house.ask(Command::Report(report));
    let expected = match sequence {
        _ if !ready => Reply::Refused(Refusal::StaleEpoch),
        sequence if sequence > known + 1 => Reply::Refused(Refusal::ReportMissing { expected: known + 1 }),
        sequence => Reply::Reported { up_to: known.max(sequence) },
    };
    assert_eq!(reply, expected);
    let refused = matches!(reply, Reply::Refused(_));
    assert_eq!(house.state.node(handle).reported, if refused { known } else { known.max(sequence) });
    Some(reply)
}

/// About some attempt, `ahead` of the last number that was taken.
fn report(house: &House, pick: u16, what: u8, stale: bool, ahead: u8) -> Option<NodeReport> {
    let attempts: Vec<AttemptHandle> =
        house.state.tables().attempts.iter().map(|(handle, _)| handle).collect();
    let live: Vec<_> = attempts.iter().filter(|&&a| house.state.attempt(a).is_live()).copied().collect();
    let from = if live.is_empty() || what > 250 { attempts } else { live };
    let attempt = *from.get(usize::from(pick) % from.len().max(1))?;
    let node = house.state.attempt(attempt).node;
    let record = house.state.tables().nodes.get(node)?;
    let (epoch, journal) = (NodeEpoch(record.epoch.0 + u64::from(stale)), record.journal);
    let sequence = record.reported + u64::from(ahead);
    let at = house.now;
    let reason = match what % 6 {
        0 => EndReason::FailedExit(1),
        1 => EndReason::OomKilled,
        2 => EndReason::NodeLost,
        _ => EndReason::Succeeded,
    };
    let output = if what & 64 == 0 { b"k=1\nk=2\n".to_vec() } else { vec![] };
    let update = match what & 128 {
        0 => AttemptUpdate::Started { at },
        _ => AttemptUpdate::Ended {
            reason,
            started: Some(at),
            at,
            output,
            usage: crate::model::Usage::new(at.0, 7),
        },
    };
    let reports = vec![AttemptReport { sequence, attempt, update }];
    Some(NodeReport { node, epoch, journal, reports })
}

fn a_fire(house: &House, job: u8, behind: u64, skip: bool) -> Option<Fire> {
    let jobs: Vec<JobHandle> = house.state.tables().jobs.iter().map(|(handle, _)| handle).collect();
    let job = *jobs.get(usize::from(job) % jobs.len().max(1))?;
    let cursor = house.state.job(job).cursor?;
    let nominal = cursor.next?;
    Some(Fire {
        job,
        generation: cursor.generation,
        expected: cursor.last - Millis(behind / 2),
        decisions: vec![FireDecision {
            nominal,
            skip: skip.then_some(crate::reason::SkipReason::CatchUp),
            count: 1,
        }],
        next: Some(nominal + Millis(7000)),
    })
}

/// Lets everything end: nodes come back, what is ready is placed, what runs succeeds.
fn settle(house: &mut House) {
    for (name, limit) in [("t0", 50_000), ("t1", 50_000), ("t2", 50_000)] {
        let limit = [("cpu".to_owned(), limit)].into();
        house.ask(Command::ApplyTenant(TenantSpec { name: name.into(), weight: 1, limit }));
    }
    for node in 0..4 {
        house.ask(Command::RegisterNode(Registration {
            journal: JournalId(9),
            ..a_node(&format!("n{node}"))
        }));
        house.ask(Command::DrainNode { node: format!("n{node}"), drain: None });
    }
    for _ in 0..500 {
        if house.state.index().active_runs.is_empty() {
            return;
        }
        house.pass(Millis(10_000));
        house.advance_all();
        for node in 0..4 {
            for _ in 0..4 {
                let placement = placement(house, 0, node);
                house.ask(Command::Place(placement.into_iter().collect()));
            }
        }
        let live: Vec<_> = house.state.index().live_attempts().collect();
        for attempt in live {
            house.end(attempt, EndReason::Succeeded);
        }
    }
    let stuck: Vec<RunHandle> = house.state.index().active_runs.iter().map(|(_, run)| *run).collect();
    panic!("runs that do not end: {stuck:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_commands_keep_the_invariants_and_everything_can_still_end(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut house = House::new();
        let mut twin = House::new();
        for step in &steps {
            let reply = perform(&mut house, step);
            prop_assert_eq!(reply, perform(&mut twin, step));
        }
        prop_assert_eq!(house.state.hash(), twin.state.hash());
        settle(&mut house);
    }

    /// With little room in an entry and little kept, what is left over for a timer is the rule and not the exception.
    /// A member that is restored between any two commands goes on exactly as one that was not.
    #[test]
    fn with_tiny_limits_a_member_that_is_restored_at_any_time_goes_on_as_the_others(
        steps in prop::collection::vec(tiny_step(), 1..120)
    ) {
        let mut house = House::new();
        house.state.limits = TINY;
        let mut twin = House::new();
        twin.state.limits = TINY;
        for step in &steps {
            let reply = perform(&mut house, step);
            prop_assert_eq!(reply, perform(&mut twin, step));
            prop_assert_eq!(house.state.hash(), twin.state.hash());
            twin.restore();
        }
        settle(&mut house);
        house.pass(DETAILS_KEPT);
        house.advance_all();
        prop_assert!(house.state.tables().runs.is_empty());
        prop_assert!(house.state.tables().summaries.len() <= TINY.summaries);
    }
}

const TINY: Limits = Limits {
    transitions: 3,
    records: 60,
    summaries_of_job: 2,
    summaries: 3,
    outcomes_of_job: 2,
    requests: 2,
    ..Limits::PRODUCT
};

/// As any step, and now and then so much time that runs collapse.
fn tiny_step() -> impl Strategy<Value = Step> {
    let long = (DETAILS_KEPT.0 - 10_000..DETAILS_KEPT.0 + 10_000).prop_map(Step::Pass);
    prop_oneof![
        20 => step(),
        5 => Just(Step::Advance),
        3 => any::<u8>().prop_map(Step::Cancel),
        2 => long,
    ]
}
