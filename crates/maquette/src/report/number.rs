//! Numbers as a reader wants them: few digits, a unit, no surprises at the edges.

/// Digits in groups of three: `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `x` with `n` significant digits, never in exponent form.
pub(super) fn significant(x: f64, n: i32) -> String {
    if !x.is_finite() {
        return "not a number".to_owned();
    }
    let decimals = (n - 1 - exponent(x, n)).clamp(0, 12) as usize;
    format!("{x:.decimals$}")
}

/// Three significant digits and an SI prefix: `17.3 M`; plain below a thousand, a power of ten past `P`.
pub(super) fn si(x: f64) -> String {
    si_of(x, "").trim_end().to_owned()
}

/// The same with a unit: `464 GFLOP/s`.
pub(super) fn si_of(x: f64, unit: &str) -> String {
    let group = exponent(x, 3).div_euclid(3);
    match group {
        ..1 => format!("{}\u{a0}{unit}", significant(x, 3)),
        1..=5 => format!("{}\u{a0}{}{unit}", significant(x / 10f64.powi(3 * group), 3), prefix(group)),
        _ => format!("{}\u{a0}{unit}", scientific(x)),
    }
}

/// The SI prefix of `1000^group`, for groups 1 to 5.
pub(super) fn prefix(group: i32) -> &'static str {
    ["", "k", "M", "G", "T", "P"][group.clamp(0, 5) as usize]
}

/// Three significant digits and a power of ten: `4.21 × 10¹⁵`.
pub(super) fn scientific(x: f64) -> String {
    let e = exponent(x, 3);
    // Divide by a positive power: 10^-e is not exact.
    let mantissa = if e < 0 { x * 10f64.powi(-e) } else { x / 10f64.powi(e) };
    format!("{mantissa:.2}\u{a0}×\u{a0}{}", power_of_ten(e))
}

/// `10` with a raised exponent.
pub(super) fn power_of_ten(exponent: i32) -> String {
    let raised = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    format!("10{}", exponent.to_string().chars().map(raised).collect::<String>())
}

/// A probability: three significant digits, as a power of ten below a thousandth.
pub(super) fn probability(x: f64) -> String {
    if x > 0.0 && x < 1e-3 { scientific(x) } else { significant(x, 3) }
}

/// A size in decimal units: `1.24 MB`.
pub(super) fn bytes(n: u64) -> String {
    if n < 1000 { format!("{n}\u{a0}B") } else { si_of(n as f64, "B") }
}

/// A time in its two largest units: `2 h 05 min`.
pub(super) fn duration(seconds: f64) -> String {
    let two = |n: u64, unit: u64, large: &str, small: &str, part: u64| {
        format!("{}\u{a0}{large} {:02}\u{a0}{small}", n / unit, n % unit / part)
    };
    match seconds.round() as u64 {
        0..60 => format!("{}\u{a0}s", significant(seconds, 3)),
        n @ 60..3600 => two(n, 60, "min", "s", 1),
        n @ 3600..86_400 => two(n, 3600, "h", "min", 60),
        n => two(n, 86_400, "d", "h", 3600),
    }
}

/// A value and its margin, both to the margin's second significant digit: `("1.4120", "0.0063")`.
pub(crate) fn with_margin(value: f64, margin: f64) -> (String, String) {
    if !(margin.is_finite() && margin > 0.0) {
        return (significant(value, 4), "unknown".to_owned());
    }
    let decimals = (1 - exponent(margin, 2)).clamp(0, 6) as usize;
    (format!("{value:.decimals$}"), format!("{margin:.decimals$}"))
}

/// The decimal exponent of `x` once it is rounded to `n` digits, so that 999,999 counts as a million.
fn exponent(x: f64, n: i32) -> i32 {
    if x == 0.0 || !x.is_finite() {
        return 0;
    }
    // The standard library rounds exactly; log10 does not.
    let text = format!("{:.*e}", (n - 1).max(0) as usize, x.abs());
    text.rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_round_at_the_edges() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(si(999.4), "999");
        assert_eq!(si(999_999.0), "1.00\u{a0}M");
        assert_eq!(si(17_345_000.0), "17.3\u{a0}M");
        assert_eq!(si(0.25), "0.250");
        assert_eq!(si(4.2e19), "4.20\u{a0}×\u{a0}10¹⁹");
        assert_eq!(si_of(12.0, "FLOP/s"), "12.0\u{a0}FLOP/s");
        assert_eq!(si_of(464e9, "FLOP/s"), "464\u{a0}GFLOP/s");
        assert_eq!(scientific(3.6e-5), "3.60\u{a0}×\u{a0}10⁻⁵");
        assert_eq!(probability(0.25), "0.250");
        assert_eq!(probability(1.89e-8), "1.89\u{a0}×\u{a0}10⁻⁸");
        assert_eq!(bytes(17), "17\u{a0}B");
        assert_eq!(bytes(1_240_000), "1.24\u{a0}MB");
    }

    #[test]
    fn times_carry_into_the_next_unit() {
        assert_eq!(duration(48.23), "48.2\u{a0}s");
        assert_eq!(duration(59.7), "1\u{a0}min 00\u{a0}s");
        assert_eq!(duration(7503.0), "2\u{a0}h 05\u{a0}min");
        assert_eq!(duration(180_000.0), "2\u{a0}d 02\u{a0}h");
    }

    #[test]
    fn a_value_has_the_digits_of_its_margin() {
        assert_eq!(with_margin(1.411_95, 0.006_27), ("1.4120".to_owned(), "0.0063".to_owned()));
        assert_eq!(with_margin(3.4, 0.0996), ("3.40".to_owned(), "0.10".to_owned()));
        assert_eq!(with_margin(3.4, f64::NAN).1, "unknown");
    }
}
