//! Worked cases with exact numbers, by the names under which they are known.

use super::*;
use crate::placement::Why;

#[test]
fn a1_the_lowest_dominant_share_is_served_first() {
    let mut a = tenant(0, 2, vec![item(0, 1)]);
    let mut b = tenant(1, 2, vec![item(0, 1)]);
    (a.used, b.used) = (vec![5, 5], vec![6, 6]);
    let nodes = vec![room(&[100, 100])];
    let problem = Problem { nodes, classes: vec![class(&[1, 1])], tenants: vec![b, a], max: 1 };
    assert_eq!(plan(&problem).grants[0].tenant, 1);
}

#[test]
fn a6_a_share_is_divided_by_the_weight() {
    let mut tenants: Vec<Tenant> = (0..3).map(|rank| tenant(rank, 2, vec![item(0, 1)])).collect();
    for (tenant, (used, weight)) in tenants.iter_mut().zip([(5, 1), (6, 2), (4, 1)]) {
        (tenant.used, tenant.weight) = (vec![used; 2], weight);
    }
    let nodes = vec![room(&[100, 100])];
    let problem = Problem { nodes, classes: vec![class(&[1, 1])], tenants, max: 3 };
    let order: Vec<usize> = plan(&problem).grants.iter().map(|grant| grant.tenant).collect();
    assert_eq!(order, [1, 2, 0], "b .03, c .04, a .05");
}

#[test]
fn a9_equal_shares_go_to_fewer_grants_and_then_to_the_name() {
    let mut tenants: Vec<Tenant> = (0..5).map(|rank| tenant(rank, 2, vec![item(0, 1)])).collect();
    for (tenant, grants) in tenants.iter_mut().zip([1, 1, 3, 2, 1]) {
        (tenant.used, tenant.grants) = (vec![3; 2], grants);
    }
    let nodes = vec![room(&[100, 100])];
    let problem = Problem { nodes, classes: vec![class(&[1, 1])], tenants, max: 5 };
    let order: Vec<usize> = plan(&problem).grants.iter().map(|grant| grant.tenant).collect();
    assert_eq!(order, [0, 1, 4, 3, 2], "a, b, e, d, c");
}

#[test]
fn a14_which_resource_dominates_depends_on_the_total() {
    let order = |total: [u64; 2]| -> Vec<usize> {
        let mut tenants: Vec<Tenant> = (0..2).map(|rank| tenant(rank, 2, vec![item(0, 1)])).collect();
        (tenants[0].used, tenants[1].used) = (vec![2, 1], vec![1, 2]);
        let nodes = vec![room(&total)];
        let problem = Problem { nodes, classes: vec![class(&[1, 0]), class(&[0, 1])], tenants, max: 2 };
        plan(&problem).grants.iter().map(|grant| grant.tenant).collect()
    };
    assert_eq!(order([10, 100]), [1, 0]);
    assert_eq!(order([100, 10]), [0, 1]);
}

#[test]
fn a19_the_example_of_the_drf_paper() {
    let tenants = vec![tenant(0, 2, vec![item(0, 100)]), tenant(1, 2, vec![item(1, 100)])];
    let problem = Problem {
        nodes: vec![room(&[9, 18])],
        classes: vec![class(&[1, 4]), class(&[3, 1])],
        tenants,
        max: 99,
    };
    let plan = plan(&problem);
    assert_eq!((grants_of(&plan, 0), grants_of(&plan, 1)), (3, 2));
}

#[test]
fn b3_equal_nodes_are_shared_out_by_weight() {
    for weights in [&[1, 1][..], &[1, 2], &[1, 2, 3]] {
        let mut tenants: Vec<Tenant> =
            (0..weights.len()).map(|rank| tenant(rank, 2, vec![item(0, 100)])).collect();
        for (tenant, weight) in tenants.iter_mut().zip(weights) {
            tenant.weight = *weight;
        }
        let problem = Problem {
            nodes: vec![room(&[2000, 1024]); 6],
            classes: vec![class(&[2000, 1024])],
            tenants,
            max: 99,
        };
        let plan = plan(&problem);
        let sum: u32 = weights.iter().sum();
        for (at, weight) in weights.iter().enumerate() {
            assert_eq!(grants_of(&plan, at), usize::try_from(6 * weight / sum).unwrap());
        }
    }
}

#[test]
fn c2_a_tenant_with_limit_zero_gets_nothing_and_the_others_all() {
    let mut none = tenant(0, 2, vec![item(0, 9)]);
    none.limit = vec![0, 0];
    let mut some = none.clone();
    (some.limit, some.rank) = (vec![1000, 512], 1);
    let other = tenant(2, 2, vec![item(0, 9)]);
    let nodes = vec![room(&[2000, 1024])];
    let tenants = vec![none, some, other];
    let plan = plan(&Problem { nodes, classes: vec![class(&[1000, 512])], tenants, max: 99 });
    assert_eq!([0, 1, 2].map(|at| grants_of(&plan, at)), [0, 1, 1]);
    assert_eq!(plan.leftover[0].why, Why::Quota { resource: 0 });
}

#[test]
fn c19_a_limit_is_used_to_the_last_and_never_exceeded() {
    let mut only = tenant(0, 1, vec![item(0, 2)]);
    (only.used, only.limit) = (vec![4000], vec![5000]);
    let nodes = vec![room(&[64_000])];
    let plan = plan(&Problem { nodes, classes: vec![class(&[1000])], tenants: vec![only], max: 99 });
    assert_eq!(plan.grants.len(), 1);
    let left = plan.leftover[0];
    assert_eq!((left.count, left.why), (1, Why::Quota { resource: 0 }));
}

#[test]
fn p1_the_smaller_of_two_idle_nodes_is_the_better_fit() {
    let nodes = vec![room(&[4000, 4096]), room(&[2000, 2048])];
    let tenants = vec![tenant(0, 2, vec![item(0, 1)])];
    let plan = plan(&Problem { nodes, classes: vec![class(&[1000, 1024])], tenants, max: 1 });
    assert_eq!(plan.grants[0].node, 1);
}

#[test]
fn p7_a_flood_of_one_tenant_does_not_delay_the_single_task_of_another() {
    let tenants = vec![tenant(0, 1, vec![item(0, 100_000)]), tenant(1, 1, vec![item(0, 1)])];
    let nodes = vec![room(&[4000]); 10];
    let plan = plan(&Problem { nodes, classes: vec![class(&[1000])], tenants, max: 4096 });
    assert_eq!(grants_of(&plan, 1), 1);
    assert_eq!(plan.grants.len(), 40);
}
