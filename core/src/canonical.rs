//! What of a value its hash depends on: the numbers and contents of its fields, as on the wire, and nothing else.
//!
//! ```text
//!   field 1 ── digest ─┐
//!   field 4 ── digest ─┼─ each mixed with its number ──> sum = digest of the record
//!   field 7 ── digest ─┘
//! ```
//! A field with its default (zero, empty, absent) adds nothing. So a field that a later release adds leaves the hashes
//! of everything that does not use it as they were, and members of both releases agree. Names and the order of
//! declaration count for nothing. Numbers have to keep their meaning for ever, and the digest of a field its form: who
//! needs another one takes a new number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Has a digest that is the same on every machine and in every release.
pub trait Canonical {
    /// What the hash of the value is made of; zero for the default, and but for accidents only for that. It tells
    /// apart values of one type only. [`crate::hash::of`] makes a hash of it.
    fn digest(&self) -> u128;
}

/// Says by which numbers a type is hashed. Whatever is not mentioned does not compile.
///
/// ```text
/// canonical!(Task { 1: step, 2: index });                        a record: its fields by number
/// canonical!(Record { 1: users } without { derived });           a record with fields that are not hashed
/// canonical!(enum Count { 1: Single, 2: Fixed(number), 3: LengthOf { 1: task, 2: key } });
/// canonical!(Millis(_));                                         hashed as what it wraps
/// ```
/// Numbers stand in rising order and begin with 1. One that is given up is never used again. A variant with the number
/// 0 is the default of its type: it is for an enum that is added as a field to a record that exists.
macro_rules! canonical {
    (enum $name:ident { $(
        $number:literal: $variant:ident
        $(($inner:ident))?
        $({ $($place:literal: $field:ident),+ $(,)? })?
    ),+ $(,)? }) => {
        const _: () = assert!($crate::canonical::rise(&[$($number),+]), "numbers rise");
        $($(const _: () = assert!($crate::canonical::rise(&[0, $($place),+]), "numbers rise from 1");)?)+

        impl $crate::canonical::Canonical for $name {
            #[inline]
            fn digest(&self) -> u128 {
                match self {$(
                    $name::$variant $(($inner))? $({ $($field),+ })? => $crate::canonical::variant(
                        $number,
                        0u128
                            $(.wrapping_add($crate::canonical::Canonical::digest($inner)))?
                            $($(.wrapping_add($crate::canonical::field($place, $field)))+)?
                    ),
                )+}
            }
        }
    };
    ($name:ident { $($number:literal: $field:ident),+ $(,)? } $(without { $($derived:ident),+ })?) => {
        const _: () = assert!($crate::canonical::rise(&[0, $($number),+]), "numbers rise from 1");

        impl $crate::canonical::Canonical for $name {
            #[inline]
            fn digest(&self) -> u128 {
                let $name { $($field,)+ $($($derived: _,)+)? } = self;
                0u128 $(.wrapping_add($crate::canonical::field($number, $field)))+
            }
        }
    };
    ($name:ident(_)) => {
        impl $crate::canonical::Canonical for $name {
            #[inline]
            fn digest(&self) -> u128 {
                let $name(inner) = self;
                $crate::canonical::Canonical::digest(inner)
            }
        }
    };
}

pub(crate) use canonical;

/// The golden ratio and pieces of pi and e, made odd: numbers with nothing up their sleeves.
const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
const PI: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7345;
const E: u128 = 0xb7e1_5162_8aed_2a6a_bf71_5880_9cf4_f3c7;

/// The place of a text's length; no field and no block has it.
const LENGTH: u64 = u64::MAX;

/// A value under a number, in the manner of SplitMix64 (Steele, Lea, Flood 2014) at twice the width. One number takes
/// differing values to differing results. It guards against accidents, not against an adversary.
#[inline]
pub(crate) const fn mix(number: u64, value: u128) -> u128 {
    let mut z = value ^ GOLDEN.wrapping_mul(number as u128 + 1);
    z = (z ^ (z >> 64)).wrapping_mul(PI);
    z = (z ^ (z >> 59)).wrapping_mul(E);
    z ^ (z >> 64)
}

/// What a field adds to the digest of its record.
#[inline]
pub(crate) fn field<T: Canonical + ?Sized>(number: u64, value: &T) -> u128 {
    match value.digest() {
        0 => 0,
        digest => mix(number, digest),
    }
}

/// The digest of an enum: a variant with what it holds.
#[inline]
pub(crate) const fn variant(number: u64, content: u128) -> u128 {
    match number {
        0 => content,
        number => mix(number, content),
    }
}

/// True when each number is larger than the one before.
pub(crate) const fn rise(numbers: &[u64]) -> bool {
    let mut at = 1;
    while at < numbers.len() {
        if numbers[at - 1] >= numbers[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Each item under its place, defaults too, so that the number of items counts.
fn list<T: Canonical>(items: impl IntoIterator<Item = T>) -> u128 {
    let mixed = (1u64..).zip(items).map(|(place, item)| mix(place, item.digest()));
    mixed.fold(0, u128::wrapping_add)
}

macro_rules! numbers {
    ($($int:ty),+) => {$(
        impl Canonical for $int {
            #[inline]
            fn digest(&self) -> u128 {
                u128::from(*self)
            }
        }
    )+};
}

numbers!(bool, u8, u16, u32, u64, u128);

impl Canonical for i32 {
    #[inline]
    fn digest(&self) -> u128 {
        u128::from(self.cast_unsigned())
    }
}

impl Canonical for () {
    #[inline]
    fn digest(&self) -> u128 {
        0
    }
}

impl Canonical for str {
    fn digest(&self) -> u128 {
        if self.is_empty() {
            return 0;
        }
        let blocks = self.as_bytes().chunks(16).map(|bytes| {
            let mut block = [0; 16];
            block[..bytes.len()].copy_from_slice(bytes);
            u128::from_le_bytes(block)
        });
        // The last block is filled up with zeros, so the blocks alone do not say how long the text is.
        list(blocks).wrapping_add(mix(LENGTH, self.len() as u128))
    }
}

impl Canonical for String {
    fn digest(&self) -> u128 {
        self.as_str().digest()
    }
}

impl<T: Canonical> Canonical for Option<T> {
    #[inline]
    fn digest(&self) -> u128 {
        match self {
            None => 0,
            Some(value) => variant(1, value.digest()),
        }
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn digest(&self) -> u128 {
        list(self)
    }
}

impl<T: Canonical> Canonical for BTreeSet<T> {
    fn digest(&self) -> u128 {
        list(self)
    }
}

impl<K: Canonical, V: Canonical> Canonical for BTreeMap<K, V> {
    fn digest(&self) -> u128 {
        list(self)
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    #[inline]
    fn digest(&self) -> u128 {
        field(1, &self.0).wrapping_add(field(2, &self.1))
    }
}

impl<T: Canonical + ?Sized> Canonical for &T {
    #[inline]
    fn digest(&self) -> u128 {
        (**self).digest()
    }
}

impl<T: Canonical + ?Sized> Canonical for Arc<T> {
    #[inline]
    fn digest(&self) -> u128 {
        (**self).digest()
    }
}

mod known;

pub use known::Known;

#[cfg(test)]
mod tests;
