//! raft-rs logs through slog; here its lines become tracing events of the target `raft`.

use std::fmt::{self, Write as _};

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record, Serializer};

/// A logger for raft-rs that writes to tracing.
pub fn logger() -> Logger {
    Logger::root(ToTracing, slog::o!())
}

#[derive(Debug)]
struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        // What raft calls info is of interest to those who debug an election, not to operators.
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "raft", "{}", Line(record, values)),
            Level::Warning => tracing::warn!(target: "raft", "{}", Line(record, values)),
            Level::Info => tracing::debug!(target: "raft", "{}", Line(record, values)),
            Level::Debug | Level::Trace => tracing::trace!(target: "raft", "{}", Line(record, values)),
        }
        Ok(())
    }
}

struct Line<'a, 'b>(&'a Record<'b>, &'a OwnedKVList);

impl fmt::Display for Line<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.msg())?;
        let mut pairs = Pairs(String::new());
        // Writing to a string fails only if a value's own formatting does; the line is then just shorter.
        let _ = self.0.kv().serialize(self.0, &mut pairs);
        let _ = self.1.serialize(self.0, &mut pairs);
        f.write_str(&pairs.0)
    }
}

struct Pairs(String);

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(Into::into)
    }
}
