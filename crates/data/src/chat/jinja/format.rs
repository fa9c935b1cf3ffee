//! `str.format` and the formats of numbers.

use super::{
    attribute::{attribute, item},
    call::Called,
    failure::{Result, fail, unsupported},
    meter::Meter,
    number, show,
    text::{Builder, Char, Text, plain, to_char},
    value::Value,
};

/// Digits behind the point that are written at most.
const MAX_PRECISION: usize = 300;

/// What stands behind the colon of a replacement field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) fill: Option<Char>,
    pub(crate) align: Option<char>,
    pub(crate) sign: Option<char>,
    pub(crate) alternate: bool,
    pub(crate) width: usize,
    pub(crate) grouping: Option<char>,
    pub(crate) precision: Option<usize>,
    pub(crate) kind: Option<char>,
}

impl Spec {
    fn parse(text: &[Char]) -> Result<Self> {
        let mut spec = Self::default();
        let chars: Vec<char> = text.iter().map(|c| to_char(*c)).collect();
        let is_align = |at: usize| chars.get(at).is_some_and(|c| "<>=^".contains(*c));
        let mut at = 0;
        if is_align(1) {
            (spec.fill, spec.align, at) = (Some(text[0]), Some(chars[1]), 2);
        } else if is_align(0) {
            (spec.align, at) = (Some(chars[0]), 1);
        }
        if let Some(sign) = chars.get(at).copied().filter(|c| "+- ".contains(*c)) {
            (spec.sign, at) = (Some(sign), at + 1);
        }
        if chars.get(at) == Some(&'z') {
            return unsupported("the format option `z`");
        }
        if chars.get(at) == Some(&'#') {
            (spec.alternate, at) = (true, at + 1);
        }
        if chars.get(at) == Some(&'0') {
            at += 1;
            if spec.align.is_none() {
                (spec.fill, spec.align) = (Some(u32::from('0')), Some('='));
            }
        }
        let number = |at: &mut usize| -> Result<Option<usize>> {
            let start = *at;
            while chars.get(*at).is_some_and(char::is_ascii_digit) {
                *at += 1;
            }
            let digits: String = chars[start..*at].iter().collect();
            if digits.is_empty() {
                return Ok(None);
            }
            digits.parse().map(Some).or_else(|_| fail("too many decimal digits in format string"))
        };
        spec.width = number(&mut at)?.unwrap_or(0);
        if let Some(grouping) = chars.get(at).copied().filter(|c| ",_".contains(*c)) {
            (spec.grouping, at) = (Some(grouping), at + 1);
        }
        if chars.get(at) == Some(&'.') {
            at += 1;
            spec.precision =
                Some(number(&mut at)?.map_or_else(|| fail("format specifier missing precision"), Ok)?);
        }
        if let Some(kind) = chars.get(at) {
            (spec.kind, at) = (Some(*kind), at + 1);
        }
        if at < chars.len() {
            return fail("invalid format specifier");
        }
        Ok(spec)
    }
}

/// Python's `format(value, spec)`.
pub(crate) fn value(value: &Value, spec: &[Char], out: &mut Builder<'_>, meter: &Meter) -> Result<()> {
    if spec.is_empty() {
        return show::write(value, out);
    }
    let spec = Spec::parse(spec)?;
    match value {
        Value::Text(text) => {
            let wrong =
                spec.sign.is_some() || spec.grouping.is_some() || spec.alternate || spec.align == Some('=');
            if !matches!(spec.kind, None | Some('s')) || wrong {
                return fail("this format does not go with a string");
            }
            let shown = &text.chars()[..spec.precision.unwrap_or(usize::MAX).min(text.len())];
            pad(shown, spec.align.unwrap_or('<'), spec.fill, spec.width, out)
        }
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => {
            let text = number_text(value, &spec, meter)?;
            let text: Vec<Char> = text.chars().map(u32::from).collect();
            match spec.align.unwrap_or('>') {
                '=' => {
                    let sign = text.iter().take_while(|c| "+- ".contains(to_char(**c))).count();
                    if (spec.grouping.is_some() || spec.alternate) && text.len() < spec.width {
                        return unsupported(
                            "a format with padding between sign and grouped or prefixed digits",
                        );
                    }
                    out.extend(&text[..sign])?;
                    let fill = spec.fill.unwrap_or(u32::from(' '));
                    out.repeat(fill, spec.width.saturating_sub(text.len()))?;
                    out.extend(&text[sign..])
                }
                align => pad(&text, align, spec.fill, spec.width, out),
            }
        }
        other => fail(format!("unsupported format string passed to {}.__format__", other.type_name())),
    }
}

