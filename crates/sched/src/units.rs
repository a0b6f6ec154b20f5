//! Durations, ratios, rates and sizes as `tc` writes them, parsed and printed.
//!
//! Stricter than `tc` where it invites mistakes: a bare number is refused unless it is zero (`delay 50` is 50 µs to `tc`),
//! and so is `10mbps`, which is ten mega*bytes* to `tc` and ten mega*bits* to nearly everybody else.

use std::time::Duration;

/// One whole, in the unit of ratios.
pub const BILLION: u32 = 1_000_000_000;

const DURATION_UNITS: &[(&str, u64)] = &[
    ("s", 1_000_000_000),
    ("sec", 1_000_000_000),
    ("secs", 1_000_000_000),
    ("ms", 1_000_000),
    ("msec", 1_000_000),
    ("msecs", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("usec", 1_000),
    ("usecs", 1_000),
    ("ns", 1),
    ("nsec", 1),
    ("nsecs", 1),
];

const RATE_UNITS: &[(&str, u64)] = &[
    ("bit", 1),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("kibit", 1 << 10),
    ("mibit", 1 << 20),
    ("gibit", 1 << 30),
    ("tibit", 1 << 40),
];

const SIZE_UNITS: &[(&str, u64)] =
    &[("b", 1), ("kb", 1 << 10), ("k", 1 << 10), ("mb", 1 << 20), ("m", 1 << 20), ("gb", 1 << 30)];

/// The longest duration accepted: an hour. Longer ones are slips of the pen.
const MAX_DURATION: Duration = Duration::from_secs(3600);

/// Parses a duration (`50ms`, `1.5s`, `200us`).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return zero_or(number, Duration::ZERO, || {
            format!("`{text}` has no unit: write {text}ms or {text}us")
        });
    }
    let ns = scale(number, unit, DURATION_UNITS)
        .ok_or_else(|| format!("`{unit}` is not a unit of time: use s, ms, us or ns"))?;
    let duration = Duration::from_nanos(ns);
    if duration > MAX_DURATION {
        return Err(format!("`{text}` is longer than an hour"));
    }
    Ok(duration)
}

/// Parses a ratio (`2%`, `0.01%`) to parts of 10⁹.
pub fn parse_ratio(text: &str) -> Result<u32, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        let percent = trim(number);
        return zero_or(number, 0, || format!("`{text}` is not a percentage: write {percent}%"));
    }
    if unit != "%" {
        return Err(format!("`{unit}` is not a percent sign: write {}%", trim(number)));
    }
    if !(0.0..=100.0).contains(&number) {
        return Err(format!("`{text}` is not between 0% and 100%"));
    }
    Ok((number * f64::from(BILLION / 100)).round() as u32)
}

/// Parses a rate (`10mbit`, `1.5gbit`, `256kbit`) to bits per second.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let lower = unit.to_ascii_lowercase();
    if let Some(prefix) = lower.strip_suffix("bps").filter(|p| ["", "k", "m", "g", "t"].contains(p)) {
        let (bits, bytes) = (trim(number), trim(number * 8.0));
        return Err(format!(
            "`{text}` means bytes per second to tc and bits to most people: write {bits}{prefix}bit or {bytes}{prefix}bit"
        ));
    }
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: write {text}mbit, {text}kbit or {text}bit"));
    }
    let bps = scale(number, &lower, RATE_UNITS)
        .ok_or_else(|| format!("`{unit}` is not a unit of rate: use bit, kbit, mbit or gbit"))?;
    if bps == 0 {
        return Err("a rate of zero would carry nothing: set the link down instead".to_owned());
    }
    Ok(bps)
}

/// Parses a size in bytes (`64kb`, `1500b`, `1mb`: powers of 1024 as `tc` has them).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    scale(number, &unit.to_ascii_lowercase(), SIZE_UNITS)
        .ok_or_else(|| format!("`{unit}` is not a unit of size: use b, kb or mb"))
}

/// Prints a duration so that [`parse_duration`] reads the same again (`50ms`, `1.5ms`).
pub fn show_duration(d: Duration) -> String {
    let ns = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let (unit, size) = match ns {
        0 => return "0ms".to_owned(),
        1_000_000_000.. => ("s", 1_000_000_000),
        1_000_000.. => ("ms", 1_000_000),
        1_000.. => ("us", 1_000),
        _ => ("ns", 1),
    };
    format!("{}{unit}", decimal(ns, size))
}

