//! Which waiting tasks go to which nodes: fair between tenants, best fit among nodes.
//!
//! ```text
//!   State ──> Planner: demand by (tenant, class, pin) ─┐
//!                      rooms ordered by fit per class ─┴─> pass ──> Vec<Placement>
//!   Problem ─────────────── plan ──────────────────────────┘        (to be proposed)
//! ```
//! Tasks that ask for the same are one class, and nodes are ordered by fit once a class. A pass costs as many
//! steps as it grants, times classes, times the logarithm of nodes; what finds no place costs nothing.
//!
//! At each grant the tenant with the lowest weighted dominant share is served (Ghodsi et al., Dominant Resource
//! Fairness, NSDI 2011), compared exactly, ties by fewer grants and then by name. Within a tenant the queue's order
//! holds, but what cannot be placed holds up nothing behind it.

mod demand;
mod fit;
mod pass;
mod planner;
mod problem;
mod share;
#[cfg(test)]
mod tests;

use fit::Fit;
use pass::{Ask, Claim, Group, Pass};

pub use planner::Planner;
pub use problem::{Class, Executors, Grant, Item, Leftover, Pin, Plan, Problem, Room, Tenant, Why};

use std::collections::BTreeMap;

/// Solves one problem. The same problem always gives the same plan.
///
/// # Panics
/// When the problem contradicts itself; see [`Problem`].
pub fn plan(problem: &Problem) -> Plan {
    problem.check();
    // Items of a tenant that can go to the same places wait in one group: when its first finds no place, none does.
    let mut members: BTreeMap<(usize, usize, Pin), Vec<usize>> = BTreeMap::new();
    for (tenant, claim) in problem.tenants.iter().enumerate() {
        for (at, item) in claim.queue.iter().enumerate() {
            members.entry((tenant, item.class, item.pin)).or_default().push(at);
        }
    }
    let groups = members
        .iter()
        .map(|(&(tenant, class, pin), items)| {
            let queue = &problem.tenants[tenant].queue;
            let asks = items.iter().map(move |&at| Ask {
                key: (0, at as u64),
                count: queue[at].count,
                run: queue[at].run.filter(|_| pin == Pin::Free),
            });
            Group { tenant, class, pin, asks }
        })
        .collect();
    let claims = problem.tenants.iter().map(Claim::of).collect();
    let mut fit = Fit::new(problem.resources(), problem.nodes.clone());
    let outcome = Pass::new(&mut fit, &problem.classes, claims, groups).run(problem.max);

    let grants: Vec<Grant> = outcome
        .grants
        .iter()
        .map(|grant| Grant { tenant: grant.tenant, item: item_of(grant.key), node: grant.node })
        .collect();
    let mut placed: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    for grant in &grants {
        *placed.entry((grant.tenant, grant.item)).or_default() += 1;
    }
    let mut leftover = Vec::new();
    for (group, (&(tenant, _, _), items)) in members.iter().enumerate() {
        for &item in items {
            let got = placed.get(&(tenant, item)).copied().unwrap_or(0);
            let count = problem.tenants[tenant].queue[item].count - got;
            let skipped = outcome.skipped.contains(&(group, (0, item as u64)));
            let why = if skipped { Some(Why::NoFit) } else { outcome.blocked[group] };
            if count > 0 {
                leftover.push(Leftover { tenant, item, count, why: why.unwrap_or(Why::PassFull) });
            }
        }
    }
    leftover.sort_by_key(|left| (left.tenant, left.item));
    Plan { grants, leftover }
}

fn item_of(key: (u8, u64)) -> usize {
    usize::try_from(key.1).expect("it was a place in a queue")
}
