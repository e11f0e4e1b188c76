//! Election time-outs that look random and are a function of their inputs, so that a run can be replayed.

/// Ticks a member waits in this term and role before it campaigns: from `base` to `2 * base - 1`.
pub(crate) fn election_ticks(seed: u64, member: u64, term: u64, role: u64, base: usize) -> usize {
    let spread = u64::try_from(base).expect("a tick count fits");
    let drawn = mix(mix(mix(mix(seed) ^ member) ^ term) ^ role) % spread.max(1);
    base + usize::try_from(drawn).expect("less than base")
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
