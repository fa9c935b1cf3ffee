//! What kin say of the laws of another table: the floor that their own small runs need to foretell their large ones, and what laws of
//! the table, and of other kin, get wrong of these.

use crate::{
    Belief, Experience, Point, Settings, Table,
    candidate::{Data, FittedForm},
    diagnose::{self, LEAST_COUPLED},
    fitted::{BEYOND, LEAST_REACH},
    law::{Features, Form, Theta},
    share::{Miss, Share, Shares},
};

/// Runs of kin with up to this many times the compute of a table's largest count as its like.
const SAME_COMPUTE: f64 = 1.1;
/// The runs to be foretold have at least this share of the compute of kin's largest.
const LARGE: f64 = 0.5;
/// Between which shares of the least loss a floor is sought.
const LEAST_SHARE: f64 = 0.02;
const LARGEST_SHARE: f64 = 0.95;
/// Times that the bracket is halved.
const N_STEPS: usize = 10;
/// Half the distance over which the slope of a forecast in the share is taken.
const SLOPE_STEP: f64 = 0.03;

/// What kin say of a coupled law of runs whose largest has given compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinship {
    /// ln of the floor's share of the least loss.
    pub(crate) floor_share: Belief,
    /// ln of the compute up to which kin show the bend.
    pub(crate) shown_to: f64,
}

impl Kinship {
    /// What the kin of `experience` that tell a floor to runs of up to `flops` have in common; `None` without any.
    pub(crate) fn new(experience: &Experience, flops: f64) -> Option<Self> {
        let told: Vec<(Estimate, f64)> = experience
            .kin
            .iter()
            .filter_map(|kin| Some((kin.floor_share(flops)?, kin.largest_flops())))
            .collect();
        let shares: Vec<Estimate> = told.iter().map(|(share, _)| *share).collect();
        let typical = shares.iter().map(|share| share.mean).sum::<f64>() / shares.len().max(1) as f64;
        let spread = experience.kin_floor_spread * typical;
        let share = carried(&shares, spread, experience.kin_spread_degrees)?;
        Some(Self {
            // Errors of a share are as wide on both sides; a belief is about its logarithm, and no vaguer than without kin.
            floor_share: Belief {
                mean: share.mean.ln(),
                sd: (share.variance.sqrt() / share.mean).min(experience.floor.sd),
            },
            shown_to: told.iter().map(|(_, largest)| *largest).fold(0.0, f64::max).ln(),
        })
    }
}

/// An estimate and its variance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// The runs of kin that are like those of a ladder, and those that are to be foretold from them.
pub(crate) struct Halves {
    small: Table,
    large: Vec<Point>,
    /// Least mean loss of a configuration up to the asked compute, and the runs there.
    least: f64,
    n_below: usize,
}

impl Halves {
    /// Cuts `table` at `flops`, or further up where less than [`LEAST_COUPLED`] configurations lie below; `None` where nothing
    /// lies below, where what does is too little for a coupled law, or where nothing lies [`LEAST_REACH`] times beyond.
    pub(crate) fn new(table: &Table, flops: f64) -> Option<Self> {
        let below = table.filtered(|point| point.flops <= SAME_COMPUTE * flops);
        if !table.has_shapes() || below.points().is_empty() {
            return None;
        }
        let least = Data::new(&below, 0.0, None).least_log_loss().exp();
        let clusters = table.clusters();
        let enough = clusters.iter().position(|cluster| cluster + 1 >= LEAST_COUPLED)?;
        // Runs of one budget differ by rounding, and stay together.
        let edge = SAME_COMPUTE * flops.max(table.points()[enough].flops);
        let small = table.filtered(|point| point.flops <= edge);
        let forms = diagnose::admissible(&small, &Settings::default()).ok()?;
        if !forms.contains(&Form::Coupled) {
            return None;
        }
        let largest = |table: &Table| table.points().last().map_or(f64::NAN, |point| point.flops);
        let from = (LARGE * largest(table)).max(LEAST_REACH * largest(&small));
        let large: Vec<Point> = table.points().iter().filter(|p| p.flops >= from).cloned().collect();
        (!large.is_empty()).then_some(Self { small, large, least, n_below: below.points().len() })
    }

    /// Features of the large runs as a law of the small ones reads them.
    fn large_features(&self, data: &Data) -> Vec<Features> {
        let raw = |p: &Point| [Some(p.flops), p.n_params, p.n_tokens].map(|x| x.map_or(0.0, f64::ln));
        self.large.iter().map(|p| data.frame.shifted(&raw(p))).collect()
    }

