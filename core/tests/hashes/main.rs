//! Hashes outlive a release: snapshots, the records of requests and the other members have those of the release before.
//! So a hash in the golden list is never another one later. Each example sets every field, so that none is forgotten.

mod commands;
mod records;
mod specs;

use std::collections::BTreeMap;

use berth_core::canonical::Canonical;
use berth_core::hash;

const GOLDEN: &str = "tests/hashes/golden.txt";

/// The hashes of all examples, by name.
#[derive(Default)]
struct Hashes(BTreeMap<String, u128>);

impl Hashes {
    fn of_all() -> Hashes {
        let mut hashes = Hashes::default();
        specs::add(&mut hashes);
        records::add(&mut hashes);
        commands::add(&mut hashes);
        hashes
    }

    fn add<T: Canonical>(&mut self, name: &str, value: &T) {
        let before = self.0.insert(name.to_owned(), hash::of(value));
        assert!(before.is_none(), "two examples are named {name:?}");
    }

    /// Values of one type, named by their places, so that names in the source can change.
    fn add_all<T: Canonical>(&mut self, kind: &str, values: &[T]) {
        (1..).zip(values).for_each(|(place, value)| self.add(&format!("{kind} {place}"), value));
    }
}

#[test]
fn hashes_are_those_of_earlier_releases() {
    let hashes = Hashes::of_all();
    let lines = |hashes: &BTreeMap<String, u128>| {
        hashes.iter().map(|(name, hash)| format!("{hash:032x} {name}\n")).collect::<String>()
    };
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let golden: BTreeMap<String, u128> = golden
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(hash, name)| (name.to_owned(), u128::from_str_radix(hash, 16).unwrap()))
        .collect();
    let other: Vec<&String> = golden
        .iter()
        .filter(|(name, hash)| hashes.0.get(*name) != Some(hash))
        .map(|(name, _)| name)
        .collect();
    assert!(
        other.is_empty(),
        "these have another hash than in releases before, or none: {other:#?}\n\
         With that a new release refuses the snapshots of clusters that exist, its members and older ones stop each \
         other, and repeated requests are refused. Give a new field a number of its own and a default, and leave all \
         numbers as they are."
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // Those in the list are as they were.
        std::fs::write(GOLDEN, lines(&hashes.0)).unwrap();
        return;
    }
    let new: BTreeMap<String, u128> =
        hashes.0.into_iter().filter(|(name, _)| !golden.contains_key(name)).collect();
    assert!(new.is_empty(), "new; if they are meant, run with UPDATE_GOLDEN=1:\n{}", lines(&new));
}

#[test]
fn no_two_examples_have_one_hash() {
    let hashes = Hashes::of_all();
    let mut names = BTreeMap::new();
    for (name, hash) in hashes.0 {
        let kind = name.split(' ').next().unwrap().to_owned();
        assert_eq!(names.insert((kind, hash), name.clone()), None, "{name}");
    }
}
