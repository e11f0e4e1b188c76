//! "Did you mean": the nearest of some known words.

use strsim::osa_distance;

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
        .map(|(simple, candidate)| (osa_distance(&plain, &simple), !simple.starts_with(&plain), candidate))
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
}