    /// How many runs lie below the asked compute and on each side, which is all that decides what a table tells.
    pub(crate) fn cut(&self) -> [usize; 3] {
        [self.n_below, self.small.points().len(), self.large.len()]
    }
}

/// The floor's share of the least loss of runs up to a ladder's largest compute, by the runs of one kin cut there.
///
/// Asks of the runs of kin what is asked of the table: fits the coupled law to the small ones, with the floor held at one share
/// of the least loss after another, until it foretells the large ones. `None` where no share does: such kin break with their own
/// ladder, and what they say of a floor is nothing.
///
/// The variance is that of the forecast, by the curvature of the fit and the scatter of the runs, over the square of its
/// slope in the share. What the law gets wrong at this distance, its use for the table gets wrong alike, and the floor takes
/// it up; a floor fitted to small and large runs together would not.
pub(crate) fn floor_share(halves: &Halves) -> Option<Estimate> {
    let Halves { small, large, least, .. } = halves;
    let experience = Experience::default();
    let data = Data::new(small, experience.nearness, None);
    let fit = |share: f64, near: Option<&Theta>| {
        FittedForm::new(Form::Coupled, &data, Some(share * least), &experience, near)
    };
    let features = halves.large_features(&data);
    // Mean of ln L foretold less ln L observed; it rises with the floor.
    let excess = |fitted: &FittedForm| {
        let errors = features.iter().zip(large).map(|(x, p)| fitted.log_loss(x) - p.loss.ln());
        errors.sum::<f64>() / large.len() as f64
    };
    let (mut low, mut high) = (LEAST_SHARE, LARGEST_SHARE);
    let mut fitted = fit(0.5 * (low + high), None)?;
    let at = |share: f64, fitted: &FittedForm| Some(excess(&fit(share, Some(&fitted.theta))?));
    if at(low, &fitted)? > 0.0 || at(high, &fitted)? < 0.0 {
        return None;
    }
    for _ in 0..N_STEPS {
        let middle = 0.5 * (low + high);
        fitted = fit(middle, Some(&fitted.theta))?;
        if excess(&fitted) > 0.0 { high = middle } else { low = middle }
    }
    let share = 0.5 * (low + high);
    let (below, above) = ((share - SLOPE_STEP).max(0.5 * LEAST_SHARE), (share + SLOPE_STEP).min(1.0));
    let slope = (at(above, &fitted)? - at(below, &fitted)?) / (above - below);
    let of_fit = features.iter().map(|x| fitted.log_loss_sd(x)).sum::<f64>() / large.len() as f64;
    let variance = (of_fit.powi(2) + fitted.sigma.powi(2) / large.len() as f64) / slope.powi(2);
    (slope > 0.0 && variance.is_finite()).then_some(Estimate { mean: share, variance })
}

/// What `form`, fitted to the small runs of kin alone, gets wrong of their large ones; `None` where it cannot be fitted.
///
/// The ladder's own rehearsal reaches some ten times, this as far as kin do.
pub(crate) fn trial(halves: &Halves, form: Form) -> Option<Vec<Miss>> {
    let experience = Experience::default();
    let data = Data::new(&halves.small, experience.nearness, None);
    let fitted = FittedForm::new(form, &data, None, &experience, None)?;
    Some(misses(halves, &data, &fitted))
}

/// What the laws of kin get wrong of one another.
///
/// Each kin's large runs are foretold from its runs of up to a table's largest compute by the law of each other kin that has at least half
/// its compute, as those of the table are to be. Kin that break with their ladder are foretold like the others: the table may do so too.
#[derive(Clone, Debug)]
pub(crate) struct AmongKin {
    /// A cut for each such pair.
    pub(crate) cuts: Vec<Vec<Miss>>,
    /// How many observations each is worth: k·(k − 1) pairs say no more than the k − 1 numbers by which k kin differ.
    pub(crate) weight: f64,
}

impl AmongKin {
    /// The kin of `experience` tried for a table whose largest run has `flops`.
    pub(crate) fn new(experience: &Experience, flops: f64) -> Self {
        let kin = &experience.kin;
        let (mut cuts, mut takes_part) = (Vec::new(), vec![false; kin.len()]);
        for (i, of) in kin.iter().enumerate() {
            let Some(halves) = of.halves(flops) else {
                continue;
            };
            for (j, by) in kin.iter().enumerate() {
                if i == j || of.largest_flops() > BEYOND * by.largest_flops() {
                    continue;
                }
                let data = Data::new(&halves.small, experience.nearness, Some(by.clone()));
                if let Some(fitted) = FittedForm::new(Form::Kin, &data, None, experience, None) {
                    cuts.push(misses(&halves, &data, &fitted));
                    (takes_part[i], takes_part[j]) = (true, true);
                }
            }
        }
        let n = takes_part.iter().filter(|takes| **takes).count() as f64;
        let weight = experience.cut_weight * (n - 1.0).max(0.0) / cuts.len().max(1) as f64;
        Self { cuts, weight }
    }
}

