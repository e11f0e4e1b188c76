//! Lists in pages. A token is where the next page begins, in the words of the list itself, so that any member can
//! go on with it.

/// The largest page.
const SIZE_MAX: usize = 1_000;
/// The page of those who say nothing.
const SIZE: usize = 100;

/// The size that was asked for, within bounds.
pub(super) fn size(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(SIZE_MAX) {
        0 => SIZE,
        asked => asked.min(SIZE_MAX),
    }
}

/// The first `size` of `items`, rendered, and the token of the one behind them.
pub(super) fn cut<T, R>(
    items: impl Iterator<Item = T>,
    size: usize,
    render: impl Fn(&T) -> R,
    token: impl Fn(&T) -> String,
) -> (Vec<R>, String) {
    let mut items = items;
    let page = items.by_ref().take(size).map(|item| render(&item)).collect();
    (page, items.next().as_ref().map(token).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let all: Vec<u32> = (0..25).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let from: u32 = token.parse().unwrap_or(0);
            let (page, next) = cut(all.iter().copied().filter(|n| *n >= from), 10, |n| *n, u32::to_string);
            seen.extend(page);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_page_has_a_size_within_bounds() {
        assert_eq!((size(0), size(7), size(5000)), (100, 7, 1000));
    }
}
