//! Whether probabilities are right as often as they say.

use serde::{Deserialize, Serialize};

use crate::{ItemScore, interval};

/// Bins of equal width between 0 and 1, as in the GPT-4 report's Figure 8.
const N_BINS: usize = 10;

/// How well the probabilities of choices are calibrated, over the items of one or several tasks.
///
/// The probability of a choice is its likelihood over the sum of the likelihoods of all choices of its item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Items.
    pub n_items: usize,
    /// Over the probability of *every* choice of every item, as the GPT-4 report has it.
    pub all_choices: Reliability,
    /// Over the probability of the most likely choice of every item.
    pub top_choice: Reliability,
    /// `Σ_i (p_i − y_i)²` over the choices of an item, with y of 1 for the right one; the mean over items. 0 is
    /// best; k equally likely choices have `1 − 1/k`.
    pub brier: f64,
    /// Lower end of Student's 95 % interval.
    pub brier_lo95: Option<f64>,
    /// Upper end.
    pub brier_hi95: Option<f64>,
}

/// Bins of probabilities, and the error over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Bins that hold a probability, from low to high.
    pub bins: Vec<Bin>,
    /// Expected calibration error, `Σ_b n_b/n·|confidence_b − accuracy_b|`. It is above 0 by chance alone.
    pub ece: f64,
    /// The same less what chance adds: with `d_b` normal around its value, of variance `accuracy·(1 − accuracy)/(n_b − 1)`,
    /// twice the error less the expected error of such a draw; 0 at least.
    pub ece_debiased: f64,
    /// Lower end of the 95 % interval around the debiased error, from the spread of what each item adds to it; 0 at least.
    pub lo95: Option<f64>,
    /// Upper end.
    pub hi95: Option<f64>,
}

/// Probabilities between two tenths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower edge; the upper is a tenth higher, and belongs to the next bin.
    pub from: f64,
    /// Probabilities in it.
    pub n: usize,
    /// Their mean.
    pub confidence: f64,
    /// Share of them whose choice was right.
    pub accuracy: f64,
    /// Lower end of Wilson's 95 % interval of the share.
    pub lo95: f64,
    /// Upper end.
    pub hi95: f64,
}

/// A probability and whether what it stood for came true.
pub type Event = (f64, bool);

/// Of items with several choices of which one is right; others are passed over. None where no item is left.
pub fn calibration<'a>(items: impl IntoIterator<Item = &'a ItemScore>) -> Option<Calibration> {
    let events: Vec<Vec<Event>> = items.into_iter().filter_map(events_of).collect();
    let top = |events: &Vec<Event>| {
        let first_largest = |best: Event, next: &Event| if next.0 > best.0 { *next } else { best };
        vec![events[1..].iter().fold(events[0], first_largest)]
    };
    let briers: Vec<f64> = events
        .iter()
        .map(|events| events.iter().map(|&(p, is_right)| (p - f64::from(is_right)).powi(2)).sum())
        .collect();
    if events.is_empty() {
        return None;
    }
    let brier = interval::mean(&briers);
    let top: Vec<Vec<Event>> = events.iter().map(top).collect();
    Some(Calibration {
        n_items: events.len(),
        all_choices: reliability(&events),
        top_choice: reliability(&top),
        brier: brier.value,
        brier_lo95: brier.lo95,
        brier_hi95: brier.hi95,
    })
}

/// Probability of each choice, and whether it is right.
fn events_of(item: &ItemScore) -> Option<Vec<Event>> {
    let logs = || item.choices.iter().map(|choice| choice.loglikelihood);
    let max = logs().fold(f64::NEG_INFINITY, f64::max);
    let n_right = (0..item.choices.len()).filter(|choice| item.target.contains(*choice)).count();
    if item.choices.len() < 2 || n_right != 1 || !max.is_finite() {
        return None;
    }
    let total: f64 = logs().map(|log| (log - max).exp()).sum();
    Some(logs().enumerate().map(|(i, log)| ((log - max).exp() / total, item.target.contains(i))).collect())
}

/// Over the events of items; those of one item depend on each other.
pub fn reliability(items: &[Vec<Event>]) -> Reliability {
    let bin_of = |p: f64| ((p * N_BINS as f64) as usize).min(N_BINS - 1);
    let mut sums = [(0usize, 0.0f64, 0usize); N_BINS];
    for &(p, is_right) in items.iter().flatten() {
        let (n, sum, n_right) = &mut sums[bin_of(p)];
        (*n, *sum, *n_right) = (*n + 1, *sum + p, *n_right + usize::from(is_right));
    }
    let n_events: usize = sums.iter().map(|(n, ..)| n).sum();
    let (mut ece, mut expected) = (0.0, 0.0);
    let mut slopes = [0.0; N_BINS];
    let mut bins = Vec::new();
    for (i, &(n, sum, n_right)) in sums.iter().enumerate().filter(|(_, (n, ..))| *n > 0) {
        let (confidence, accuracy) = (sum / n as f64, n_right as f64 / n as f64);
        let (weight, gap) = (n as f64 / n_events as f64, confidence - accuracy);
        // A bin of one event has no variance of its own: the largest that a share can have.
        let variance = if n > 1 { accuracy * (1.0 - accuracy) / (n as f64 - 1.0) } else { 0.25 };
        ece += weight * gap.abs();
        expected += weight * mean_absolute(gap, variance.sqrt());
        slopes[i] = slope(gap, variance.sqrt());
        let [lo95, hi95] = interval::wilson(n_right, n).unwrap_or([0.0, 1.0]);
        bins.push(Bin { from: i as f64 / N_BINS as f64, n, confidence, accuracy, lo95, hi95 });
    }
    let ece_debiased = (2.0 * ece - expected).max(0.0);
    // What each item adds to the debiased error.
    let per_item = items.len() as f64 / n_events as f64;
    let added = |events: &Vec<Event>| {
        let of = |&(p, is_right): &Event| slopes[bin_of(p)] * (p - f64::from(is_right));
        events.iter().map(of).sum::<f64>() * per_item
    };
    let mean = interval::mean(&items.iter().map(added).collect::<Vec<_>>());
    let margin = mean.hi95.map(|hi| hi - mean.value);
    Reliability {
        bins,
        ece,
        ece_debiased,
        lo95: margin.map(|margin| (ece_debiased - margin).max(0.0)),
        hi95: margin.map(|margin| ece_debiased + margin),
    }
}

