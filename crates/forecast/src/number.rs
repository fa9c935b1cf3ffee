//! Numbers as people and programs write them: decimal commas, thousands marks, units.

/// What stands before the decimals in the cells of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecimalMark {
    Point,
    Comma,
}

impl DecimalMark {
    /// What the cells of a table say, of which `losses` are small numbers; where they leave it open, a comma that is no
    /// delimiter is taken for the mark.
    pub(crate) fn of<'a>(
        numbers: impl Iterator<Item = &'a str>,
        losses: impl Iterator<Item = &'a str>,
        delimiter: char,
    ) -> Self {
        let (mut n_point, mut n_comma, mut n_open) = (0usize, 0usize, 0usize);
        for (cell, is_loss) in numbers.map(|cell| (cell, false)).chain(losses.map(|cell| (cell, true))) {
            if !cell.starts_with(|c: char| c.is_ascii_digit() || "+-−.,".contains(c)) {
                continue;
            }
            let mantissa = cell.split(['e', 'E']).next().unwrap_or_default();
            let has_exponent = mantissa.len() < cell.len();
            let (commas, points) = (mantissa.matches(',').count(), mantissa.matches('.').count());
            let mark = match (commas, points) {
                (0, 0 | 1) => None,
                (0, _) => Some(Self::Comma),
                (_, 0) if commas > 1 => Some(Self::Point),
                (1, 0) => {
                    let (whole, rest) = mantissa.split_once(',').unwrap_or((mantissa, ""));
                    let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let whole = whole.trim_start_matches(['+', '-', '−']);
                    let is_decimal = n_digits != 3
                        || has_exponent
                        || is_loss
                        || !(1..=3).contains(&whole.len())
                        || whole == "0";
                    if !is_decimal {
                        n_open += 1;
                    }
                    is_decimal.then_some(Self::Comma)
                }
                _ => Some(if mantissa.rfind(',') > mantissa.rfind('.') { Self::Comma } else { Self::Point }),
            };
            match mark {
                Some(Self::Comma) => n_comma += 1,
                Some(Self::Point) => n_point += 1,
                None => {}
            }
        }
        let is_comma = n_comma > n_point || (n_comma == 0 && n_point == 0 && n_open > 0 && delimiter != ',');
        if is_comma { Self::Comma } else { Self::Point }
    }
}

/// The number in a cell, with the unit that stands behind it, as in `190M` or `3.8 billion`, multiplied in.
pub(crate) fn parse(cell: &str, mark: DecimalMark) -> Option<f64> {
    // Marks between thousands that are no decimal mark in any language.
    let cell: String =
        cell.chars().filter(|c| !matches!(c, '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’')).collect();
    let cell = cell.trim().replace('−', "-");
    let cell = ["×10^", "x10^", "*10^", "·10^", "× 10^", " x 10^", " * 10^"]
        .iter()
        .fold(cell, |cell, power| cell.replace(power, "e"));
    let end = number_end(&cell);
    let (digits, rest) = cell.split_at(end);
    let number: f64 = plain(digits, mark)?.parse().ok()?;
    match rest.trim() {
        "" => Some(number),
        rest => Some(number * unit(rest)?),
    }
}

/// Where the number that a cell begins with ends.
fn number_end(cell: &str) -> usize {
    let bytes = cell.as_bytes();
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.,_".contains(&byte);
    let mut end = bytes.iter().take_while(|byte| is_number(**byte)).count();
    if end > 0 && bytes.get(end).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        let exponent = &bytes[end + 1..];
        let sign = usize::from(exponent.first().is_some_and(|byte| b"+-".contains(byte)));
        let n_digits = exponent[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if n_digits > 0 {
            end += 1 + sign + n_digits;
        }
    }
    if end == 0 && cell.parse::<f64>().is_ok() { cell.len() } else { end }
}

/// Digits with a point for the decimals and no thousands marks; `None` where the marks stand where none can.
fn plain(digits: &str, mark: DecimalMark) -> Option<String> {
    let digits = digits.replace('_', "");
    let (decimal, thousands) = if mark == DecimalMark::Comma { (',', '.') } else { ('.', ',') };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) if digits.as_bytes()[0].is_ascii_digit() || at > 0 => digits.split_at(at),
        _ => (digits.as_str(), ""),
    };
    let mut halves = mantissa.split(decimal);
    let (whole, decimals) = (halves.next().unwrap_or_default(), halves.next());
    if halves.next().is_some() {
        return None;
    }
    // A table with decimal commas may hold columns that another program wrote with points.
    if decimal == ',' && decimals.is_none() && whole.matches('.').count() == 1 && !is_grouped(whole, '.') {
        return Some(digits.clone());
    }
    if whole.contains(thousands) && !is_grouped(whole, thousands) {
        return None;
    }
    let whole = whole.replace(thousands, "");
    Some(match decimals {
        Some(decimals) => format!("{whole}.{decimals}{exponent}"),
        None => format!("{whole}{exponent}"),
    })
}

