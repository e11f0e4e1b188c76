//! Exact decimal numbers: `1.5` is fifteen tenths, never the nearest float.

/// A decimal number, `mantissa / 10^scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    mantissa: u128,
    scale: u32,
}

/// Why a number cannot be had in whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inexact {
    /// It has a fraction of a unit.
    Fraction,
    /// It does not fit into 64 bits.
    TooLarge,
}

/// More digits than any amount needs; keeps the arithmetic within 128 bits.
const DIGITS_MAX: usize = 18;

impl Decimal {
    /// Splits a text into the number at its start and what follows. `None` without a number.
    pub(crate) fn split(text: &str) -> Option<(Result<Decimal, Inexact>, &str)> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, unit) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
            return None;
        }
        Some((Decimal::from_digits(text.starts_with('-'), whole, fraction), unit))
    }

    fn from_digits(negative: bool, whole: &str, fraction: &str) -> Result<Decimal, Inexact> {
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        if whole.len() > DIGITS_MAX {
            return Err(Inexact::TooLarge);
        }
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err(Inexact::Fraction);
        }
        let mantissa = whole
            .bytes()
            .chain(fraction.bytes())
            .fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        let scale = u32::try_from(fraction.len()).map_err(|_| Inexact::Fraction)?;
        Ok(Decimal { negative: negative && mantissa != 0, mantissa, scale })
    }

    /// The number, its sign apart, in units of which one has `per_one`.
    pub(crate) fn in_units(self, per_one: u64) -> Result<u64, Inexact> {
        let scaled = self.mantissa * u128::from(per_one);
        let divisor = 10u128.pow(self.scale);
        if !scaled.is_multiple_of(divisor) {
            return Err(Inexact::Fraction);
        }
        u64::try_from(scaled / divisor).map_err(|_| Inexact::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, per_one: u64) -> Result<u64, Inexact> {
        let (number, _) = Decimal::split(text).unwrap();
        number?.in_units(per_one)
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(units("1.5", 1000), Ok(1500));
        assert_eq!(units("0.001", 1000), Ok(1));
        assert_eq!(units("0.1", 3), Err(Inexact::Fraction));
        assert_eq!(units("00012.50", 1000), Ok(12_500));
        assert_eq!(units("99999999999999999999", 1), Err(Inexact::TooLarge));
        assert_eq!(units("999999999999999999", 1 << 60), Err(Inexact::TooLarge));
        assert_eq!(units("0.0000000000000000001", 1), Err(Inexact::Fraction));
    }

    #[test]
    fn what_follows_a_number_is_its_unit() {
        assert_eq!(Decimal::split("512Mi").unwrap().1, "Mi");
        assert!(Decimal::split("-1").unwrap().0.unwrap().negative);
        for text in ["", "Mi", ".5", "1.", "1..2", "-", "NaN"] {
            assert_eq!(Decimal::split(text), None, "{text}");
        }
    }
}
