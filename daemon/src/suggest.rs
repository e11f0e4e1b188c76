//! "Did you mean": the closest of a list of known words.

use strsim::osa_distance;

/// The candidate nearest to `word`, when it is near enough to be a likely slip of the hand: at most
/// one edit for each three letters, and at least one. Ties go to the earlier candidate.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = osa_distance(word, candidate);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn each_kind_of_slip_counts_once() {
        for wrong in ["ips", "lst", "ilst", "lisst", "lizt"] {
            assert_eq!(closest(wrong, ["list"]), (wrong != "ips").then_some("list"), "{wrong}");
        }
    }

    #[test]
    fn the_nearest_candidate_is_named_and_a_far_one_is_not() {
        assert_eq!(closest("memmory", ["cpu", "memory", "disk"]), Some("memory"));
        assert_eq!(closest("banana", ["cpu", "memory", "disk"]), None);
    }
}
