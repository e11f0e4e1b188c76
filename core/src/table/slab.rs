//! Copy-on-write storage for records under ever-growing numbers.
//!
//! ```text
//! roots: number / 16,384 -> node of 256 -> chunk of 64 records
//! ```
//! A clone shares everything. The first change after a clone copies one chunk, one node and the short list
//! of roots. Numbers are never used again, so what is removed leaves a hole, and an empty chunk is
//! given back.

use std::collections::BTreeMap;
use std::sync::Arc;

const CHUNK: usize = 64;
const FAN: usize = 256;
const ROOT: u64 = (CHUNK * FAN) as u64;

#[derive(Debug, Clone)]
pub(super) struct Slab<V> {
    roots: BTreeMap<u64, Arc<Node<V>>>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Node<V> {
    chunks: Vec<Option<Arc<Chunk<V>>>>,
    used: usize,
}

#[derive(Debug, Clone)]
struct Chunk<V> {
    records: Vec<Option<V>>,
    used: usize,
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Slab { roots: BTreeMap::new(), len: 0 }
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Node { chunks: std::iter::repeat_with(|| None).take(FAN).collect(), used: 0 }
    }
}

impl<V> Default for Chunk<V> {
    fn default() -> Self {
        Chunk { records: std::iter::repeat_with(|| None).take(CHUNK).collect(), used: 0 }
    }
}

/// Where a number lives: root, chunk in the node, record in the chunk.
fn place(number: u64) -> (u64, usize, usize) {
    let within = usize::try_from(number % ROOT).expect("less than a root");
    (number / ROOT, within / CHUNK, within % CHUNK)
}

impl<V: Clone> Slab<V> {
    pub(super) fn get(&self, number: u64) -> Option<&V> {
        let (root, chunk, record) = place(number);
        self.roots.get(&root)?.chunks[chunk].as_ref()?.records[record].as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        let (root, chunk, record) = place(number);
        let node = Arc::make_mut(self.roots.get_mut(&root)?);
        Arc::make_mut(node.chunks[chunk].as_mut()?).records[record].as_mut()
    }

    pub(super) fn insert(&mut self, number: u64, value: V) -> Option<V> {
        let (root, chunk, record) = place(number);
        let node = Arc::make_mut(self.roots.entry(root).or_default());
        let slot = &mut node.chunks[chunk];
        node.used += usize::from(slot.is_none());
        let chunk = Arc::make_mut(slot.get_or_insert_with(Arc::default));
        let before = chunk.records[record].replace(value);
        chunk.used += usize::from(before.is_none());
        self.len += usize::from(before.is_none());
        before
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<V> {
        self.get(number)?;
        let (root, chunk, record) = place(number);
        let node = Arc::make_mut(self.roots.get_mut(&root)?);
        let slot = &mut node.chunks[chunk];
        let inner = Arc::make_mut(slot.as_mut()?);
        let value = inner.records[record].take();
        inner.used -= 1;
        self.len -= 1;
        if inner.used == 0 {
            *slot = None;
            node.used -= 1;
            if node.used == 0 {
                self.roots.remove(&root);
            }
        }
        value
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.roots.iter().flat_map(|(root, node)| {
            (0u64..).zip(&node.chunks).filter_map(|(at, chunk)| Some((at, chunk.as_ref()?))).flat_map(
                move |(chunk_at, chunk)| {
                    let first = root * ROOT + chunk_at * CHUNK as u64;
                    (first..)
                        .zip(&chunk.records)
                        .filter_map(|(number, record)| Some((number, record.as_ref()?)))
                },
            )
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slab_behaves_like_an_ordered_map_and_a_clone_never_changes(
            steps in prop::collection::vec((0u64..40_000, prop::bool::ANY), 1..300)
        ) {
            let mut slab = Slab::default();
            let mut model = BTreeMap::new();
            let mut frozen = (slab.clone(), model.clone());
            for (at, (number, insert)) in steps.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(slab.insert(number, at), model.insert(number, at));
                } else {
                    prop_assert_eq!(slab.remove(number), model.remove(&number));
                }
                if at % 50 == 0 {
                    frozen = (slab.clone(), model.clone());
                }
            }
            for (slab, model) in [(&slab, &model), (&frozen.0, &frozen.1)] {
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(slab.iter().eq(model.iter().map(|(number, value)| (*number, value))));
            }
        }
    }

    #[test]
    fn an_emptied_slab_holds_nothing() {
        let mut slab = Slab::default();
        for number in 0..20_000u64 {
            slab.insert(number, number);
        }
        for number in 0..20_000u64 {
            slab.remove(number);
        }
        assert!(slab.roots.is_empty());
    }
}
