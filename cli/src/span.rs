//! Spans of time as flags and configuration have them, in the grammar of specs: `10s`, `1h30m`, `250ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use berth_core::time::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time in whole milliseconds that is written with its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(Millis);

impl Span {
    pub(crate) const fn from_secs(seconds: u64) -> Span {
        Span(Millis::from_secs(seconds))
    }

    pub(crate) const fn get(self) -> Duration {
        Duration::from_millis(self.0.0)
    }

    pub(crate) const fn millis(self) -> Millis {
        self.0
    }
}

impl FromStr for Span {
    type Err = berth_spec::NotTyped;

    fn from_str(text: &str) -> Result<Span, berth_spec::NotTyped> {
        berth_spec::parse_span(text.trim()).map(Span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
