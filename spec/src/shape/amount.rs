//! Amounts of resources: cpu in thousandths, memory in bytes, others in thousandths. All exact.

use berth_core::name::Named;
use serde_json::{Value, json};

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::limits::{AMOUNT_MILLI_MAX, CPU_MILLI_MAX, MEMORY_BYTES_MAX};
use crate::quote::{grouped, quote};
use crate::reader::Reader;
use crate::shape::Shape;
use crate::shape::decimal::{Decimal, Inexact};
use crate::tree::Node;

/// Cpu in thousandths of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu(pub(crate) u64);

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) u64);

/// Any other resource, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) u64);

/// The units of memory and their bytes.
pub(crate) const MEMORY_UNITS: [(&str, u64); 11] = [
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
    ("B", 1),
];

impl Shape for Cpu {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let range = format!("from 1m, a thousandth of a core, to {} cores", grouped(CPU_MILLI_MAX / 1000));
        milli(node, reader, CPU_MILLI_MAX, &range).map(Cpu)
    }

    fn schema() -> Value {
        milli_schema()
    }
}

impl Shape for Amount {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let name = reader.field().to_owned();
        if !Named::Resource.fits(&name) {
            let message = format!("{} is not a legal name of a resource", quote(&name));
            let why = format!("such a name has {}", Named::Resource.rule());
            reader.note(reader.illegal(node.span, message).why(why));
            return None;
        }
        let range = format!("from 1m, a thousandth, to {}", grouped(AMOUNT_MILLI_MAX / 1000));
        milli(node, reader, AMOUNT_MILLI_MAX, &range).map(Amount)
    }

    fn schema() -> Value {
        milli_schema()
    }
}

impl Shape for Memory {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.scalar(node, "memory with its unit, such as `512Mi`")?.text.trim();
        let field = reader.field().to_owned();
        let amount = memory(text);
        let range = format!("it must be from 1 byte to {} bytes (1Pi)", grouped(MEMORY_BYTES_MAX));
        let found = match amount {
            Some(Ok(bytes @ 1..=MEMORY_BYTES_MAX)) => return Some(Memory(bytes)),
            Some(Err(Inexact::Fraction)) => {
                reader.illegal(node.span, format!("{field}: {} is not a whole number of bytes", quote(text)))
            }
            Some(Ok(_) | Err(Inexact::TooLarge)) => {
                let message = format!("{field}: {} is out of range: {range}", quote(text));
                Diagnostic::new(Code::AmountRange, node.span, message)
            }
            None => memory_unit(node, &field, text),
        };
        reader.note(found);
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P|B)$" })
    }
}

/// Reads an amount of memory in bytes; `None` without a number and a unit. What is negative reads as 0.
pub(crate) fn memory(text: &str) -> Option<Result<u64, Inexact>> {
    let (number, unit) = Decimal::split(text)?;
    let (_, size) = MEMORY_UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(number.and_then(|number| if number.negative { Ok(0) } else { number.in_units(*size) }))
}

/// Reads an amount in thousandths: `500m`, `1.5`, `2`; `None` when it is not one. What is negative reads as 0.
pub(crate) fn thousandths(text: &str) -> Option<Result<u64, Inexact>> {
    let (number, unit) = Decimal::split(text)?;
    let per_one = match unit {
        "" => 1000,
        "m" => 1,
        _ => return None,
    };
    Some(number.and_then(|number| if number.negative { Ok(0) } else { number.in_units(per_one) }))
}

fn milli_schema() -> Value {
    json!({ "anyOf": [
        { "type": "number", "exclusiveMinimum": 0 },
        { "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,3})?$|^[0-9]+m$" },
    ] })
}

/// An amount in thousandths: `500m`, `1.5`, `"2"`.
fn milli(node: &Node, reader: &mut Reader<'_>, max: u64, range: &str) -> Option<u64> {
    let text = reader.scalar(node, "an amount such as `500m` or `2`")?.text.trim();
    let amount = thousandths(text);
    if let Some(Ok(amount)) = amount
        && (1..=max).contains(&amount)
    {
        return Some(amount);
    }
    let message = format!("{} is {}: it must be {range}", quote(reader.field()), quote(text));
    let help = match amount {
        Some(Err(Inexact::Fraction)) => "thousandths are the smallest unit: write `500m` or `0.5`".to_owned(),
        _ if text.contains(',') => format!("write {}, with a point", text.replace(',', ".")),
        _ if MEMORY_UNITS.iter().any(|(unit, _)| text.ends_with(unit)) => {
            "only memory is counted in bytes; others in units, as in `2` or `500m`".to_owned()
        }
        _ => "for example `500m`, `1.5` or `2`".to_owned(),
    };
    reader.note(Diagnostic::new(Code::AmountRange, node.span, message).help(help));
    None
}

/// The mistake of memory without a clear unit, with what each unit would mean.
fn memory_unit(node: &Node, field: &str, text: &str) -> Diagnostic {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let first = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let letter = first.filter(|letter| "KGTP".contains(*letter)).unwrap_or('M');
    let message = match unit {
        _ if number.is_empty() => format!("{field}: {} is not an amount of memory", quote(text)),
        "" => format!("{field}: {} has no unit", quote(text)),
        unit => format!("{field}: {} is not a unit of memory", quote(unit)),
    };
    let number = if number.is_empty() { "512" } else { number };
    let decimal = if letter == 'K' { "k".to_owned() } else { letter.to_string() };
    let forms: Vec<String> =
        [format!("{letter}i"), decimal].iter().filter_map(|unit| with_bytes(number, unit)).collect();
    let mut found = Diagnostic::new(Code::MemoryUnit, node.span, message)
        .why("units are Ki, Mi, Gi, Ti, Pi (powers of 1024), k, M, G, T, P (powers of 1000) and B");
    if unit == "m" {
        found = found.why("`m` would mean thousandths of a byte");
    }
    if forms.is_empty() {
        return found.help("write it with a unit, for example `512Mi`");
    }
    found.help(format!("write {}", forms.join(" or ")))
}

fn with_bytes(number: &str, unit: &str) -> Option<String> {
    let (_, size) = MEMORY_UNITS.iter().find(|(name, _)| *name == unit)?;
    let (number_read, _) = Decimal::split(number)?;
    let bytes = number_read.ok()?.in_units(*size).ok()?;
    Some(format!("`{number}{unit}` ({} bytes)", grouped(bytes)))
}
