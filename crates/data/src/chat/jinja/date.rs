//! `strftime_now`

use chrono::{Datelike, NaiveDateTime, Timelike};

use super::{
    failure::{Result, fail, unsupported},
    meter::Meter,
    text::{Builder, Char, TYPED, Text, to_char},
};

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The time by the machine's clock and in its time zone, as Python's `datetime.now()` has it.
pub(crate) fn now() -> NaiveDateTime {
    chrono::Local::now().naive_local()
}

/// Python's `now.strftime(format)` on Linux in the C locale.
pub(crate) fn strftime(now: NaiveDateTime, format: &Text, meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    let chars = format.chars();
    let mut at = 0;
    while at < chars.len() {
        if to_char(chars[at]) != '%' {
            out.push(chars[at])?;
            at += 1;
            continue;
        }
        let mut flag = None;
        if let Some(c) = chars.get(at + 1).map(|c| to_char(*c)).filter(|c| "-_0^".contains(*c)) {
            flag = Some(c);
            at += 1;
        }
        let Some(&code) = chars.get(at + 1) else { return fail("strftime_now: the format ends in `%`") };
        let shown = directive(now, to_char(code), flag)?;
        let shown: Vec<Char> = shown.chars().map(|c| u32::from(c) | (code & TYPED)).collect();
        out.extend(&shown)?;
        at += 2;
    }
    Ok(out.finish())
}

fn directive(now: NaiveDateTime, code: char, flag: Option<char>) -> Result<String> {
    let (hour, day_of_year) = (now.hour(), now.ordinal());
    let (sunday, monday) = (now.weekday().num_days_from_sunday(), now.weekday().num_days_from_monday());
    let hour12 = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    let week = now.iso_week();
    let number = |n: i64, width: usize, pad: char| match (flag, pad) {
        (Some('-'), _) => n.to_string(),
        (Some('_'), _) | (None | Some('^'), ' ') => format!("{n:>width$}"),
        _ => format!("{n:0>width$}"),
    };
    let two = |n: u32| number(n.into(), 2, '0');
    let name = |name: &str| if flag == Some('^') { name.to_uppercase() } else { name.to_owned() };
    let day = DAYS[monday as usize];
    let month = MONTHS[now.month0() as usize];
    let nested = |codes: &str, between: &str| -> Result<String> {
        let parts: Result<Vec<String>> = codes.chars().map(|code| directive(now, code, None)).collect();
        Ok(parts?.join(between))
    };
    Ok(match code {
        'Y' => number(now.year().into(), 4, '0'),
        'C' => number((now.year() / 100).into(), 2, '0'),
        'y' => number((now.year().rem_euclid(100)).into(), 2, '0'),
        'G' => number(week.year().into(), 4, '0'),
        'g' => number((week.year().rem_euclid(100)).into(), 2, '0'),
        'V' => two(week.week()),
        'm' => two(now.month()),
        'd' => two(now.day()),
        'e' => number(now.day().into(), 2, ' '),
        'H' => two(hour),
        'k' => number(hour.into(), 2, ' '),
        'I' => two(hour12),
        'l' => number(hour12.into(), 2, ' '),
        'M' => two(now.minute()),
        'S' => two(now.second()),
        'f' => format!("{:06}", now.nanosecond() / 1000),
        'j' => number(day_of_year.into(), 3, '0'),
        'U' => two((day_of_year + 6 - sunday) / 7),
        'W' => two((day_of_year + 6 - monday) / 7),
        'w' => sunday.to_string(),
        'u' => (monday + 1).to_string(),
        'A' => name(day),
        'a' => name(&day[..3]),
        'B' => name(month),
        'b' | 'h' => name(&month[..3]),
        'p' => if hour < 12 { "AM" } else { "PM" }.into(),
        'P' => if hour < 12 { "am" } else { "pm" }.into(),
        'D' | 'x' => nested("mdy", "/")?,
        'F' => nested("Ymd", "-")?,
        'T' | 'X' => nested("HMS", ":")?,
        'R' => nested("HM", ":")?,
        'r' => format!("{} {}", nested("IMS", ":")?, directive(now, 'p', None)?),
        'c' => format!(
            "{} {} {} {} {}",
            &day[..3],
            &month[..3],
            directive(now, 'e', None)?,
            directive(now, 'T', None)?,
            now.year()
        ),
        // A time without a zone has neither name nor offset.
        'z' | 'Z' => String::new(),
        'n' => "\n".into(),
        't' => "\t".into(),
        '%' => "%".into(),
        other => return unsupported(format!("the date format `%{other}`")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_strftime() {
        let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap().naive_utc();
        let shown = |seconds, format: &str| {
            strftime(at(seconds), &Text::new(format), &Meter::default()).unwrap().to_string()
        };
        assert_eq!(shown(0, "%a %d %b %Y %H:%M:%S %j %U %W %V"), "Thu 01 Jan 1970 00:00:00 001 00 00 01");
        assert_eq!(
            shown(1_795_478_400 + 47_109, "%A, %-d %B %Y %I:%M %p %e|%y"),
            "Tuesday, 24 November 2026 01:05 PM 24|26"
        );
        assert!(strftime(at(0), &Text::new("%Q"), &Meter::default()).is_err());
        assert!(strftime(at(0), &Text::new("100%"), &Meter::default()).is_err());
    }
}