/// What a law fitted to the small runs gets wrong of the large ones.
fn misses(halves: &Halves, data: &Data, fitted: &FittedForm) -> Vec<Miss> {
    let runs = halves.large_features(data).into_iter().zip(&halves.large);
    runs.map(|(x, point)| Miss::new(fitted, &x, point.loss.ln())).collect()
}

/// ln of the evidence of such trials, one for each kin: how probable the misses are by the width that the law claims for itself, over
/// how probable they would be if each were as large as the law claims at the median share; 0 where they are no larger than that.
pub(crate) fn log_trial(trials: &[Vec<Miss>], experience: &Experience) -> f64 {
    let share = Share { plain: experience.share.mean.exp(), per_pace: 0.0 };
    let claimed = |miss: &Miss| Miss { error: miss.sd(share), ..*miss };
    let as_claimed: Vec<Vec<Miss>> = trials.iter().map(|trial| trial.iter().map(claimed).collect()).collect();
    let evidence =
        |cuts: &[Vec<Miss>]| Shares::new(experience.share, None).learn(cuts, experience.cut_weight);
    (evidence(trials) - evidence(&as_claimed)).min(0.0)
}

/// What to expect of one more of a kind of which `values` were seen: their mean, each weighed by the inverse of `τ² + v`, with the
/// variance `τ²` plus that of the mean. τ² is the mean square by which they deviate from their mean beyond what their own
/// variances explain, each counted by the square of its weight, with `degrees` of `spread²` beside it.
fn carried(values: &[Estimate], spread: f64, degrees: f64) -> Option<Estimate> {
    const N_ROUNDS: usize = 20;
    if values.is_empty() {
        return None;
    }
    let others = values.len() as f64 - 1.0;
    let mut tau_squared = spread * spread;
    let mut mean = 0.0;
    let mut precision = 0.0;
    for _ in 0..N_ROUNDS {
        let weights: Vec<f64> = values.iter().map(|v| 1.0 / (tau_squared + v.variance)).collect();
        precision = weights.iter().sum();
        mean = weights.iter().zip(values).map(|(w, v)| w * v.mean).sum::<f64>() / precision;
        let squares: f64 = weights.iter().map(|w| w * w).sum();
        let beyond = weights.iter().zip(values).map(|(w, v)| w * w * ((v.mean - mean).powi(2) - v.variance));
        // One of n degrees went into the mean.
        let seen = (beyond.sum::<f64>() / squares).max(0.0) * (others + 1.0);
        tau_squared = (degrees * spread * spread + seen) / (degrees + others);
    }
    Some(Estimate { mean, variance: tau_squared + 1.0 / precision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kin, random::Stream, rehearsal::Rehearsal};

    const FLOOR: f64 = 0.7;

    fn law(n: f64, d: f64) -> f64 {
        let within = (20.0 / n.powf(0.25)).powf(1.0 / 0.6) + (25.0 / d.powf(0.24)).powf(1.0 / 0.6);
        FLOOR + within.powf(0.6)
    }

    /// Runs of a coupled law with the floor [`FLOOR`] in two dimensions, two seeds each, and one 100 times as large with `excess` in
    /// ln L.
    fn kin(noise: f64, excess: f64) -> Table {
        let mut stream = Stream::new(7, 0);
        let mut points = Vec::new();
        let mut push = |n: f64, d: f64, seed: u64, error: f64| {
            points.push(Point {
                run: format!("{n}-{d}-{seed}"),
                n_params: Some(n),
                n_tokens: Some(d),
                flops: 6.0 * n * d,
                loss: law(n, d) * error.exp(),
                seed: Some(seed),
            });
        };
        for step in 0..5 {
            let flops = 3e10 * 2f64.powi(step);
            for n in [1.5e4, 6e4, 1.2e5, 2.4e5] {
                for seed in 0..2 {
                    push(n, flops / (6.0 * n), seed, noise * stream.normal());
                }
            }
        }
        push(6e5, 1.4e7, 0, excess);
        Table::new(points).unwrap()
    }

    fn share(table: &Table) -> (Estimate, f64) {
        let halves = Halves::new(table, 5e11).unwrap();
        (floor_share(&halves).unwrap(), halves.least)
    }

    #[test]
    fn the_floor_is_the_one_with_which_small_runs_foretell_the_large() {
        let (exact, least) = share(&kin(1e-5, 0.0));
        assert!((exact.mean * least - FLOOR).abs() < 0.02, "{exact:?}, {least}");
        let (noisy, least) = share(&kin(0.005, 0.0));
        assert!(
            (noisy.mean * least - FLOOR).abs() < 2.5 * noisy.variance.sqrt() * least,
            "{noisy:?}, {least}"
        );
        assert!(noisy.variance > 30.0 * exact.variance, "{noisy:?}, {exact:?}");
    }

    #[test]
    fn a_large_run_above_its_law_raises_the_floor() {
        let (there, _) = share(&kin(1e-5, 0.0));
        let (above, _) = share(&kin(1e-5, 0.02));
        assert!(above.mean > there.mean + 0.03, "{above:?}, {there:?}");
    }

    #[test]
    fn kin_that_break_with_their_own_ladder_tell_no_floor() {
        for excess in [-0.5, 0.8] {
            assert!(floor_share(&Halves::new(&kin(1e-5, excess), 5e11).unwrap()).is_none(), "{excess}");
        }
    }

    #[test]
    fn a_law_that_misses_the_large_runs_of_kin_loses_its_weight() {
        let table = kin(0.003, 0.0);
        let additive = |n: f64, d: f64| FLOOR + 20.0 / n.powf(0.3) + 25.0 / d.powf(0.28);
        let points = table.points().iter().map(|p| {
            let (n, d) = (p.n_params.unwrap(), p.n_tokens.unwrap());
            Point { loss: p.loss / law(n, d) * additive(n, d), ..p.clone() }
        });
        let of_its_own = Table::new(points.collect()).unwrap();
        let on = |tables: &[&Table]| {
            let of = |table: &&Table| trial(&Halves::new(table, 5e11).unwrap(), Form::Chinchilla).unwrap();
            log_trial(&tables.iter().map(of).collect::<Vec<_>>(), &Experience::default())
        };
        assert_eq!(on(&[&of_its_own; 5]), 0.0, "right on all five");
        let (once, thrice) = (on(&[&table]), on(&[&table; 3]));
        assert!(once < -0.2 && thrice < 1.5 * once, "{once}, {thrice}");
        assert_eq!(on(&[]), 0.0);
    }

    #[test]
    fn each_kin_is_foretold_by_each_other_that_reaches_half_as_far() {
        let far = kin(0.003, 0.0);
        let runs = far.points().iter().filter(|point| point.flops < 1e13).cloned();
        let near = runs.chain([Point {
            run: "near".to_owned(),
            n_params: Some(4e5),
            n_tokens: Some(4e6),
            flops: 9.6e12,
            loss: law(4e5, 4e6) * 1.1,
            seed: Some(0),
        }]);
        let near = Table::new(near.collect()).unwrap();
        let among = |tables: &[&Table]| {
            let kin = tables.iter().map(|table| Kin::new("kin", table).unwrap()).collect();
            AmongKin::new(&Experience { kin, ..Experience::default() }, 5e11)
        };
        // The run of 5e13 FLOPs foretells that of 1e13, which is 10 % too high, and is not foretold by it.
        let one = among(&[&far, &near]);
        assert_eq!((one.cuts.len(), one.weight), (1, Experience::default().cut_weight));
        assert!((one.cuts[0][0].error - 1.1f64.ln()).abs() < 0.02, "{one:?}");
        let all = among(&[&far, &far, &far]);
        assert_eq!((all.cuts.len(), all.weight), (6, Experience::default().cut_weight / 3.0));
        assert!(among(&[&far]).cuts.is_empty() && among(&[]).cuts.is_empty());
    }

    /// The law of one kin among `excesses`, fitted beside the laws of all of them.
    fn beside(excesses: &[f64]) -> (FittedForm, Rehearsal) {
        let of = |excess: &f64| Kin::new("kin", &kin(0.003, *excess)).unwrap();
        let experience = Experience { kin: excesses.iter().map(of).collect(), ..Experience::default() };
        let table = kin(0.003, 0.0).filtered(|point| point.flops < 1e12);
        let data = Data::new(&table, experience.nearness, experience.kin.last().cloned());
        let fitted = FittedForm::new(Form::Kin, &data, None, &experience, None).unwrap();
        let among = AmongKin::new(&experience, 5e11);
        let rehearsal = Rehearsal::new(Form::Kin, &data, &fitted, None, &experience, &among);
        (fitted, rehearsal)
    }

    #[test]
    fn a_law_of_kin_is_as_sure_as_kin_are_right_of_one_another() {
        let share = |excesses: &[f64]| {
            let (fitted, rehearsal) = beside(excesses);
            rehearsal.shares.median(fitted.pace_gap())
        };
        let (alone, agreed, at_odds) = (share(&[0.0]), share(&[0.0; 3]), share(&[-0.04, 0.04, 0.0]));
        assert!(agreed < 0.8 * alone && at_odds > 1.5 * alone, "{alone}, {agreed}, {at_odds}");
    }

    #[test]
    fn a_cut_keeps_the_runs_of_one_budget_together() {
        let table = kin(1e-5, 0.0);
        let of = |flops: f64| Halves::new(&table, flops).unwrap().cut();
        // Five budgets of four shapes with two seeds each, and the one large run; twelve configurations are needed.
        assert_eq!((of(4.9e11), of(2.5e11), of(3.1e10)), ([40, 40, 1], [32, 32, 1], [8, 24, 1]));
    }

    #[test]
    fn kin_without_small_or_large_runs_tell_nothing() {
        let table = kin(1e-5, 0.0);
        assert!(Halves::new(&table, 1e10).is_none(), "nothing lies below");
        assert!(Halves::new(&table, 1e14).is_none(), "nothing lies beyond");
        let few = table.filtered(|point| point.flops < 1e11 || point.flops > 1e13);
        assert!(Halves::new(&few, 5e11).is_none(), "too few configurations for the law");
    }

    #[test]
    fn draws_hold_the_floor_as_kin_say_it_and_the_curvature_agrees_with_them() {
        let table = kin(0.005, 0.0);
        let of_kin = vec![Kin::new("kin", &table).unwrap()];
        let experience = Experience { kin: of_kin, ..Experience::default() };
        let told = Kinship::new(&experience, 5e11).unwrap().floor_share;
        let small = table.filtered(|point| point.flops < 1e12);
        let data = Data::new(&small, experience.nearness, None);
        let fitted = FittedForm::new(Form::Coupled, &data, None, &experience, None).unwrap();
        let floor = Form::Coupled.floor().unwrap();
        assert!(
            (fitted.theta[floor] - data.least_log_loss() - told.mean).abs() < 1e-12,
            "no run pulls at it"
        );
        assert_eq!(fitted.n_free(), 5);
        let far = data.frame.shifted(&[5e13, 6e5, 1.4e7].map(f64::ln));
        let draws: Vec<Theta> =
            (0..400).map(|idx| fitted.resampled(&data, &mut Stream::new(3, idx))).collect();
        let sd = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let of_floor = sd(draws.iter().map(|theta| theta[floor]).collect());
        assert!((of_floor / told.sd - 1.0).abs() < 0.15, "{of_floor} and {}", told.sd);
        let at_far = sd(draws.iter().map(|theta| Form::Coupled.log_loss(theta, &far)).collect());
        let ratio = at_far / fitted.log_loss_sd(&far);
        assert!((0.6..1.7).contains(&ratio), "{at_far}, {ratio} times what the curvature says");
        // Most of it is the floor: with that known, the forecast is sharper.
        let known = FittedForm::new(Form::Coupled, &data, Some(FLOOR), &experience, None).unwrap();
        assert!(known.log_loss_sd(&far) < 0.9 * fitted.log_loss_sd(&far));
    }

    #[test]
    fn a_spread_that_the_errors_explain_is_none_of_the_kind() {
        let estimate = |mean, sd: f64| Estimate { mean, variance: sd * sd };
        let vague =
            carried(&[estimate(0.3, 0.1), estimate(0.4, 0.1), estimate(0.5, 0.1)], 0.02, 2.0).unwrap();
        let clear =
            carried(&[estimate(0.3, 0.01), estimate(0.4, 0.01), estimate(0.5, 0.01)], 0.02, 2.0).unwrap();
        assert!((vague.mean - 0.4).abs() < 1e-9 && (clear.mean - 0.4).abs() < 1e-9);
        // One more of the kind: the error of the mean, 0.1/√3, and next to no spread; or the spread that was seen, and no error.
        assert!((vague.variance.sqrt() - 0.06).abs() < 0.005, "{vague:?}");
        assert!((clear.variance.sqrt() - 0.083).abs() < 0.01, "{clear:?}");
        // What is known well counts for more.
        let mixed = carried(&[estimate(0.3, 0.1), estimate(0.4, 0.01)], 0.02, 2.0).unwrap();
        assert!(mixed.mean > 0.38, "{mixed:?}");
        assert!(carried(&[], 0.02, 2.0).is_none());
    }
}
