//! How text of users appears in messages: without control characters, and never too long.

use std::fmt::Write;

/// The longest piece of a user's text that a message repeats, in characters.
const QUOTED_MAX: usize = 60;

/// The text in backticks, cut when long.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{}`", escape(&shown))
}

/// The text with control characters, and those that turn the direction of writing, written out.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut safe, c);
    }
    safe
}

/// Adds one character, written out when a terminal would act on it.
pub(crate) fn push_escaped(text: &mut String, c: char) {
    match c {
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        c if c.is_control() && u32::from(c) < 0x80 => {
            write!(text, "\\x{:02x}", u32::from(c)).expect("writing to a string cannot fail");
        }
        c if is_unsafe(c) => {
            write!(text, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string cannot fail");
        }
        c => text.push(c),
    }
}

/// True for characters that a terminal would act on or that hide others.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Items in backticks, separated by commas.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = items.into_iter().map(quote).collect();
    quoted.join(", ")
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A number with a comma between thousands.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_reader() {
        assert_eq!(escape("a\u{1b}[31m\tb\u{202e}c"), "a\\x1b[31m\\tb\\u{202e}c");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 63);
        assert_eq!(grouped(536_870_912), "536,870,912");
    }
}
