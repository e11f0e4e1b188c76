//! What the parser complains of, in words that name the mistake and its cure.

use std::borrow::Cow;

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span, count};

/// What a complaint of the parser means: a part of its text, what is wrong, what to do.
const MEANINGS: &[(&str, &str, &str)] = &[
    (
        "mapping values are not allowed",
        "a second `:` on a line that already is a key and its value",
        "put a text that contains `: ` in quotes, or check the indentation of this line",
    ),
    (
        "did not find expected key",
        "the indentation does not match the lines above",
        "give all keys of one map the same indentation",
    ),
    (
        "did not find expected '-'",
        "the indentation does not match the lines above",
        "give all items of one list the same indentation, each beginning with `- `",
    ),
    (
        "indentation in quoted",
        "a quoted text is never closed, or its further lines are not indented",
        "add the missing quote, `\"` or `'`",
    ),
    (
        "invalid indentation",
        "the indentation does not match the lines above",
        "indent this line further than the key it belongs to",
    ),
    (
        "wrongly indented",
        "the indentation does not match the lines above",
        "indent all lines of a block alike",
    ),
    ("unexpected end of stream", "a quoted text is never closed", "add the missing quote, `\"` or `'`"),
    (
        "simple key expect",
        "a line without `:` among keys",
        "write `key: value`, with a space after the colon",
    ),
    (
        "flow mapping",
        "a `{` is not closed, or a comma is missing",
        "separate entries with `,` and close with `}`",
    ),
    (
        "flow sequence",
        "a `[` is not closed, or a comma is missing",
        "separate items with `,` and close with `]`",
    ),
    ("flow construct", "a `[` or `{` is not closed", "close it with `]` or `}`"),
    ("misplaced bracket", "a `]` or `}` that closes nothing", "remove it, or add the one that opens"),
    (
        "escape",
        "an unknown escape after `\\` in a text in double quotes",
        "use single quotes, in which `\\` is an ordinary character, or write `\\\\`",
    ),
    ("Unicode", "an unknown escape after `\\` in a text in double quotes", "write the character itself"),
    (
        "unknown anchor",
        "an alias `*name` without an anchor `&name` before it",
        "put a text that begins with `*` in quotes",
    ),
    (
        "alphabetic or numeric",
        "`*` and `&` at the start of a value have a meaning in YAML",
        "put the text in quotes",
    ),
    ("unprintable", "a control character", "remove it; in double quotes it can be written as `\\x1b`"),
    ("byte order mark", "a byte order mark within the text", "remove the character U+FEFF"),
    ("recursion limit", "brackets are nested too deep", "use at most 64 levels"),
    ("trailing content", "text after the end of a quoted text", "put all of the value inside the quotes"),
    ("'-' must be followed", "`-` needs a space after it", "write `- item`, or put the text in quotes"),
    (
        "block sequence entries",
        "a list item where no list can be",
        "begin the list on the next line, indented under its key",
    ),
    ("directive", "a line that begins with `%`", "put a text that begins with `%` in quotes"),
    ("node content", "a character that cannot begin a value", "put a text that begins with it in quotes"),
    ("document", "text after the end of the document", "check the indentation, and the brackets before it"),
];

/// Turns a complaint into a mistake with a cure. A tab in the indentation at or before the place is the
/// likely cause of whatever the parser met.
pub(super) fn explain(source: &Source, at: Span, complaint: &str) -> Diagnostic {
    let tabs = tab_lines(source);
    let near = tabs
        .iter()
        .filter(|line| line.abs_diff(at.line) <= 1)
        .min_by_key(|line| (**line > at.line, line.abs_diff(at.line)));
    if let Some(&near) = near.filter(|_| !is_json(source.text())) {
        return tab(source, near, &tabs);
    }
    let (what, help) = MEANINGS
        .iter()
        .find(|(part, ..)| complaint.contains(part))
        .map_or(("this line cannot be read", "check indentation, quotes and brackets up to here"), |m| {
            (m.1, m.2)
        });
    Diagnostic::new(Code::Syntax, at, format!("not valid YAML: {what}"))
        .why("nothing after this place could be checked")
        .help(help)
}

