//! Copy-on-write storage for records under ever-growing numbers.
//!
//! ```text
//! roots: number / 65,536 -> branch of 256 -> node of 16 -> chunk of 16 records
//! ```
//! A clone shares everything. The first change after a clone copies one chunk, one node, one branch and a path in
//! the map of roots. Chunks and nodes are small because changes come from all over a table: with a view published
//! every thousand changes, nearly each of them copies its chunk and counts up the chunks of its node, while the
//! few branches are copied once a view. Numbers are never used again, so what is removed leaves a hole, and
//! what is empty is given back.

use std::sync::Arc;

use imbl::OrdMap;

const CHUNK: usize = 16;
const NODE: usize = 16;
const BRANCH: usize = 256;

type Chunk<V> = Block<V, CHUNK>;
type Node<V> = Block<Arc<Chunk<V>>, NODE>;
type Branch<V> = Block<Arc<Node<V>>, BRANCH>;

#[derive(Debug, Clone)]
pub(super) struct Slab<V> {
    roots: OrdMap<u64, Arc<Branch<V>>>,
    len: usize,
}

/// Some slots, and how many of them are used.
#[derive(Debug, Clone)]
struct Block<T, const N: usize> {
    slots: [Option<T>; N],
    used: usize,
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Slab { roots: OrdMap::new(), len: 0 }
    }
}

impl<T, const N: usize> Default for Block<T, N> {
    fn default() -> Self {
        Block { slots: [const { None }; N], used: 0 }
    }
}

impl<T, const N: usize> Block<T, N> {
    fn put(&mut self, at: usize, item: T) -> Option<T> {
        let before = self.slots[at].replace(item);
        self.used += usize::from(before.is_none());
        before
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let before = self.slots[at].take();
        self.used -= usize::from(before.is_some());
        before
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        (0u64..).zip(&self.slots).filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }
}

impl<T: Clone, const N: usize> Block<Arc<T>, N> {
    /// What is in a slot, for a change; made if it is missing.
    fn made(&mut self, at: usize) -> &mut T
    where
        T: Default,
    {
        let slot = &mut self.slots[at];
        self.used += usize::from(slot.is_none());
        Arc::make_mut(slot.get_or_insert_with(Arc::default))
    }

    fn changed(&mut self, at: usize) -> Option<&mut T> {
        self.slots[at].as_mut().map(Arc::make_mut)
    }

    /// What is not the very same in another block, with what that one has instead.
    fn unshared<'a>(
        &'a self,
        other: Option<&'a Arc<Self>>,
    ) -> impl Iterator<Item = (u64, &'a Arc<T>, Option<&'a Arc<T>>)> {
        (0u64..).zip(&self.slots).enumerate().filter_map(move |(at, (number, own))| {
            let own = own.as_ref()?;
            let theirs = other.and_then(|other| other.slots[at].as_ref());
            (!is_shared(own, theirs)).then_some((number, own, theirs))
        })
    }
}

/// Where a number lives: root, node in the branch, chunk in the node, record in the chunk.
fn place(number: u64) -> (u64, usize, usize, usize) {
    const ROOT: u64 = (CHUNK * NODE * BRANCH) as u64;
    let within = usize::try_from(number % ROOT).expect("less than a root");
    (number / ROOT, within / (CHUNK * NODE), within / CHUNK % NODE, within % CHUNK)
}

impl<V: Clone> Slab<V> {
    pub(super) fn get(&self, number: u64) -> Option<&V> {
        let (root, node, chunk, record) = place(number);
        let node = self.roots.get(&root)?.slots[node].as_ref()?;
        node.slots[chunk].as_ref()?.slots[record].as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        let (root, node, chunk, record) = place(number);
        let branch = Arc::make_mut(self.roots.get_mut(&root)?);
        branch.changed(node)?.changed(chunk)?.slots[record].as_mut()
    }

    pub(super) fn insert(&mut self, number: u64, value: V) -> Option<V> {
        let (root, node, chunk, record) = place(number);
        let branch = Arc::make_mut(self.roots.entry(root).or_default());
        let before = branch.made(node).made(chunk).put(record, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<V> {
        self.get(number)?;
        let (root, node_at, chunk_at, record) = place(number);
        let branch = Arc::make_mut(self.roots.get_mut(&root)?);
        let node = branch.changed(node_at)?;
        let chunk = node.changed(chunk_at)?;
        let value = chunk.take(record);
        self.len -= 1;
        if chunk.used == 0 {
            node.take(chunk_at);
        }
        if node.used == 0 {
            branch.take(node_at);
        }
        if branch.used == 0 {
            self.roots.remove(&root);
        }
        value
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        let nodes = self.roots.iter().flat_map(|(root, branch)| {
            branch.iter().map(move |(at, node)| (root * BRANCH as u64 + at, node))
        });
        let chunks = nodes.flat_map(|(number, node)| {
            node.iter().map(move |(at, chunk)| (number * NODE as u64 + at, chunk))
        });
        chunks.flat_map(|(number, chunk)| {
            chunk.iter().map(move |(at, record)| (number * CHUNK as u64 + at, record))
        })
    }

    /// The records here that may differ from those of another slab: all whose chunk is not shared with it. Of two clones
    /// that were changed apart these are few, however many there are in all.
    pub(super) fn unshared<'a>(&'a self, other: &'a Slab<V>) -> impl Iterator<Item = (u64, &'a V)> {
        let roots = self.roots.iter().map(|(root, branch)| (*root, branch, other.roots.get(root)));
        let branches = roots.filter(|(_, own, theirs)| !is_shared(own, *theirs));
        let nodes = branches.flat_map(|(root, own, theirs)| {
            own.unshared(theirs).map(move |(at, own, theirs)| (root * BRANCH as u64 + at, own, theirs))
        });
        let chunks = nodes.flat_map(|(number, own, theirs)| {
            own.unshared(theirs).map(move |(at, chunk, _)| (number * NODE as u64 + at, chunk))
        });
        chunks.flat_map(|(number, chunk)| {
            chunk.iter().map(move |(at, record)| (number * CHUNK as u64 + at, record))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

fn is_shared<T>(own: &Arc<T>, theirs: Option<&Arc<T>>) -> bool {
    theirs.is_some_and(|theirs| Arc::ptr_eq(own, theirs))
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

    proptest! {
        #[test]
        fn whatever_differs_between_two_clones_is_among_what_they_do_not_share(
            before in prop::collection::vec(0u64..40_000, 1..300),
            after in prop::collection::vec((0u64..40_000, prop::bool::ANY), 0..30),
        ) {
            let mut slab = Slab::default();
            for number in before {
                slab.insert(number, 0);
            }
            let old = slab.clone();
            prop_assert_eq!(old.unshared(&slab).count(), 0);
            for (number, insert) in after {
                if insert {
                    slab.insert(number, 1);
                } else {
                    slab.remove(number);
                }
            }
            let differs = |from: &Slab<i32>, to: &Slab<i32>| {
                let differing = from.iter().filter(|(number, value)| to.get(*number) != Some(*value));
                differing.map(|(number, _)| number).collect::<Vec<_>>()
            };
            for (from, to) in [(&old, &slab), (&slab, &old)] {
                let unshared: BTreeMap<u64, i32> = from.unshared(to).map(|(at, value)| (at, *value)).collect();
                prop_assert!(unshared.iter().all(|(number, value)| from.get(*number) == Some(value)));
                prop_assert!(differs(from, to).iter().all(|number| unshared.contains_key(number)));
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
