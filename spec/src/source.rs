//! The text of a spec under its name, and places in it.

use std::sync::Arc;

/// A piece of one line of a source, counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Span {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters; at least 1 when drawn.
    pub length: u32,
}

impl Span {
    /// The first character of a text.
    pub const START: Span = Span { line: 1, column: 1, length: 1 };
}

/// A named text, cut into lines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    name: String,
    text: String,
    line_starts: Vec<Place>,
    /// Byte offset of every character whose number is a multiple of [`CHECKPOINT`]: places are found in little
    /// time even when all of a text is one line.
    checkpoints: Vec<usize>,
}

/// A place in a text, from 0.
#[derive(Debug, Clone, Copy)]
struct Place {
    byte: usize,
    character: usize,
}

const CHECKPOINT: usize = 64;

impl Source {
    /// Takes a text with the name under which messages speak of it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        let text = text.into();
        let mut line_starts = vec![Place { byte: 0, character: 0 }];
        let mut checkpoints = Vec::with_capacity(text.len() / CHECKPOINT + 1);
        for (character, (byte, c)) in text.char_indices().enumerate() {
            if character.is_multiple_of(CHECKPOINT) {
                checkpoints.push(byte);
            }
            if c == '\n' {
                line_starts.push(Place { byte: byte + 1, character: character + 1 });
            }
        }
        Source(Arc::new(Lines { name: name.into(), text, line_starts, checkpoints }))
    }

    /// The name, usually that of a file.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// A line without its end, counted from 1; `None` past the last.
    pub fn line(&self, line: u32) -> Option<&str> {
        let (start, end) = self.line_bounds(line)?;
        Some(self.0.text[start.byte..end].trim_end_matches(['\n', '\r']))
    }

    /// How many lines there are; a text that ends in a line break has no empty line after it.
    pub fn lines(&self) -> u32 {
        let empty_last = self.0.text.ends_with('\n');
        count(self.0.line_starts.len() - usize::from(empty_last))
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        let Some((start, end)) = self.line_bounds(span.line) else { return "" };
        let first = start.character + usize_of(span.column.saturating_sub(1));
        let from = self.byte_of(first).min(end);
        let to = self.byte_of(first.saturating_add(usize_of(span.length))).min(end);
        self.0.text[from..to].trim_end_matches(['\n', '\r'])
    }

    /// The place of a byte offset, one character long.
    pub fn span_at(&self, offset: usize) -> Span {
        let line = self.0.line_starts.partition_point(|start| start.byte <= offset).max(1);
        let start = self.0.line_starts[line - 1];
        let before = self.0.checkpoints.partition_point(|&byte| byte <= offset).saturating_sub(1);
        let from = self.0.checkpoints.get(before).copied().unwrap_or(0);
        let more = self.0.text.get(from..offset).map_or(0, |text| text.chars().count());
        let column = (before * CHECKPOINT + more).saturating_sub(start.character);
        Span { line: count(line), column: count(column + 1), length: 1 }
    }

    /// The first place of `part`, which has no line break, at or after the start of `span`.
    pub fn after(&self, span: Span, part: &str) -> Option<Span> {
        let (line, _) = self.line_bounds(span.line)?;
        let start = self.byte_of(line.character + usize_of(span.column.saturating_sub(1)));
        let at = start + self.0.text[start..].find(part)?;
        Some(Span { length: count(part.chars().count()), ..self.span_at(at) })
    }

    /// Where a line begins, and the byte after its end.
    fn line_bounds(&self, line: u32) -> Option<(Place, usize)> {
        let at = usize_of(line).checked_sub(1)?;
        let end = self.0.line_starts.get(at + 1).map_or(self.0.text.len(), |next| next.byte);
        Some((*self.0.line_starts.get(at)?, end))
    }

    /// The byte offset of a character; the end of the text past the last.
    fn byte_of(&self, character: usize) -> usize {
        let Some(&start) = self.0.checkpoints.get(character / CHECKPOINT) else { return self.0.text.len() };
        let offset = self.0.text[start..].char_indices().nth(character % CHECKPOINT);
        offset.map_or(self.0.text.len(), |(offset, _)| start + offset)
    }
}

/// A length of this source as a span holds it; sources are far smaller than the type.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn usize_of(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let source = Source::new("x", "a\nnäme: ü\r\n");
        assert_eq!(source.line(2), Some("näme: ü"));
        assert_eq!(source.slice(Span { line: 2, column: 7, length: 1 }), "ü");
        assert_eq!(source.span_at(9), Span { line: 2, column: 7, length: 1 });
        assert_eq!(source.line(4), None);
        assert_eq!(source.slice(Span { line: 9, column: 7, length: 3 }), "");
        assert_eq!(source.slice(Span { line: 1, column: 1, length: 9 }), "a");
    }

    #[test]
    fn places_of_a_long_line_are_exact() {
        let text = format!("x\n{}!", "é日".repeat(500));
        let source = Source::new("x", text.as_str());
        for (character, (byte, _)) in text.char_indices().enumerate().skip(2) {
            let span = Span { line: 2, column: count(character - 1), length: 1 };
            assert_eq!(source.span_at(byte), span);
            assert_eq!(source.slice(span).chars().next(), text[byte..].chars().next());
        }
        assert_eq!(source.after(Span::START, "!").unwrap().column, 1001);
    }
}
