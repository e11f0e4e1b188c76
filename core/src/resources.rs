//! Resources are a vector over interned names, in whole units: thousandths for countable things such as
//! cpu, bytes for memory. No floats, and never a struct of cpu and memory, so that a cluster can
//! share whatever its nodes offer.

use std::collections::BTreeMap;

use crate::canonical::canonical;
use crate::id::ResourceHandle;

/// The name under which cpu is known, in thousandths of a core.
pub const CPU: &str = "cpu";
/// The name under which memory is known, in bytes.
pub const MEMORY: &str = "memory";

/// Amounts of named resources, as people and nodes give them: cpu in thousandths, memory in bytes.
pub type NamedResources = BTreeMap<String, u64>;

/// An amount as people write it: `500m` or `2` for countable things, `512Mi` for memory. Memory that no short
/// number gives exactly is rounded down.
pub fn display(name: &str, amount: u64) -> String {
    if name != MEMORY {
        return match amount % 1000 {
            0 => (amount / 1000).to_string(),
            _ => format!("{amount}m"),
        };
    }
    const UNITS: [(u64, &str); 4] = [(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    // The largest unit in which the amount is whole, as long as the number stays readable.
    let exact = UNITS.iter().find(|(size, _)| amount > 0 && amount.is_multiple_of(*size));
    let rounded = UNITS.iter().find(|(size, _)| amount / size >= 100);
    match exact.filter(|(size, _)| amount / size < 100_000).or(rounded) {
        Some((size, unit)) => format!("{}{unit}", amount / size),
        None => amount.to_string(),
    }
}

/// Amounts by interned name, sorted by handle, no zero amounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Resources(Vec<(ResourceHandle, u64)>);

canonical!(Resources(_));

impl Resources {
    /// Nothing.
    pub const NONE: Resources = Resources(Vec::new());

    /// The amount of one resource; 0 when absent.
    pub fn get(&self, resource: ResourceHandle) -> u64 {
        match self.0.binary_search_by_key(&resource, |&(handle, _)| handle) {
            Ok(at) => self.0[at].1,
            Err(_) => 0,
        }
    }

    /// Sets the amount of one resource.
    pub fn set(&mut self, resource: ResourceHandle, amount: u64) {
        match self.0.binary_search_by_key(&resource, |&(handle, _)| handle) {
            Ok(at) if amount == 0 => drop(self.0.remove(at)),
            Ok(at) => self.0[at].1 = amount,
            Err(_) if amount == 0 => {}
            Err(at) => self.0.insert(at, (resource, amount)),
        }
    }

    /// Every resource with an amount, by handle.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceHandle, u64)> + '_ {
        self.0.iter().copied()
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `other`, at most to `u64::MAX`.
    pub fn add(&mut self, other: &Resources) {
        for (resource, amount) in other.iter() {
            self.set(resource, self.get(resource).saturating_add(amount));
        }
    }

    /// Takes `other` away.
    ///
    /// # Panics
    /// When more is taken than there is: usage is only ever given back once.
    pub fn sub(&mut self, other: &Resources) {
        for (resource, amount) in other.iter() {
            let left = self.get(resource).checked_sub(amount).expect("what is given back was taken before");
            self.set(resource, left);
        }
    }

    /// The first resource of which `self + more` would exceed `limit`, looking only at resources that
    /// `bounded` says are limited. What no number can hold exceeds every limit, and having none.
    pub fn first_over(
        &self,
        more: &Resources,
        limit: &Resources,
        bounded: impl Fn(ResourceHandle) -> bool,
    ) -> Option<ResourceHandle> {
        more.iter().find_map(|(resource, amount)| {
            let over = match self.get(resource).checked_add(amount) {
                Some(total) => bounded(resource) && total > limit.get(resource),
                None => true,
            };
            over.then_some(resource)
        })
    }

    /// True when `self + more` stays within `capacity` in every resource that `more` asks for.
    pub fn fits(&self, more: &Resources, capacity: &Resources) -> bool {
        self.first_over(more, capacity, |_| true).is_none()
    }
}

impl FromIterator<(ResourceHandle, u64)> for Resources {
    fn from_iter<I: IntoIterator<Item = (ResourceHandle, u64)>>(amounts: I) -> Self {
        let mut resources = Resources::default();
        for (resource, amount) in amounts {
            resources.set(resource, amount);
        }
        resources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_units_that_people_use() {
        for (name, amount, text) in [
            (CPU, 0, "0"),
            (CPU, 500, "500m"),
            (CPU, 2000, "2"),
            (CPU, 1500, "1500m"),
            ("gpu", 3000, "3"),
            (MEMORY, 0, "0"),
            (MEMORY, 1000, "1000"),
            (MEMORY, 512 << 20, "512Mi"),
            (MEMORY, 1536 << 10, "1536Ki"),
            (MEMORY, 8 << 30, "8Gi"),
            (MEMORY, 16_384_000 << 10, "16000Mi"),
            (MEMORY, 16_384_001 << 10, "16000Mi"),
            (MEMORY, 123_456_789_012, "114Gi"),
            (MEMORY, 123_456_789, "117Mi"),
        ] {
            assert_eq!(display(name, amount), text, "{name} {amount}");
        }
    }
}
