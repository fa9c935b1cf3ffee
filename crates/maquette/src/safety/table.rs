//! What alignment did and what it cost, as a file.

use std::collections::BTreeMap;

use eval::{
    Reliability,
    interval::{self, Mean},
};
use serde::{Deserialize, Serialize};

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    pub(crate) n: usize,
    pub(crate) rate: f64,
    pub(crate) lo95: f64,
    pub(crate) hi95: f64,
}

/// A number with its 95 % interval, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Number {
    pub(crate) n: usize,
    pub(crate) value: f64,
    pub(crate) lo95: Option<f64>,
    pub(crate) hi95: Option<f64>,
}

impl Number {
    pub(crate) fn mean(values: &[f64]) -> Self {
        let Mean { value, lo95, hi95, .. } = interval::mean(values);
        Self { n: values.len(), value, lo95, hi95 }
    }

    /// The mean of scores from 0 to 1.
    pub(crate) fn of_scores(values: &[f64]) -> Self {
        let Mean { value, lo95, hi95, .. } = interval::bounded_mean(values);
        Self { n: values.len(), value, lo95, hi95 }
    }

    /// The mean of what is so or not, with Wilson's interval.
    pub(crate) fn share(all: &[bool]) -> Self {
        let n_so = all.iter().filter(|is| **is).count();
        let ends = interval::wilson(n_so, all.len());
        let (lo95, hi95) = (ends.map(|[lo, _]| lo), ends.map(|[_, hi]| hi));
        Self { n: all.len(), value: n_so as f64 / all.len() as f64, lo95, hi95 }
    }

    /// Of one thing, which has no spread.
    pub(crate) fn of(value: f64) -> Self {
        Self { n: 1, value, lo95: None, hi95: None }
    }
}

/// How a share differs from that of another stage, which answered the same prompts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The share less that of the other stage, pair by pair.
    pub(crate) difference: Number,
    /// By which part of itself the other's share was lowered; nothing where it was 0.
    pub(crate) lowered_by: Option<Number>,
}

impl Change {
    /// From what each prompt came to, now and at the other stage.
    pub(crate) fn of(now: &[bool], before: &[bool]) -> Self {
        let as_numbers = |all: &[bool]| all.iter().map(|is| f64::from(u8::from(*is))).collect::<Vec<f64>>();
        let (now, before) = (as_numbers(now), as_numbers(before));
        let differences: Vec<f64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
        let Mean { value, lo95, hi95, .. } = interval::paired_shares(&differences);
        Self { difference: Number { n: now.len(), value, lo95, hi95 }, ..Self::of_values(&now, &before) }
    }

    /// From the value of each question, now and at the other stage.
    pub(crate) fn of_values(now: &[f64], before: &[f64]) -> Self {
        let differences: Vec<f64> = now.iter().zip(before).map(|(now, before)| now - before).collect();
        let lowered_by = ratio(now, before).map(|Number { n, value, lo95, hi95 }| Number {
            n,
            value: 1.0 - value,
            lo95: hi95.map(|hi| 1.0 - hi),
            hi95: lo95.map(|lo| 1.0 - lo),
        });
        Self { difference: Number::mean(&differences), lowered_by }
    }
}

/// `Σ now / Σ before` of paired values, with the interval of its linearisation `(now − ratio·before)/mean(before)`; nothing where
/// the divisor is 0.
pub(crate) fn ratio(now: &[f64], before: &[f64]) -> Option<Number> {
    let n = before.len();
    let (total, divisor) = (now.iter().sum::<f64>(), before.iter().sum::<f64>());
    if divisor == 0.0 {
        return None;
    }
    let value = total / divisor;
    let mean = divisor / n as f64;
    let residuals: Vec<f64> = now.iter().zip(before).map(|(a, b)| (a - value * b) / mean).collect();
    let Mean { lo95, hi95, .. } = interval::mean(&residuals);
    Some(Number { n, value, lo95: lo95.map(|lo| value + lo), hi95: hi95.map(|hi| value + hi) })
}

/// Stages of a model side by side.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SafetyTable {
    /// Where the prompts lie.
    pub(crate) prompts: String,
    /// Whether nobody ever asked them.
    pub(crate) synthetic: bool,
    /// Stage → measure → share.
    pub(crate) stages: BTreeMap<String, BTreeMap<String, Share>>,
    /// Stage → what is no share.
    #[serde(default)]
    pub(crate) numbers: BTreeMap<String, BTreeMap<String, Number>>,
    /// The stage that changes are from.
    #[serde(default)]
    pub(crate) against: Option<String>,
    /// Stage → measure → how it differs from that stage.
    #[serde(default)]
    pub(crate) changes: BTreeMap<String, BTreeMap<String, Change>>,
    /// The stages in the order in which they were asked.
    #[serde(default)]
    pub(crate) order: Vec<String>,
    /// Stage → how often the most likely next token of held-out text comes, by its probability.
    #[serde(default)]
    pub(crate) reliability: BTreeMap<String, Reliability>,
}

impl SafetyTable {
    /// The stages as they were asked; those that the order does not name, at its end.
    pub(crate) fn in_order(&self) -> Vec<&String> {
        let named = self.order.iter().filter_map(|name| self.stages.get_key_value(name));
        let others = self.stages.keys().filter(|name| !self.order.contains(name));
        named.map(|(name, _)| name).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_paired() {
        let now = [true, false, false, false];
        let before = [true, true, true, false];
        let Change { difference, lowered_by } = Change::of(&now, &before);
        assert_eq!((difference.n, difference.value), (4, -0.5));
        // Differences 0, −1, −1, 0: s = 0.577, three degrees of freedom.
        let margin = 3.182 * (1.0f64 / 3.0).sqrt() / 2.0;
        assert!((difference.hi95.unwrap() - (-0.5 + margin)).abs() < 1e-3, "{difference:?}");
        assert!((lowered_by.unwrap().value - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(Change::of(&now, &[false; 4]).lowered_by, None);
        // The same answers: no change, but four prove little of others.
        let same = Change::of(&before, &before);
        assert!(same.difference.value == 0.0 && same.difference.hi95 > Some(0.3), "{same:?}");
        assert_eq!(same.lowered_by.unwrap().value, 0.0);
    }
}
