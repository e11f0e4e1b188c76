//! A document as a tree in which every value and key knows its place.

use std::sync::Arc;

use crate::source::Span;

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it stands; for a list or map where it begins.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) value: Value,
    /// The text ended, or could not be read further, inside it.
    pub(crate) truncated: bool,
    /// Values in it and itself, aliases counted as often as they are used.
    pub(crate) nodes: u64,
    /// Bytes of text in it, aliases counted as often as they are used.
    pub(crate) bytes: u64,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Value {
    /// Text, a number, true, false or nothing.
    Scalar(Scalar),
    /// A list.
    List(Vec<Arc<Node>>),
    /// A map, in the order of the text, keys possibly twice.
    Map(Vec<Entry>),
}

/// A value without parts, as it was written.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// Its text, without quotes and escapes.
    pub(crate) text: String,
    /// Written without quotes, so that numbers and the like are recognised.
    pub(crate) plain: bool,
}

/// A key of a map and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key's text.
    pub(crate) key: String,
    /// The key's place.
    pub(crate) key_span: Span,
    /// Its value.
    pub(crate) value: Arc<Node>,
}

/// What a scalar means in the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Nothing,
    Truth,
    Number,
    Text,
}

impl Node {
    /// A value with its sizes computed.
    pub(crate) fn new(span: Span, value: Value) -> Node {
        let (nodes, bytes) = match &value {
            Value::Scalar(scalar) => (0, scalar.text.len() as u64),
            Value::List(items) => sum(items.iter().map(|item| (item.nodes, item.bytes))),
            Value::Map(entries) => sum(entries
                .iter()
                .map(|entry| (entry.value.nodes, entry.value.bytes + entry.key.len() as u64))),
        };
        Node { span, value, truncated: false, nodes: nodes + 1, bytes }
    }

    /// The value that stands for `text` when a field is absent; `{}` is an empty map.
    pub(crate) fn default_value(text: &str, span: Span) -> Node {
        let value = match text {
            "{}" => Value::Map(Vec::new()),
            text => Value::Scalar(Scalar { text: text.to_owned(), plain: true }),
        };
        Node::new(span, value)
    }

    /// The scalar, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The value of a key, the first one if it is there twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Node>> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// What it is, for messages: `a list`, `the number 5`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Nothing => "nothing".to_owned(),
                Meaning::Truth => format!("the truth value {}", crate::quote::quote(&scalar.text)),
                Meaning::Number => format!("the number {}", crate::quote::quote(&scalar.text)),
                Meaning::Text => format!("the text {}", crate::quote::quote(&scalar.text)),
            },
        }
    }
}

impl Scalar {
    /// What it means in the core schema.
    pub(crate) fn meaning(&self) -> Meaning {
        if !self.plain {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Nothing,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Meaning::Truth,
            text if is_number(text) => Meaning::Number,
            _ => Meaning::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

fn sum(parts: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    parts.fold((0, 0), |(nodes, bytes), part| (nodes.saturating_add(part.0), bytes.saturating_add(part.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_of_yaml_1_2_says() {
        let meaning = |text: &str| Scalar { text: text.to_owned(), plain: true }.meaning();
        for text in ["0", "-1", "+1.5", "1e3", ".5", "0x1F", "0o17", ".inf", "-.INF", ".nan"] {
            assert_eq!(meaning(text), Meaning::Number, "{text}");
        }
        for text in ["no", "on", "1:30", "1.2.3", "0x", "e3", "-", ".", "1_000", "12Mi", "2026-01-01"] {
            assert_eq!(meaning(text), Meaning::Text, "{text}");
        }
        assert_eq!(meaning("~"), Meaning::Nothing);
        assert_eq!(meaning("True"), Meaning::Truth);
    }
}
