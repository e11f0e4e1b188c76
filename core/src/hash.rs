//! A hash that is the same on every machine, in every process and in every release. The standard
//! library's hashers promise none of that; replicas compare these values.

use std::hash::{Hash, Hasher};

/// 64-bit state with a 128-bit finish, in the manner of SplitMix64 (Steele, Lea, Flood 2014). It guards
/// against accidents, not against an adversary.
#[derive(Debug, Clone)]
pub struct StableHasher {
    low: u64,
    high: u64,
}

impl StableHasher {
    fn mix(&mut self, word: u64) {
        self.low = splitmix(self.low ^ word);
        self.high = splitmix(self.high.rotate_left(23) ^ word ^ 0xa076_1d64_78bd_642f);
    }
}

impl Default for StableHasher {
    fn default() -> Self {
        StableHasher { low: 0x243f_6a88_85a3_08d3, high: 0x1319_8a2e_0370_7344 }
    }
}

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.low ^ self.high
    }

    fn write(&mut self, bytes: &[u8]) {
        // The last word is filled up with zeros, so the bytes alone do not say how many they were.
        self.mix(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().expect("chunks of 8")));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut word = [0u8; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_u128(&mut self, value: u128) {
        let [low, high] = halves(value);
        self.mix(low);
        self.mix(high);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.unsigned_abs() as u64);
    }
}

fn halves(value: u128) -> [u64; 2] {
    let bytes = value.to_le_bytes();
    [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 of 16 bytes")))
}

fn splitmix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash of one value.
pub fn of<T: Hash + ?Sized>(value: &T) -> u128 {
    let mut hasher = StableHasher::default();
    value.hash(&mut hasher);
    (u128::from(hasher.high) << 64) | u128::from(hasher.low)
}

/// The sum over all records of a state. Because a sum does not depend on order, it is kept up to date
/// record by record: `take` what was, `put` what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateHash(pub u128);

impl StateHash {
    /// Adds a record; `table` keeps equal records of different tables apart.
    pub fn put<K: Hash, V: Hash + ?Sized>(&mut self, table: &str, key: &K, record: &V) {
        self.0 = self.0.wrapping_add(of(&(table, key, record)));
    }

    /// Removes a record that was added with the same content.
    pub fn take<K: Hash, V: Hash + ?Sized>(&mut self, table: &str, key: &K, record: &V) {
        self.0 = self.0.wrapping_sub(of(&(table, key, record)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINNED_PAIR: u128 = 0xbe09_aa93_fbd6_bf0d_5595_169f_a12c_82fc;
    const PINNED_OTHERS: u128 = 0x79b0_9ff6_c6a2_3446_71f0_6af8_8915_1f6f;

    #[test]
    fn the_hash_of_a_value_never_changes_between_releases() {
        assert_eq!(of(&("berth", 7u64)), PINNED_PAIR);
        assert_eq!(of(&(-1i64, true, Some(b"bytes".to_vec()))), PINNED_OTHERS);
        assert_ne!(of(&("berth", 7u64)), of(&("berth", 8u64)));
        assert_ne!(of("ab"), of("ba"));
    }

    #[test]
    fn bytes_that_differ_only_in_their_number_differ() {
        let raw = |bytes: &[u8]| {
            let mut hasher = StableHasher::default();
            hasher.write(bytes);
            hasher.finish()
        };
        assert_ne!(raw(b"ab"), raw(b"ab\0"));
        assert_ne!(raw(b""), raw(b"\0"));
    }

    #[test]
    fn a_state_hash_depends_on_content_and_not_on_order() {
        let mut one = StateHash::default();
        one.put("task", &1u64, "a");
        one.put("task", &2u64, "b");
        let mut other = StateHash::default();
        other.put("task", &2u64, "b");
        other.put("run", &3u64, "c");
        other.put("task", &1u64, "a");
        other.take("run", &3u64, "c");
        assert_eq!(one, other);
    }
}
