mod acceptance;
mod rules;

use super::{Class, Executors, Item, Pin, Plan, Problem, Room, Tenant, plan};
use crate::job_spec::ExecutorKind;

/// An empty, open node that offers the fake executor.
fn room(capacity: &[u64]) -> Room {
    Room {
        capacity: capacity.to_vec(),
        free: capacity.to_vec(),
        executors: Executors::default().with(ExecutorKind::Fake),
        shared: None,
        closed: false,
    }
}

fn class(request: &[u64]) -> Class {
    let request = request.iter().copied().enumerate().filter(|(_, amount)| *amount > 0).collect();
    Class { request, executor: ExecutorKind::Fake, offered: true }
}

fn item(class: usize, count: u32) -> Item {
    Item { class, count, pin: Pin::Free, run: None }
}

/// A tenant that uses nothing and has no limit.
fn tenant(rank: usize, resources: usize, queue: Vec<Item>) -> Tenant {
    Tenant { weight: 1, used: vec![0; resources], limit: vec![u64::MAX; resources], grants: 0, rank, queue }
}

fn grants_of(plan: &Plan, tenant: usize) -> usize {
    plan.grants.iter().filter(|grant| grant.tenant == tenant).count()
}
