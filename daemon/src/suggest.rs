//! "Did you mean": the closest of a list of known words.

/// The candidate nearest to `word`, when it is near enough to be a likely slip of the hand: at most
/// one edit for each three letters, and at least one. Ties go to the earlier candidate.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = distance(word, candidate);
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Damerau-Levenshtein distance in its optimal string alignment form: insertions, deletions,
/// replacements and swaps of neighbours cost one each.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for i in 0..left.len() {
        let mut row = vec![i + 1];
        for j in 0..right.len() {
            let replaced = above[j] + usize::from(left[i] != right[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i] == right[j - 1] && left[i - 1] == right[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = above;
        above = row;
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, distance};

    #[test]
    fn each_kind_of_slip_costs_one() {
        for (wrong, right) in
            [("listn", "listen"), ("lissten", "listen"), ("liszen", "listen"), ("lsiten", "listen")]
        {
            assert_eq!(distance(wrong, right), 1, "{wrong}");
        }
    }

    #[test]
    fn the_nearest_candidate_is_named_and_a_far_one_is_not() {
        assert_eq!(closest("memmory", ["cpu", "memory", "disk"]), Some("memory"));
        assert_eq!(closest("banana", ["cpu", "memory", "disk"]), None);
    }
}
