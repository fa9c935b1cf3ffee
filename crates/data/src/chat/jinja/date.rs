//! `strftime_now`

use chrono::{NaiveDateTime, Timelike};

use super::{
    failure::{Result, fail, unsupported},
    meter::Meter,
    text::{Builder, Char, TYPED, Text, to_char},
};

/// Names, which `^` writes in capitals.
const NAMES: &str = "AaBbh";
/// Numbers, which `-`, `_` and `0` pad otherwise.
const NUMBERS: &str = "YCyGgVmdeHkIlMSjUWwu";
/// What has neither.
const OTHERS: &str = "pPDxFTXRrcnt%";

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
    let shown = |flag: &str| now.format(&format!("%{flag}{code}")).to_string();
    Ok(match (code, flag) {
        ('f', _) => format!("{:06}", now.nanosecond() / 1000),
        // A time without a zone has neither name nor offset.
        ('z' | 'Z', _) => String::new(),
        (code, Some('^')) if NAMES.contains(code) => shown("").to_uppercase(),
        (code, Some(pad)) if NUMBERS.contains(code) && pad != '^' => shown(&pad.to_string()),
        (code, _) if [NAMES, NUMBERS, OTHERS].iter().any(|known| known.contains(code)) => shown(""),
        (other, _) => return unsupported(format!("the date format `%{other}`")),
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
        assert_eq!(
            shown(0, "%C %y %G %g|%m/%d|%k|%l|%-l|%_H|%0e|%-j|%w %u|%f|%z%Z|%h"),
            "19 70 1970 70|01/01| 0|12|12| 0|01|1|4 4|000000||Jan"
        );
        assert_eq!(
            shown(0, "%^a %^B %^b|%p %P|%D %x|%F|%T %X|%R|%r|%%"),
            "THU JANUARY JAN|AM am|01/01/70 01/01/70|1970-01-01|00:00:00 00:00:00|00:00|12:00:00 AM|%"
        );
        assert_eq!(shown(0, "%c"), "Thu Jan  1 00:00:00 1970");
        assert!(strftime(at(0), &Text::new("%Q"), &Meter::default()).is_err());
        assert!(strftime(at(0), &Text::new("100%"), &Meter::default()).is_err());
    }
}
