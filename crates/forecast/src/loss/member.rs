//! The laws that compete for a table, and the weight of each.

use std::sync::Arc;

use crate::{ForecastError, Settings, Table};

use super::{
    admissible::admissible,
    cross_validation::{CrossValidation, Folds},
    fitted_law::FittedLaw,
    frame::ReferenceCurve,
    law::Form,
    model_error::{HeldOutResidual, excess_log_evidence},
    priors::{Floor, FloorPrior, Priors},
    runs::Runs,
};

/// Laws whose fraction of the draws would be smaller than this get none.
const LEAST_WEIGHT: f64 = 0.01;

/// What reference runs say of the laws of a table. They are fitted by the laws of this module themselves, which is why it
/// asks for what they say and does not know them.
pub(crate) trait Transfer {
    /// The curves of which transferred laws are made.
    fn curves(&self) -> Vec<Arc<ReferenceCurve>>;

    /// The floor of a coupled law of runs of up to `flops`.
    fn floor_prior(&self, flops: f64) -> Option<FloorPrior>;

    /// Residuals of the reference runs about one another's laws.
    fn between_references(&self, flops: f64) -> Folds;

    /// Residuals of the large reference runs about `form` fitted to those of up to `flops`, a fold for each sweep.
    fn held_out_residuals(&self, form: Form, flops: f64) -> Vec<Vec<HeldOutResidual>>;
}

/// A table without reference runs.
pub(crate) struct NoReferences;

impl Transfer for NoReferences {
    fn curves(&self) -> Vec<Arc<ReferenceCurve>> {
        Vec::new()
    }

    fn floor_prior(&self, _: f64) -> Option<FloorPrior> {
        None
    }

    fn between_references(&self, _: f64) -> Folds {
        Folds::default()
    }

    fn held_out_residuals(&self, _: Form, _: f64) -> Vec<Vec<HeldOutResidual>> {
        Vec::new()
    }
}

/// One fitted law, how it did in cross-validation, and its fraction of the draws.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) fitted: FittedLaw,
    pub(crate) cross_validation: CrossValidation,
    pub(crate) weight: f64,
    pub(crate) runs: Runs,
}

/// Every form that `settings` and the table allow and each reference curve, fitted and weighed, the heaviest first.
pub(crate) fn members(
    table: &Table,
    settings: &Settings,
    priors: &Priors,
    transfer: &dyn Transfer,
) -> Result<Vec<Member>, ForecastError> {
    let forms = admissible(table, settings)?;
    let own = Runs::new(table, priors.recency_exponent, None);
    let transferred = |curve| (Form::Transferred, Runs::new(table, priors.recency_exponent, Some(curve)));
    let largest = table.points().last().map_or(0.0, |point| point.flops);
    let between_references = transfer.between_references(largest);
    // Only a coupled law asks: what the reference runs say costs fits of theirs.
    let floor = |form: Form, runs: &Runs| match settings.irreducible {
        Some(loss) => Floor::Known(loss),
        None if form.coupling().is_some() => {
            Floor::Open(transfer.floor_prior(runs.frame.raw(&runs.largest())[0].exp()))
        }
        None => Floor::Open(None),
    };
    let mut members: Vec<Member> = forms
        .into_iter()
        .map(|form| (form, own.clone()))
        .chain(transfer.curves().into_iter().map(transferred))
        .filter_map(|(form, runs)| {
            let fitted = FittedLaw::fit(form, &runs, floor(form, &runs), priors, None)?;
            let cross_validation =
                CrossValidation::new(form, &runs, &fitted, &floor, priors, &between_references);
            Some(Member { fitted, cross_validation, weight: 0.0, runs })
        })
        .collect();
    if members.is_empty() {
        return Err(ForecastError::NoFit { n_points: table.points().len() });
    }
    weigh(&mut members, largest, priors, transfer);
    Ok(members)
}

/// Weights by evidence; the largest comes first. `flops` is the largest compute of the table.
fn weigh(members: &mut [Member], flops: f64, priors: &Priors, transfer: &dyn Transfer) {
    let has_references = members.iter().any(|m| m.fitted.frame.reference.is_some());
    for member in members.iter_mut() {
        member.cross_validation.log_evidence += member.fitted.log_exponent_prior(priors);
        let is_informed = member.fitted.shown_to.is_some();
        let weight = match member.fitted.form {
            Form::Power => priors.no_floor_weight,
            Form::Coupled if !is_informed => priors.coupled_weight,
            _ => 1.0,
        };
        member.cross_validation.log_evidence += weight.ln();
        if has_references && member.fitted.frame.reference.is_none() && !is_informed {
            let folds = transfer.held_out_residuals(member.fitted.form, flops);
            let of_references = excess_log_evidence(&folds, priors);
            member.cross_validation.log_evidence += priors.own_law_weight.ln() + of_references;
        }
    }
    normalise(members);
}

/// The same laws weighed for targets beyond the reference runs; `None` where no law has its floor from them.
///
/// A law transferred from one sweep knows nothing there that the law of that sweep does not, and stands back behind a
/// coupled law that takes from all reference runs what they have in common and from the table the rest. Cross-validation,
/// which sees a few large runs, separates such a law from the others less well than the whole table: Akaike's criterion,
/// negative log-likelihood plus the number of coefficients, counts beside it, over the runs that no form holds to be
/// outliers.
pub(crate) fn beyond_references(members: &[Member]) -> Option<Vec<Member>> {
    let mut members: Vec<Member> =
        members.iter().filter(|m| m.fitted.frame.reference.is_none()).cloned().collect();
    members.iter().find(|m| m.fitted.shown_to.is_some())?;
    let n_runs = members.first().map_or(0, |m| m.fitted.kept.len());
    let common: Vec<f64> = (0..n_runs).map(|i| members.iter().map(|m| m.fitted.kept[i]).product()).collect();
    let sigma = members.iter().map(|m| m.fitted.sigma).fold(f64::INFINITY, f64::min);
    for member in &mut members {
        let Member { fitted, runs, .. } = &*member;
        let criterion = fitted.misfit(runs, &common, sigma) + fitted.n_free() as f64;
        member.cross_validation.log_evidence -= criterion;
    }
    normalise(&mut members);
    Some(members)
}

/// Weights in proportion to the evidence, the largest first.
fn normalise(members: &mut [Member]) {
    let largest = members.iter().map(|m| m.cross_validation.log_evidence).fold(f64::NEG_INFINITY, f64::max);
    members.iter_mut().for_each(|m| m.weight = (m.cross_validation.log_evidence - largest).exp());
    let mut normalise = |least: f64| {
        let sum: f64 = members.iter().map(|m| m.weight).sum();
        members.iter_mut().for_each(|m| m.weight = if m.weight < least * sum { 0.0 } else { m.weight / sum });
    };
    normalise(LEAST_WEIGHT);
    normalise(0.0);
    // A stable sort: at equal weights the order of the forms decides.
    members.sort_by(|a, b| b.weight.total_cmp(&a.weight));
}
