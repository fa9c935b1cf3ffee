//! Priors on the coefficients of one form for one table, and where its fits start.

use crate::stats::interval::median;

use super::{
    law::{Form, MAX_PARAMS, Theta},
    priors::{Floor, Priors},
    runs::Runs,
    solver::CoefficientPriors,
};

/// Priors on the coefficients before the table is read: exponents near those of other tables, and a floor that is
/// some fraction of the least loss seen. Scales are free.
pub(crate) fn coefficient_priors(
    form: Form,
    runs: &Runs,
    floor: Floor,
    priors: &Priors,
) -> CoefficientPriors {
    let mut all = CoefficientPriors {
        mean: [0.0; MAX_PARAMS],
        precision: [0.0; MAX_PARAMS],
        strength: 0.0,
        is_fixed: [false; MAX_PARAMS],
    };
    let least = runs.least_log_loss();
    for i in 0..form.n_params() {
        if form.is_exponent(i) {
            let exponent = match form {
                Form::Chinchilla | Form::SharedExponent => priors.shape_exponent,
                Form::Coupled => priors.coupled_exponent,
                Form::PowerFloor => priors.compute_exponent,
                Form::Power => priors.no_floor_exponent,
                Form::Transferred => priors.exponent_ratio,
            };
            (all.mean[i], all.precision[i]) = (exponent.mean, exponent.sd.powi(-2));
        }
    }
    if let Some(i) = form.coupling() {
        (all.mean[i], all.precision[i]) = (priors.coupling.mean, priors.coupling.sd.powi(-2));
    }
    if let Some(i) = form.floor() {
        match floor {
            Floor::Known(loss) => (all.mean[i], all.is_fixed[i]) = (loss.ln(), true),
            Floor::Open(of_references) => {
                let of_references = of_references.filter(|_| form.coupling().is_some());
                // The floor of the reference runs was found beside priors that had no say in it, and none here may pull at it.
                all.is_fixed[i] = of_references.is_some();
                let fraction = of_references.map_or(priors.floor, |prior| prior.fraction);
                (all.mean[i], all.precision[i]) = (least + fraction.mean, fraction.sd.powi(-2));
            }
        }
    }
    all
}

/// A grid of exponents and floors; each scale follows from them at the middle of the runs.
pub(crate) fn starts(form: Form, runs: &Runs, prior: &CoefficientPriors) -> Vec<Theta> {
    const EXPONENTS: [f64; 4] = [0.06, 0.2, 0.4, 0.8];
    // Runs of one design on other data fall with nearly the same exponents.
    const RATIOS: [f64; 4] = [0.6, 0.8, 1.0, 1.25];
    let among = if form == Form::Transferred { RATIOS } else { EXPONENTS };
    const FLOORS: [f64; 4] = [0.1, 0.5, 0.8, 0.95];
    let least = runs.log_losses.iter().copied().fold(f64::INFINITY, f64::min).exp();
    let middle = median(runs.log_losses.iter().copied()).exp();
    let floors: Vec<f64> = match form.floor() {
        Some(i) if prior.is_fixed[i] => vec![prior.mean[i].exp()],
        Some(_) => FLOORS.map(|fraction| fraction * least).to_vec(),
        None => vec![0.0],
    };
    let exponents: Vec<usize> = (0..form.n_params()).filter(|i| form.is_exponent(*i)).collect();
    let n_others = usize::from(form.floor().is_some()) + usize::from(form.coupling().is_some());
    let n_scales = form.n_params() - exponents.len() - n_others;
    let mut starts = Vec::new();
    for floor in floors {
        for combination in 0..EXPONENTS.len().pow(exponents.len() as u32) {
            let scale = ((middle - floor).max(0.05 * middle) / n_scales as f64).ln();
            let mut theta = [0.0; MAX_PARAMS];
            theta[..form.n_params()].fill(scale);
            for (k, i) in exponents.iter().enumerate() {
                theta[*i] = among[combination / among.len().pow(k as u32) % among.len()].ln();
            }
            if let Some(i) = form.floor() {
                theta[i] = floor.ln();
            }
            if let Some(i) = form.coupling() {
                theta[i] = prior.mean[i];
            }
            starts.push(theta);
        }
    }
    starts
}
