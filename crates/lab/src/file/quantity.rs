//! Numbers with units, as the lab file and `link set` write them. A unit is always required: a bare `20` could be
//! milliseconds to one reader and seconds to another.

use std::time::Duration;

use netspace_sched::{Discipline, Loss};

/// Why a quantity was refused, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadQuantity {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl BadQuantity {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

type Parsed<T> = Result<T, BadQuantity>;

/// Splits `1.5 ms` into 1.5 and `ms`.
fn split<'a>(text: &'a str, what: &str, example: &str) -> Parsed<(f64, &'a str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number.replace('_', "");
    let value: f64 = number.parse().map_err(|_| {
        if text.starts_with('-') {
            BadQuantity::new(format!("{what} cannot be negative"), format!("write it like {example}"))
        } else {
            BadQuantity::new(format!("`{text}` is not {what}"), format!("write it like {example}"))
        }
    })?;
    Ok((value, unit.trim()))
}

fn by_unit(what: &str, text: &str, units: &[(&str, f64)], example: &str) -> Parsed<f64> {
    let (value, unit) = split(text, what, example)?;
    if let Some(&(_, factor)) = units.iter().find(|(name, _)| *name == unit) {
        return Ok(value * factor);
    }
    let names: Vec<&str> = units.iter().map(|&(name, _)| name).filter(|n| !n.is_empty()).collect();
    if unit.is_empty() {
        if value == 0.0 {
            return Ok(0.0);
        }
        let help = format!("write {text}{} or another of: {}", names[0], names.join(", "));
        return Err(BadQuantity::new(format!("`{text}` has no unit"), help));
    }
    let lower = unit.to_lowercase();
    let near = names
        .iter()
        .find(|n| n.to_lowercase() == lower)
        .copied()
        .or_else(|| super::suggest::nearest(unit, names.iter().copied()))
        .or_else(|| {
            names.iter().copied().filter(|n| lower.starts_with(&n.to_lowercase())).max_by_key(|n| n.len())
        });
    let help = match near {
        Some(near) => format!("did you mean `{}{near}`?", text.trim().trim_end_matches(unit).trim_end()),
        None => format!("units of {}: {}", what.trim_start_matches("a "), names.join(", ")),
    };
    Err(BadQuantity::new(format!("`{unit}` is not a unit of {}", what.trim_start_matches("a ")), help))
}

/// The longest time that a lab file may ask for: a day.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// A time: `20ms`, `1.5s`, `100us`, `2min`.
pub fn duration(text: &str) -> Parsed<Duration> {
    const UNITS: &[(&str, f64)] =
        &[("ms", 1e6), ("s", 1e9), ("us", 1e3), ("µs", 1e3), ("ns", 1.0), ("min", 60e9), ("h", 3600e9)];
    let ns = by_unit("a time", text, UNITS, "20ms")?;
    let time = Duration::from_nanos(ns.round() as u64);
    if time > DURATION_MAX {
        return Err(BadQuantity::new(format!("`{text}` is longer than a day"), "write a shorter time"));
    }
    Ok(time)
}

/// A chance as parts of a billion: `1%`, `0.5%`, `2‰`, `100ppm`.
pub fn ratio(text: &str) -> Parsed<u32> {
    const UNITS: &[(&str, f64)] = &[("%", 1e7), ("‰", 1e6), ("ppm", 1e3)];
    let parts = by_unit("a percentage", text, UNITS, "1%")?;
    if parts > 1e9 {
        return Err(BadQuantity::new(format!("`{text}` is more than 100 %"), "write 0% to 100%"));
    }
    Ok(parts.round() as u32)
}

/// A rate in bits per second: `100mbit`, `1gbit`, `64kbit`, or in bytes, `1MBps`.
pub fn rate(text: &str) -> Parsed<u64> {
    const UNITS: &[(&str, f64)] = &[
        ("mbit", 1e6),
        ("gbit", 1e9),
        ("kbit", 1e3),
        ("bit", 1.0),
        ("Mbit", 1e6),
        ("Gbit", 1e9),
        ("Kbit", 1e3),
        ("Mbit/s", 1e6),
        ("Gbit/s", 1e9),
        ("kbit/s", 1e3),
        ("bit/s", 1.0),
        ("Mbps", 1e6),
        ("mbps", 1e6),
        ("Gbps", 1e9),
        ("gbps", 1e9),
        ("kbps", 1e3),
        ("bps", 1.0),
        ("kBps", 8e3),
        ("MBps", 8e6),
        ("GBps", 8e9),
    ];
    let bits = by_unit("a rate", text, UNITS, "100mbit").map_err(|mut bad| {
        if bad.help.contains("gbps") {
            "rates are written like 64kbit, 100mbit, 1gbit".clone_into(&mut bad.help);
        }
        bad
    })?;
    if bits < 8.0 {
        return Err(BadQuantity::new(
            format!("`{text}`: a link needs a rate of at least 8bit"),
            "leave `rate` out for a link without a limit, or take it down with `up: false`",
        ));
    }
    Ok(bits.round() as u64)
}

