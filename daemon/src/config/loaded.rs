//! The merged configuration and the origins of its values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::Sections;
use super::error::{Error, Origin, Problem};
use super::keys::{self, Keys};

/// Comments of a listing stand in one column, unless a value is longer than this.
const COLUMN_MAX: usize = 60;

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A configuration with the origin of every value.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The merged tree.
    pub value: T,
    /// Every key; `None` for one that has no value.
    settings: BTreeMap<String, Option<Setting>>,
}

impl<T> Loaded<T> {
    /// Where the value of a dotted key came from; [`Origin::Default`] for an unknown key.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        self.settings.get(key).and_then(Option::as_ref).map_or(&Origin::Default, |setting| &setting.origin)
    }

    /// A mistake in the value of `key`, found by the caller's own check. Collect them and give them
    /// to [`Error::from_problems`].
    #[must_use]
    pub fn blame(&self, key: &str, message: impl AsRef<str>) -> Problem {
        Problem::new(self.origin(key).clone(), format!("{key}: {}", message.as_ref()), None)
    }

    /// Every key with its value and origin as `(key, value in TOML, origin)`, in order; a key without
    /// a value has none.
    pub fn settings(&self) -> impl Iterator<Item = (&str, Option<String>, &Origin)> {
        self.settings.iter().map(|(key, setting)| match setting {
            Some(Setting { value, origin }) => (key.as_str(), Some(value.to_string()), origin),
            None => (key.as_str(), None, &Origin::Default),
        })
    }

    /// The listing of `config show`: a line a key, `key = value  # origin`. It is itself a
    /// configuration file with the same meaning.
    #[must_use]
    pub fn show(&self) -> String {
        let line = |(key, value, origin): (&str, Option<String>, &Origin)| match value {
            Some(value) => (format!("{key} = {value}"), origin.to_string()),
            None => (format!("# {key}"), "not set".to_owned()),
        };
        let lines: Vec<(String, String)> = self.settings().map(line).collect();
        let widths = lines.iter().map(|(text, _)| text.chars().count());
        let width = widths.filter(|width| *width <= COLUMN_MAX).max().unwrap_or(0);
        lines.iter().fold(String::new(), |mut output, (text, comment)| {
            writeln!(output, "{text:width$}  # {comment}").expect("writing to a String cannot fail");
            output
        })
    }
}

/// Puts the given settings over the defaults and reads the typed tree.
pub(super) fn merge<T: Sections>(
    keys: &Keys,
    given: BTreeMap<String, Setting>,
    mut problems: Vec<Problem>,
) -> Result<Loaded<T>, Error> {
    let mut table = keys.defaults();
    for (key, setting) in &given {
        keys::set(&mut table, key, setting.value.clone());
    }
    let value = match table.try_into::<T>() {
        Ok(value) => value,
        Err(error) => {
            let before = problems.len();
            problems.extend(given.iter().filter_map(|(key, setting)| refused::<T>(keys, key, setting)));
            if problems.len() == before {
                // No value is wrong alone; the type refuses them together.
                problems.push(Problem::new(Origin::Default, error.message().to_owned(), None));
            }
            return Err(Error::Invalid { problems });
        }
    };
    Error::from_problems(problems)?;
    let mut given = given;
    let setting = |(key, default): (&str, Option<&Value>)| {
        let default = || default.map(|value| Setting { value: value.clone(), origin: Origin::Default });
        (key.to_owned(), given.remove(key).or_else(default))
    };
    let settings = keys.iter().map(setting).collect();
    Ok(Loaded { value, settings })
}

/// The decoder stops at the first mistake and does not know origins, so each value is tried alone
/// among defaults.
fn refused<T: Sections>(keys: &Keys, key: &str, setting: &Setting) -> Option<Problem> {
    let mut table: Table = keys.defaults();
    keys::set(&mut table, key, setting.value.clone());
    let error = table.try_into::<T>().err()?;
    let hint = keys.default(key).map(|default| format!("the default is {default}"));
    Some(Problem::new(setting.origin.clone(), format!("{key}: {}", error.message()), hint))
}
