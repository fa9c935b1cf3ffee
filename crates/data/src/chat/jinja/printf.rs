//! `format % values`

use super::{
    failure::{Result, fail, unsupported},
    format::{Spec, number_text, pad},
    meter::Meter,
    number, show,
    text::{Builder, Char, Text, to_char},
    value::Value,
};

/// Python's `format % values`.
pub(crate) fn format(format: &Text, values: &Value, meter: &Meter) -> Result<Text> {
    let chars = format.chars();
    let one = std::slice::from_ref(values);
    let (mut positional, is_tuple) = match values {
        Value::Tuple(list) => (list.items.iter(), true),
        _ => (one.iter(), false),
    };
    let mut out = Builder::new(meter);
    let (mut at, mut named) = (0, false);
    while at < chars.len() {
        if to_char(chars[at]) != '%' {
            out.push(chars[at])?;
            at += 1;
            continue;
        }
        at += 1;
        let mut key = None;
        if chars.get(at).is_some_and(|c| to_char(*c) == '(') {
            let Some(len) = chars[at..].iter().position(|c| to_char(*c) == ')') else {
                return fail("incomplete format key");
            };
            key = Some(Value::Text(chars[at + 1..at + len].to_vec().into()));
            at += len + 1;
            named = true;
        }
        let mut spec = Spec { align: Some('>'), ..Spec::default() };
        let mut zero = false;
        while let Some(flag) = chars.get(at).map(|c| to_char(*c)).filter(|c| "#0- +".contains(*c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '0' => zero = true,
                '#' => spec.alternate = true,
                '+' => spec.sign = Some('+'),
                _ => spec.sign = spec.sign.or(Some(' ')),
            }
            at += 1;
        }
        let mut number = |at: &mut usize| -> Result<Option<i128>> {
            if chars.get(*at).is_some_and(|c| to_char(*c) == '*') {
                *at += 1;
                return match positional.next().and_then(Value::integer) {
                    Some(n) => Ok(Some(n)),
                    None => fail("* wants int"),
                };
            }
            let start = *at;
            while chars.get(*at).is_some_and(|c| to_char(*c).is_ascii_digit()) {
                *at += 1;
            }
            let digits: String = chars[start..*at].iter().map(|c| to_char(*c)).collect();
            if digits.is_empty() {
                Ok(None)
            } else {
                digits.parse().map(Some).or_else(|_| fail("width too big"))
            }
        };
        let width = number(&mut at)?.unwrap_or(0);
        if width < 0 {
            spec.align = Some('<');
        }
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        if chars.get(at).is_some_and(|c| to_char(*c) == '.') {
            at += 1;
            spec.precision = Some(number(&mut at)?.map_or(0, |n| usize::try_from(n).unwrap_or(0)));
        }
        while chars.get(at).is_some_and(|c| "hlL".contains(to_char(*c))) {
            at += 1;
        }
        let Some(kind) = chars.get(at).map(|c| to_char(*c)) else { return fail("incomplete format") };
        at += 1;
        if kind == '%' {
            out.write("%")?;
            continue;
        }
        let value = match key {
            Some(key) => match values {
                Value::Dict(dict) => match dict.get(&key, meter)? {
                    Some(value) => value,
                    None => return fail("the format's key is missing"),
                },
                _ => return fail("format requires a mapping"),
            },
            None => match positional.next() {
                Some(value) => value,
                None => return fail("not enough arguments for format string"),
            },
        };
        directive(kind, value, spec, zero, &mut out, meter)?;
    }
    // A value that is no tuple and may be a mapping can go unused.
    let is_mapping =
        matches!(values, Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_));
    let may_remain = named || (!is_tuple && is_mapping);
    if positional.next().is_some() && !may_remain {
        return fail("not all arguments converted during string formatting");
    }
    Ok(out.finish())
}

fn directive(
    kind: char,
    value: &Value,
    mut spec: Spec,
    zero: bool,
    out: &mut Builder<'_>,
    meter: &Meter,
) -> Result<()> {
    let align = spec.align.unwrap_or('>');
    if matches!(kind, 's' | 'r') {
        let mut shown = Builder::new(meter);
        if kind == 's' {
            show::write(value, &mut shown)?
        } else {
            show::repr(value, &mut shown)?
        }
        let shown = shown.finish();
        let cut = &shown.chars()[..spec.precision.unwrap_or(usize::MAX).min(shown.len())];
        return pad(cut, align, None, spec.width, out);
    }
    let number = match (kind, value) {
        (_, Value::Undefined(message)) => return fail(&**message),
        ('d' | 'i' | 'u', Value::Float(x)) => match number::truncate(*x) {
            Some(n) => Value::Int(n),
            None => return fail("cannot convert float to integer"),
        },
        (
            'd' | 'i' | 'u' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G',
            Value::Int(_) | Value::Bool(_) | Value::Float(_),
        )
        | ('x' | 'X' | 'o', Value::Int(_) | Value::Bool(_)) => value.clone(),
        ('c' | 'a', _) => return unsupported(format!("the format `%{kind}`")),
        ('d' | 'i' | 'u' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'x' | 'X' | 'o', other) => {
            return fail(format!("%{kind} format: a real number is required, not {}", other.type_name()));
        }
        _ => return fail(format!("unsupported format character '{kind}'")),
    };
    let is_integer = matches!(kind, 'd' | 'i' | 'u' | 'x' | 'X' | 'o');
    if is_integer && spec.precision.is_some() {
        return unsupported("a precision with an integer in a `%` format");
    }
    spec.kind = Some(if matches!(kind, 'i' | 'u') { 'd' } else { kind });
    let text: Vec<Char> = number_text(&number, &spec, meter)?.chars().map(u32::from).collect();
    if zero && align == '>' {
        let sign = text.iter().take_while(|c| "+- ".contains(to_char(**c))).count();
        out.extend(&text[..sign])?;
        out.repeat(u32::from('0'), spec.width.saturating_sub(text.len()))?;
        return out.extend(&text[sign..]);
    }
    pad(&text, align, None, spec.width, out)
}