fn tab(source: &Source, line: u32, all: &[u32]) -> Diagnostic {
    let text = source.line(line).unwrap_or("");
    let at = text.chars().position(|c| c == '\t').unwrap_or(0);
    let span = Span { line, column: count(at + 1), length: 1 };
    let what = if at == 0 { "starts with a tab" } else { "has a tab in its indentation" };
    let mut found = Diagnostic::new(Code::Tab, span, format!("line {line} {what}; YAML allows only spaces"))
        .help("replace each tab by spaces; most editors can do it for the whole file");
    for &other in all.iter().filter(|&&other| other != line).take(3) {
        found = found.related(Span { line: other, column: 1, length: 1 }, "here too");
    }
    found.why("nothing after this place could be checked")
}

/// Lines whose indentation holds a tab where YAML wants spaces: those inside a block text may begin with one.
fn tab_lines(source: &Source) -> Vec<u32> {
    let mut lines = Vec::new();
    // The indentation that a block text stands deeper than, while one is read.
    let mut block: Option<usize> = None;
    for (number, line) in (1..).zip(source.text().lines()) {
        let rest = line.trim_start_matches([' ', '\t']);
        if rest.trim().is_empty() {
            continue;
        }
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if block.is_some_and(|parent| spaces > parent) {
            continue;
        }
        block = block_text(line);
        if line[..line.len() - rest.len()].contains('\t') {
            lines.push(number);
        }
    }
    lines
}

/// When a block text (`key: |`) begins after this line, the column from 0 of what it belongs to.
fn block_text(line: &str) -> Option<usize> {
    let line = line.split(" #").next().unwrap_or(line).trim_end();
    let (before, header) = line.rsplit_once([' ', '\t'])?;
    let indicators = header.strip_prefix(['|', '>'])?;
    if !indicators.chars().all(|c| matches!(c, '+' | '-' | '1'..='9')) {
        return None;
    }
    let mut parent = before.len() - before.trim_start().len();
    // A key after `- ` stands as deep as if the dash were a space.
    while let Some(item) = before.get(parent..).and_then(|rest| rest.strip_prefix("- ")) {
        parent += 2 + item.len() - item.trim_start().len();
    }
    Some(parent)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// What JSON allows and the parser refuses, in YAML's own form. JSON may be indented by tabs, which become as
/// many spaces: a text of JSON has no line break, so that the start of a line is never part of a value. And it
/// may write a character as two escaped halves of UTF-16.
pub(super) fn json_as_yaml(text: &str) -> Cow<'_, str> {
    if !is_json(text) || !(text.contains('\t') || text.contains("\\u")) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches([' ', '\t']);
        plain.extend(std::iter::repeat_n(' ', line.len() - rest.len()));
        push_joined(&mut plain, rest);
    }
    Cow::Owned(plain)
}

/// Adds a line, with pairs such as `\ud83d\ude00` as one escape.
fn push_joined(plain: &mut String, line: &str) {
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        if let Some(c) = escape.get(..12).and_then(surrogate_pair) {
            plain.push_str(&format!("\\U{:08x}", u32::from(c)));
            rest = &escape[12..];
        } else {
            // An escaped backslash must not be taken for the start of the next escape.
            let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
            plain.push_str(&escape[..end]);
            rest = &escape[end..];
        }
    }
    plain.push_str(rest);
}

fn surrogate_pair(escape: &str) -> Option<char> {
    let half = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?, 16).ok();
    let pair = [half(escape.get(..6)?)?, half(escape.get(6..)?)?];
    char::decode_utf16(pair).next()?.ok().filter(|c| u32::from(*c) > 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_inside_a_block_text_is_no_mistake() {
        let text = "\
a: |
  all: x
  \tcc x
  \t
\tb: 1
tasks:
  - exec: # a comment
      script: >-   # folded
        \ttext
     \tshort: of the block
  - run: |2
      \tdeeper than the key
    env:
   \tx: y
";
        assert_eq!(tab_lines(&Source::new("x", text)), [5, 10, 14]);
        assert_eq!(block_text("  - - key: |-"), Some(6));
        assert_eq!(block_text("  - |"), Some(2));
        assert_eq!(block_text("cmd: a | b"), None);
    }
}
