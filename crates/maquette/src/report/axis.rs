//! One axis of a figure: what it spans, where a value lies on it, and where its ticks stand.

use super::number::{power_of_ten, prefix};

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Linear,
    /// Values that are not positive have no place on it.
    Log,
}

/// A labelled axis. Without a range it spans the marks of its figure.
pub(super) struct Axis {
    pub label: &'static str,
    pub scale: Scale,
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis over the data.
    pub(super) fn linear(label: &'static str) -> Self {
        Self { label, scale: Scale::Linear, range: None }
    }

    /// A logarithmic axis over the data.
    pub(super) fn log(label: &'static str) -> Self {
        Self { label, scale: Scale::Log, range: None }
    }

    /// The same axis over a fixed range.
    pub(super) fn over(self, low: f64, high: f64) -> Self {
        Self { range: Some((low, high)), ..self }
    }

    /// The span of this axis for the `values` drawn on it. `margin` is the share of it left free at each end.
    pub(super) fn span(&self, values: impl Iterator<Item = f64>, margin: f64) -> Span {
        let is_log = self.scale == Scale::Log;
        let (low, high) = self.range.unwrap_or_else(|| {
            values
                .filter(|v| v.is_finite() && (!is_log || *v > 0.0))
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        });
        let span = |low, high| Span { scale: self.scale, low, high };
        match (low < high, is_log) {
            _ if !low.is_finite() || !high.is_finite() => span(if is_log { 0.1 } else { 0.0 }, 1.0),
            (false, true) => span(low / 2.0, low * 2.0),
            (false, false) => span(low - 0.5 * low.abs().max(1e-9), low + 0.5 * low.abs().max(1e-9)),
            _ if self.range.is_some() => span(low, high),
            (true, true) => {
                let factor = (high / low).powf(margin);
                span(low / factor, high * factor)
            }
            (true, false) => {
                let room = (high - low) * margin;
                // Room must not make a quantity that is never negative look as if it could be.
                span(if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room)
            }
        }
    }
}

/// The two ends of an axis, `low < high`; both are positive on a logarithmic one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub scale: Scale,
    pub low: f64,
    pub high: f64,
}

impl Span {
    /// Where `value` lies: 0 at the low end, 1 at the high one. `None` if it has no place on this scale.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        let at = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Log => return None,
        };
        at.is_finite().then_some(at)
    }

    /// At most `n_max + 1` ticks on round numbers (1, 2, 5 times a power of ten), each with its label.
    pub(super) fn ticks(&self, n_max: usize) -> Vec<(f64, String)> {
        let values = match self.scale {
            Scale::Linear => self.linear_ticks(n_max),
            Scale::Log => self.log_ticks(n_max),
        };
        let largest = values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let closest = values.windows(2).fold(f64::INFINITY, |gap: f64, pair| gap.min(pair[1] - pair[0]));
        let smallest = values.iter().filter(|v| **v > 0.0).fold(f64::INFINITY, |least: f64, v| least.min(*v));
        // Even ticks on a short logarithmic axis are labelled as on a linear one.
        let is_even = values.windows(2).all(|pair| pair[1] - pair[0] < closest * (1.0 + 1e-6));
        let scale = if is_even { Scale::Linear } else { self.scale };
        let label = |v: f64| match scale {
            _ if v == 0.0 => "0".to_owned(),
            Scale::Log if smallest < 1e-3 || largest >= 1e15 => with_power(v, exponent(v)),
            Scale::Log => with_prefix(v, exponent(v), None),
            Scale::Linear if !(2e-3..1e16).contains(&largest) => with_power(v, exponent(largest)),
            Scale::Linear => with_prefix(v, exponent(largest), Some(closest)),
        };
        values.iter().map(|&v| (v, label(v))).collect()
    }

    fn linear_ticks(&self, n_max: usize) -> Vec<f64> {
        let step = round_step((self.high - self.low) / n_max.max(1) as f64);
        // A hair of slack, so that an end that is itself round keeps its tick.
        let first = (self.low / step - 1e-6).ceil() as i64;
        let last = (self.high / step + 1e-6).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    fn log_ticks(&self, n_max: usize) -> Vec<f64> {
        let (from, to) = (exponent(self.low), exponent(self.high));
        let inside = |v: &f64| self.low * (1.0 - 1e-9) <= *v && *v <= self.high * (1.0 + 1e-9);
        let of = |mantissas: &'static [f64], stride: usize| -> Vec<f64> {
            (from..=to)
                .filter(|e| e.rem_euclid(stride as i32) == 0)
                .flat_map(|e| mantissas.iter().map(move |m| scaled(*m, e)))
                .filter(inside)
                .collect()
        };
        let finest = of(&[1.0, 2.0, 5.0], 1);
        if finest.len() < 3 {
            return self.linear_ticks(n_max).into_iter().filter(|v| *v > 0.0).collect();
        }
        // Over little more than a decade three mantissas leave wide gaps.
        let between = of(&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], 1);
        if finest.len() < 5 && between.len() <= n_max + 1 {
            return between;
        }
        let coarser = (1..).map(|stride| of(&[1.0], stride));
        [finest, of(&[1.0, 3.0], 1)]
            .into_iter()
            .chain(coarser)
            .find(|ticks| ticks.len() <= n_max + 1)
            .unwrap_or_default()
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let e = exponent(rough);
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|m| scaled(m, e))
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(scaled(1.0, e + 1))
}

