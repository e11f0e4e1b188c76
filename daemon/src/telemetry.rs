//! Logs: one subscriber a process, always to stderr, because stdout belongs to data.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What is logged and how it looks; the section `[log]` of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or a list of `target=level` directives.
    pub filter: String,
    /// The form of a line.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: Format::Text }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One readable line an event; coloured when stderr is a terminal.
    Text,
    /// One JSON object an event.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not a level nor a list of directives.
    #[error(
        "log.filter \"{filter}\" is not understood ({reason}); write a level such as info or debug, or directives such as info,berth_scheduler=debug"
    )]
    Filter {
        /// The text that was given.
        filter: String,
        /// What the parser said.
        reason: String,
    },
    /// Something in this process set a subscriber before.
    #[error("logging was already started in this process")]
    AlreadyStarted,
}

/// Checks a filter without starting anything, for the validation of a configuration.
///
/// # Errors
/// [`Error::Filter`].
pub fn check(config: &Config) -> Result<(), Error> {
    filter(config).map(|_| ())
}

/// Starts logging for the process.
///
/// # Errors
/// [`Error::Filter`] for a filter that cannot be read, [`Error::AlreadyStarted`] on a second call.
pub fn init(config: &Config) -> Result<(), Error> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(config)?).with_writer(io::stderr);
    let started = match config.format {
        Format::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().with_current_span(true).with_span_list(false).try_init(),
    };
    started.map_err(|_| Error::AlreadyStarted)
}

fn filter(config: &Config) -> Result<EnvFilter, Error> {
    // A bare word that is no level would be taken for the name of a target and silence everything.
    let is_directive = |word: &str| word.contains(['=', '[']) || word.contains("::");
    let is_level = |word: &str| !word.is_empty() && LevelFilter::from_str(word).is_ok();
    if let Some(word) =
        config.filter.split(',').map(str::trim).find(|word| !is_directive(word) && !is_level(word))
    {
        return Err(Error::Filter {
            filter: config.filter.clone(),
            reason: format!("\"{word}\" is no level"),
        });
    }
    EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|error| Error::Filter { filter: config.filter.clone(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::{Config, check};

    #[test]
    fn levels_and_directives_are_read_and_other_words_refused() {
        for good in ["info", "warn,berth_scheduler=debug", "off", "info,berth_agent::session=trace"] {
            check(&Config { filter: good.to_owned(), ..Config::default() }).unwrap();
        }
        for bad in ["verbose", "info,loud", "berth=louder", ""] {
            let error = check(&Config { filter: bad.to_owned(), ..Config::default() }).unwrap_err();
            assert!(error.to_string().contains("write a level"), "{error}");
        }
    }
}
