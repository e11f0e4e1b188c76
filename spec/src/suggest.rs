//! "Did you mean": the nearest of some known words.

/// The known word that `word` most likely stands for, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = simplified(word);
    let allowed = match plain.chars().count() {
        0 | 1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|candidate| (simplified(candidate), candidate))
        .map(|(simple, candidate)| (distance(&plain, &simple), !simple.starts_with(&plain), candidate))
        .filter(|&(distance, ..)| distance <= allowed)
        .min_by_key(|&(distance, no_prefix, _)| (distance, no_prefix))
        .map(|(.., candidate)| candidate)
}

/// The sentence that offers a word.
pub(crate) fn did_you_mean(word: &str) -> String {
    format!("did you mean {}?", crate::quote::quote(word))
}

/// Case, and how the parts of a name are joined, is where most slips are.
fn simplified(word: &str) -> String {
    word.chars().take(100).filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two words:
/// the restricted edit distance of Damerau (1964).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_slips_and_other_joints_are_recognised() {
        let known = ["timeout", "max_attempts", "cpu", "after"];
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("maxAttempts", known), Some("max_attempts"));
        assert_eq!(nearest("afterr", known), Some("after"));
        assert_eq!(nearest("memory", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn the_distance_counts_a_swap_as_one() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
