//! When a job fires.

use berth_core::job_spec::Overlap;
use berth_core::time::{Millis, Timestamp};
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::quote::quote;
use crate::reader::Reader;
use crate::shape::Shape;
use crate::shape::duration::{self, PATTERN, UNITS_SAID, WANTED};
use crate::tree::Node;

/// The period of a schedule, from a second to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Millis);

/// An instant of RFC 3339, at or after the start of 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

/// What happens to an instant while an earlier run is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverlapWord(pub(crate) Overlap);

const PERIOD_MIN: Millis = Millis::from_secs(1);
const PERIOD_MAX: Millis = Millis::from_secs(366 * 86_400);

impl Shape for Period {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, WANTED)?;
        let Some(period) = duration::parse(&scalar.text) else {
            let message = format!("`every` is {}, which is not {WANTED}", node.describe());
            let help = duration::suggestion(&scalar.text, scalar.meaning());
            reader.note(Diagnostic::new(Code::Schedule, node.span, message).why(UNITS_SAID).help(help));
            return None;
        };
        if (PERIOD_MIN..=PERIOD_MAX).contains(&period) {
            return Some(Period(period));
        }
        let message = format!("`every` is {period}: a period is from {PERIOD_MIN} to {PERIOD_MAX}");
        reader
            .note(Diagnostic::new(Code::ScheduleRange, node.span, message).help("for example `every: 10m`"));
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": PATTERN })
    }
}

impl Shape for Instant {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.scalar(node, "an instant")?.text.trim();
        let found = match text.parse::<jiff::Timestamp>() {
            Ok(instant) => match u64::try_from(instant.as_millisecond()) {
                Ok(millis) if instant.subsec_nanosecond() % 1_000_000 == 0 => {
                    return Some(Instant(Timestamp(millis)));
                }
                Ok(_) => {
                    let message =
                        format!("`at` is {}: instants have at most three decimals of a second", quote(text));
                    Diagnostic::new(Code::Schedule, node.span, message).help(example())
                }
                Err(_) => {
                    let message = format!("`at` is {}: it lies before 1970 and never comes", quote(text));
                    Diagnostic::new(Code::ScheduleRange, node.span, message).help(example())
                }
            },
            Err(_) => not_an_instant(text, node),
        };
        reader.note(found);
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

fn example() -> &'static str {
    "for example `at: \"2026-12-01T02:00:00Z\"`"
}

fn not_an_instant(text: &str, node: &Node) -> Diagnostic {
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        let message = format!("`at` is {}, which does not say in which time zone", quote(text));
        let help = format!("write {local}Z for UTC, or {local}+01:00 with the distance to it");
        return Diagnostic::new(Code::Schedule, node.span, message).help(help);
    }
    let message = format!("`at` is {}, which is not an instant of RFC 3339", quote(text));
    Diagnostic::new(Code::Schedule, node.span, message).help(example())
}

impl Shape for OverlapWord {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const WORDS: [(&str, Overlap); 2] = [("skip", Overlap::Skip), ("allow_all", Overlap::AllowAll)];
        const LATER: [&str; 5] = ["queue", "queue_latest", "cancel_running", "replace", "buffer_one"];
        super::one_of(node, reader, &WORDS, &LATER).map(OverlapWord)
    }

    fn schema() -> Value {
        json!({ "enum": ["skip", "allow_all"] })
    }
}
