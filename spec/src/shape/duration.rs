//! Spans of time with their units: `10s`, `1h30m`, `500ms`.

use berth_core::job_spec::STOP_AFTER_MIN;
use berth_core::time::Millis;
use serde_json::{Value, json};

use crate::quote::quote;
use crate::reader::Reader;
use crate::shape::Shape;
use crate::tree::{Meaning, Node};

/// A span of time from `MIN` to `MAX` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationIn<const MIN: u64, const MAX: u64>(pub(crate) Millis);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The legal form, as a pattern of JSON schema.
pub(crate) const PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
/// What messages say was expected.
pub(crate) const WANTED: &str = "a span of time with its unit, such as `30s` or `1h30m`";

impl<const MIN: u64, const MAX: u64> Shape for DurationIn<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, WANTED)?;
        let Some(span) = parse(&scalar.text) else {
            let message = format!("{} is {}, which is not {WANTED}", quote(reader.field()), node.describe());
            let help = suggestion(&scalar.text, scalar.meaning());
            reader.note(reader.illegal(node.span, message).why(UNITS_SAID).help(help));
            return None;
        };
        if (MIN..=MAX).contains(&span.0) {
            return Some(DurationIn(span));
        }
        let (min, max) = (Millis(MIN), Millis(MAX));
        let message = format!("{} is {span}: it must be from {min} to {max}", quote(reader.field()));
        reader.note(reader.illegal(node.span, message));
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": PATTERN })
    }
}

/// How long a task goes on while its node has no contact to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WithoutContact(pub(crate) Millis);

impl Shape for WithoutContact {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const MAX: Millis = Millis(366 * 86_400_000);
        let DurationIn(span) = DurationIn::<0, { u64::MAX }>::read(node, reader)?;
        if (STOP_AFTER_MIN..=MAX).contains(&span) {
            return Some(WithoutContact(span));
        }
        let message =
            format!("{} is {span}: it must be from {STOP_AFTER_MIN} to {MAX}", quote(reader.field()));
        let why = "a node is heard of every second and given up after 5s; less would stop tasks of a node in full contact";
        reader.note(reader.illegal(node.span, message).why(why));
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": PATTERN })
    }
}

/// The units in words.
pub(crate) const UNITS_SAID: &str =
    "the units are d, h, m, s and ms, the largest first, each with a whole number";

/// Reads a span of time; `None` when the text is not one.
pub(crate) fn parse(text: &str) -> Option<Millis> {
    let mut rest = text;
    let mut total = 0u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |more| end + more);
        let unit = &rest[end..unit_end];
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(Millis(total))
}

/// What was probably meant.
pub(crate) fn suggestion(text: &str, meaning: Meaning) -> String {
    if let Some((first, second)) = text.split_once(':')
        && let (Ok(first), Ok(second)) = (first.parse::<u32>(), second.parse::<u32>())
    {
        return format!(
            "write {first}h{second}m for hours and minutes, or {first}m{second}s for minutes and seconds"
        );
    }
    if meaning == Meaning::Number && text.bytes().all(|b| b.is_ascii_digit()) {
        return format!("add the unit: {text}s, {text}m or {text}h");
    }
    let compact: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let end = compact.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(0);
    let (number, word) = compact.split_at(end);
    let unit = match word {
        "ms" | "msec" | "millis" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => "",
    };
    if let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit)
        && let Some((Ok(number), "")) = crate::shape::decimal::Decimal::split(number)
        && let Ok(millis) = number.in_units(*size)
    {
        return format!("write {}", Millis(millis));
    }
    "for example 500ms, 30s, 10m or 1h30m".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_reads_back_from_its_text() {
        for millis in [0, 1, 999, 1000, 61_001, 86_400_000, 90_061_001, u64::MAX] {
            assert_eq!(parse(&Millis(millis).to_string()), Some(Millis(millis)));
        }
    }

    #[test]
    fn a_span_needs_units_in_order_and_whole_numbers() {
        for text in ["", "5", "1.5h", "30m1h", "1h1h", "h", "-1s", "1 h", "10S", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_meant_is_offered() {
        assert_eq!(suggestion("1.5h", Meaning::Text), "write 1h30m");
        assert_eq!(suggestion("5 minutes", Meaning::Text), "write 5m");
        assert_eq!(suggestion("30", Meaning::Number), "add the unit: 30s, 30m or 30h");
    }
}
