//! The keys of a configuration tree, read off its default value.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::{PREFIX, Sections};
use crate::suggest;

/// The kind of a key's value, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; also what is written as text: durations, sizes, addresses, paths, choices.
    String,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A list of values or tables.
    List,
    /// A table whose keys are free, such as labels.
    Map,
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::String(_) | Value::Datetime(_) => Self::String,
            Value::Integer(_) => Self::Integer,
            Value::Float(_) => Self::Float,
            Value::Boolean(_) => Self::Boolean,
            Value::Array(_) => Self::List,
            Value::Table(_) => Self::Map,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "a text in quotes",
            Self::Integer => "a whole number",
            Self::Float => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list in brackets",
            Self::Map => "a table",
        })
    }
}

/// Every key by its dotted path, with its kind and default.
#[derive(Debug)]
pub(super) struct Keys {
    known: BTreeMap<String, Key>,
    by_variable: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Key {
    kind: Kind,
    default: Option<Value>,
}

impl Keys {
    pub(super) fn of<T: Sections>() -> Self {
        let defaults =
            Table::try_from(T::default()).expect("the default configuration can be written as TOML");
        let mut known: BTreeMap<String, Key> = BTreeMap::new();
        for (name, kind) in T::OPTIONAL {
            known.insert((*name).to_owned(), Key { kind: *kind, default: None });
        }
        add(&mut known, "", defaults);
        let mut by_variable = BTreeMap::new();
        for name in known.keys() {
            let other = by_variable.insert(variable(name), name.clone());
            assert!(other.is_none(), "{name} and {other:?} share a variable");
        }
        Self { known, by_variable }
    }

    pub(super) fn kind(&self, key: &str) -> Option<Kind> {
        self.known.get(key).map(|key| key.kind)
    }

    pub(super) fn default(&self, key: &str) -> Option<&Value> {
        self.known.get(key)?.default.as_ref()
    }

    /// Whether keys exist below this path.
    pub(super) fn is_section(&self, path: &str) -> bool {
        self.known.keys().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    pub(super) fn by_variable(&self, name: &str) -> Option<(&str, Kind)> {
        let key = self.by_variable.get(name)?;
        Some((key, self.known[key].kind))
    }

    pub(super) fn closest_variable(&self, name: &str) -> Option<&str> {
        suggest::closest(name, self.by_variable.keys().map(String::as_str))
    }

    /// The nearest name among the siblings of an unknown path, or a key elsewhere with that very
    /// last name.
    pub(super) fn closest(&self, path: &str) -> Option<String> {
        let (section, name) = path.rsplit_once('.').map_or(("", path), |(section, name)| (section, name));
        let below = if section.is_empty() { String::new() } else { format!("{section}.") };
        let siblings = self.known.keys().filter_map(|key| key.strip_prefix(&below)?.split('.').next());
        let near = suggest::closest(name, siblings).map(|near| format!("{below}{near}"));
        near.or_else(|| self.known.keys().find(|key| key.rsplit('.').next() == Some(name)).cloned())
    }

    /// Every key with its default, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<&Value>)> {
        self.known.iter().map(|(name, key)| (name.as_str(), key.default.as_ref()))
    }

    /// The tree of defaults.
    pub(super) fn defaults(&self) -> Table {
        let mut table = Table::new();
        for (key, default) in self.iter() {
            if let Some(value) = default {
                set(&mut table, key, value.clone());
            }
        }
        table
    }
}

/// Walks the default tree; a table is a section unless it is declared as a map or is empty.
fn add(known: &mut BTreeMap<String, Key>, path: &str, table: Table) {
    for (name, value) in table {
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        let declared = known.get(&path).map(|key| key.kind);
        let sectioned =
            known.keys().any(|key| key.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
        match value {
            Value::Table(inner) if declared.is_none() && (sectioned || !inner.is_empty()) => {
                add(known, &path, inner)
            }
            value => {
                let kind = declared.unwrap_or_else(|| Kind::of(&value));
                known.insert(path, Key { kind, default: Some(value) });
            }
        }
    }
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace(['.', '-'], "_").to_ascii_uppercase())
}

/// Sets a dotted path in a tree, making the tables on the way.
pub(super) fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            let inner = inner.as_table_mut().expect("a key is either a section or a value");
            set(inner, rest, value);
        }
    }
}
