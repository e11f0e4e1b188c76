//! Walks a tree, notes every mistake, and goes on: a wrong field never hides another.

use crate::code::{Code, Severity};
use crate::diagnostic::Diagnostic;
use crate::quote::quote;
use crate::shape::Shape;
use crate::source::{Source, Span};
use crate::tree::{Meaning, Node, Scalar, Value};

mod map;

/// Past this many mistakes nobody reads on, and a hostile text could ask for millions.
const NOTED_MAX: usize = 1_000;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    /// Where the value stands.
    pub(crate) span: Span,
    /// Where its key stands; the value itself in a list.
    pub(crate) key: Span,
    /// Its place in the tree.
    pub(crate) path: String,
}

/// What was found for a field.
#[derive(Debug, Clone)]
pub(crate) enum Slot<T> {
    /// Nothing, and it has no default.
    Absent,
    /// Something wrong, which is noted already.
    Bad,
    /// The value, or the field's default.
    Good(At<T>),
}

impl<T> Slot<T> {
    /// What was found, if it is good.
    pub(crate) fn good(&self) -> Option<&At<T>> {
        match self {
            Slot::Good(at) => Some(at),
            Slot::Absent | Slot::Bad => None,
        }
    }

    /// The value, if it is good.
    pub(crate) fn value(&self) -> Option<&T> {
        self.good().map(|at| &at.value)
    }
}

/// Notes mistakes while a tree is read.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    /// The text.
    pub(crate) source: &'s Source,
    found: Vec<Diagnostic>,
    /// An error is among what was found.
    failed: bool,
    path: String,
    /// Where in `path` the innermost field begins.
    field_start: usize,
    task: Option<String>,
}

impl<'s> Reader<'s> {
    /// A reader that has found nothing yet.
    pub(crate) fn new(source: &'s Source) -> Reader<'s> {
        Reader { source, found: Vec::new(), failed: false, path: String::new(), field_start: 0, task: None }
    }

    /// Notes a mistake, at the reader's place in the tree unless it names another.
    pub(crate) fn note(&mut self, mut found: Diagnostic) {
        let first_error = found.severity == Severity::Error && !self.failed;
        if self.found.len() < NOTED_MAX || first_error {
            if found.path.is_empty() {
                found.path.clone_from(&self.path);
            }
            self.failed |= first_error;
            self.found.push(found);
        }
    }

    /// True when nothing more is noted, so that the search for helpful words can be saved.
    pub(crate) fn is_full(&self) -> bool {
        self.failed && self.found.len() >= NOTED_MAX
    }

    /// True when something was noted that forbids to go on.
    pub(crate) fn has_errors(&self) -> bool {
        self.failed
    }

    /// What was noted.
    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// The reader's place in the tree.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The name of the innermost field or item that is being read.
    pub(crate) fn field(&self) -> &str {
        &self.path[self.field_start..]
    }

    /// Does something while messages speak of a task.
    pub(crate) fn in_task<R>(&mut self, name: Option<&str>, read: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.task, name.map(ToOwned::to_owned));
        let result = read(self);
        self.task = before;
        result
    }

    /// Does something one step deeper in the tree.
    pub(crate) fn inside<R>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let (length, field_start) = (self.path.len(), self.field_start);
        if step.starts_with('[') {
            self.path.push_str(step);
            self.field_start = self.path.len();
        } else {
            if length > 0 {
                self.path.push('.');
            }
            self.field_start = self.path.len();
            self.path.push_str(step);
        }
        let result = read(self);
        self.path.truncate(length);
        self.field_start = field_start;
        result
    }

    /// Reads every item of a list; wrong ones are noted and left out.
    pub(crate) fn items<T: Shape>(&mut self, node: &Node, wanted: &str) -> Option<Vec<At<T>>> {
        let Value::List(items) = &node.value else {
            let help = match node.scalar() {
                Some(scalar) if scalar.meaning() != Meaning::Nothing => {
                    Some(format!("write a list: [{}]", scalar.text))
                }
                _ => None,
            };
            self.note(self.type_mistake(node, wanted).maybe_help(help));
            return None;
        };
        let read = (0usize..).zip(items).filter_map(|(place, item)| {
            self.inside(&format!("[{place}]"), |reader| {
                let value = T::read(item, reader)?;
                Some(At { value, span: item.span, key: item.span, path: reader.path.clone() })
            })
        });
        Some(read.collect())
    }

    /// A text: quoted, or not to be taken for a number, a truth value or nothing.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        match node.scalar() {
            Some(scalar) if scalar.meaning() == Meaning::Text => Some(&scalar.text),
            Some(scalar) if scalar.meaning() != Meaning::Nothing => {
                let help = format!("put it in quotes: \"{}\"", scalar.text);
                self.note(self.type_mistake(node, wanted).help(help));
                None
            }
            _ => {
                let is_pair = matches!(&node.value, Value::Map(entries) if entries.len() == 1);
                let help = is_pair.then(|| "put a text that contains `: ` in quotes".to_owned());
                self.note(self.type_mistake(node, wanted).maybe_help(help));
                None
            }
        }
    }

    /// Any value without parts, as it was written; not nothing.
    pub(crate) fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Scalar> {
        let scalar = node.scalar().filter(|scalar| scalar.meaning() != Meaning::Nothing);
        if scalar.is_none() {
            self.wrong_type(node, wanted);
        }
        scalar
    }

    /// Notes that something else was expected.
    pub(crate) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        self.note(self.type_mistake(node, wanted));
    }

    /// The mistake that something else was expected, for adding help.
    pub(crate) fn type_mistake(&self, node: &Node, wanted: &str) -> Diagnostic {
        let field = self.field();
        let subject = if field.is_empty() { String::new() } else { format!("{}: ", quote(field)) };
        Diagnostic::new(
            Code::WrongType,
            node.span,
            format!("{subject}expected {wanted}, found {}", node.describe()),
        )
    }

    /// The mistake that a value is not among the legal ones, for adding help.
    pub(crate) fn illegal(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Code::IllegalValue, span, message).at_path(self.path.clone())
    }
}
