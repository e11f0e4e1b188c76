//! A mistake as people read it: what, where, the excerpt with a caret, why, and what to do.

use std::fmt::Write;

use crate::code::Severity;
use crate::diagnostic::Diagnostic;
use crate::quote::{escape, push_escaped};
use crate::source::{Source, Span};

/// The widest excerpt of a line, in columns of the terminal.
const EXCERPT_MAX: usize = 110;
/// How much of a long line is shown before the place itself.
const EXCERPT_BEFORE: usize = 40;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const GREEN: &str = "\x1b[1;32m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// A place to be underlined.
struct Mark<'d> {
    span: Span,
    label: &'d str,
    main: bool,
}

impl Diagnostic {
    /// The mistake with its excerpt. `color` adds the codes of a terminal.
    pub fn render(&self, source: &Source, color: bool) -> String {
        let paint = |style: &str, text: &str| {
            if color { format!("{style}{text}{RESET}") } else { text.to_owned() }
        };
        let severity_style = match self.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        let head = paint(severity_style, &format!("{}[{}]", self.severity.word(), self.code));
        let mut text = format!("{head}: {}\n", paint(BOLD, &escape(&self.message)));
        let marks = self.marks(source);
        let width = marks.last().map_or(1, |mark| mark.span.line.to_string().len());
        let place = format!("{}:{}:{}", escape(source.name()), self.span.line, self.span.column);
        push_line(&mut text, &format!("{:width$}{} {place}", "", paint(BLUE, "-->")));
        let bar = paint(BLUE, "|");
        if !marks.is_empty() {
            push_line(&mut text, &format!("{:width$} {bar}", ""));
        }
        let mut shown = 0;
        for mark in &marks {
            let line = mark.span.line;
            let excerpt = self.excerpt(source, mark.span);
            if line != shown {
                if shown != 0 && line > shown + 1 {
                    push_line(&mut text, &paint(BLUE, "..."));
                }
                let number = paint(BLUE, &format!("{line:>width$}"));
                push_line(&mut text, &format!("{number} {bar} {}", excerpt.text));
            }
            shown = line;
            let sign = if mark.main { "^" } else { "-" };
            let style = if mark.main { severity_style } else { BLUE };
            let underline = format!("{} {}", sign.repeat(excerpt.length), escape(mark.label));
            let underline = paint(style, underline.trim_end());
            push_line(
                &mut text,
                &format!("{:width$} {bar} {:before$}{underline}", "", "", before = excerpt.before),
            );
        }
        for why in &self.why {
            push_line(&mut text, &format!("{:width$} {} {}", "", paint(BLUE, "="), escape(why)));
        }
        if let Some(help) = &self.help {
            push_line(&mut text, &format!("{}: {}", paint(GREEN, "help"), escape(help)));
        }
        text
    }

    /// The places to underline, in the order of the text. A related place that is also the main one lends it its
    /// label.
    fn marks<'d>(&'d self, source: &Source) -> Vec<Mark<'d>> {
        let own = self.related.iter().find(|related| related.span == self.span);
        let mut marks = vec![Mark { span: self.span, label: own.map_or("", |own| &own.label), main: true }];
        for related in self.related.iter().filter(|related| related.span != self.span) {
            marks.push(Mark { span: related.span, label: &related.label, main: false });
        }
        marks.retain(|mark| source.line(mark.span.line).is_some_and(|line| !line.is_empty()));
        marks.sort_by_key(|mark| mark.span);
        marks
    }

    fn excerpt(&self, source: &Source, span: Span) -> Excerpt {
        let line = source.line(span.line).unwrap_or("");
        let start = usize::try_from(span.column.saturating_sub(1)).unwrap_or(0);
        let length = usize::try_from(span.length.max(1)).unwrap_or(1);
        let first = if line.chars().count() > EXCERPT_MAX { start.saturating_sub(EXCERPT_BEFORE) } else { 0 };
        let mut excerpt = Excerpt { text: String::new(), before: 0, length: 0 };
        let mut columns = 0;
        if first > 0 {
            excerpt.text.push('…');
            columns = 1;
        }
        for (at, c) in line.chars().enumerate().skip(first) {
            if columns >= EXCERPT_MAX {
                excerpt.text.push('…');
                break;
            }
            if at == start {
                excerpt.before = columns;
            }
            let is_hidden = self.hidden.iter().any(|hidden| is_in(*hidden, span.line, at));
            let length_before = excerpt.text.len();
            push_escaped(&mut excerpt.text, if is_hidden { '*' } else { c });
            let added = excerpt.text[length_before..].chars().map(columns_of).sum::<usize>();
            columns += added;
            if (start..start + length).contains(&at) {
                excerpt.length += added;
            }
        }
        if line.chars().count() <= start {
            excerpt.before = columns;
        }
        excerpt.length = excerpt.length.max(1);
        excerpt
    }
}

/// A line as it is shown, and where in it the mark goes, in columns.
struct Excerpt {
    text: String,
    before: usize,
    length: usize,
}

/// True for a character of a hidden place.
fn is_in(hidden: Span, line: u32, at: usize) -> bool {
    let start = usize::try_from(hidden.column.saturating_sub(1)).unwrap_or(0);
    let length = usize::try_from(hidden.length).unwrap_or(usize::MAX);
    line == hidden.line && (start..start.saturating_add(length)).contains(&at)
}

/// How many columns a terminal gives to a character: two for those of East Asian scripts and for emoji.
fn columns_of(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
        | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

fn push_line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", line.trim_end());
}
