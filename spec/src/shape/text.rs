//! Names and free text.

use berth_core::name::{NAME_MAX, Named};
use serde_json::{Value, json};

use crate::quote::quote;
use crate::reader::Reader;
use crate::shape::Shape;
use crate::tree::{Meaning, Node};

/// The name of a tenant, job or task: lower-case letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// Any text, kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FreeText(pub(crate) String);

impl Shape for Name {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node, "a name")?;
        if Named::Ours.fits(text) {
            return Some(Name(text.to_owned()));
        }
        let why = format!("a name has {}", Named::Ours.rule());
        let message = format!("{} is not a legal name", quote(text));
        let help = legal_name(text).map(|name| format!("for example {}", quote(&name)));
        reader.note(reader.illegal(node.span, message).why(why).maybe_help(help));
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$", "maxLength": NAME_MAX })
    }
}

impl Shape for FreeText {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if node.scalar().is_some_and(|scalar| scalar.meaning() == Meaning::Nothing) {
            return Some(FreeText(String::new()));
        }
        reader.text(node, "a text").map(|text| FreeText(text.to_owned()))
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// The legal name nearest to a text.
fn legal_name(text: &str) -> Option<String> {
    let lower: String = text.to_lowercase().chars().take(NAME_MAX).collect();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let joined: String = lower.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let name = joined.trim_matches(['-', '_']);
    Named::Ours.fits(name).then(|| name.to_owned())
}
