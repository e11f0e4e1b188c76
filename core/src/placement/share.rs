use std::cmp::Ordering;

/// A weighted dominant share, as an exact fraction: the largest of used / total over all resources, divided
/// by the weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    parts: u128,
    of: u128,
}

impl Share {
    /// The share of one who uses `used` of `total`. A resource of which there is nothing counts in no share.
    pub(super) fn dominant(used: &[u64], total: &[u64], weight: u32) -> Share {
        used.iter()
            .zip(total)
            .filter(|(_, total)| **total > 0)
            .map(|(used, total)| Share {
                parts: u128::from(*used),
                of: u128::from(*total) * u128::from(weight),
            })
            .max()
            .unwrap_or(Share { parts: 0, of: 1 })
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Share) -> Ordering {
        match (self.parts.checked_mul(other.of), other.parts.checked_mul(self.of)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => compare_large((self.parts, self.of), (other.parts, other.of)),
        }
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Share) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Share) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

/// Compares fractions whose cross products do not fit: whole parts first, then the rests upside down, as in
/// Euclid's algorithm.
fn compare_large(mut left: (u128, u128), mut right: (u128, u128)) -> Ordering {
    loop {
        match (left.0 / left.1).cmp(&(right.0 / right.1)) {
            Ordering::Equal => {}
            unequal @ (Ordering::Less | Ordering::Greater) => return unequal,
        }
        match (left.0 % left.1, right.0 % right.1) {
            (0, 0) => return Ordering::Equal,
            (0, _) => return Ordering::Less,
            (_, 0) => return Ordering::Greater,
            // a/b < c/d exactly when d/c < b/a.
            (left_rest, right_rest) => (left, right) = ((right.1, right_rest), (left.1, left_rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn large_fractions_compare_as_small_ones_do(
            a in 0u64.., b in 1u64.., c in 0u64.., d in 1u64..,
        ) {
            let (a, b, c, d) = (u128::from(a), u128::from(b), u128::from(c), u128::from(d));
            prop_assert_eq!(compare_large((a, b), (c, d)), (a * d).cmp(&(c * b)));
        }

        #[test]
        fn a_larger_weight_makes_a_smaller_share(used in 1u64.., total in 1u64.., weight in 1u32..u32::MAX) {
            let light = Share::dominant(&[used], &[total], weight);
            let heavy = Share::dominant(&[used], &[total], weight + 1);
            prop_assert!(heavy < light);
        }
    }

    #[test]
    fn the_dominant_resource_decides() {
        let share = |used: [u64; 2], weight| Share::dominant(&used, &[100, 50], weight);
        assert!(share([10, 4], 1) > share([9, 4], 1));
        assert_eq!(share([10, 4], 1), share([1, 5], 1));
        assert_eq!(share([10, 4], 2), share([5, 1], 1));
        assert_eq!(Share::dominant(&[7], &[0], 1), Share::dominant(&[0], &[9], 1));
    }
}
