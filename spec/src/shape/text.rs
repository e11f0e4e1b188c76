//! Names and free text.

use berth_core::job_spec::NAME_MAX;
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
        if is_name(text, "_-") {
            return Some(Name(text.to_owned()));
        }
        let why =
            format!("a name has 1 to {NAME_MAX} of a-z, 0-9, `-` and `_`, and begins with a letter or digit");
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

/// True for 1 to [`NAME_MAX`] lower-case letters, digits and characters of `more`, not beginning with the latter.
pub(crate) fn is_name(text: &str, more: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_MAX && text.starts_with(plain) && text.chars().all(|c| plain(c) || more.contains(c))
}

/// The legal name nearest to a text.
fn legal_name(text: &str) -> Option<String> {
    let lower: String = text.to_lowercase().chars().take(NAME_MAX).collect();
    let joined: String =
        lower.chars().map(|c| if is_name(&c.to_string(), "") || c == '_' { c } else { '-' }).collect();
    let name = joined.trim_matches(['-', '_']);
    is_name(name, "_-").then(|| name.to_owned())
}
