//! The rungs' curves as one family, indexed by where each ends.

use serde::{Deserialize, Serialize};

/// How a run's curve follows from its final loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveForm {
    /// `L(x) = c + (L_T − c)·S(x)` with one shape S for all runs; Qiu et al. 2025, <https://arxiv.org/abs/2507.02119>.
    Collapse {
        /// c, in nats.
        floor_nats: f64,
    },
    /// `ln L_0 − ln L(x) = p(x)·(ln L_0 − ln L_T)` with one p for all runs: a collapse that also meets the start, where all
    /// runs of one vocabulary have the same loss whatever they end with.
    Proportional,
    /// `ln L(x) = a(x) + b(x)·ln L_T`: at each step a straight line in the logarithm of the final loss, its slope drawn
    /// towards p(x).
    Affine,
}

/// One rung on the blocks of the target run.
#[derive(Clone)]
pub(crate) struct Member {
    /// Runs of one plan share a number and are held out together.
    pub(crate) group: usize,
    /// ln of the final loss.
    pub(crate) ln_final: f64,
    /// Mean of ln value over each block.
    pub(crate) ln_value: Vec<f64>,
    /// Variance of that mean, from the noise of batches alone.
    pub(crate) noise: Vec<f64>,
}

/// Coefficients of [`CurveForm`] at each block.
pub(crate) struct Family {
    form: CurveForm,
    mean_feature: f64,
    /// Σ (feature − mean)².
    spread: f64,
    n_members: f64,
    mean: Vec<f64>,
    slope: Vec<f64>,
}

/// Slopes are averaged over this many blocks to either side: they change slowly, and their noise would be extrapolated.
const SLOPE_REACH: usize = 4;

/// Variance of one run's ln value over the variance of a slope about p(x), (0.004/0.5)²: what the fit of a slope weighs
/// its rungs against.
const SLOPE_RIDGE: f64 = 6.4e-5;

impl CurveForm {
    fn floor(self) -> f64 {
        match self {
            Self::Collapse { floor_nats } => floor_nats,
            Self::Proportional | Self::Affine => 0.0,
        }
    }

    /// ln(e^y − c); a batch below the floor is put a little above it.
    fn reduced(self, ln_value: f64) -> f64 {
        let value = ln_value.exp();
        (value - self.floor()).max(1e-3 * value).ln()
    }

    /// Coefficients at each step.
    pub(crate) fn n_coefficients(self) -> usize {
        match self {
            Self::Collapse { .. } | Self::Proportional => 1,
            Self::Affine => 2,
        }
    }
}

impl Family {
    /// Fits `form` to `members`, which are not empty and of equal length.
    pub(crate) fn fit(form: CurveForm, members: &[&Member]) -> Self {
        let n = members.len() as f64;
        let features: Vec<f64> = members.iter().map(|member| form.reduced(member.ln_final)).collect();
        let mean_feature = features.iter().sum::<f64>() / n;
        let spread = features.iter().map(|f| (f - mean_feature).powi(2)).sum::<f64>();
        let n_blocks = members.first().map_or(0, |member| member.ln_value.len());
        let reduced = |member: &Member, k: usize| form.reduced(member.ln_value[k]);
        let mean: Vec<f64> =
            (0..n_blocks).map(|k| members.iter().map(|member| reduced(member, k)).sum::<f64>() / n).collect();
        let (first, last) = (mean.first().copied().unwrap_or(0.0), mean.last().copied().unwrap_or(0.0));
        let learned = |k: usize| {
            let all = first - last;
            if all.abs() < 1e-9 { 1.0 } else { ((first - mean[k]) / all).clamp(0.0, 1.0) }
        };
        let slope = match form {
            CurveForm::Collapse { .. } => vec![1.0; n_blocks],
            CurveForm::Proportional => (0..n_blocks).map(learned).collect(),
            CurveForm::Affine => {
                let raw: Vec<f64> = (0..n_blocks)
                    .map(|k| {
                        let product: f64 = members
                            .iter()
                            .zip(&features)
                            .map(|(member, f)| (f - mean_feature) * (reduced(member, k) - mean[k]))
                            .sum();
                        (product + SLOPE_RIDGE * learned(k)) / (spread + SLOPE_RIDGE)
                    })
                    .collect();
                (0..n_blocks)
                    .map(|k| {
                        // The same reach to both sides, so that a moving slope is not shifted at the ends.
                        let reach = SLOPE_REACH.min(k).min(n_blocks - 1 - k);
                        raw[k - reach..=k + reach].iter().sum::<f64>() / (2 * reach + 1) as f64
                    })
                    .collect()
            }
        };
        Self { form, mean_feature, spread, n_members: n, mean, slope }
    }

    /// Logarithm of the value at block `k` of a run that ends at `ln_final`, and its derivative in `ln_final`.
    pub(crate) fn predict(&self, k: usize, ln_final: f64) -> (f64, f64) {
        let feature = self.form.reduced(ln_final);
        let floor = self.form.floor();
        let part = (self.mean[k] + self.slope[k] * (feature - self.mean_feature)).exp();
        let final_value = ln_final.exp();
        let d_feature = final_value / (final_value - floor).max(1e-3 * final_value);
        ((floor + part).ln(), part / (floor + part) * self.slope[k] * d_feature)
    }

    /// Variance of a prediction's own error, in units of one run's: `1/n + (f − f̄)²/Σ(f_r − f̄)²`, for a free slope
    /// also where the form has none, because one shape for all is an assumption.
    pub(crate) fn leverage(&self, ln_final: f64) -> f64 {
        let distance = self.form.reduced(ln_final) - self.mean_feature;
        1.0 / self.n_members + distance * distance / self.spread.max(1e-12)
    }
}

impl Family {
    /// The distance of `held_out`, number `idx` of all, from its prediction.
    pub(crate) fn residual(&self, idx: usize, held_out: &Member) -> Residual {
        let error = (0..held_out.ln_value.len())
            .map(|k| held_out.ln_value[k] - self.predict(k, held_out.ln_final).0)
            .collect();
        Residual { error, leverage: self.leverage(held_out.ln_final), member: idx }
    }
}

/// One rung against the prediction from the other groups.
pub(crate) struct Residual {
    /// Observed minus predicted ln value at each block.
    pub(crate) error: Vec<f64>,
    /// See [`Family::leverage`].
    pub(crate) leverage: f64,
    /// Index among the members.
    pub(crate) member: usize,
}

/// Predicts each group from the others, with its own final loss known.
pub(crate) fn leave_one_group_out(form: CurveForm, members: &[Member]) -> Vec<Residual> {
    let mut residuals = Vec::new();
    for (idx, held_out) in members.iter().enumerate() {
        let others: Vec<&Member> = members.iter().filter(|other| other.group != held_out.group).collect();
        let family = Family::fit(form, &others);
        residuals.push(family.residual(idx, held_out));
    }
    residuals
}