/// Whether every mark has three digits behind it and one to three before the first.
fn is_grouped(whole: &str, mark: char) -> bool {
    let mut groups = whole.trim_start_matches(['+', '-']).split(mark);
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3)
}

/// What a unit is worth: `B`, `billions`, `GFLOPs`, `1e9`, `PF-days`.
pub(crate) fn unit(text: &str) -> Option<f64> {
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix("in ").unwrap_or(&text);
    let text =
        ["×", "x", "*", "·"].iter().fold(text, |text, mark| text.strip_prefix(mark).unwrap_or(text)).trim();
    let power = text.strip_prefix("10^").or_else(|| text.strip_prefix("10**"));
    if let Some(power) = power {
        return power.trim_matches(['{', '}']).parse::<i32>().ok().map(|power| 10f64.powi(power));
    }
    let bare = text
        .strip_prefix('e')
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    if let Some(power) = bare {
        return power.parse::<i32>().ok().map(|power| 10f64.powi(power)).filter(|unit| unit.is_finite());
    }
    if let Ok(number) = text.parse::<f64>() {
        return Some(number).filter(|number| number.is_finite() && *number > 0.0);
    }
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    unit_of_words(&words)
}

/// The same of words without what stands between them.
pub(crate) fn unit_of_words(words: &[&str]) -> Option<f64> {
    const DAY: f64 = 86_400.0;
    let seconds = match words.last()? {
        word if matches!(*word, "day" | "days") => Some(DAY),
        word if matches!(*word, "hour" | "hours") => Some(3_600.0),
        _ => None,
    };
    if let Some(seconds) = seconds {
        let (first, rest) = words[..words.len() - 1].split_first()?;
        let is_seconds = rest.iter().all(|word| matches!(*word, "s" | "flop" | "flops" | "second" | "per"));
        return prefix(first).filter(|_| is_seconds && first.len() > 1).map(|unit| unit * seconds);
    }
    let is_counted = |word: &&str| {
        matches!(*word, "of" | "in" | "tokens" | "token" | "tok" | "params" | "parameters" | "flops" | "flop")
    };
    let words: Vec<&str> = words.iter().copied().filter(|word| !is_counted(word)).collect();
    match words.as_slice() {
        [word] => match *word {
            "k" | "thousand" | "thousands" | "tsd" => Some(1e3),
            "m" | "mm" | "mn" | "mio" | "million" | "millions" => Some(1e6),
            "b" | "g" | "bn" | "mrd" | "billion" | "billions" => Some(1e9),
            "t" | "tn" | "trillion" | "trillions" => Some(1e12),
            "btok" => Some(1e9),
            "mtok" => Some(1e6),
            word => prefix(word).filter(|_| word.contains("flop")).or_else(|| {
                let digits = word.strip_prefix("1e").or_else(|| word.strip_prefix('e'))?;
                let power: i32 = digits.parse().ok()?;
                (1..=30).contains(&power).then(|| 10f64.powi(power))
            }),
        },
        [] => Some(1.0),
        _ => None,
    }
}

/// `gflops`, `gigaflop`, `pf`: what FLOPs with a prefix are worth.
fn prefix(word: &str) -> Option<f64> {
    const PREFIXES: [(&str, &str, f64); 8] = [
        ("k", "kilo", 1e3),
        ("m", "mega", 1e6),
        ("g", "giga", 1e9),
        ("t", "tera", 1e12),
        ("p", "peta", 1e15),
        ("e", "exa", 1e18),
        ("z", "zetta", 1e21),
        ("y", "yotta", 1e24),
    ];
    let stem = ["flops", "flop", "fs", "f"].iter().find_map(|ending| word.strip_suffix(ending))?;
    if stem.is_empty() {
        return word.starts_with("flop").then_some(1.0);
    }
    PREFIXES.iter().find(|(short, long, _)| stem == *short || stem == *long).map(|(.., unit)| *unit)
}
