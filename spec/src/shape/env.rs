//! Environment variables.

use berth_core::template::Template;
use serde_json::{Value, json};

use crate::quote::quote;
use crate::reader::{At, Reader};
use crate::secret;
use crate::shape::Shape;
use crate::shape::template;
use crate::tree::{self, Node};

/// Names with their values, in the order of the text.
#[derive(Debug)]
pub(crate) struct Env(pub(crate) Vec<(String, At<EnvValue>)>);

/// A value: a text, or a number or truth value as it was written.
#[derive(Debug)]
pub(crate) struct EnvValue(pub(crate) Template);

/// The beginning of names that Berth sets itself.
const RESERVED: &str = "BERTH_";

impl Shape for Env {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let tree::Value::Map(entries) = &node.value else {
            let help = "write NAME: value, one a line";
            reader.note(reader.type_mistake(node, "a map of names and values").help(help));
            return None;
        };
        let mut env = Vec::new();
        for entry in reader.once_each(entries) {
            reader.inside(&entry.key, |reader| {
                check_name(entry, reader);
                if let Some(value) = EnvValue::read(&entry.value, reader) {
                    secret::check(entry, &value.0, reader);
                    let at = At {
                        value,
                        span: entry.value.span,
                        key: entry.key_span,
                        path: reader.path().to_owned(),
                    };
                    env.push((entry.key.clone(), at));
                }
            });
        }
        Some(Env(env))
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            "additionalProperties": EnvValue::schema(),
        })
    }
}

impl Shape for EnvValue {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(scalar) = node.scalar() else {
            reader.wrong_type(node, "a text or a number");
            return None;
        };
        if scalar.meaning() == tree::Meaning::Nothing {
            reader
                .note(reader.type_mistake(node, "a text or a number").help("for an empty value write \"\""));
            return None;
        }
        template::parse(&scalar.text, node, reader).map(EnvValue)
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

fn check_name(entry: &tree::Entry, reader: &mut Reader<'_>) {
    let name = entry.key.as_str();
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !legal {
        let message = format!("{} is not a legal name of an environment variable", quote(name));
        let why = "such a name has letters, digits and `_`, and does not begin with a digit";
        reader.note(reader.illegal(entry.key_span, message).why(why));
    } else if name.starts_with(RESERVED) {
        let message =
            format!("{} cannot be set: names that begin with {RESERVED} are set by Berth", quote(name));
        reader.note(reader.illegal(entry.key_span, message).help("choose another name"));
    }
}
