//! The one place that knows the YAML parser: its events become a tree, its complaints become ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::limits::{DEPTH_MAX, EXPANDED_BYTES_MAX, NODES_MAX};
use crate::quote::{grouped, quote};
use crate::source::{Source, Span, count};
use crate::tree::{Entry, Node, Scalar, Value};

mod complaint;

/// What a text holds.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// Every document that is not empty; the last may be truncated.
    pub(crate) roots: Vec<Arc<Node>>,
    /// What kept the parser from going on, and keys that are not text.
    pub(crate) problems: Vec<Diagnostic>,
}

/// Reads all documents of a text. JSON is read by the same rules.
pub(crate) fn read(source: &Source) -> Documents {
    let text = complaint::json_as_yaml(source.text());
    let mut builder =
        Builder { source, stack: Vec::new(), anchors: BTreeMap::new(), done: Documents::default() };
    let mut parser = Parser::new_from_str(&text);
    while let Some(next) = parser.next_event() {
        let problem = match next {
            Ok((event, span)) => builder.take(event, span).err().map(|refusal| *refusal),
            Err(error) => Some(complaint::explain(source, builder.place(*error.marker()), error.info())),
        };
        if let Some(problem) = problem {
            builder.done.problems.push(problem);
            builder.close_all();
            break;
        }
    }
    builder.done
}

/// Lists and maps that are open, innermost last.
struct Builder<'s> {
    source: &'s Source,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Arc<Node>>,
    done: Documents,
}

/// A list or map whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    parts: Parts,
    nodes: u64,
    bytes: u64,
}

enum Parts {
    List(Vec<Arc<Node>>),
    Map { entries: Vec<Entry>, key: Option<Option<(String, Span)>> },
}

type Refusal = Box<Diagnostic>;

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: saphyr_parser::Span) -> Result<(), Refusal> {
        let span = self.span(span);
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).cloned().ok_or_else(|| self.unfinished_alias(span))?;
                self.add(target, span)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.forced_text(tag.as_deref(), span);
                let scalar = Scalar { text: text.into_owned(), plain };
                let node = Arc::new(Node::new(span, Value::Scalar(scalar)));
                self.anchors.insert(anchor, Arc::clone(&node));
                self.add(node, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.forced_text(tag.as_deref(), span);
                self.open(anchor, span, Parts::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.forced_text(tag.as_deref(), span);
                self.open(anchor, span, Parts::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(false),
        }
    }

    fn open(&mut self, anchor: usize, span: Span, parts: Parts) -> Result<(), Refusal> {
        if self.stack.len() >= DEPTH_MAX {
            let message = format!("lists and maps are nested more than {DEPTH_MAX} deep");
            return Err(Box::new(Diagnostic::new(Code::TooLarge, span, message)));
        }
        self.stack.push(Open { span, anchor, parts, nodes: 0, bytes: 0 });
        Ok(())
    }

    fn close(&mut self, truncated: bool) -> Result<(), Refusal> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.parts {
            Parts::List(items) => Value::List(items),
            Parts::Map { entries, .. } => Value::Map(entries),
        };
        let mut node = Node::new(open.span, value);
        node.truncated = truncated;
        let node = Arc::new(node);
        self.anchors.insert(open.anchor, Arc::clone(&node));
        self.add(node, open.span)
    }

    /// Ends what is open where the text could not be read further.
    fn close_all(&mut self) {
        while !self.stack.is_empty() {
            if self.close(true).is_err() {
                self.stack.clear();
            }
        }
    }

    fn add(&mut self, node: Arc<Node>, span: Span) -> Result<(), Refusal> {
        let Some(open) = self.stack.last_mut() else {
            let empty = node.scalar().is_some_and(|scalar| scalar.plain && scalar.text.is_empty());
            if !empty {
                self.done.roots.push(node);
            }
            return Ok(());
        };
        open.nodes = open.nodes.saturating_add(node.nodes);
        open.bytes = open.bytes.saturating_add(node.bytes);
        let size = (open.nodes, open.bytes);
        match &mut open.parts {
            Parts::List(items) => items.push(node),
            Parts::Map { entries, key } => match key.take() {
                Some(Some((text, key_span))) => {
                    let value = placed_at_key(node, key_span);
                    entries.push(Entry { key: text, key_span, value });
                }
                Some(None) => {}
                None => match &node.value {
                    Value::Scalar(scalar) => *key = Some(Some((scalar.text.clone(), span))),
                    Value::List(_) | Value::Map(_) => {
                        *key = Some(None);
                        let message = format!("a key must be a text, not {}", node.describe());
                        let help = "a key that begins with `{` or `[` needs quotes";
                        self.done.problems.push(Diagnostic::new(Code::WrongType, span, message).help(help));
                    }
                },
            },
        }
        check_size(size, span)
    }

    /// True when a tag says that a scalar is text. Other tags than those of plain YAML are refused.
    fn forced_text(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        if !tag.is_yaml_core_schema() {
            let message = format!("the tag {} is not supported", quote(&tag.to_string()));
            self.done.problems.push(Diagnostic::new(Code::WrongType, span, message).help("remove the tag"));
        }
        tag.is_yaml_core_schema() && tag.suffix == "str"
    }

    fn unfinished_alias(&self, span: Span) -> Refusal {
        let message =
            format!("the alias {} stands inside the value that it repeats", quote(self.source.slice(span)));
        Box::new(Diagnostic::new(Code::TooLarge, span, message).why("it would go on without end"))
    }

    fn place(&self, mark: saphyr_parser::Marker) -> Span {
        let lines = self.source.lines();
        let line = count(mark.line());
        if line > lines {
            let column = count(self.source.line(lines).map_or(0, |text| text.chars().count()) + 1);
            return Span { line: lines, column, length: 1 };
        }
        Span { line, column: count(mark.col() + 1), length: 1 }
    }

    /// The part of a span that lies on its first line.
    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.place(span.start);
        let one_line = span.end.line() == span.start.line();
        let length = if one_line { count(span.end.col().saturating_sub(span.start.col())) } else { u32::MAX };
        let text = self.source.slice(Span { length, ..start }).trim_end();
        Span { length: count(text.chars().count()), ..start }
    }
}

/// A value that is not there stands at its key.
fn placed_at_key(node: Arc<Node>, key_span: Span) -> Arc<Node> {
    match node.scalar() {
        Some(Scalar { text, plain: true }) if text.is_empty() => Arc::new(Node::default_value("", key_span)),
        _ => node,
    }
}

fn check_size((nodes, bytes): (u64, u64), span: Span) -> Result<(), Refusal> {
    let over = if nodes > NODES_MAX {
        format!("more than {} values", grouped(NODES_MAX))
    } else if bytes > EXPANDED_BYTES_MAX {
        format!("more than {} bytes of text", grouped(EXPANDED_BYTES_MAX))
    } else {
        return Ok(());
    };
    let message = format!("with its aliases written out, the spec has {over}");
    Err(Box::new(
        Diagnostic::new(Code::TooLarge, span, message).why("it was refused before anything was written out"),
    ))
}