/// `mantissa · 10^e`, exact wherever the decimal number is.
fn scaled(mantissa: f64, e: i32) -> f64 {
    if e < 0 { mantissa / 10f64.powi(-e) } else { mantissa * 10f64.powi(e) }
}

fn exponent(x: f64) -> i32 {
    // The nudge puts 10^k, which log10 may place just below k, in its own decade.
    (x.abs().log10() + 1e-9).floor() as i32
}

/// `v` in units of the SI prefix for `10^e`, with the digits that tell it from a neighbour at `gap`, or with
/// those that it has itself.
fn with_prefix(v: f64, e: i32, gap: Option<f64>) -> String {
    let group = if e >= 4 { (e / 3).min(5) } else { 0 };
    let unit = 10f64.powi(3 * group);
    let number = match gap {
        Some(gap) => format!("{:.*}", (-exponent(gap / unit)).clamp(0, 9) as usize, v / unit),
        None => format!("{}", (v / unit * 1e9).round() / 1e9),
    };
    if group == 0 { number } else { format!("{number}\u{a0}{}", prefix(group)) }
}

/// `v` as a multiple of `10^e`: `10¹⁵`, `2×10¹⁵`.
fn with_power(v: f64, e: i32) -> String {
    let mantissa = (scaled(v, -e) * 1e3).round() / 1e3;
    if mantissa == 1.0 { power_of_ten(e) } else { format!("{mantissa}×{}", power_of_ten(e)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scale: Scale, low: f64, high: f64, expected: &[&str]) {
        let labels: Vec<String> = Span { scale, low, high }
            .ticks(6)
            .into_iter()
            .map(|(_, label)| label.replace('\u{a0}', " "))
            .collect();
        assert_eq!(labels, expected, "{scale:?} from {low} to {high}");
    }

    #[test]
    fn linear_ticks_are_round() {
        check(Scale::Linear, 0.0, 1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        check(Scale::Linear, 3.31, 4.87, &["3.5", "4.0", "4.5"]);
        check(Scale::Linear, 0.0, 41_943_040.0, &["0", "10 M", "20 M", "30 M", "40 M"]);
        check(Scale::Linear, 0.0, 600.0, &["0", "100", "200", "300", "400", "500", "600"]);
        check(Scale::Linear, 0.0, 6e-4, &["0", "10⁻⁴", "2×10⁻⁴", "3×10⁻⁴", "4×10⁻⁴", "5×10⁻⁴", "6×10⁻⁴"]);
        check(Scale::Linear, 9_100.0, 10_900.0, &["9.5 k", "10.0 k", "10.5 k"]);
        check(Scale::Linear, -3.0, 2.0, &["-3", "-2", "-1", "0", "1", "2"]);
    }

    #[test]
    fn log_ticks_are_round() {
        check(Scale::Log, 0.2, 12.0, &["0.2", "0.5", "1", "2", "5", "10"]);
        check(Scale::Log, 1.9, 11.6, &["2", "3", "5", "7", "10"]);
        check(Scale::Log, 3.3, 10.6, &["4", "6", "8", "10"]);
        check(Scale::Log, 8.16, 8.34, &["8.20", "8.25", "8.30"]);
        check(Scale::Log, 1e12, 3e16, &["10¹²", "10¹³", "10¹⁴", "10¹⁵", "10¹⁶"]);
        check(Scale::Log, 1.0, 1e12, &["1", "100", "10 k", "1 M", "100 M", "10 G", "1 T"]);
        check(Scale::Log, 1e-5, 1e-2, &["10⁻⁵", "3×10⁻⁵", "10⁻⁴", "3×10⁻⁴", "10⁻³", "3×10⁻³", "10⁻²"]);
    }

    #[test]
    fn a_span_holds_its_values() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [&[2.0, 7.0][..], &[5.0], &[], &[0.0, f64::NAN, 3.0], &[1e-9, 1e-9]] {
                let span = Axis { label: "", scale, range: None }.span(values.iter().copied(), 0.05);
                assert!(span.low < span.high && span.low.is_finite(), "{scale:?} {values:?} {span:?}");
                for at in values.iter().filter_map(|v| span.position(*v)) {
                    assert!((0.0..=1.0).contains(&at), "{scale:?} {values:?} {span:?} {at}");
                }
            }
        }
        assert!(Axis::linear("").span([0.1, 9.0].into_iter(), 0.05).low == 0.0, "no room below zero");
    }
}
