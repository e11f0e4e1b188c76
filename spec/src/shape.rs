//! What a field can hold: each type here knows how to be read from a node, and its JSON schema.

use berth_core::job_spec::OnDisconnect;
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::StopAfterFields;
use crate::quote::quote;
use crate::reader::{At, Reader};
use crate::suggest::{did_you_mean, nearest};
use crate::tree::Node;

pub(crate) mod decimal;
pub(crate) mod text;

pub(crate) mod amount;
pub(crate) mod command;
pub(crate) mod count;
pub(crate) mod document;
pub(crate) mod duration;
pub(crate) mod env;
pub(crate) mod number;
pub(crate) mod schedule;
pub(crate) mod task_list;
pub(crate) mod template;

/// A type of value.
pub(crate) trait Shape: Sized {
    /// Reads it. `None` when it is wrong, which is then noted with the reader.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// Its JSON schema.
    fn schema() -> Value;
}

/// A list of one type.
impl<T: Shape> Shape for Vec<At<T>> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.items(node, "a list")
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// The type of fields that Berth knows but would ignore: they are refused by their key.
#[derive(Debug)]
pub(crate) enum NotYet {}

impl Shape for NotYet {
    fn read(_: &Node, _: &mut Reader<'_>) -> Option<Self> {
        None
    }

    fn schema() -> Value {
        json!({ "not": {} })
    }
}

/// The type of fields outside a table that allows none.
#[derive(Debug)]
pub(crate) enum Nothing {}

impl Shape for Nothing {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.wrong_type(node, "nothing here");
        None
    }

    fn schema() -> Value {
        Value::Bool(false)
    }
}

/// `keep`, or `{ stop_after: 30s }`.
#[derive(Debug)]
pub(crate) struct OnDisconnectShape(pub(crate) OnDisconnect);

impl Shape for OnDisconnectShape {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const WANTED: &str = "`keep` or `{ stop_after: 30s }`";
        match node.scalar() {
            None if matches!(node.value, crate::tree::Value::Map(_)) => {
                let fields = StopAfterFields::read(node, reader)?;
                Some(OnDisconnectShape(OnDisconnect::StopAfter(fields.stop_after.value()?.0)))
            }
            Some(scalar) if scalar.text == "keep" => Some(OnDisconnectShape(OnDisconnect::Keep)),
            _ => {
                reader.note(reader.type_mistake(node, WANTED).help(format!("write {WANTED}")));
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "oneOf": [{ "const": "keep" }, StopAfterFields::schema()] })
    }
}

/// One of some words, for fields that hold nothing else. `later` are words that are known but not honoured.
pub(crate) fn one_of<T: Copy>(
    node: &Node,
    reader: &mut Reader<'_>,
    words: &[(&str, T)],
    later: &[&str],
) -> Option<T> {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let text = &reader.scalar(node, &format!("one of {}", crate::quote::list(known.iter().copied())))?.text;
    if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
        return Some(*value);
    }
    let field = reader.field().to_owned();
    let found = if later.contains(&text.as_str()) {
        let message =
            format!("{field}: {} is known, but this version of Berth does not honour it yet", quote(text));
        Diagnostic::new(Code::NotHonoured, node.span, message)
    } else {
        reader.illegal(node.span, format!("{field}: {} is not one of the legal words", quote(text)))
    };
    let legal = format!("legal are {}", crate::quote::list(known.iter().copied()));
    reader.note(match nearest(text, known) {
        Some(meant) => found.why(legal).help(did_you_mean(meant)),
        None => found.help(legal),
    });
    None
}
