use std::collections::{BTreeMap, BTreeSet};

use super::fit::Fit;
use super::problem::{Class, Pin, Tenant, Why};
use super::share::Share;

/// One placement pass. During a pass room only shrinks and use only grows, so what finds no place once is not
/// tried again.
pub(super) struct Pass<'a, I> {
    fit: &'a mut Fit,
    classes: &'a [Class],
    claims: Vec<Claim>,
    groups: Vec<Queue<I>>,
    /// Where runs went whose first task was placed in this pass.
    pins: BTreeMap<u64, Pin>,
    outcome: Outcome,
}

/// A tenant's place in the order of service.
pub(super) struct Claim {
    pub(super) weight: u32,
    pub(super) used: Vec<u64>,
    pub(super) limit: Vec<u64>,
    pub(super) grants: u64,
    pub(super) rank: usize,
}

/// Tasks of one tenant that can go to the same places: of one class, with one pin. They are asked for one
/// after the other, so that what is never reached costs nothing.
pub(super) struct Group<I> {
    pub(super) tenant: usize,
    pub(super) class: usize,
    pub(super) pin: Pin,
    /// By key, ascending.
    pub(super) asks: I,
}

/// A number of equal tasks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// Its place in the tenant's queue, which also names it.
    pub(super) key: (u8, u64),
    /// How many; at least 1.
    pub(super) count: u32,
    /// The run whose directory they use and that has no place yet.
    pub(super) run: Option<u64>,
}

/// A task that got a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub(super) tenant: usize,
    pub(super) key: (u8, u64),
    pub(super) node: usize,
}

/// What came out of a pass.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) grants: Vec<Granted>,
    /// For each group why it went no further.
    pub(super) blocked: Vec<Option<Why>>,
    /// Asks, by group and key, whose run got its place in this pass where the rest of them found no room.
    pub(super) skipped: BTreeSet<(usize, (u8, u64))>,
}

struct Queue<I> {
    group: Group<I>,
    head: Option<Ask>,
}

/// Why the first ask of a group got no place.
enum Stuck {
    /// Nothing of the group will.
    Group(Why),
    /// Its run is bound to a full place; others of the group may do better.
    Ask,
}

impl Claim {
    pub(super) fn of(tenant: &Tenant) -> Claim {
        Claim {
            weight: tenant.weight,
            used: tenant.used.clone(),
            limit: tenant.limit.clone(),
            grants: tenant.grants,
            rank: tenant.rank,
        }
    }
}

impl<'a, I: Iterator<Item = Ask>> Pass<'a, I> {
    pub(super) fn new(
        fit: &'a mut Fit,
        classes: &'a [Class],
        claims: Vec<Claim>,
        groups: Vec<Group<I>>,
    ) -> Self {
        let outcome = Outcome { blocked: vec![None; groups.len()], ..Outcome::default() };
        let groups = groups
            .into_iter()
            .map(|mut group| {
                let head = group.asks.next();
                Queue { group, head }
            })
            .collect();
        Pass { fit, classes, claims, groups, pins: BTreeMap::new(), outcome }
    }

    /// Grants places, at most `max`.
    pub(super) fn run(mut self, max: usize) -> Outcome {
        let mut heads = vec![BTreeSet::new(); self.claims.len()];
        for (at, queue) in self.groups.iter().enumerate() {
            heads[queue.group.tenant].extend(queue.head.map(|ask| (ask.key, at)));
        }
        let mut order: BTreeSet<_> = (0..self.claims.len()).map(|tenant| self.standing(tenant)).collect();
        while self.outcome.grants.len() < max {
            let Some((.., tenant)) = order.pop_first() else { break };
            // A tenant of which nothing can be placed is out for the rest of the pass.
            if self.serve(tenant, &mut heads[tenant]) {
                order.insert(self.standing(tenant));
            }
        }
        self.outcome
    }

    /// Where a tenant stands in the order of service; the least is served next.
    fn standing(&self, tenant: usize) -> (Share, u64, usize, usize) {
        let claim = &self.claims[tenant];
        let share = Share::dominant(&claim.used, self.fit.total(), claim.weight);
        (share, claim.grants, claim.rank, tenant)
    }

    /// Places one task of a tenant: the first in its queue that fits somewhere. False when none does.
    fn serve(&mut self, tenant: usize, heads: &mut BTreeSet<((u8, u64), usize)>) -> bool {
        while let Some(&(key, at)) = heads.first() {
            let placed = match self.place(at) {
                Ok(node) => {
                    self.outcome.grants.push(Granted { tenant, key, node });
                    true
                }
                Err(Stuck::Group(why)) => {
                    self.outcome.blocked[at] = Some(why);
                    heads.pop_first();
                    continue;
                }
                Err(Stuck::Ask) => {
                    self.outcome.skipped.insert((at, key));
                    self.groups[at].head = None;
                    false
                }
            };
            let queue = &mut self.groups[at];
            if queue.head.is_none() {
                heads.pop_first();
                queue.head = queue.group.asks.next();
                heads.extend(queue.head.map(|ask| (ask.key, at)));
            }
            if placed {
                return true;
            }
        }
        false
    }

    /// Places one task of the ask at the head of a group.
    fn place(&mut self, at: usize) -> Result<usize, Stuck> {
        let queue = &mut self.groups[at];
        let group = &queue.group;
        let ask = queue.head.as_mut().expect("a group in the order of heads has one");
        let class = &self.classes[group.class];
        let claim = &mut self.claims[group.tenant];

        let over = class
            .request
            .iter()
            .find(|&&(resource, amount)| claim.used[resource].saturating_add(amount) > claim.limit[resource]);
        if let Some(&(resource, _)) = over {
            return Err(Stuck::Group(Why::Quota { resource }));
        }
        let bound = ask.run.and_then(|run| self.pins.get(&run)).copied();
        let node = self
            .fit
            .best(group.class, class, bound.unwrap_or(group.pin))
            .ok_or(if bound.is_some() { Stuck::Ask } else { Stuck::Group(Why::NoFit) })?;

        self.fit.take(node, class);
        if let (Some(run), None) = (ask.run, bound) {
            self.pins.insert(run, self.fit.room(node).shared.map_or(Pin::Node(node), Pin::Shared));
        }
        for &(resource, amount) in &class.request {
            claim.used[resource] = claim.used[resource].saturating_add(amount);
        }
        claim.grants += 1;
        ask.count -= 1;
        if ask.count == 0 {
            queue.head = None;
        }
        Ok(node)
    }
}
