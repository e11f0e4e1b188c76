//! Hashes that are the same on every machine, in every process and in every release: replicas compare them, snapshots
//! and the records of requests keep them. What of a value they depend on is in [`crate::canonical`].

use crate::canonical::{Canonical, mix};

/// The hash of one value.
pub fn of<T: Canonical + ?Sized>(value: &T) -> u128 {
    mix(0, value.digest())
}

/// The sum over all records of a table. Because a sum does not depend on order, it is kept up to date record by record:
/// `take` what was, `put` what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableHash {
    table: u64,
    sum: u128,
}

impl TableHash {
    /// Of an empty table; its number keeps equal records of different tables apart.
    pub const fn new(table: u64) -> TableHash {
        TableHash { table, sum: 0 }
    }

    /// Of the same table when it is empty.
    pub const fn without_records(self) -> TableHash {
        TableHash::new(self.table)
    }

    /// Adds a record.
    #[inline]
    pub fn put<K: Canonical, V: Canonical>(&mut self, key: &K, record: &V) {
        self.sum = self.sum.wrapping_add(self.of_record(key, record));
    }

    /// Removes a record that was added with the same content.
    #[inline]
    pub fn take<K: Canonical, V: Canonical>(&mut self, key: &K, record: &V) {
        self.sum = self.sum.wrapping_sub(self.of_record(key, record));
    }

    /// The sum; zero for an empty table.
    pub fn sum(self) -> u128 {
        self.sum
    }

    /// The key is the field of the record that no other has the number of.
    #[inline]
    fn of_record<K: Canonical, V: Canonical>(self, key: &K, record: &V) -> u128 {
        mix(self.table, mix(0, key.digest()).wrapping_add(record.digest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(records: &[(u64, &str)]) -> TableHash {
        let mut hash = TableHash::new(7);
        records.iter().for_each(|(key, record)| hash.put(key, record));
        hash
    }

    #[test]
    fn the_hash_of_a_table_depends_on_its_content_and_not_on_order() {
        let mut other = with(&[(2, "b"), (3, "c"), (1, "a")]);
        other.take(&3u64, &"c");
        assert_eq!(with(&[(1, "a"), (2, "b")]), other);
    }

    #[test]
    fn records_under_each_others_keys_or_in_another_table_differ() {
        assert_ne!(with(&[(1, "a"), (2, "b")]), with(&[(1, "b"), (2, "a")]));
        assert_ne!(with(&[(0, "")]), with(&[]));
        assert_ne!(with(&[(0, "")]), with(&[(1, "")]));
        let mut elsewhere = TableHash::new(8);
        elsewhere.put(&1u64, &"a");
        assert_ne!(with(&[(1, "a")]).sum(), elsewhere.sum());
    }
}
