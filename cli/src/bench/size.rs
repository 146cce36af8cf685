//! Sizes as people write them: `10KB` is 10 000 bytes, `10KiB` is 10 240.

/// Reads a number of bytes, with or without a unit.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => Some(1),
        "KB" | "kB" => Some(1_000),
        "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "MiB" => Some(1 << 20),
        "GB" => Some(1_000_000_000),
        "GiB" => Some(1 << 30),
        "TB" => Some(1_000_000_000_000),
        "TiB" => Some(1 << 40),
        "PB" => Some(1_000_000_000_000_000),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(factor).and_then(|(n, f)| n.checked_mul(f));
    bytes.ok_or_else(|| {
        "use a number of bytes, or one with a unit, such as 10KB or 64KiB".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units() {
        let sizes = [("0", 0), ("7", 7), ("10KB", 10_000), ("10KiB", 10_240), ("1MiB", 1 << 20)];
        for (text, bytes) in sizes {
            assert_eq!(parse(text), Ok(bytes));
        }
        for bad in ["", "KB", "1EB", "-1", "1.5KB", "99999999999999999999", "99999999999999999MB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