/// A number with its sign.
pub(crate) fn number_text(value: &Value, spec: &Spec, meter: &Meter) -> Result<String> {
    let kind = spec.kind.unwrap_or(if matches!(value, Value::Float(_)) { 'r' } else { 'd' });
    if spec.precision.is_some_and(|p| p > MAX_PRECISION) {
        return unsupported(format!("a precision above {MAX_PRECISION}"));
    }
    meter.make(MAX_PRECISION)?;
    let (negative, digits) = match (kind, value.integer()) {
        ('d' | 'n' | 'b' | 'o' | 'x' | 'X', Some(n)) => {
            if spec.precision.is_some() {
                return fail("precision not allowed in integer format specifier");
            }
            let n_abs = n.unsigned_abs();
            let (prefix, digits) = match kind {
                'b' => ("0b", format!("{n_abs:b}")),
                'o' => ("0o", format!("{n_abs:o}")),
                'x' => ("0x", format!("{n_abs:x}")),
                'X' => ("0X", format!("{n_abs:X}")),
                _ => ("", n_abs.to_string()),
            };
            let size = if "box".contains(kind.to_ascii_lowercase()) { 4 } else { 3 };
            let digits = group(&digits, spec.grouping, size);
            (n < 0, if spec.alternate { format!("{prefix}{digits}") } else { digits })
        }
        ('c', Some(_)) => return unsupported("the format `c`"),
        ('d' | 'b' | 'o' | 'x' | 'X' | 'c', None) => {
            return fail(format!("unknown format code '{kind}' for a float"));
        }
        _ => {
            let x = match value {
                Value::Float(x) => *x,
                other => other.integer().unwrap_or_default() as f64,
            };
            let digits = float_digits(x.abs(), kind, spec)?;
            let point = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            (
                x.is_sign_negative() && !x.is_nan(),
                format!("{}{}", group(&digits[..point], spec.grouping, 3), &digits[point..]),
            )
        }
    };
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    Ok(format!("{sign}{digits}"))
}

/// A float that is not negative.
fn float_digits(x: f64, kind: char, spec: &Spec) -> Result<String> {
    let upper = kind.is_ascii_uppercase();
    if x.is_nan() || x.is_infinite() {
        let name = if x.is_nan() { "nan" } else { "inf" };
        let name = if upper { name.to_uppercase() } else { name.into() };
        return Ok(if kind == '%' { format!("{name}%") } else { name });
    }
    if spec.alternate {
        return unsupported("the format option `#` with a float");
    }
    let precision = spec.precision.unwrap_or(6);
    let exponential = |precision: usize| -> (String, i32) {
        let text = format!("{x:.precision$e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        (digits.to_owned(), exponent.parse().unwrap_or_default())
    };
    let with_exponent = |digits: &str, exponent: i32| {
        format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    };
    let text = match kind.to_ascii_lowercase() {
        'r' if spec.precision.is_none() => number::float(x),
        'f' => format!("{x:.precision$}"),
        '%' => format!("{:.precision$}%", x * 100.0),
        'e' => {
            let (digits, exponent) = exponential(precision);
            with_exponent(&digits, exponent)
        }
        'g' | 'n' => {
            let precision = precision.max(1);
            let (digits, exponent) = exponential(precision - 1);
            let short = |text: &str| match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text.to_owned(),
            };
            if exponent < -4 || exponent >= precision as i32 {
                with_exponent(&short(&digits), exponent)
            } else {
                let behind = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
                short(&format!("{x:.behind$}"))
            }
        }
        'r' => return unsupported("a format with a precision and no type"),
        other => return fail(format!("unknown format code '{other}' for a number")),
    };
    Ok(if upper { text.to_uppercase() } else { text })
}

fn group(digits: &str, grouping: Option<char>, size: usize) -> String {
    let Some(separator) = grouping else { return digits.to_owned() };
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(size) {
            grouped.push(separator);
        }
        grouped.push(digit);
    }
    grouped
}

/// Fills up to `width`.
pub(crate) fn pad(
    text: &[Char],
    align: char,
    fill: Option<Char>,
    width: usize,
    out: &mut Builder<'_>,
) -> Result<()> {
    let (fill, missing) = (fill.unwrap_or(u32::from(' ')), width.saturating_sub(text.len()));
    let left = match align {
        '>' => missing,
        '^' => missing / 2,
        _ => 0,
    };
    out.repeat(fill, left)?;
    out.extend(text)?;
    out.repeat(fill, missing - left)
}

