//! The TOML file: its keys, their values and their lines.

use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::error::{Error, Origin, Problem};
use super::keys::{Keys, Kind};
use super::loaded::Setting;

/// Reads the file's settings. Mistakes go to `problems`; what is well-formed is returned.
pub(super) fn read(
    path: &Path,
    keys: &Keys,
    problems: &mut Vec<Problem>,
) -> Result<Vec<(String, Setting)>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut reader = Reader { path, text: &text, keys, problems, found: Vec::new() };
    match (toml::from_str::<Table>(&text), DeTable::parse(&text)) {
        (Ok(values), Ok(spans)) => reader.section("", values, spans.get_ref()),
        (Err(error), _) | (_, Err(error)) => {
            let origin = reader.at(error.span().map_or(0, |span| span.start));
            reader.problems.push(Problem::new(origin, error.message().to_owned(), None));
        }
    }
    Ok(reader.found)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    keys: &'a Keys,
    problems: &'a mut Vec<Problem>,
    found: Vec<(String, Setting)>,
}

impl Reader<'_> {
    fn at(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }

    /// Walks values and spans of one table together.
    fn section(&mut self, path: &str, mut values: Table, spans: &DeTable<'_>) {
        for (name, span) in spans {
            let origin = self.at(name.span().start);
            let name: &str = name.get_ref();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let value = values.remove(name).expect("both readings of the text have the same keys");
            match (self.keys.kind(&path), value, span.get_ref()) {
                (Some(kind), value, _) => self.value(path, kind, value, origin),
                (None, Value::Table(inner), DeValue::Table(spans)) if self.keys.is_section(&path) => {
                    self.section(&path, inner, spans);
                }
                (None, _, _) if self.keys.is_section(&path) => {
                    let message = format!("{path} is a section; write its keys below [{path}]");
                    self.problems.push(Problem::new(origin, message, None));
                }
                (None, _, _) => {
                    let hint = self.keys.closest(&path).map(|near| format!("did you mean {near}?"));
                    self.problems.push(Problem::new(origin, format!("unknown key {path}"), hint));
                }
            }
        }
    }

    fn value(&mut self, path: String, kind: Kind, value: Value, origin: Origin) {
        let value = match (kind, value) {
            // A whole number is a number.
            (Kind::Float, Value::Integer(whole)) => {
                i32::try_from(whole).map_or(Value::Integer(whole), |whole| Value::Float(whole.into()))
            }
            (_, value) => value,
        };
        let given = Kind::of(&value);
        if given == kind {
            self.found.push((path, Setting { value, origin }));
            return;
        }
        let example = self.keys.default(&path).map(|default| format!("the default is {default}"));
        self.problems.push(Problem::new(origin, format!("{path} wants {kind}, not {given}"), example));
    }
}