/// What waits for the rate, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueSetting {
    /// In frames.
    Packets(u32),
    /// In bytes.
    Bytes(u64),
    /// By a discipline, which has its own limit.
    Managed(Discipline),
}

/// How frames are lost: `1%`, or in bursts, `gemodel 1% 10%`.
pub fn loss(text: &str) -> Parsed<Loss> {
    if !text.trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) {
        return ratio(text).map(Loss::Random);
    }
    Loss::parse(text).map_err(|problem| {
        BadQuantity::new(
            problem,
            "write it like 1%, or gemodel 1% 10% for bursts (chances to begin and to end)",
        )
    })
}

/// A queue's length (`100packets`, `100p`, `64kB`, `1MiB`), or the discipline that manages it (`fq_codel`,
/// `codel target 2ms ecn`).
pub fn queue(text: &str) -> Parsed<QueueSetting> {
    if text.trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Discipline::parse(text).map(QueueSetting::Managed).map_err(|problem| {
            BadQuantity::new(problem, "write a length, as 100packets or 64kB, or a discipline, as fq_codel")
        });
    }
    const PACKETS: &[&str] = &["packets", "packet", "pkts", "p", "frames"];
    const UNITS: &[(&str, f64)] = &[
        ("packets", 1.0),
        ("kB", 1e3),
        ("MB", 1e6),
        ("B", 1.0),
        ("KB", 1e3),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("packet", 1.0),
        ("pkts", 1.0),
        ("p", 1.0),
        ("frames", 1.0),
    ];
    let value = by_unit("a queue length", text, UNITS, "100packets or 64kB")?;
    let (_, unit) = split(text, "a queue length", "100packets or 64kB")?;
    if value < 1.0 {
        return Err(BadQuantity::new(
            format!("`{text}`: a queue holds at least 1packets"),
            "write 1packets or more",
        ));
    }
    if PACKETS.contains(&unit) {
        return Ok(QueueSetting::Packets(value.min(f64::from(u32::MAX)) as u32));
    }
    Ok(QueueSetting::Bytes(value as u64))
}

/// `20ms` for a time, in its largest fitting unit.
pub fn show_duration(time: Duration) -> String {
    let ns = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    for (size, unit) in units {
        if ns >= size {
            return format!("{}{unit}", trim_zeros(ns as f64 / size as f64));
        }
    }
    format!("{ns}ns")
}

/// `1%` for a chance in parts of a billion.
pub fn show_ratio(per_billion: u32) -> String {
    format!("{}%", trim_zeros(f64::from(per_billion) / 1e7))
}

/// `100mbit` for a rate in bits per second.
pub fn show_rate(bps: u64) -> String {
    let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
    for (size, unit) in units {
        if bps >= size {
            return format!("{}{unit}", trim_zeros(bps as f64 / size as f64));
        }
    }
    format!("{bps}bit")
}

fn trim_zeros(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_need_their_units() {
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("1.5 s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(ratio("0.5%"), Ok(5_000_000));
        assert_eq!(rate("100mbit"), Ok(100_000_000));
        assert_eq!(rate("100 Mbit/s"), Ok(100_000_000));
        assert_eq!(queue("64kB"), Ok(QueueSetting::Bytes(64_000)));
        assert_eq!(queue("50p"), Ok(QueueSetting::Packets(50)));
        assert_eq!(duration("20").unwrap_err().message, "`20` has no unit");
        assert_eq!(duration("20mss").unwrap_err().help, "did you mean `20ms`?");
        assert_eq!(rate("5mbits").unwrap_err().help, "did you mean `5mbit`?");
        assert!(ratio("120%").unwrap_err().message.contains("more than 100 %"));
        assert!(duration("-3ms").unwrap_err().message.contains("negative"));
    }

    #[test]
    fn loss_and_queue_take_models_and_disciplines() {
        assert_eq!(loss("1%"), Ok(Loss::Random(10_000_000)));
        assert_eq!(loss("gemodel 1% 10%").map(|l| l.to_string()), Ok("gemodel 1% 10% 100% 0%".to_owned()));
        let managed = Discipline::parse("fq_codel target 2ms").unwrap();
        assert_eq!(queue("fq_codel target 2ms"), Ok(QueueSetting::Managed(managed)));
        assert!(queue("red").unwrap_err().message.contains("known are fifo, codel, fq_codel"));
        assert!(loss("gemodel").unwrap_err().help.contains("gemodel 1% 10%"));
        assert_eq!(queue("12").unwrap_err().message, "`12` has no unit");
    }

    #[test]
    fn quantities_print_as_they_are_written() {
        for text in ["20ms", "1.5s", "100us", "7ns"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["64kbit", "100mbit", "1.25gbit"] {
            assert_eq!(show_rate(rate(text).unwrap()), text);
        }
        assert_eq!(show_ratio(ratio("0.01%").unwrap()), "0.01%");
    }
}