/// `E|x|` of a normal x.
fn mean_absolute(mean: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return mean.abs();
    }
    let z = mean / deviation;
    let density = (-0.5 * z * z).exp() * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    deviation * density + mean * libm::erf(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// How far noise of a bin moves the debiased error `g(x) = 2|x| − E|y|`, with y normal around x: the mean of g's derivative at
/// the gap and of its spread over that of x, normal around the gap. Where the gap is about as large as its noise the one
/// overstates and the other understates the error of the interval, as the simulations below show; elsewhere both are 1.
fn slope(gap: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return gap.signum();
    }
    let (mut total, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for i in -40..=40 {
        let z = 0.1 * f64::from(i);
        let (weight, x) = ((-0.5 * z * z).exp(), gap + deviation * z);
        let debiased = 2.0 * x.abs() - mean_absolute(x, deviation);
        total += weight;
        sum += weight * debiased;
        squares += weight * debiased * debiased;
    }
    let mean = sum / total;
    let spread = (squares / total - mean * mean).max(0.0).sqrt() / deviation;
    let derivative = 2.0 - libm::erf(gap.abs() / deviation * std::f64::consts::FRAC_1_SQRT_2);
    gap.signum() * 0.5 * (spread + derivative)
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;
    use crate::exam::testing::item;

    #[test]
    fn probabilities_of_every_choice_are_binned() {
        // Probabilities 0.8 and 0.2; right in 3 of 4 items.
        let items: Vec<ItemScore> =
            (0..4).map(|i| item(usize::from(i == 0), &[0.8f64.ln(), 0.2f64.ln()])).collect();
        let found = calibration(&items).unwrap();
        let bins: Vec<_> = found.all_choices.bins.iter().map(|bin| (bin.n, bin.accuracy)).collect();
        assert_eq!(bins, [(4, 0.25), (4, 0.75)]);
        assert!((found.all_choices.ece - 0.05).abs() < 1e-12 && (found.top_choice.ece - 0.05).abs() < 1e-12);
        assert_eq!((found.n_items, found.top_choice.bins.len()), (4, 1));
        let brier = (3.0 * 2.0 * 0.04 + 2.0 * 0.64) / 4.0;
        assert!((found.brier - brier).abs() < 1e-12);
        // Far below what an exponential can hold.
        let far = calibration([&item(0, &[-2000.0, -2001.0])]).unwrap();
        assert!((far.top_choice.bins[0].confidence - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-12);
        assert_eq!(calibration([&item(0, &[-1.0])]), None);
    }

    #[test]
    fn the_mean_of_an_absolute_value() {
        assert!((mean_absolute(0.0, 2.0) - 2.0 * (2.0 / std::f64::consts::PI).sqrt()).abs() < 1e-12);
        assert!((mean_absolute(-50.0, 1.0) - 50.0).abs() < 1e-12 && mean_absolute(3.0, 0.0) == 3.0);
    }

    /// In 2,000 simulations each the interval holds a true error of 0.1 in 93 to 97 % and one of 0 in more than 92 %; there the
    /// plain error is 0.04 by chance alone, and the debiased one smaller.
    #[test]
    fn the_interval_holds_the_true_error() {
        let mut rng = Rng::named(3, "calibration");
        for true_error in [0.1, 0.0] {
            let (mut n_held, mut plain, mut debiased) = (0, 0.0, 0.0);
            for _ in 0..2000 {
                let events: Vec<Vec<Event>> = (0..300)
                    .map(|_| {
                        let p = 0.5 + 0.5 * rng.uniform();
                        vec![(p, rng.uniform() < p - true_error)]
                    })
                    .collect();
                let found = reliability(&events);
                n_held += usize::from(found.lo95.unwrap() <= true_error && true_error <= found.hi95.unwrap());
                plain += found.ece / 2000.0;
                debiased += found.ece_debiased / 2000.0;
            }
            let coverage = f64::from(n_held as u32) / 2000.0;
            let seen = format!("{true_error}: {coverage}, plain {plain}, debiased {debiased}");
            if true_error == 0.0 {
                assert!(coverage > 0.92 && plain > 0.03 && debiased < 0.7 * plain, "{seen}");
            } else {
                assert!((0.93..=0.97).contains(&coverage) && (debiased - true_error).abs() < 0.006, "{seen}");
            }
        }
    }
}
