//! Whole numbers within bounds, and factors.

use serde_json::{Value, json};

use crate::quote::{grouped, quote};
use crate::reader::Reader;
use crate::shape::Shape;
use crate::shape::decimal::Decimal;
use crate::tree::{Meaning, Node};

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntIn<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// A factor from 1 to 100, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factor(pub(crate) u32);

impl<const MIN: u64, const MAX: u64> Shape for IntIn<MIN, MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let number = whole_number(node, reader, "a whole number")?;
        if let Some(number) = number.filter(|number| (MIN..=MAX).contains(number)) {
            return Some(IntIn(number));
        }
        let text = reader.source.slice(node.span).to_owned();
        let message = format!(
            "{} is {text}: it must be from {} to {}",
            quote(reader.field()),
            grouped(MIN),
            grouped(MAX)
        );
        reader.note(reader.illegal(node.span, message));
        None
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl Shape for Factor {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "a number such as `2` or `1.5`")?;
        if scalar.meaning() == Meaning::Number
            && let Some((Ok(number), "")) = Decimal::split(&scalar.text)
            && !number.negative
            && let Ok(milli @ 1000..=100_000) = number.in_units(1000)
            && let Ok(milli) = u32::try_from(milli)
        {
            return Some(Factor(milli));
        }
        let message =
            format!("{} is {}: it must be a number from 1 to 100", quote(reader.field()), node.describe());
        reader.note(
            reader.illegal(node.span, message).help("for example `2` or `1.5`, with up to three decimals"),
        );
        None
    }

    fn schema() -> Value {
        json!({ "type": "number", "minimum": 1, "maximum": 100 })
    }
}

/// A whole number as YAML 1.2 reads it; `Some(None)` for one below 0 or beyond 64 bits. What other tools would
/// read as another number is refused.
pub(crate) fn whole_number(node: &Node, reader: &mut Reader<'_>, wanted: &str) -> Option<Option<u64>> {
    let Some(scalar) = node.scalar() else {
        reader.wrong_type(node, wanted);
        return None;
    };
    let text = scalar.text.as_str();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if scalar.plain && all_digits && !leading_zero {
        return Some(text.parse().ok());
    }
    let field = reader.field().to_owned();
    let mistake = reader.type_mistake(node, wanted);
    let mistake = if all_digits && !scalar.plain {
        mistake.help(format!("remove the quotes: {field}: {text}"))
    } else if all_digits && leading_zero {
        let decimal = digits.trim_start_matches('0');
        let help = match u64::from_str_radix(digits, 8) {
            Ok(octal) => format!("write {decimal}, or {octal} if it was meant as octal"),
            Err(_) => format!("write {decimal}"),
        };
        mistake.why("a leading 0 means octal in YAML 1.1 and nothing in YAML 1.2").help(help)
    } else if let Some(number) = plain_form(text) {
        mistake.help(format!("write {field}: {number}"))
    } else if matches!(text, "no" | "yes" | "on" | "off") {
        mistake.why(format!("some tools read an unquoted {text} as true or false"))
    } else {
        mistake
    };
    reader.note(mistake);
    None
}

/// The digits of a number that is written with separators, an exponent or a prefix.
fn plain_form(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok();
    }
    if let Some((mantissa, exponent)) = text.split_once(['e', 'E']) {
        let exponent: u32 = exponent.parse().ok().filter(|exponent| *exponent < 19)?;
        let (number, _) = Decimal::split(mantissa).filter(|(_, rest)| rest.is_empty())?;
        return number.ok()?.in_units(10u64.checked_pow(exponent)?).ok();
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ')).collect();
    if joined.bytes().all(|b| b.is_ascii_digit()) {
        return joined.parse().ok();
    }
    let (number, _) = Decimal::split(text).filter(|(_, rest)| rest.is_empty())?;
    number.ok().filter(|number| !number.negative)?.in_units(1).ok()
}
