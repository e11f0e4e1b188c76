//! Amounts and spans of time that are typed outside of specs, as in flags and configuration: the same grammar.

use berth_core::resources::MEMORY;
use berth_core::time::Millis;

use crate::quote::quote;
use crate::shape::amount::{memory, thousandths};
use crate::shape::duration;

/// A text that is no amount or no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTyped {
    /// No amount of memory.
    #[error("{} is not an amount of memory: write it with its unit, such as 512Mi, 1.5Gi or 2G", quote(.0))]
    Memory(String),
    /// No amount of another resource.
    #[error("{} is not an amount: write a number such as 4, 0.5 or 500m, with at most three decimals", quote(.0))]
    Amount(String),
    /// No span of time.
    #[error("{} is not a span of time: write whole numbers with units, the largest first, such as 500ms, 30s or 1h30m", quote(.0))]
    Span(String),
}

/// Reads an amount of a resource: memory in bytes, everything else in thousandths. 0 is an amount too.
///
/// # Errors
/// [`NotTyped`], which says what to write.
pub fn parse_amount(resource: &str, text: &str) -> Result<u64, NotTyped> {
    let (amount, wrong): (_, fn(String) -> NotTyped) = if resource == MEMORY {
        (memory(text), NotTyped::Memory)
    } else {
        (thousandths(text), NotTyped::Amount)
    };
    match amount {
        Some(Ok(amount)) if !text.starts_with('-') => Ok(amount),
        Some(_) | None => Err(wrong(text.to_owned())),
    }
}

/// Reads a span of time, such as `1h30m`.
///
/// # Errors
/// [`NotTyped::Span`].
pub fn parse_span(text: &str) -> Result<Millis, NotTyped> {
    duration::parse(text).ok_or_else(|| NotTyped::Span(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_outside_of_specs_follow_the_grammar_of_specs() {
        for (resource, text, amount) in [
            ("memory", "1.5Gi", 3 << 29),
            ("memory", "2G", 2_000_000_000),
            ("memory", "0B", 0),
            ("cpu", "500m", 500),
            ("cpu", "1.5", 1500),
            ("gpu", "0", 0),
        ] {
            assert_eq!(parse_amount(resource, text), Ok(amount), "{text}");
        }
        for (resource, text) in [
            ("memory", "8"),
            ("memory", "0.1B"),
            ("memory", "-1Gi"),
            ("cpu", "1.2345"),
            ("cpu", "-1"),
            ("cpu", "4Gi"),
            ("cpu", ""),
        ] {
            assert!(parse_amount(resource, text).is_err(), "{text}");
        }
        assert_eq!(parse_span("1h30m"), Ok(Millis(5_400_000)));
        assert!(parse_span("10").unwrap_err().to_string().contains("30s"));
    }
}
