use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Class, Pin, Room};

/// The most orders that are kept while no demand uses them.
const IDLE_ORDERS_MAX: usize = 64;

/// The nodes, and for each class that was asked for the nodes that can take it, best fit first.
///
/// The best fit leaves least over: of what remains of each resource on the node, as a part of the
/// largest node's amount, the greatest counts. The largest amount is rounded up to a power of two, which
/// makes parts of different resources comparable as whole numbers.
#[derive(Debug)]
pub(super) struct Fit {
    rooms: Vec<Room>,
    total: Vec<u64>,
    /// By how many bits an amount of each resource is moved up to become a part.
    shift: Vec<u32>,
    orders: BTreeMap<OrderKey, Order>,
}

/// A class among all nodes, or among those with one shared directory.
type OrderKey = (usize, Option<u32>);

#[derive(Debug)]
struct Order {
    class: Class,
    /// What would be left over, and the node.
    nodes: BTreeSet<(u64, usize)>,
    /// True when it was asked for since the last sweep.
    wanted: bool,
}

impl Fit {
    /// The nodes as they are, with so many resources.
    pub(super) fn new(resources: usize, rooms: Vec<Room>) -> Fit {
        let mut total = vec![0u64; resources];
        for room in &rooms {
            add(&mut total, &room.capacity);
        }
        let shift = shifts(resources, &rooms);
        Fit { rooms, total, shift, orders: BTreeMap::new() }
    }

    /// What all nodes together offer.
    pub(super) fn total(&self) -> &[u64] {
        &self.total
    }

    /// One node.
    pub(super) fn room(&self, node: usize) -> &Room {
        &self.rooms[node]
    }

    /// Adds a node behind the others.
    pub(super) fn push(&mut self, room: Room) {
        add(&mut self.total, &room.capacity);
        self.rooms.push(room);
        self.enter(self.rooms.len() - 1);
    }

    /// Puts another room in a node's place.
    pub(super) fn set(&mut self, node: usize, room: Room) {
        self.leave(node);
        for (total, amount) in self.total.iter_mut().zip(&self.rooms[node].capacity) {
            *total = total.saturating_sub(*amount);
        }
        add(&mut self.total, &room.capacity);
        self.rooms[node] = room;
        self.enter(node);
    }

    /// The best node for a task of the class; `id` names the class.
    pub(super) fn best(&mut self, id: usize, class: &Class, pin: Pin) -> Option<usize> {
        if !class.offered {
            return None;
        }
        match pin {
            Pin::Free => self.first((id, None), class),
            Pin::Shared(shared) => self.first((id, Some(shared)), class),
            Pin::Node(node) => fits(&self.rooms[node], class).then_some(node),
            Pin::Nowhere => None,
        }
    }

    /// Takes what a task of the class asks for from a node where it fits.
    pub(super) fn take(&mut self, node: usize, class: &Class) {
        self.leave(node);
        for &(resource, amount) in &class.request {
            let free = &mut self.rooms[node].free[resource];
            *free = free.checked_sub(amount).expect("a task goes where it fits");
        }
        self.enter(node);
    }

    /// True when the nodes no longer give the scale on which fits are compared.
    pub(super) fn is_off_scale(&self) -> bool {
        self.shift != shifts(self.total.len(), &self.rooms)
    }

    /// Forgets orders that nothing asked for since the last sweep, when there are many: keeping them up to
    /// date costs more than making them anew.
    pub(super) fn sweep(&mut self) {
        let idle = self.orders.values().filter(|order| !order.wanted).count();
        if idle > IDLE_ORDERS_MAX {
            self.orders.retain(|_, order| order.wanted);
        }
        for order in self.orders.values_mut() {
            order.wanted = false;
        }
    }

    fn first(&mut self, key: OrderKey, class: &Class) -> Option<usize> {
        let (rooms, shift) = (&self.rooms, &self.shift);
        let order = self.orders.entry(key).or_insert_with(|| {
            let nodes = rooms
                .iter()
                .enumerate()
                .filter(|(_, room)| belongs(key, room) && fits(room, class))
                .map(|(node, room)| (left_over(room, class, shift), node))
                .collect();
            Order { class: class.clone(), nodes, wanted: true }
        });
        order.wanted = true;
        order.nodes.first().map(|&(_, node)| node)
    }

    /// Takes a node out of every order, before it changes.
    fn leave(&mut self, node: usize) {
        let room = &self.rooms[node];
        for (key, order) in &mut self.orders {
            if belongs(*key, room) && fits(room, &order.class) {
                order.nodes.remove(&(left_over(room, &order.class, &self.shift), node));
            }
        }
    }

    /// Puts a node into every order, after it changed.
    fn enter(&mut self, node: usize) {
        let room = &self.rooms[node];
        for (key, order) in &mut self.orders {
            if belongs(*key, room) && fits(room, &order.class) {
                order.nodes.insert((left_over(room, &order.class, &self.shift), node));
            }
        }
    }

    /// The nodes of every order, for comparison in tests.
    #[cfg(test)]
    pub(super) fn orders_made_anew(&self) -> bool {
        let mut fresh = Fit::new(self.total.len(), self.rooms.clone());
        self.orders.iter().all(|(key, order)| {
            fresh.first(*key, &order.class);
            fresh.orders[key].nodes == order.nodes
        }) && fresh.total == self.total
    }
}

fn add(total: &mut [u64], amounts: &[u64]) {
    for (total, amount) in total.iter_mut().zip(amounts) {
        *total = total.saturating_add(*amount);
    }
}

fn belongs((_, shared): OrderKey, room: &Room) -> bool {
    shared.is_none() || shared == room.shared
}

fn fits(room: &Room, class: &Class) -> bool {
    !room.closed
        && room.executors.has(class.executor)
        && class.request.iter().all(|&(resource, amount)| amount <= room.free[resource])
}

/// What the fullest measure of a node would still have free with a task of the class on it.
fn left_over(room: &Room, class: &Class, shift: &[u32]) -> u64 {
    let asked = |resource| {
        let asked = class.request.iter().find(|&&(named, _)| named == resource);
        asked.map_or(0, |&(_, amount)| amount)
    };
    room.free
        .iter()
        .zip(shift)
        .enumerate()
        .map(|(resource, (free, shift))| (free - asked(resource)) << shift)
        .max()
        .unwrap_or(0)
}

fn shifts(resources: usize, rooms: &[Room]) -> Vec<u32> {
    (0..resources)
        .map(|resource| rooms.iter().map(|room| room.capacity[resource]).max().unwrap_or(0))
        .map(|largest| if largest == 0 { 0 } else { largest.leading_zeros() })
        .collect()
}
