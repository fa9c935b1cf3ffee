//! Numbers as Python reads and writes them.

/// Largest integer: sums and differences of two fit an `i128`.
pub(crate) const MAX_INT: u128 = 1 << 126;

/// Python's `repr(x)`: the shortest digits that give `x` back.
pub(crate) fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{x:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Python's `float(text)`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text = ungrouped(text.trim_matches(is_python_space))?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().ok()
}

/// Python's `int(text, base)`; `Err` where the number is too large to be held.
pub(crate) fn parse_int(text: &str, base: u32) -> Result<Option<i128>, ()> {
    let text = text.trim_matches(is_python_space);
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let prefixes = [("0b", 2), ("0o", 8), ("0x", 16)];
    let prefix = prefixes.into_iter().find(|(p, b)| lower.starts_with(p) && (base == 0 || base == *b));
    let (digits, base) = match prefix {
        Some((_, radix)) => (lower[2..].strip_prefix('_').unwrap_or(&lower[2..]), radix),
        None => (&lower[..], if base == 0 { 10 } else { base }),
    };
    let Some(digits) = ungrouped(digits) else { return Ok(None) };
    if digits.is_empty() || !(2..=36).contains(&base) || !digits.chars().all(|c| c.is_digit(base)) {
        return Ok(None);
    }
    let value = i128::from_str_radix(&digits, base).map_err(|_| ())?;
    if value.unsigned_abs() > MAX_INT {
        return Err(());
    }
    Ok(Some(if negative { -value } else { value }))
}

/// Without single underscores between digits; nothing if they stand elsewhere.
fn ungrouped(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let digit = |i: Option<usize>| i.and_then(|i| chars.get(i)).is_some_and(char::is_ascii_alphanumeric);
    let wrong = (0..chars.len()).any(|i| chars[i] == '_' && !(digit(i.checked_sub(1)) && digit(Some(i + 1))));
    (!wrong).then(|| chars.iter().filter(|c| **c != '_').collect())
}

fn is_python_space(c: char) -> bool {
    super::text::is_space(u32::from(c))
}

/// `int(x)`: the part before the point.
pub(crate) fn truncate(x: f64) -> Option<i128> {
    (x.is_finite() && x.abs() < 8e37).then_some(x as i128)
}
