/// A sequence of numbers that look random and follow from a seed: SplitMix64 (Steele, Lea, Flood 2014). Each concern
/// has its own.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The sequence of a seed for one concern.
    pub(crate) fn new(seed: u64, concern: &str) -> Random {
        let folded = concern.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)));
        Random { state: folded }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Below `bound`; 0 when that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// From `low` to `high`, both among them.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of these; there is at least one.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let length = u64::try_from(from.len()).expect("a length fits 64 bits");
        from[usize::try_from(self.below(length)).expect("less than a length")]
    }

    /// About so many apart on average, never less than 1: the distance to the next of events that come at random.
    pub(crate) fn gap(&mut self, mean: u64) -> u64 {
        // The sum of two even draws keeps clear of both none and far too long.
        1 + self.below(mean) + self.below(mean)
    }

    pub(crate) fn next_u128(&mut self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
