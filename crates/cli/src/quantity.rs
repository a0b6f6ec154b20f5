//! Quantities on the command line.

/// Reads a number of bytes: `1000`, `64k`, `1.5M`, `1G` (powers of 1000), `64Ki`, `1Mi`, `1Gi` (powers of 1024).
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim_end_matches(['B', 'b']) {
        "" => 1,
        "k" | "K" => 1_000,
        "M" | "m" => 1_000_000,
        "G" | "g" => 1_000_000_000,
        "Ki" | "ki" => 1 << 10,
        "Mi" | "mi" => 1 << 20,
        "Gi" | "gi" => 1 << 30,
        _ => return Err(format!("unknown unit {unit:?}; known are k, M, G, Ki, Mi, Gi")),
    };
    let refuse = || format!("{text:?} is not a number of bytes");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(refuse);
    }
    let fraction = number.contains('.').then(|| number.parse::<f64>().ok()).flatten();
    let value = fraction.ok_or_else(refuse)?;
    // The cast saturates.
    Ok((value * factor as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_of_bytes() {
        assert_eq!(parse_bytes("1000"), Ok(1000));
        assert_eq!(parse_bytes("64k"), Ok(64_000));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("1.5M"), Ok(1_500_000));
        assert_eq!(parse_bytes("1G"), Ok(1_000_000_000));
        for wrong in ["", "x", "1X", "1.2.3", "99999999999999999999", "-1"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
