//! A moment in time, to the millisecond, as RFC 3339 in UTC writes it.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const DAY_MS: u64 = 86_400_000;
/// The last moment of the year 9999: RFC 3339 writes years with four digits.
const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01 in UTC, leap seconds not counted; up to the year 9999.
///
/// ```
/// let moment: forecast::Moment = "2026-02-28T23:59:59.250Z".parse()?;
/// assert_eq!(moment.unix_s(), 1_772_323_199.25);
/// assert_eq!(moment.to_string(), "2026-02-28T23:59:59.250Z");
/// # Ok::<(), forecast::MomentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Text that names no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in UTC such as 2026-02-28T23:59:59.250Z, found `{0}`")]
pub struct MomentError(String);

impl Moment {
    /// The moment `unix_s` seconds after the epoch, cut to the millisecond; `None` before 1970, past 9999 and for
    /// what is no number.
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

impl From<SystemTime> for Moment {
    /// A clock that stands before 1970 or past 9999 is taken to stand at that end.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(LAST_MS).min(LAST_MS))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    /// Reads exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let read = || {
            let number = |from: usize, to: usize| {
                let digits = text.get(from..to)?;
                digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?
            };
            let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
            let time = [number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?];
            let [h, m, s, ms] = time;
            let n_days = n_days(year, month, day)?;
            let moment = Self(n_days * DAY_MS + ((h * 60 + m) * 60 + s) * 1000 + ms);
            // Separators, the 30th of February, the 25th hour: none comes out as it went in.
            (moment.to_string() == text).then_some(moment)
        };
        read().ok_or_else(|| MomentError(text.to_owned()))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Days before a year, counted from the year 0 of the Gregorian calendar.
fn days_before(year: u64) -> u64 {
    let Some(last) = year.checked_sub(1) else { return 0 };
    // The year 0 is a leap year.
    year * 365 + last / 4 - last / 100 + last / 400 + 1
}

fn month_lengths(year: u64) -> [u64; 12] {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Days from 1970-01-01 to a date; `None` before it and for months and days that there are not.
fn n_days(year: u64, month: u64, day: u64) -> Option<u64> {
    let months = month_lengths(year);
    let before = months.get(..usize::try_from(month.checked_sub(1)?).ok()?)?;
    (days_before(year) + before.iter().sum::<u64>() + day.checked_sub(1)?).checked_sub(days_before(1970))
}

/// Year, month and day that lie `n_days` after 1970-01-01.
fn date(n_days: u64) -> (u64, u64, u64) {
    let day = n_days + days_before(1970);
    // 400 years have 146,097 days; leap years shift the guess by at most one year either way.
    let guess = day * 400 / 146_097;
    let year = (guess.saturating_sub(1)..=guess + 1).rfind(|year| days_before(*year) <= day).unwrap_or(0);
    let (mut rest, mut month) = (day - days_before(year), 1);
    for length in month_lengths(year) {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `date -u -d @SECONDS +%FT%TZ`.
    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (unix_s, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.0, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199.999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_599.0, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400.001, "2100-03-01T00:00:00.001Z"),
            (253_402_300_799.0, "9999-12-31T23:59:59.000Z"),
        ] {
            let moment = Moment::from_unix_s(unix_s).unwrap();
            assert_eq!(moment.to_string(), text);
            assert_eq!(text.parse(), Ok(moment));
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_the_day_after_the_one_before() {
        let mut last = (1969, 12, 31);
        for n in 0..146_097 {
            let (year, month, day) = date(n);
            let is_next = match (year - last.0, month, day) {
                (0, m, 1) => m == last.1 + 1 && last.2 == month_lengths(year)[last.1 as usize - 1],
                (0, m, d) => (m, d) == (last.1, last.2 + 1),
                (1, 1, 1) => (last.1, last.2) == (12, 31),
                _ => false,
            };
            assert!(is_next, "{last:?} is followed by {:?}", (year, month, day));
            assert_eq!(n_days(year, month, day), Some(n));
            last = (year, month, day);
        }
        assert_eq!(last, (2369, 12, 31));
    }

    #[test]
    fn what_is_no_moment_is_refused_by_its_text() {
        for text in [
            "",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.000+00:00",
            "2026-01-01 00:00:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "20é6-01-01T00:00:00.000Z",
            "+026-01-01T00:00:00.000Z",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError(text.to_owned())));
        }
        for unix_s in [-1.0, f64::NAN, f64::INFINITY, 253_402_300_800.0] {
            assert_eq!(Moment::from_unix_s(unix_s), None, "{unix_s}");
        }
    }
}
