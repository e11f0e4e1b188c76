//! Amounts and times as people read and write them.

use std::time::{SystemTime, UNIX_EPOCH};

const MEMORY: &str = "memory";
const CPU: &str = "cpu";

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A span: `850ms`, `12.3s`, `2m05s`, `1h03m`, `4d02h`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// An instant relative to now: `3m ago`, `in 2h`, `now`.
pub(crate) fn relative(now_ms: u64, then_ms: u64) -> String {
    let coarse = |ms: u64| match ms / 1000 {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    };
    match now_ms.abs_diff(then_ms) {
        0..1000 => "now".to_owned(),
        past if now_ms > then_ms => format!("{} ago", coarse(past)),
        ahead => format!("in {}", coarse(ahead)),
    }
}

/// An instant in UTC, RFC 3339 with seconds.
pub(crate) fn instant(ms: u64) -> String {
    let second = i64::try_from(ms / 1000).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    second.map_or_else(|| format!("{ms} ms"), |second| second.to_string())
}

/// The time of day in UTC: `14:03:59`.
pub(crate) fn time_of_day(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60)
}

/// An amount of a resource: memory as `1.5Gi`, everything else as a number such as `0.5`.
pub(crate) fn amount(resource: &str, amount: u64) -> String {
    if resource == MEMORY { bytes(amount) } else { berth_spec::milli(amount) }
}

/// The same without a loss: what reads back as exactly this amount.
pub(crate) fn exact(resource: &str, exact: u64) -> String {
    let short = amount(resource, exact);
    match berth_spec::parse_amount(resource, &short) {
        Ok(read) if read == exact => short,
        // Only memory is shortened.
        Ok(_) | Err(_) => berth_spec::bytes(exact),
    }
}

/// Limits by name, without a loss: `cpu 0.5, memory 1Gi`; `-` for none.
pub(crate) fn limits<'a>(all: impl IntoIterator<Item = (&'a String, &'a u64)>) -> String {
    let all: Vec<String> = all.into_iter().map(|(name, &n)| format!("{name} {}", exact(name, n))).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// Amounts by name: `cpu 0.5, memory 1Gi`; `-` for none.
pub(crate) fn amounts<'a>(all: impl IntoIterator<Item = (&'a String, &'a u64)>) -> String {
    let all: Vec<String> = all.into_iter().map(|(name, &n)| format!("{name} {}", amount(name, n))).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// Bytes in the largest unit that leaves at least 1, with one decimal where it says something.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let Some((unit, size)) = UNITS.into_iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes}B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(size);
    if tenths.is_multiple_of(10) || tenths >= 1000 {
        format!("{}{unit}", tenths / 10)
    } else {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }
}

/// Reads `cpu=4`, `cpu=500m`, `memory=8Gi`, `gpu=2`: memory in bytes, everything else in thousandths.
pub(crate) fn parse_amount(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=AMOUNT, such as cpu=4 or memory=8Gi")?;
    if name.is_empty() {
        return Err(format!("the name is missing, such as {CPU}"));
    }
    let amount = berth_spec::parse_amount(name, value.trim()).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_speech() {
        let spans = [0, 850, 12_340, 125_000, 3_780_000, 352_800_000].map(span);
        assert_eq!(spans, ["0ms", "850ms", "12.3s", "2m05s", "1h03m", "4d02h"]);
        let now = 1_000_000_000;
        assert_eq!(relative(now, now - 180_000), "3m ago");
        assert_eq!(relative(now, now + 7_300_000), "in 2h");
        assert_eq!(relative(now, now + 10), "now");
        assert_eq!(instant(1_785_499_439_123), "2026-07-31T12:03:59Z");
        assert_eq!(time_of_day(1_785_499_439_123), "12:03:59");
    }

    #[test]
    fn amounts_read_back() {
        assert_eq!(parse_amount("cpu=1.5"), Ok(("cpu".into(), 1500)));
        assert_eq!(parse_amount("cpu=250m"), Ok(("cpu".into(), 250)));
        assert_eq!(parse_amount("memory=8Gi"), Ok(("memory".into(), 8 << 30)));
        for wrong in ["cpu", "cpu=", "cpu=-1", "cpu=1.2345", "memory=8", "=4", "cpu=99999999999999999999"] {
            assert!(parse_amount(wrong).is_err(), "{wrong}");
        }
        assert_eq!(amount("memory", 1_610_612_736), "1.5Gi");
        for (resource, n, text) in [
            ("memory", 3 << 29, "1.5Gi"),
            ("memory", 1566 << 20, "1566Mi"),
            ("memory", 0, "0B"),
            ("cpu", 1, "0.001"),
        ] {
            assert_eq!(exact(resource, n), text);
            assert_eq!(parse_amount(&format!("{resource}={text}")), Ok((resource.into(), n)));
        }
        assert_eq!(amount("cpu", 500), "0.5");
        assert_eq!(bytes(100), "100B");
    }
}