/// Prints a ratio of 10⁹ as a percentage (`2%`, `0.01%`).
pub fn show_ratio(per_billion: u32) -> String {
    format!("{}%", decimal(u64::from(per_billion), u64::from(BILLION / 100)))
}

/// Prints a rate in bits per second (`10mbit`).
pub fn show_rate(bps: u64) -> String {
    let (unit, size) = match bps {
        1_000_000_000.. => ("gbit", 1_000_000_000),
        1_000_000.. => ("mbit", 1_000_000),
        1_000.. => ("kbit", 1_000),
        _ => ("bit", 1),
    };
    format!("{}{unit}", decimal(bps, size))
}

/// Splits a text into its number and what follows it.
fn split(text: &str) -> Result<(f64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.parse::<f64>() {
        Ok(n) if n.is_finite() => Ok((n, unit.trim())),
        _ if text.starts_with('-') => Err(format!("`{text}` is negative")),
        _ => Err(format!("`{text}` does not start with a number")),
    }
}

fn scale(number: f64, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let size = units.iter().find(|(name, _)| *name == unit)?.1;
    // Float-to-integer casts saturate: an absurd number stays absurd and is refused by its range.
    Some((number * size as f64).round() as u64)
}

fn zero_or<T>(number: f64, zero: T, error: impl FnOnce() -> String) -> Result<T, String> {
    if number == 0.0 { Ok(zero) } else { Err(error()) }
}

fn trim(number: f64) -> String {
    format!("{number}")
}

/// `n / size` in decimal, exact (`size` is a power of ten), without trailing zeros.
fn decimal(n: u64, size: u64) -> String {
    let (whole, rest) = (n / size, n % size);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = size.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_tc() {
        assert_eq!(parse_duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("200usecs"), Ok(Duration::from_micros(200)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_ratio("2%"), Ok(20_000_000));
        assert_eq!(parse_ratio("0.0000001%"), Ok(1));
        assert_eq!(parse_ratio("100%"), Ok(BILLION));
        assert_eq!(parse_rate("10mbit"), Ok(10_000_000));
        assert_eq!(parse_rate("1.5Gbit"), Ok(1_500_000_000));
        assert_eq!(parse_rate("64kibit"), Ok(65_536));
        assert_eq!(parse_size("64kb"), Ok(65_536));
    }

    #[test]
    fn ambiguous_values_are_refused_with_the_way_out() {
        let said = |r: Result<u64, String>| r.expect_err("refused");
        assert_eq!(
            said(parse_rate("10mbps")),
            "`10mbps` means bytes per second to tc and bits to most people: write 10mbit or 80mbit"
        );
        assert!(said(parse_rate("10")).contains("has no unit"));
        assert!(said(parse_rate("10mbt")).contains("use bit, kbit, mbit or gbit"));
        assert!(said(parse_rate("0mbit")).contains("zero"));
        assert_eq!(parse_duration("50"), Err("`50` has no unit: write 50ms or 50us".to_owned()));
        assert_eq!(parse_duration("-5ms"), Err("`-5ms` is negative".to_owned()));
        assert_eq!(parse_duration("fast"), Err("`fast` does not start with a number".to_owned()));
        assert_eq!(parse_duration("2h"), Err("`h` is not a unit of time: use s, ms, us or ns".to_owned()));
        assert_eq!(parse_ratio("2"), Err("`2` is not a percentage: write 2%".to_owned()));
        assert_eq!(parse_ratio("101%"), Err("`101%` is not between 0% and 100%".to_owned()));
    }

    #[test]
    fn what_is_printed_reads_the_same_again() {
        for ns in [0, 1, 999, 1_000, 1_500, 50_000_000, 50_000_001, 1_234_567_890] {
            let d = Duration::from_nanos(ns);
            assert_eq!(parse_duration(&show_duration(d)), Ok(d), "{}", show_duration(d));
        }
        for bps in [1, 999, 1_000, 1_500_000, 10_000_000, 1_234_567_891] {
            assert_eq!(parse_rate(&show_rate(bps)), Ok(bps), "{}", show_rate(bps));
        }
        for ratio in [0, 1, 20_000_000, 333_333_333, BILLION] {
            assert_eq!(parse_ratio(&show_ratio(ratio)), Ok(ratio), "{}", show_ratio(ratio));
        }
    }
}
