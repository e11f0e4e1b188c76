//! The tables of the state. Each is cheap to clone, so that readers and snapshots work on a view of their
//! own, and each keeps the sum of its records' hashes, so that replicas can be compared at any index.

mod handle_set;
mod slab;

use imbl::OrdMap;

use crate::canonical::Canonical;
use crate::hash::TableHash;
use slab::Slab;

pub use handle_set::HandleSet;

/// A record that is stored by handle in a [`HotTable`].
pub trait Handle: Copy + Ord + Canonical + std::fmt::Debug + Into<u64> {
    /// The handle with that number.
    fn from_number(number: u64) -> Self;
}

macro_rules! handles {
    ($($name:ident($int:ty)),*) => {$(
        impl Handle for crate::id::$name {
            fn from_number(number: u64) -> Self {
                crate::id::$name(<$int>::try_from(number).expect("handles are given out in order from zero"))
            }
        }
    )*};
}

handles!(
    SpecHandle(u64),
    JobHandle(u64),
    RunHandle(u64),
    StepHandle(u64),
    TaskHandle(u64),
    AttemptHandle(u64),
    NodeHandle(u32)
);

/// Many small records that change often, by handle.
#[derive(Debug, Clone)]
pub struct HotTable<K, V> {
    slab: Slab<V>,
    hash: TableHash,
    key: std::marker::PhantomData<K>,
}

impl<K: Handle, V: Clone + Canonical> HotTable<K, V> {
    /// An empty table; the number is the one by which its records are hashed, and no other table's.
    pub fn new(number: u64) -> Self {
        HotTable { slab: Slab::default(), hash: TableHash::new(number), key: std::marker::PhantomData }
    }

    /// The record, if there is one.
    pub fn get(&self, key: K) -> Option<&V> {
        self.slab.get(key.into())
    }

    /// Adds a record.
    ///
    /// # Panics
    /// When the handle is taken.
    pub fn insert(&mut self, key: K, record: V) {
        self.hash.put(&key, &record);
        let before = self.slab.insert(key.into(), record);
        assert!(before.is_none(), "{key:?} is given out once");
    }

    /// Changes a record in place and returns what `change` returns.
    ///
    /// # Panics
    /// When there is no such record.
    pub fn update<R>(&mut self, key: K, change: impl FnOnce(&mut V) -> R) -> R {
        let record = self.slab.get_mut(key.into()).unwrap_or_else(|| panic!("{key:?} is in its table"));
        self.hash.take(&key, record);
        let answer = change(record);
        self.hash.put(&key, record);
        answer
    }

    /// Removes a record.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let record = self.slab.remove(key.into())?;
        self.hash.take(&key, &record);
        Some(record)
    }

    /// All records, by handle.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.slab.iter().map(|(number, record)| (K::from_number(number), record))
    }

    /// At least those records, by handle, that are others in another version of this table, and not many more.
    pub fn unshared<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (K, &'a V)> {
        self.slab.unshared(&other.slab).map(|(number, record)| (K::from_number(number), record))
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// True when there is no record.
    pub fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// The sum of the records' hashes.
    pub fn hash(&self) -> TableHash {
        self.hash
    }
}

/// Fewer records that change seldom, by any ordered key.
#[derive(Debug, Clone)]
pub struct ColdTable<K: Ord, V> {
    map: OrdMap<K, V>,
    hash: TableHash,
}

impl<K: Ord + Clone + Canonical, V: Clone + Canonical> ColdTable<K, V> {
    /// An empty table; the number is the one by which its records are hashed, and no other table's.
    pub fn new(number: u64) -> Self {
        ColdTable { map: OrdMap::new(), hash: TableHash::new(number) }
    }

    /// The record, if there is one.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    /// Adds or replaces a record and returns the one before.
    pub fn insert(&mut self, key: K, record: V) -> Option<V> {
        self.hash.put(&key, &record);
        let before = self.map.insert(key.clone(), record);
        if let Some(before) = &before {
            self.hash.take(&key, before);
        }
        before
    }

    /// Changes a record in place and returns what `change` returns; `None` when there is no such record.
    pub fn update<R>(&mut self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let record = self.map.get_mut(key)?;
        self.hash.take(key, record);
        let answer = change(record);
        self.hash.put(key, record);
        Some(answer)
    }

    /// Removes a record.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let record = self.map.remove(key)?;
        self.hash.take(key, &record);
        Some(record)
    }

    /// All records, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.map.iter()
    }

    /// The records of a range of keys, by key.
    pub fn range(&self, keys: impl std::ops::RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.map.range(keys)
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True when there is no record.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The sum of the records' hashes.
    pub fn hash(&self) -> TableHash {
        self.hash
    }
}
