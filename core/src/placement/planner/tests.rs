use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::apply::tests::house::{House, a_job, a_node, a_task, submit};
use crate::command::{AttemptUpdate, Command, DrainOrder, Registration, TenantSpec};
use crate::id::RequestId;
use crate::job_spec::{Count, ExecutorKind, JobSpec, ProgramSpec, Retry, TaskSpec};
use crate::model::Files;
use crate::reason::EndReason;
use crate::reply::Reply;
use crate::template::Template;
use crate::time::Millis;

impl Planner {
    /// Whether this view, brought up to date, is the one that would be made anew.
    fn assert_as_if_new(&mut self, state: &State) {
        self.refresh(state);
        let fresh = Planner::new(state);
        assert_eq!(self.nodes, fresh.nodes);
        assert_eq!(self.offered, fresh.offered);
        assert_eq!(self.classes, fresh.classes);
        assert!(self.demand.same_as(&fresh.demand), "{:#?}\n{:#?}", self.demand, fresh.demand);
        assert!(!self.fit.is_off_scale());
        assert!(self.fit.orders_made_anew());
        let name = |planner: &Planner, room: &Room| {
            let named = planner.shared.iter().find(|(_, number)| Some(**number) == room.shared);
            named.map(|(name, _)| name.clone())
        };
        for place in 0..self.nodes.len() {
            let (kept, new) = (self.fit.room(place).clone(), fresh.fit.room(place).clone());
            assert_eq!(name(self, &kept), name(&fresh, &new));
            assert_eq!(Room { shared: None, ..kept }, Room { shared: None, ..new });
        }
    }
}

/// A house with a leader's view of it.
struct Led {
    house: House,
    planner: Planner,
    /// Every event so far.
    events: Vec<Event>,
}

impl Led {
    fn new() -> Led {
        let house = House::new();
        let planner = Planner::new(&house.state);
        Led { house, planner, events: Vec::new() }
    }

    fn ask(&mut self, command: Command) -> Reply {
        let applied = self.house.apply(None, command);
        self.planner.observe(&self.house.state, &applied.events);
        self.events.extend(&applied.events);
        applied.reply
    }

    /// Makes a pass and applies it; gives the names of the nodes. Nothing of a pass may be refused.
    fn pass(&mut self, max: usize) -> Vec<String> {
        let placements = self.planner.pass(&self.house.state, max);
        let state = &self.house.state;
        let nodes = placements.iter().map(|placement| state.node(placement.node).name.clone()).collect();
        let reply = self.ask(Command::Place(placements));
        assert_eq!(reply, Reply::Placed { refused: vec![] });
        nodes
    }

    fn run(&mut self, spec: JobSpec) {
        let key = RequestId(u128::from(self.house.index) + 1);
        let reply = self.ask(submit(spec, Some(key)));
        assert!(matches!(reply, Reply::Submitted { .. }), "{reply:?}");
    }

    fn node(&mut self, registration: Registration) {
        self.ask(Command::RegisterNode(registration));
    }

    fn end_all(&mut self) {
        let live: Vec<_> = self.house.state.index().live_attempts().collect();
        for attempt in live {
            self.end(attempt, EndReason::Succeeded);
        }
    }

    fn end(&mut self, attempt: AttemptHandle, reason: EndReason) {
        let (node, at) = (self.house.state.attempt(attempt).node, self.house.now);
        let update = AttemptUpdate::Ended {
            reason,
            started: Some(at),
            at,
            output: Vec::new(),
            usage: crate::model::Usage::default(),
        };
        let record = self.house.state.node(node);
        let (epoch, journal, sequence) = (record.epoch, record.journal, record.reported + 1);
        let reports = vec![crate::command::AttemptReport { sequence, attempt, update }];
        self.ask(Command::Report(crate::command::NodeReport { node, epoch, journal, reports }));
    }
}

fn array(name: &str, count: u32) -> TaskSpec {
    TaskSpec { count: Count::Fixed(count), ..a_task(name, &[]) }
}

fn with_files(task: TaskSpec) -> TaskSpec {
    TaskSpec { env: vec![("DIR".into(), Template::parse("${run.dir}").unwrap())], ..task }
}

fn shared_node(name: &str, shared: &str) -> Registration {
    let mut node = a_node(name);
    node.facts.shared = Some(shared.into());
    node
}

#[test]
fn an_array_fills_the_nodes_and_the_rest_follows_when_room_returns() {
    let mut led = Led::new();
    led.node(a_node("n1"));
    led.node(a_node("n2"));
    led.run(a_job("j", vec![array("a", 10)]));
    assert_eq!(led.pass(100).len(), 8);
    assert!(led.pass(100).is_empty());
    led.end_all();
    assert_eq!(led.pass(100).len(), 2);
    led.end_all();
    assert!(led.house.state.index().active_runs.is_empty());
}

