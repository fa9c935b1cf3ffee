//! A point in time, to the millisecond, as RFC 3339 in UTC writes it.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Always with three digits after the second.
const FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";
/// The end of the year 9999: RFC 3339 writes years with four digits.
const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01 in UTC, leap seconds not counted; up to the year 9999.
///
/// ```
/// let timestamp: base::Timestamp = "2026-02-28T23:59:59.250Z".parse()?;
/// assert_eq!(timestamp.unix_s(), 1_772_323_199.25);
/// assert_eq!(timestamp.to_string(), "2026-02-28T23:59:59.250Z");
/// # Ok::<(), base::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// Text that is no timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in UTC such as 2026-02-28T23:59:59.250Z, found `{0}`")]
pub struct TimestampError(String);

impl Timestamp {
    /// The time `unix_s` seconds after the epoch, cut to the millisecond; `None` before 1970, past 9999 and for what is no
    /// number.
    pub fn from_unix_s(unix_s: f64) -> Option<Self> {
        // Decimal seconds such as 1.001 lie a hair below their millisecond.
        let ms = (unix_s * 1e3 + 1e-3).floor();
        (0.0..=LAST_MS as f64).contains(&ms).then_some(Self(ms as u64))
    }

    /// Seconds since the epoch.
    pub fn unix_s(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock that stands before 1970 or past 9999 is taken to stand at that end.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(LAST_MS).min(LAST_MS))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            DateTime::from_timestamp_millis(self.0 as i64).expect("years up to 9999 are in the calendar");
        time.format(FORMAT).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let read = || {
            let time = NaiveDateTime::parse_from_str(text, FORMAT).ok()?.and_utc();
            let ms = u64::try_from(time.timestamp_millis()).ok().filter(|ms| *ms <= LAST_MS)?;
            // Other spellings, leap seconds: none comes out as it went in.
            (Self(ms).to_string() == text).then_some(Self(ms))
        };
        read().ok_or_else(|| TimestampError(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `date -u -d @SECONDS +%FT%TZ`.
    #[test]
    fn timestamps_are_written_as_the_calendar_has_them() {
        for (unix_s, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.0, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199.999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_599.0, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400.001, "2100-03-01T00:00:00.001Z"),
            (253_402_300_799.0, "9999-12-31T23:59:59.000Z"),
        ] {
            let timestamp = Timestamp::from_unix_s(unix_s).unwrap();
            assert_eq!(timestamp.to_string(), text);
            assert_eq!(text.parse(), Ok(timestamp));
        }
        assert_eq!(Timestamp(LAST_MS).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_no_timestamp_is_refused_by_its_text() {
        for text in [
            "",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "2026-12-31T23:59:60.000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.0000Z",
            "2026-01-01T00:00:00.000+00:00",
            "2026-01-01 00:00:00.000Z",
            " 2026-01-01T00:00:00.000Z",
            "2026-1-01T00:00:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "+10000-01-01T00:00:00.000Z",
            "20é6-01-01T00:00:00.000Z",
            "+026-01-01T00:00:00.000Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError(text.to_owned())));
        }
        for unix_s in [-1.0, f64::NAN, f64::INFINITY, 253_402_300_800.0] {
            assert_eq!(Timestamp::from_unix_s(unix_s), None, "{unix_s}");
        }
    }
}
