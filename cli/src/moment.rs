//! Moments as people and programs read them.

use std::time::{SystemTime, UNIX_EPOCH};

use kinfold_client::Timestamp;
use time::OffsetDateTime;

/// A time in UTC: RFC 3339 with microseconds.
pub(crate) fn time(at: Timestamp) -> String {
    let nanos = i128::from(at.0) * 1_000;
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return at.0.to_string();
    };
    let (month, day) = (u8::from(at.month()), at.day());
    let (hour, minute, second, micros) = at.to_hms_micro();
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", at.year())
}

/// A time of the system's clock, as [`mod@time`] has it.
pub(crate) fn of(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    time(Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Timestamp(1_700_000_000_123_456)), "2023-11-14T22:13:20.123456Z");
        assert_eq!(of(UNIX_EPOCH + Duration::from_millis(1)), "1970-01-01T00:00:00.001000Z");
    }
}
