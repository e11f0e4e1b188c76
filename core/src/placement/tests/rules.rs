use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::placement::{Leftover, Why};

/// What is left of nodes and limits after a plan, worked out the slow way.
struct Ledger {
    nodes: Vec<Room>,
    used: Vec<Vec<u64>>,
    pins: BTreeMap<u64, Pin>,
}

impl Ledger {
    /// Follows a plan and asserts that each step was allowed.
    fn follow(problem: &Problem, plan: &Plan) -> Ledger {
        let mut ledger = Ledger {
            nodes: problem.nodes.clone(),
            used: problem.tenants.iter().map(|tenant| tenant.used.clone()).collect(),
            pins: BTreeMap::new(),
        };
        for grant in &plan.grants {
            let item = &problem.tenants[grant.tenant].queue[grant.item];
            assert!(ledger.allows(problem, grant.tenant, item, grant.node), "{grant:?}");
            for &(resource, amount) in &problem.classes[item.class].request {
                ledger.nodes[grant.node].free[resource] -= amount;
                ledger.used[grant.tenant][resource] += amount;
            }
            if let (Some(run), Pin::Free) = (item.run, item.pin) {
                let shared = problem.nodes[grant.node].shared;
                ledger.pins.entry(run).or_insert(shared.map_or(Pin::Node(grant.node), Pin::Shared));
            }
        }
        ledger
    }

    fn within_limit(&self, problem: &Problem, tenant: usize, item: &Item) -> bool {
        let limit = &problem.tenants[tenant].limit;
        let request = &problem.classes[item.class].request;
        request.iter().all(|&(resource, amount)| self.used[tenant][resource] + amount <= limit[resource])
    }

    fn allows(&self, problem: &Problem, tenant: usize, item: &Item, node: usize) -> bool {
        let class = &problem.classes[item.class];
        let room = &self.nodes[node];
        let bound = item.run.filter(|_| item.pin == Pin::Free).and_then(|run| self.pins.get(&run));
        let reached = match bound.copied().unwrap_or(item.pin) {
            Pin::Free => true,
            Pin::Node(home) => home == node,
            Pin::Shared(shared) => room.shared == Some(shared),
            Pin::Nowhere => false,
        };
        reached
            && !room.closed
            && room.executors.has(class.executor)
            && class.request.iter().all(|&(resource, amount)| amount <= room.free[resource])
            && self.within_limit(problem, tenant, item)
    }
}

fn a_room() -> impl Strategy<Value = Room> {
    let amounts = (0u64..20, 0u64..20);
    (amounts.clone(), amounts, 0u8..8, prop::option::of(0u32..2), prop::bool::weighted(0.1)).prop_map(
        |(capacity, used, kinds, shared, closed)| {
            let capacity = vec![capacity.0, capacity.1];
            let free = vec![capacity[0].saturating_sub(used.0 / 2), capacity[1].saturating_sub(used.1 / 2)];
            let mut executors = Executors::default();
            for (bit, kind) in [(1, ExecutorKind::Exec), (6, ExecutorKind::Fake)] {
                if kinds & bit != 0 {
                    executors = executors.with(kind);
                }
            }
            Room { capacity, free, executors, shared, closed }
        },
    )
}

fn a_class() -> impl Strategy<Value = Class> {
    (0u64..8, 0u64..8, prop::bool::ANY, prop::bool::weighted(0.95)).prop_map(
        |(cpu, memory, exec, offered)| {
            let executor = if exec { ExecutorKind::Exec } else { ExecutorKind::Fake };
            Class { executor, offered, ..class(&[cpu, memory]) }
        },
    )
}

fn an_item(nodes: usize, classes: usize) -> impl Strategy<Value = Item> {
    let pin = prop_oneof![
        6 => Just(Pin::Free),
        1 => (0..nodes).prop_map(Pin::Node),
        1 => (0u32..3).prop_map(Pin::Shared),
        1 => Just(Pin::Nowhere),
    ];
    (0..classes, 1u32..6, pin, prop::option::of(0u64..4)).prop_map(|(class, count, pin, run)| Item {
        class,
        count,
        pin,
        run,
    })
}

