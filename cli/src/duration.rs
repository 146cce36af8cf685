//! Durations as people write them: `250ms`, `5s`, `2m`, `1h`, `30d`.

use std::time::Duration;

/// How long values are to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// For ever.
    None,
    /// So long.
    For(Duration),
}

/// Reads a duration, or `none`.
pub(crate) fn ttl(text: &str) -> Result<Ttl, String> {
    match text {
        "none" => Ok(Ttl::None),
        text => parse(text).map(Ttl::For).map_err(|why| format!("{why}, or `none`")),
    }
}

/// A duration as [`parse`] reads it, in the greatest unit that fits.
pub(crate) fn text(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let fits = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    fits.map_or_else(|| "0ms".to_owned(), |(unit, name)| format!("{}{name}", ms / unit))
}

/// Reads a number with its unit: `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(ms)) {
        Some(total) if total > 0 => Ok(Duration::from_millis(total)),
        Some(_) | None => Err("use a number with a unit, such as 250ms, 5s or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_may_be_none_and_is_written_as_it_is_read() {
        assert_eq!(ttl("none"), Ok(Ttl::None));
        for told in ["250ms", "90s", "2m", "1h", "30d"] {
            let Ok(Ttl::For(ttl)) = ttl(told) else { panic!("{told}") };
            assert_eq!(text(ttl.as_millis() as u64), told);
        }
        assert!(ttl("soon").unwrap_err().contains("`none`"));
    }

    #[test]
    fn numbers_with_units() {
        for (text, ms) in [("250ms", 250), ("5s", 5_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)));
        }
        for bad in ["", "5", "s", "0s", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
