//! Values written as plain text, in a variable or after a flag.

use toml::{Table, Value};

use super::keys::Kind;

/// Reads `text` as a value of `kind`; the error says what was wanted.
pub(super) fn parse(text: &str, kind: Kind) -> Result<Value, String> {
    let trimmed = text.trim();
    let wrong = |wanted: &str| format!("\"{text}\" is not {wanted}");
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Integer => trimmed.parse().map(Value::Integer).map_err(|_| wrong("a whole number")),
        Kind::Float => trimmed.parse().map(Value::Float).map_err(|_| wrong("a number")),
        Kind::Boolean => trimmed.parse().map(Value::Boolean).map_err(|_| wrong("true or false")),
        Kind::List if trimmed.starts_with('[') => as_toml(trimmed).ok_or_else(|| wrong("a list in TOML")),
        Kind::List => Ok(Value::Array(parts(trimmed).map(|part| Value::String(part.to_owned())).collect())),
        Kind::Map if trimmed.starts_with('{') => as_toml(trimmed).ok_or_else(|| wrong("a table in TOML")),
        Kind::Map => {
            let pair = |part: &str| {
                let (name, value) = part.split_once('=')?;
                Some((name.trim().to_owned(), Value::String(value.trim().to_owned())))
            };
            let table: Option<Table> = parts(trimmed).map(pair).collect();
            table.map(Value::Table).ok_or_else(|| wrong("a list of name=value, parted by commas"))
        }
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn as_toml(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value")
}