fn a_problem() -> impl Strategy<Value = Problem> {
    let nodes = prop::collection::vec(a_room(), 1..8);
    let classes = prop::collection::vec(a_class(), 1..5);
    (nodes, classes, 1usize..60).prop_flat_map(|(nodes, classes, max)| {
        let queue = prop::collection::vec(an_item(nodes.len(), classes.len()), 0..8);
        let limit = prop_oneof![Just(u64::MAX), 0u64..40];
        let tenant = (1u32..4, (0u64..6, 0u64..6), (limit.clone(), limit), 0u64..3, queue);
        prop::collection::vec(tenant, 1..5).prop_map(move |drawn| {
            let tenants =
                drawn.into_iter().enumerate().map(|(rank, (weight, used, limit, grants, queue))| Tenant {
                    weight,
                    used: vec![used.0, used.1],
                    limit: vec![limit.0, limit.1],
                    grants,
                    rank,
                    // Runs are of one tenant.
                    queue: queue
                        .into_iter()
                        .map(|item| Item { run: item.run.map(|run| run + 10 * rank as u64), ..item })
                        .collect(),
                });
            Problem { nodes: nodes.clone(), classes: classes.clone(), tenants: tenants.collect(), max }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_plan_exceeds_a_capacity_or_a_limit_or_leaves_the_files_of_a_run(problem in a_problem()) {
        let plan = plan(&problem);
        Ledger::follow(&problem, &plan);
        prop_assert!(plan.grants.len() <= problem.max);
    }

    #[test]
    fn nothing_is_left_waiting_that_could_be_placed(problem in a_problem()) {
        let plan = plan(&problem);
        let ledger = Ledger::follow(&problem, &plan);
        if plan.grants.len() < problem.max {
            for left in &plan.leftover {
                let item = &problem.tenants[left.tenant].queue[left.item];
                for node in 0..problem.nodes.len() {
                    // A class that is not offered fits nowhere by its contract.
                    let placeable = problem.classes[item.class].offered
                        && ledger.allows(&problem, left.tenant, item, node);
                    prop_assert!(!placeable, "{left:?} fits on {node}");
                }
                prop_assert_ne!(left.why, Why::PassFull);
            }
        }
    }

    #[test]
    fn every_task_is_either_placed_or_left_over(problem in a_problem()) {
        let plan = plan(&problem);
        for (tenant, claim) in problem.tenants.iter().enumerate() {
            for (at, item) in claim.queue.iter().enumerate() {
                let placed =
                    plan.grants.iter().filter(|grant| (grant.tenant, grant.item) == (tenant, at)).count();
                let left: u32 = plan
                    .leftover
                    .iter()
                    .filter(|left| (left.tenant, left.item) == (tenant, at))
                    .map(|left| left.count)
                    .sum();
                prop_assert_eq!(u32::try_from(placed).unwrap() + left, item.count);
            }
        }
    }

    #[test]
    fn the_same_problem_gives_the_same_plan(problem in a_problem()) {
        prop_assert_eq!(plan(&problem), plan(&problem));
    }

    #[test]
    fn equal_tenants_with_equal_work_differ_by_one_task_at_most(
        nodes in prop::collection::vec((1u64..30, 1u64..30), 1..6),
        request in (1u64..5, 1u64..5),
        tenants in 2usize..6,
        max in 1usize..80,
    ) {
        let problem = Problem {
            nodes: nodes.iter().map(|&(cpu, memory)| room(&[cpu, memory])).collect(),
            classes: vec![class(&[request.0, request.1])],
            tenants: (0..tenants).map(|rank| tenant(rank, 2, vec![item(0, 1000)])).collect(),
            max,
        };
        let plan = plan(&problem);
        let counts: Vec<usize> = (0..tenants).map(|tenant| grants_of(&plan, tenant)).collect();
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }
}

#[test]
fn what_cannot_be_placed_holds_up_nothing_behind_it() {
    let queue = vec![item(0, 3), item(1, 1)];
    let problem = Problem {
        nodes: vec![room(&[4])],
        classes: vec![class(&[5]), class(&[1])],
        tenants: vec![tenant(0, 1, queue), tenant(1, 1, vec![item(1, 1)])],
        max: 10,
    };
    let plan = plan(&problem);
    assert_eq!((grants_of(&plan, 0), grants_of(&plan, 1)), (1, 1));
    assert_eq!(plan.leftover, [Leftover { tenant: 0, item: 0, count: 3, why: Why::NoFit }]);
}

#[test]
fn the_first_placement_of_a_run_binds_its_other_tasks() {
    let bound = |class, count| Item { run: Some(7), ..item(class, count) };
    let mut problem = Problem {
        nodes: vec![room(&[4]), room(&[4]), room(&[4])],
        classes: vec![class(&[1]), class(&[2])],
        tenants: vec![tenant(0, 1, vec![bound(0, 3), bound(1, 1)])],
        max: 10,
    };
    let alone = plan(&problem);
    assert!(alone.grants.iter().all(|grant| grant.node == 0), "{alone:?}");
    assert_eq!(alone.leftover, [Leftover { tenant: 0, item: 1, count: 1, why: Why::NoFit }]);

    problem.nodes[0].shared = Some(3);
    problem.nodes[2].shared = Some(3);
    let shared = plan(&problem);
    assert_eq!(shared.leftover, []);
    assert!(shared.grants.iter().all(|grant| grant.node != 1), "{shared:?}");
}

#[test]
fn a_large_backlog_is_planned_within_the_limit_of_a_pass() {
    let kinds = 20;
    let problem = Problem {
        nodes: (0..1000u64).map(|at| room(&[8000 + at % 7 * 1000, (16 + at % 5) << 30])).collect(),
        classes: (1..=kinds).map(|at| class(&[100 * at, at << 27])).collect(),
        tenants: (0..10)
            .map(|rank| {
                let queue = (0..10_000).map(|at| item(at % 20, 1)).collect();
                tenant(rank, 2, queue)
            })
            .collect(),
        max: 4096,
    };
    let plan = plan(&problem);
    Ledger::follow(&problem, &plan);
    assert_eq!(plan.grants.len(), 4096);
}

#[test]
#[should_panic(expected = "no more is free than there is")]
fn a_problem_that_contradicts_itself_is_not_solved() {
    let mut node = room(&[4]);
    node.free[0] = 5;
    plan(&Problem { nodes: vec![node], ..Problem::default() });
}
