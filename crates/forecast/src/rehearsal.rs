//! The table's own back-test: each form predicts the table's larger runs from its smaller ones, which says how much
//! to trust it and how far it strays.

use crate::{
    candidate::{Data, FittedForm},
    experience::{Belief, Experience},
    law::Form,
};

/// Shares of the configurations, from the smallest compute up, that are fitted in turn.
const CUTS: [f64; 6] = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Grid of the posterior of the share of an unsupported drop that goes wrong.
const N_GRID: usize = 41;
/// The grid reaches this many standard deviations of the belief to each side.
const GRID_SDS: f64 = 3.5;

/// One held-out run of a rehearsal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Miss {
    /// ln L observed less ln L predicted.
    pub(crate) error: f64,
    /// Its variance by the fit and the scatter alone.
    pub(crate) variance: f64,
    /// The drop in ln L between the edge of the fitted runs and this one.
    pub(crate) drop: f64,
}

/// How one form did in all cuts.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal {
    /// The held-out runs of each cut.
    pub(crate) cuts: Vec<Vec<Miss>>,
    /// ln of the evidence: the probability of the held-out runs, each cut counted as one observation.
    pub(crate) log_evidence: f64,
    /// Shares and their posterior probabilities, which sum to 1.
    pub(crate) posterior: Vec<(f64, f64)>,
}

impl Rehearsal {
    /// Fits `form` below each cut and predicts every run above.
    pub(crate) fn new(
        form: Form,
        data: &Data,
        full: &FittedForm,
        floor: Option<f64>,
        experience: &Experience,
    ) -> Self {
        let least = (form.n_params() - 1).max(3);
        let mut sizes: Vec<usize> = CUTS
            .iter()
            .map(|cut| (cut * data.n_clusters as f64).round() as usize)
            .filter(|n| (least..data.n_clusters).contains(n))
            .collect();
        sizes.dedup();
        let cuts = sizes.into_iter().filter_map(|n| {
            let fitted = FittedForm::new(
                form,
                &data.only(experience.nearness, |cluster| cluster < n),
                floor,
                experience,
                Some(&full.theta),
            )?;
            // Kin that say nothing to so small a table leave another law than the one in question.
            if fitted.shown_to.is_some() != full.shown_to.is_some() {
                return None;
            }
            let held_out = data.only(experience.nearness, |cluster| cluster >= n);
            let misses = held_out.features.iter().zip(&held_out.log_losses).map(|(x, y)| {
                let drop = fitted.unsupported_drop(x);
                let strange = full.strangeness(experience) * drop;
                Miss {
                    error: y - fitted.log_loss(x),
                    variance: fitted.log_loss_sd(x).powi(2) + fitted.sigma.powi(2) + strange * strange,
                    drop,
                }
            });
            Some(misses.collect::<Vec<_>>())
        });
        let belief = match full.shown_to {
            Some(_) => experience.coupled_share,
            None if form == Form::Kin => experience.kin_share,
            None => experience.share,
        };
        Self::from_cuts(cuts.collect(), belief, experience)
    }

    /// The evidence and the posterior that these held-out runs give.
    pub(crate) fn from_cuts(cuts: Vec<Vec<Miss>>, belief: Belief, experience: &Experience) -> Self {
        let grid: Vec<(f64, f64)> = (0..N_GRID)
            .map(|k| {
                let z = GRID_SDS * (2.0 * k as f64 / (N_GRID - 1) as f64 - 1.0);
                let share = (belief.mean + belief.sd * z).exp();
                let log_prior = -0.5 * z * z;
                (
                    share,
                    log_prior
                        + experience.cut_weight
                            * cuts.iter().map(|cut| log_likelihood(cut, share)).sum::<f64>(),
                )
            })
            .collect();
        let prior_sum: f64 = (0..N_GRID)
            .map(|k| (-0.5 * (GRID_SDS * (2.0 * k as f64 / (N_GRID - 1) as f64 - 1.0)).powi(2)).exp())
            .sum();
        let largest = grid.iter().map(|(_, l)| *l).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = grid.iter().map(|(_, l)| (l - largest).exp()).sum();
        let posterior = grid.iter().map(|(share, l)| (*share, (l - largest).exp() / sum)).collect();
        Self { cuts, log_evidence: largest + sum.ln() - prior_sum.ln(), posterior }
    }

    /// Mean absolute error over the cuts, in % of the loss.
    pub(crate) fn error_pct(&self) -> Option<f64> {
        let means: Vec<f64> = self
            .cuts
            .iter()
            .map(|cut| cut.iter().map(|miss| miss.error.abs()).sum::<f64>() / cut.len() as f64)
            .collect();
        (!means.is_empty()).then(|| 100.0 * means.iter().sum::<f64>() / means.len() as f64)
    }

    /// The share at quantile `u` of its posterior.
    pub(crate) fn share_at(&self, u: f64) -> f64 {
        let mut below = 0.0;
        for (share, probability) in &self.posterior {
            below += probability;
            if u < below {
                return *share;
            }
        }
        self.posterior.last().map_or(0.0, |(share, _)| *share)
    }
}

/// Mean log density of a cut's runs: runs of one cut share one fit, so that together they count as one observation.
fn log_likelihood(cut: &[Miss], share: f64) -> f64 {
    let density = |miss: &Miss| {
        let variance = miss.variance + (share * miss.drop).powi(2);
        -0.5 * (miss.error.powi(2) / variance + variance.ln())
    };
    cut.iter().map(density).sum::<f64>() / cut.len() as f64
}