/// Python's `format.format(…)`.
pub(crate) fn format(format: &Text, called: &Called, meter: &Meter) -> Result<Text> {
    let mut out = Builder::new(meter);
    let mut automatic = Some(0);
    fields(format.chars(), called, &mut automatic, 3, &mut out, meter)?;
    Ok(out.finish())
}

/// `automatic` is the next number of an unnumbered field; nothing once a number was given.
fn fields(
    chars: &[Char],
    called: &Called,
    automatic: &mut Option<usize>,
    depth: u32,
    out: &mut Builder<'_>,
    meter: &Meter,
) -> Result<()> {
    if depth == 0 {
        return fail("Max string recursion exceeded");
    }
    let is = |at: usize, wanted: char| chars.get(at).is_some_and(|c| plain(*c) == u32::from(wanted));
    let mut at = 0;
    while at < chars.len() {
        if is(at, '}') {
            if !is(at + 1, '}') {
                return fail("Single '}' encountered in format string");
            }
            out.push(chars[at])?;
            at += 2;
        } else if !is(at, '{') {
            out.push(chars[at])?;
            at += 1;
        } else if is(at + 1, '{') {
            out.push(chars[at])?;
            at += 2;
        } else {
            let start = at + 1;
            let mut open = 1;
            at += 1;
            while open > 0 {
                if at >= chars.len() {
                    return fail("expected '}' before end of string");
                }
                open += i32::from(is(at, '{')) - i32::from(is(at, '}'));
                at += 1;
            }
            field(&chars[start..at - 1], called, automatic, depth, out, meter)?;
        }
    }
    Ok(())
}

fn field(
    chars: &[Char],
    called: &Called,
    automatic: &mut Option<usize>,
    depth: u32,
    out: &mut Builder<'_>,
    meter: &Meter,
) -> Result<()> {
    let (mut end, mut in_key) = (0, false);
    while end < chars.len() && (in_key || !"!:".contains(to_char(chars[end]))) {
        in_key = if in_key { to_char(chars[end]) != ']' } else { to_char(chars[end]) == '[' };
        end += 1;
    }
    let name: String = chars[..end].iter().map(|c| to_char(*c)).collect();
    let (mut conversion, mut spec) = (None, &chars[end..]);
    if spec.first().is_some_and(|c| to_char(*c) == '!') {
        conversion = spec.get(1).map(|c| to_char(*c));
        spec = spec.get(2..).unwrap_or_default();
    }
    if let Some(first) = spec.first() {
        if to_char(*first) != ':' {
            return fail("expected ':' after conversion specifier");
        }
        spec = &spec[1..];
    }
    let found = lookup(&name, called, automatic, meter)?;
    let found = match conversion {
        None => found,
        Some('s') => Value::Text(show::text(&found, meter)?),
        Some('r') => {
            let mut shown = Builder::new(meter);
            show::repr(&found, &mut shown)?;
            Value::Text(shown.finish())
        }
        Some(other) => return unsupported(format!("the conversion `!{other}` of a format")),
    };
    let mut inner = Builder::new(meter);
    fields(spec, called, automatic, depth - 1, &mut inner, meter)?;
    value(&found, inner.finish().chars(), out, meter)
}

fn lookup(name: &str, called: &Called, automatic: &mut Option<usize>, meter: &Meter) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    let place = if first.is_empty() {
        let Some(next) = *automatic else {
            return fail("cannot switch from manual field specification to automatic field numbering");
        };
        *automatic = Some(next + 1);
        Some(next)
    } else if first.chars().all(|c| c.is_ascii_digit()) {
        if automatic.is_some_and(|next| next > 0) {
            return fail("cannot switch from automatic field numbering to manual field specification");
        }
        *automatic = None;
        Some(first.parse().unwrap_or(usize::MAX))
    } else {
        None
    };
    meter.work(called.named.len())?;
    let found = match place {
        Some(at) => called.positional.get(at),
        None => called.named.iter().find(|(known, _)| **known == *first).map(|(_, value)| value),
    };
    let Some(mut value) = found.cloned() else {
        return fail(format!("the format's field `{first}` is not given"));
    };
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('.') {
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            value = attribute(&value, &inner[..end], meter)?;
            rest = &inner[end..];
        } else if let Some((key, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            let key = key.parse().map_or_else(|_| Value::text(key), Value::Int);
            value = item(&value, &key, meter)?;
            rest = behind;
        } else {
            return fail("only '.' or '[' may follow ']' in a format field");
        }
    }
    Ok(value)
}
