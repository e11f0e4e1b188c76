//! Layered configuration: flags over `BERTH_*` variables over a TOML file over defaults, with the
//! origin of every value kept.
//!
//! A binary has one typed tree. Its default value names every key and its type, so that a key
//! nobody reads is refused wherever it stands, and all mistakes are shown at once:
//!
//! ```
//! use berth_daemon::config::{self, Flag, Sections};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Default, Serialize, Deserialize)]
//! struct Config { server: Server }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct Server { listen: std::net::SocketAddr, tick_ms: u64 }
//!
//! impl Default for Server {
//!     fn default() -> Self {
//!         Self { listen: "127.0.0.1:7480".parse().expect("well-formed"), tick_ms: 50 }
//!     }
//! }
//!
//! impl Sections for Config {}
//!
//! let env = [("BERTH_SERVER_TICK_MS".to_owned(), "100".to_owned())];
//! let flags = vec![Flag::new("server.listen", "--listen", "127.0.0.1:0")];
//! let loaded = config::load::<Config>(None, env.into_iter(), flags)?;
//! assert_eq!(loaded.show(), "\
//! server.listen = \"127.0.0.1:0\"  # from flag --listen
//! server.tick_ms = 100           # from env BERTH_SERVER_TICK_MS
//! ");
//! # Ok::<(), config::Error>(())
//! ```
//!
//! Values that depend on one another are checked by the caller, who can blame a key's origin with
//! [`Loaded::blame`].

mod error;
mod file;
mod keys;
mod loaded;
mod text;

pub use error::{Error, Origin, Problem};
pub use keys::Kind;
pub use loaded::Loaded;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use self::keys::Keys;
use self::loaded::Setting;

/// What all variables of a configuration begin with.
const PREFIX: &str = "BERTH_";

/// Variables that begin with `BERTH_` and are no configuration; a `*` at the end stands for any
/// rest. They are what a task sees, what clients read, and what tests and benchmarks use.
pub const NOT_CONFIG: &[&str] = &[
    "BERTH_TASK_*",
    "BERTH_RUN_*",
    "BERTH_JOB_*",
    "BERTH_ATTEMPT*",
    "BERTH_OUTPUT*",
    "BERTH_INPUT*",
    "BERTH_WINDOW*",
    "BERTH_NODE_NAME",
    "BERTH_TENANT",
    "BERTH_SERVER",
    "BERTH_SERVERS",
    "BERTH_CONFIG",
    "BERTH_SHIM_*",
    "BERTH_TEST_*",
    "BERTH_BENCH_*",
    "BERTH_SIM_*",
];

/// A binary's configuration tree. Its serialised default names every key that has a default.
pub trait Sections: Serialize + DeserializeOwned + Default {
    /// Keys that the default does not show because they have no value by default (`Option`), with
    /// their kinds; also tables whose keys are free ([`Kind::Map`]).
    const OPTIONAL: &'static [(&'static str, Kind)] = &[];

    /// Variables with names of their own that set a key too, as (variable, dotted key). The key's usual variable wins.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Variables that begin with `BERTH_` and are no configuration of this binary.
    const NOT_CONFIG: &'static [&'static str] = NOT_CONFIG;
}

/// A value given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    key: &'static str,
    name: &'static str,
    value: String,
}

impl Flag {
    /// `key` is the dotted key it sets, `name` the flag as typed (`--listen`). A flag that sets a
    /// list can be given several times, and each of its values can hold several, parted by commas.
    pub fn new(key: &'static str, name: &'static str, value: impl ToString) -> Self {
        Self { key, name, value: value.to_string() }
    }
}

/// The `BERTH_*` variables of this process.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    // Lossy, because a value that is no UTF-8 is refused by its key's type with a name, not a panic.
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// Reads and merges all layers.
///
/// # Errors
/// [`Error::Read`] when the file cannot be read, [`Error::Invalid`] with every mistake found:
/// syntax, unknown keys and variables, values of a wrong type.
///
/// # Panics
/// When the tree itself is wrong: its default cannot be written as TOML, two keys share a variable,
/// or a flag names no key.
pub fn load<T: Sections>(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    flags: Vec<Flag>,
) -> Result<Loaded<T>, Error> {
    let keys = Keys::of::<T>();
    let mut problems = Vec::new();
    let mut given: BTreeMap<String, Setting> = BTreeMap::new();
    if let Some(path) = file {
        given.extend(file::read(path, &keys, &mut problems)?);
    }
    let env: Vec<(String, String)> = env.collect();
    given.extend(from_aliases(&env, T::ALIASES, &keys, &mut problems));
    given.extend(from_env(env.into_iter(), T::NOT_CONFIG, &keys, &mut problems));
    given.extend(from_flags(flags, &keys, &mut problems));
    loaded::merge(&keys, given, problems)
}

/// # Panics
/// When an alias sets no key.
fn from_aliases(
    env: &[(String, String)],
    aliases: &[(&str, &str)],
    keys: &Keys,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Setting)> {
    let mut found = Vec::new();
    for (variable, key) in aliases {
        let kind = keys.kind(key).unwrap_or_else(|| panic!("{variable} sets {key}, which is no key"));
        let Some((name, value)) = env.iter().find(|(name, value)| name == variable && !value.is_empty())
        else {
            continue;
        };
        let origin = Origin::Env { name: name.clone() };
        match text::parse(value, kind) {
            Ok(value) => found.push(((*key).to_owned(), Setting { value, origin })),
            Err(message) => problems.push(Problem::new(origin, message, None)),
        }
    }
    found
}

fn from_env(
    env: impl Iterator<Item = (String, String)>,
    not_config: &[&str],
    keys: &Keys,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Setting)> {
    let mut found = Vec::new();
    let is_config = |name: &str| {
        let matches = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        };
        // A key wins over a pattern that happens to cover its variable.
        name.starts_with(PREFIX) && (keys.by_variable(name).is_some() || !not_config.iter().any(matches))
    };
    for (name, value) in env.filter(|(name, _)| is_config(name)) {
        let origin = Origin::Env { name: name.clone() };
        match keys.by_variable(&name) {
            Some((key, kind)) => match text::parse(&value, kind) {
                Ok(value) => found.push((key.to_owned(), Setting { value, origin })),
                Err(message) => problems.push(Problem::new(origin, message, None)),
            },
            None => {
                let hint = keys.closest_variable(&name).map(|near| format!("did you mean {near}?"));
                problems.push(Problem::new(origin, "no setting has this name".to_owned(), hint));
            }
        }
    }
    found
}

fn from_flags(flags: Vec<Flag>, keys: &Keys, problems: &mut Vec<Problem>) -> BTreeMap<String, Setting> {
    let mut found: BTreeMap<String, Setting> = BTreeMap::new();
    for Flag { key, name, value } in flags {
        let kind = keys.kind(key).unwrap_or_else(|| panic!("the flag {name} sets {key}, which is no key"));
        let origin = Origin::Flag { name: name.to_owned() };
        let value = match text::parse(&value, kind) {
            Ok(value) => value,
            Err(message) => {
                problems.push(Problem::new(origin, message, None));
                continue;
            }
        };
        match (found.get_mut(key), value) {
            (Some(Setting { value: Value::Array(all), .. }), Value::Array(more)) => all.extend(more),
            (_, value) => {
                found.insert(key.to_owned(), Setting { value, origin });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
