//! Where output goes: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: JSON documents, errors too.
    Json,
}

/// Prints in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    /// Prints data: a table or text, or the same as one JSON document.
    pub(crate) fn data(
        self,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => table(),
            Format::Json => format!("{:#}\n", json()),
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Prints one of many JSON documents that come over time, in one line.
    pub(crate) fn json_line(self, json: &Value) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{json}")?;
        Ok(stdout.flush()?)
    }

    /// Writes bytes to stdout as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Says something to people on stderr; programs read the document alone.
    pub(crate) fn say(self, text: &str) {
        if !self.is_json() {
            say(text);
        }
    }

    /// Warns people on stderr; for programs it has to be in the document.
    pub(crate) fn warn(self, text: &str) {
        if !self.is_json() {
            warn(text);
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Says why the command failed.
    pub(crate) fn fail(self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        let text = match self.format {
            Format::Table => failure.render(color()),
            Format::Json => format!("{:#}\n", failure.to_json()),
        };
        complain(&text);
    }
}

/// Says something that is no data. A stderr that is gone hears nothing.
pub(crate) fn say(text: &str) {
    complain(&format!("{text}\n"));
}

/// The same, for what may only concern people at a terminal.
pub(crate) fn warn(text: &str) {
    let (yellow, reset) = if color() { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
    complain(&format!("{yellow}warning{reset}: {text}\n"));
}

/// Whether stderr shows colours.
pub(crate) fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
