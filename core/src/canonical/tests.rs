use std::collections::BTreeMap;

use super::*;
use crate::hash::of;

/// A record as one release has it...
struct Before {
    name: String,
    size: u32,
}

canonical!(Before { 1: name, 3: size });

/// ...and as a later one has it: fields moved, one renamed, some added.
#[derive(Default)]
struct After {
    colour: Colour,
    length: u32,
    parts: Vec<u64>,
    name: String,
    limit: Option<u64>,
    inner: Inner,
}

canonical!(After { 1: name, 2: parts, 3: length, 4: limit, 5: inner, 6: colour });

#[derive(Default)]
struct Inner {
    weight: u64,
    derived: u64,
}

canonical!(Inner { 1: weight } without { derived });

#[derive(Default)]
enum Colour {
    #[default]
    Plain,
    Mixed {
        red: u8,
        green: u8,
    },
    Named(String),
}

canonical!(enum Colour { 0: Plain, 1: Mixed { 1: red, 2: green }, 2: Named(name) });

fn after(change: impl FnOnce(&mut After)) -> u128 {
    let mut after = After { name: "quay".into(), length: 7, ..After::default() };
    change(&mut after);
    of(&after)
}

#[test]
fn fields_that_move_or_come_in_with_their_default_leave_the_hash_as_it_was() {
    let before = of(&Before { name: "quay".into(), size: 7 });
    assert_eq!(after(|_| {}), before);
    assert_eq!(after(|after| after.inner.derived = 9), before, "what is derived is not hashed");
}

#[test]
fn a_new_field_that_is_used_changes_the_hash() {
    let hashes = [
        after(|_| {}),
        after(|after| after.parts = vec![0]),
        after(|after| after.parts = vec![0, 0]),
        after(|after| after.limit = Some(0)),
        after(|after| after.limit = Some(1)),
        after(|after| after.inner.weight = 1),
        after(|after| after.colour = Colour::Mixed { red: 0, green: 0 }),
        after(|after| after.colour = Colour::Mixed { red: 1, green: 0 }),
        after(|after| after.colour = Colour::Mixed { red: 0, green: 1 }),
        after(|after| after.colour = Colour::Named(String::new())),
    ];
    assert_eq!(BTreeSet::from(hashes).len(), hashes.len());
}

#[test]
fn neighbouring_texts_and_lists_do_not_run_into_each_other() {
    let pair = |a: &str, b: &str| of(&(a.to_owned(), b.to_owned()));
    assert_ne!(pair("ab", "c"), pair("a", "bc"));
    assert_ne!(pair("ab", ""), pair("", "ab"));
    let lists = |a: &[u64], b: &[u64]| of(&(a.to_vec(), b.to_vec()));
    assert_ne!(lists(&[1, 2], &[]), lists(&[1], &[2]));
    assert_ne!(lists(&[1], &[2]), lists(&[], &[1, 2]));
    let nested = |lists: &[&[u64]]| of(&lists.iter().map(|list| list.to_vec()).collect::<Vec<_>>());
    assert_ne!(nested(&[&[1, 2]]), nested(&[&[1], &[2]]));
    assert_ne!(nested(&[&[], &[1]]), nested(&[&[1], &[]]));
    assert_ne!(nested(&[&[]]), nested(&[]));
    let map = |pairs: &[(&str, &str)]| {
        of(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>())
    };
    assert_ne!(map(&[("a", "b")]), map(&[("b", "a")]));
    assert_ne!(map(&[("a", "b"), ("c", "d")]), map(&[("a", "d"), ("c", "b")]));
    assert_ne!(map(&[("a", "")]), map(&[]));
}

#[test]
fn order_length_and_absence_count() {
    for (one, other) in [("ab", "ba"), ("ab", "ab\0"), ("", "\0"), ("0123456789abcdef", "0123456789abcdef\0")]
    {
        assert_ne!(of(one), of(other), "{one:?} {other:?}");
    }
    assert_ne!(of("0123456789abcdefFEDCBA9876543210"), of("FEDCBA98765432100123456789abcdef"));
    assert_ne!(of(&vec![1u64, 2]), of(&vec![2u64, 1]));
    assert_ne!(of(&vec![0u64; 3]), of(&vec![0u64; 4]));
    assert_ne!(of(&Some(0u64)), of(&None::<u64>));
    assert_ne!(of(&(1u64, 2u64)), of(&(2u64, 1u64)));
    assert_ne!(of(&-1i32), of(&1i32));
    assert_ne!(of(&(1u128 << 64)), of(&1u128));
}

#[test]
fn each_bit_of_a_value_reaches_all_of_the_hash() {
    for number in [0, 1, 2, 17] {
        for value in [0, 1, u128::from(u64::MAX), 0x0123_4567_89ab_cdef << 50] {
            for bit in 0..128 {
                let differing = (mix(number, value) ^ mix(number, value ^ (1 << bit))).count_ones();
                assert!((32..=96).contains(&differing), "{number} {value:x} {bit}: {differing} of 128");
            }
        }
    }
}

#[test]
fn numbers_that_do_not_rise_are_noticed() {
    assert!(rise(&[1, 2, 9]));
    assert!(!rise(&[1, 1]));
    assert!(!rise(&[2, 1]));
    assert!(!rise(&[0, 0]));
}