#[test]
fn tasks_that_wait_again_go_before_indexes_that_were_never_placed() {
    let mut led = Led::new();
    led.node(a_node("n1"));
    led.run(a_job("j", vec![array("a", 10)]));
    led.pass(4);
    let node = led.house.state.node_named("n1").unwrap();
    let epoch = led.house.state.node(node).epoch;
    led.ask(Command::LoseNode { node, epoch });
    led.node(a_node("n1"));
    let placements = led.planner.pass(&led.house.state, 100);
    let first = led.house.state.tables().tasks.iter().map(|(task, _)| task).collect::<Vec<_>>();
    assert_eq!(placements.iter().map(|placement| placement.task).collect::<Vec<_>>(), first);
}

#[test]
fn a_pass_that_was_never_applied_leaves_no_trace() {
    let mut led = Led::new();
    led.node(a_node("n1"));
    led.run(a_job("j", vec![array("a", 4)]));
    let planned = led.planner.pass(&led.house.state, 100);
    assert_eq!(planned.len(), 4);
    assert_eq!(led.planner.pass(&led.house.state, 100), planned);
    led.planner.assert_as_if_new(&led.house.state);
}

#[test]
fn higher_priority_goes_first_within_a_tenant() {
    let mut led = Led::new();
    led.run(a_job("low", vec![a_task("a", &[])]));
    led.run(JobSpec { priority: 90, ..a_job("high", vec![a_task("a", &[])]) });
    led.node(a_node("n1"));
    let placements = led.planner.pass(&led.house.state, 1);
    let step = led.house.state.step(led.house.state.step_of(placements[0].task).unwrap());
    assert_eq!(led.house.state.job(led.house.state.run(step.run).job).name, "high");
}

#[test]
fn a_run_stays_where_its_files_are() {
    let mut led = Led::new();
    led.node(a_node("n1"));
    led.node(a_node("n2"));
    led.run(a_job("j", vec![with_files(array("a", 6))]));
    assert_eq!(led.pass(100), ["n1"; 4]);
    assert!(led.pass(100).is_empty());
    led.end_all();
    assert_eq!(led.pass(100), ["n1"; 2]);
    let run = led.house.state.tables().runs.iter().next().unwrap().1;
    assert!(matches!(run.files, Some(Files::Node(_))));
}

#[test]
fn a_run_on_a_shared_directory_uses_every_node_that_has_it() {
    let mut led = Led::new();
    led.node(shared_node("n1", "nfs"));
    led.node(a_node("n2"));
    led.node(shared_node("n3", "nfs"));
    led.run(a_job("j", vec![with_files(array("a", 12))]));
    let nodes: BTreeSet<String> = led.pass(100).into_iter().collect();
    assert_eq!(nodes, ["n1".to_owned(), "n3".to_owned()].into());
    assert_eq!(led.house.state.index().live(), 8);
}

#[test]
fn a_tenant_is_placed_up_to_its_limit_and_no_further() {
    let mut led = Led::new();
    led.node(a_node("n1"));
    let limit = [("cpu".to_owned(), 2500)].into();
    led.ask(Command::ApplyTenant(TenantSpec { name: "acme".into(), weight: 1, limit }));
    led.run(JobSpec { tenant: "acme".into(), ..a_job("j", vec![array("a", 4)]) });
    assert_eq!(led.pass(100).len(), 2);
    assert!(led.pass(100).is_empty());
}

#[test]
fn an_executor_that_no_node_offers_waits_and_holds_up_nothing() {
    let mut led = Led::new();
    led.node(a_node("n1"));
    let program = ProgramSpec::Exec { command: vec![Template::literal("true")] };
    led.run(a_job("j", vec![TaskSpec { program, ..a_task("a", &[]) }, a_task("b", &[])]));
    assert_eq!(led.pass(100), ["n1"]);
    let mut node = a_node("n2");
    let offer = node.facts.executors[&ExecutorKind::Fake].clone();
    node.facts.executors.insert(ExecutorKind::Exec, offer);
    led.node(node);
    assert_eq!(led.pass(100), ["n2"]);
}

#[test]
fn a_million_waiting_tasks_are_one_item_and_many_steps_of_a_full_class_cost_nothing() {
    let mut led = Led::new();
    for at in 0..4 {
        led.node(a_node(&format!("n{at}")));
    }
    led.run(a_job("wide", vec![array("a", 1_000_000)]));
    let steps = (0..5000).map(|at| a_task(&format!("s{at}"), &[])).collect();
    led.run(a_job("many", steps));
    assert_eq!(led.pass(4096).len(), 16);
    assert!(led.pass(4096).is_empty());
}

/// What happens next in a random history.
#[derive(Debug, Clone)]
enum Turn {
    Node { name: u8, cpu: u64, gpu: u64, shared: bool },
    Lose { name: u8 },
    Drain { name: u8, off: bool },
    Remove { name: u8 },
    Run { tenant: u8, count: u32, cpu: u64, gpu: u64, files: bool, priority: u8 },
    Cancel { which: usize },
    End { which: usize, fails: bool },
    Limit { tenant: u8, cpu: u64 },
    Pass { max: usize },
    Time,
}

