//! Instants and spans of time, in whole milliseconds. `core` never asks a clock: instants come in
//! with the command.

use std::fmt;
use std::ops::{Add, Sub};

use crate::canonical::canonical;

/// An instant, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

canonical!(Timestamp(_));

/// An instant on a machine's boot clock, in milliseconds since some moment in the past: it cannot be set, and it goes on
/// while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Boot(pub u64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

canonical!(Millis(_));

impl Timestamp {
    /// An instant later than any that occurs.
    pub const FAR: Timestamp = Timestamp(u64::MAX);

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC: `2025-11-02T06:00:00Z`, with thousandths only where there are any.
    pub fn rfc3339(self) -> String {
        let (days, in_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let (seconds, millis) = (in_day / 1000, in_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
    }
}

/// Year, month and day of a number of days since the Unix epoch, in the Gregorian calendar. Years are counted
/// from March, so that the leap day is the last of its year, and in eras of 400 years, which all have equal
/// length.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    // From 1 March of the year 0 to the Unix epoch.
    let since_era = days + 719_468;
    let (era, day_of_era) = (since_era / ERA_DAYS, since_era % ERA_DAYS);
    // Leap days before this day of the era: one in 4 years (1,461 days), not in 100 (36,524), but in 400.
    let leap_days = day_of_era / 1_460 + day_of_era / (ERA_DAYS - 1) - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months have 153 days: 31, 30, 31, 30, 31.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

impl Boot {
    /// The time from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Boot) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Millis> for Boot {
    type Output = Boot;

    fn add(self, span: Millis) -> Boot {
        Boot(self.0.saturating_add(span.0))
    }
}

impl Millis {
    /// `n` seconds.
    pub const fn from_secs(n: u64) -> Millis {
        Millis(n * 1000)
    }
}

impl Add<Millis> for Timestamp {
    type Output = Timestamp;

    fn add(self, span: Millis) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Timestamp;

    fn sub(self, span: Millis) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

impl From<Millis> for std::time::Duration {
    fn from(span: Millis) -> Self {
        Self::from_millis(span.0)
    }
}

impl fmt::Display for Millis {
    /// As people write it: `1500ms`, `10s`, `1h30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let mut text = String::new();
        let mut rest = self.0;
        for (size, unit) in UNITS {
            if rest >= size {
                text.push_str(&format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        if rest > 0 || text.is_empty() {
            text.push_str(&format!("{rest}ms"));
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_the_gregorian_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_762_063_200, "2025-11-02T06:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp(seconds * 1000).rfc3339(), text);
        }
        assert_eq!(Timestamp(1_762_063_200_007).rfc3339(), "2025-11-02T06:00:00.007Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..200_000 {
            let (year, month, date) = civil(day);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            if date == 1 {
                let longest = match before.1 {
                    2 => 28 + u64::from(leap),
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                assert_eq!(before.2, longest);
                assert_eq!(month, before.1 % 12 + 1);
                assert_eq!(year, before.0 + u64::from(month == 1));
            } else {
                assert_eq!((year, month, date), (before.0, before.1, before.2 + 1));
            }
            before = (year, month, date);
        }
    }
}
