use crate::job_spec::ExecutorKind;

/// What a pass has to solve, over dense integers: a resource, node, class or tenant is its place in a list.
///
/// Contract: all resource vectors have the same length, what is free is no more than the capacity, weights and counts
/// are at least 1, every place named exists, and the ranks of tenants differ.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    /// Where tasks can go.
    pub nodes: Vec<Room>,
    /// The kinds of request.
    pub classes: Vec<Class>,
    /// Who asks.
    pub tenants: Vec<Tenant>,
    /// The most grants.
    pub max: usize,
}

/// What one node has to give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// What it offers in all; zeros when it is lost, so that it counts in no share.
    pub capacity: Vec<u64>,
    /// What is not in use.
    pub free: Vec<u64>,
    /// The executors that take work.
    pub executors: Executors,
    /// Its shared directory; nodes with the same number see the same files.
    pub shared: Option<u32>,
    /// True while it takes no new work.
    pub closed: bool,
}

/// A set of kinds of executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Executors(u8);

/// What the tasks of one class ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Resource and amount, no zero amounts.
    pub request: Vec<(usize, u64)>,
    /// What it runs on.
    pub executor: ExecutorKind,
    /// False when it asks for something that no node offers at all.
    pub offered: bool,
}

/// A tenant with what it has and what it wants.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its share relative to the others; at least 1.
    pub weight: u32,
    /// What it uses.
    pub used: Vec<u64>,
    /// The most it may use; `u64::MAX` where it is not limited.
    pub limit: Vec<u64>,
    /// Placements it was ever given.
    pub grants: u64,
    /// Its place among all tenants by name.
    pub rank: usize,
    /// What it wants, first things first.
    pub queue: Vec<Item>,
}

/// A number of equal tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// What each asks for.
    pub class: usize,
    /// How many.
    pub count: u32,
    /// Where they can go.
    pub pin: Pin,
    /// The run whose directory they use, if that is not on any node yet: the first placement of the run pins the
    /// others.
    pub run: Option<u64>,
}

/// Where tasks can go because of the files of their run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// Anywhere.
    Free,
    /// To this node alone.
    Node(usize),
    /// To the nodes with this shared directory.
    Shared(u32),
    /// Nowhere: the files are gone or out of reach.
    Nowhere,
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One for each task placed, in the order in which they were granted.
    pub grants: Vec<Grant>,
    /// What found no place, by tenant and item.
    pub leftover: Vec<Leftover>,
}

/// One task of an item goes to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The tenant.
    pub tenant: usize,
    /// The place in its queue.
    pub item: usize,
    /// The node.
    pub node: usize,
}

/// Tasks of an item that were not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftover {
    /// The tenant.
    pub tenant: usize,
    /// The place in its queue.
    pub item: usize,
    /// How many.
    pub count: u32,
    /// Why.
    pub why: Why,
}

/// Why tasks were not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The tenant's limit of this resource is used up.
    Quota { resource: usize },
    /// No node can take it now.
    NoFit,
    /// The pass made as many grants as it may.
    PassFull,
}

impl Executors {
    /// The set with one more kind.
    #[must_use]
    pub fn with(self, kind: ExecutorKind) -> Executors {
        Executors(self.0 | Executors::bit(kind))
    }

    /// True when the kind is in the set.
    pub fn has(self, kind: ExecutorKind) -> bool {
        self.0 & Executors::bit(kind) != 0
    }

    fn bit(kind: ExecutorKind) -> u8 {
        match kind {
            ExecutorKind::Exec => 1,
            ExecutorKind::Docker => 2,
            ExecutorKind::Fake => 4,
        }
    }
}

impl Problem {
    /// The number of resources.
    pub(super) fn resources(&self) -> usize {
        let of_nodes = self.nodes.first().map(|node| node.capacity.len());
        of_nodes.or(self.tenants.first().map(|tenant| tenant.used.len())).unwrap_or(0)
    }

    /// Holds the problem against its contract.
    pub(super) fn check(&self) {
        let resources = self.resources();
        for node in &self.nodes {
            assert_eq!(node.capacity.len(), resources, "a node's capacity has every resource");
            assert_eq!(node.free.len(), resources, "a node's room has every resource");
            assert!(
                node.free.iter().zip(&node.capacity).all(|(free, capacity)| free <= capacity),
                "no more is free than there is"
            );
        }
        for class in &self.classes {
            assert!(
                class.request.iter().all(|&(resource, amount)| resource < resources && amount > 0),
                "a request names resources that exist"
            );
        }
        let mut ranks: Vec<usize> = self.tenants.iter().map(|tenant| tenant.rank).collect();
        ranks.sort_unstable();
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "tenants differ in rank");
        for tenant in &self.tenants {
            assert!(tenant.weight > 0, "a weight is at least 1");
            assert_eq!(tenant.used.len(), resources, "a tenant's use has every resource");
            assert_eq!(tenant.limit.len(), resources, "a tenant's limit has every resource");
            for item in &tenant.queue {
                assert!(item.class < self.classes.len(), "an item's class exists");
                assert!(item.count > 0, "an item has tasks");
                assert!(
                    !matches!(item.pin, Pin::Node(node) if node >= self.nodes.len()),
                    "an item's node exists"
                );
            }
        }
    }
}