fn a_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0u8..4, 1u64..5, 0u64..3, prop::bool::ANY)
            .prop_map(|(name, cpu, gpu, shared)| Turn::Node { name, cpu: cpu * 1000, gpu, shared }),
        1 => (0u8..4).prop_map(|name| Turn::Lose { name }),
        1 => (0u8..4, prop::bool::ANY).prop_map(|(name, off)| Turn::Drain { name, off }),
        1 => (0u8..4).prop_map(|name| Turn::Remove { name }),
        4 => (0u8..3, 1u32..6, 1u64..4, 0u64..2, prop::bool::ANY, 49u8..52).prop_map(
            |(tenant, count, cpu, gpu, files, priority)| Turn::Run {
                tenant, count, cpu: cpu * 500, gpu, files, priority,
            }
        ),
        1 => (0usize..10).prop_map(|which| Turn::Cancel { which }),
        4 => (0usize..10, prop::bool::ANY).prop_map(|(which, fails)| Turn::End { which, fails }),
        1 => (0u8..3, 0u64..8).prop_map(|(tenant, cpu)| Turn::Limit { tenant, cpu: cpu * 500 }),
        6 => (1usize..12).prop_map(|max| Turn::Pass { max }),
        1 => Just(Turn::Time),
    ]
}

fn take(led: &mut Led, turn: &Turn) {
    let node_name = |name: &u8| format!("n{name}");
    match turn {
        Turn::Node { name, cpu, gpu, shared } => {
            let mut node = a_node(&node_name(name));
            node.facts.capacity.insert("cpu".into(), *cpu);
            node.facts.capacity.insert("gpu".into(), *gpu);
            node.facts.shared = shared.then(|| format!("d{}", name % 2));
            led.node(node);
        }
        Turn::Lose { name } => {
            if let Some(node) = led.house.state.node_named(&node_name(name)) {
                let epoch = led.house.state.node(node).epoch;
                led.ask(Command::LoseNode { node, epoch });
            }
        }
        Turn::Drain { name, off } => {
            let drain = (!off).then_some(DrainOrder { stop_after: None });
            led.ask(Command::DrainNode { node: node_name(name), drain });
        }
        Turn::Remove { name } => {
            led.ask(Command::RemoveNode { node: node_name(name) });
        }
        Turn::Run { tenant, count, cpu, gpu, files, priority } => {
            let mut task = array("a", *count);
            task.resources = [("cpu".to_owned(), *cpu), ("gpu".to_owned(), *gpu)].into();
            task.resources.retain(|_, amount| *amount > 0);
            task.retry = Retry { max_attempts: 2, ..Retry::default() };
            let first = if *files { with_files(task.clone()) } else { task.clone() };
            let second = TaskSpec { name: "b".into(), ..first.clone() };
            let third = TaskSpec { name: "c".into(), after: vec![0], ..task };
            let job = a_job(&format!("j{}", led.house.index), vec![first, second, third]);
            let tenant = format!("t{tenant}");
            let spec = TenantSpec { name: tenant.clone(), weight: 1, limit: [].into() };
            if led.house.state.tenant_named(&tenant).is_none() {
                led.ask(Command::ApplyTenant(spec));
            }
            let key = RequestId(u128::from(led.house.index) + 1);
            // One task may be larger than the limit; then it is refused.
            led.ask(submit(JobSpec { tenant, priority: *priority, ..job }, Some(key)));
        }
        Turn::Cancel { which } => {
            let runs: Vec<_> = led.house.state.index().active_runs.iter().map(|(_, run)| *run).collect();
            if let Some(run) = runs.get(*which) {
                let run = led.house.state.run(*run).id;
                led.ask(Command::CancelRun { run });
            }
        }
        Turn::End { which, fails } => {
            let live = led.house.state.index().live_attempts().nth(*which);
            if let Some(attempt) = live {
                led.end(attempt, if *fails { EndReason::FailedExit(1) } else { EndReason::Succeeded });
            }
        }
        Turn::Limit { tenant, cpu } => {
            let limit = [("cpu".to_owned(), *cpu)].into();
            led.ask(Command::ApplyTenant(TenantSpec { name: format!("t{tenant}"), weight: 2, limit }));
        }
        Turn::Pass { max } => {
            led.pass(*max);
        }
        Turn::Time => {
            led.house.pass(Millis::from_secs(20));
            led.ask(Command::Advance);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_view_kept_by_events_is_the_one_made_anew(turns in prop::collection::vec(a_turn(), 1..60)) {
        let mut led = Led::new();
        for turn in &turns {
            take(&mut led, turn);
            let planned = led.planner.pass(&led.house.state, 7);
            prop_assert_eq!(planned, Planner::new(&led.house.state).pass(&led.house.state, 7));
            led.planner.assert_as_if_new(&led.house.state);
        }
    }

    #[test]
    fn events_may_be_observed_late_and_together(
        batches in prop::collection::vec(prop::collection::vec(a_turn(), 1..12), 1..6),
    ) {
        let mut led = Led::new();
        let mut late = Planner::new(&led.house.state);
        for batch in &batches {
            for turn in batch {
                take(&mut led, turn);
            }
            late.observe(&led.house.state, &std::mem::take(&mut led.events));
            late.assert_as_if_new(&led.house.state);
        }
    }
}
