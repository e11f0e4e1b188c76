//! Text with variables.

use berth_core::template::{self, PLAIN_VARIABLES, Template};
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::quote::{list, quote};
use crate::reader::Reader;
use crate::shape::Shape;
use crate::source::Span;
use crate::suggest::{did_you_mean, nearest};
use crate::tree::Node;

/// A text in which `${...}` is replaced.
#[derive(Debug, Clone)]
pub(crate) struct TemplateText(pub(crate) Template);

impl Shape for TemplateText {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a text")?;
        if text.is_empty() {
            let message = format!("{} is empty", quote(reader.field()));
            reader.note(reader.illegal(node.span, message));
            return None;
        }
        parse(text, node, reader).map(TemplateText)
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// Parses a template and notes every variable that does not exist.
pub(crate) fn parse(text: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Template> {
    if let Some(at) = text.find('\0') {
        let message = format!("the text holds a zero byte after {at} bytes, which no program can be given");
        reader.note(reader.illegal(node.span, message));
        return None;
    }
    let mut rest = text;
    while !reader.is_full() {
        match Template::parse(rest) {
            Ok(template) => return (rest.len() == text.len()).then_some(template),
            Err(template::Error::Unclosed { at }) => {
                let shown: String = rest[at..].chars().take(20).collect();
                let span =
                    reader.source.after(node.span, shown.lines().next().unwrap_or("${")).unwrap_or(node.span);
                let found = Diagnostic::new(Code::Variable, span, "`${` has no closing `}`");
                reader.note(found.help("close it with `}`; for a literal `${` write `$${`"));
                return None;
            }
            Err(template::Error::Undefined { at, name }) => {
                let span = place(reader, node, &name);
                reader.note(undefined(&name, span));
                rest = &rest[at + name.len() + 1..];
            }
        }
    }
    None
}

/// Where a variable stands within a value.
pub(crate) fn place(reader: &Reader<'_>, node: &Node, name: &str) -> Span {
    place_within(reader, node.span, name)
}

/// Where a variable stands within a place.
pub(crate) fn place_within(reader: &Reader<'_>, span: Span, name: &str) -> Span {
    match reader.source.after(span, &format!("${{{name}}}")) {
        Some(found) => Span { column: found.column + 2, length: found.length.saturating_sub(3), ..found },
        None => span,
    }
}

fn undefined(name: &str, span: Span) -> Diagnostic {
    let known = PLAIN_VARIABLES.iter().map(|(name, _)| *name);
    let mut found = Diagnostic::new(Code::Variable, span, format!("undefined variable {}", quote(name)))
        .why(format!("defined are {}, and `tasks.NAME.outputs.KEY` of an earlier task", list(known.clone())));
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
        found = found.help(format!("if a shell is to replace it, write `$${{{name}}}`"));
    } else if name.starts_with("tasks.") {
        found = found.help(
            "write `tasks.NAME.outputs.KEY`, for one of its values `tasks.NAME.outputs.KEY[0]` or `[index]`",
        );
    } else if let Some(meant) = nearest(name, known.clone()).or_else(|| by_last_part(name)) {
        found = found.help(did_you_mean(meant));
    }
    found
}

/// `dir` for `run.dir`, `BERTH_TASK_INDEX` and `job.index` for `task.index`.
fn by_last_part(name: &str) -> Option<&'static str> {
    let last = name.to_lowercase();
    let last = last.rsplit(['.', '_']).next().filter(|last| !last.is_empty())?;
    let mut named =
        PLAIN_VARIABLES.iter().map(|(name, _)| *name).filter(|known| known.rsplit('.').next() == Some(last));
    let first = named.next()?;
    named.next().is_none().then_some(first)
}
