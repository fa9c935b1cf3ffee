//! The table's own back-test: each form predicts the table's larger runs from its smaller ones, which says how much
//! to trust it and how far it strays.

use crate::{
    candidate::{Data, FittedForm},
    experience::Experience,
    kinship::AmongKin,
    law::Form,
    share::{Miss, Shares},
};

/// Shares of the configurations, from the smallest compute up, that are fitted in turn.
const CUTS: [f64; 6] = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// How one form did in all cuts.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal {
    /// The held-out runs of each cut.
    pub(crate) cuts: Vec<Vec<Miss>>,
    /// ln of the evidence: the probability of the held-out runs, each cut counted as one observation.
    pub(crate) log_evidence: f64,
    /// What share of an unsupported drop goes wrong.
    pub(crate) shares: Shares,
}

impl Rehearsal {
    /// Fits `form` below each cut and predicts every run above; `among_kin` tells laws of kin beforehand how wrong they may be.
    pub(crate) fn new(
        form: Form,
        data: &Data,
        full: &FittedForm,
        floor: Option<f64>,
        experience: &Experience,
        among_kin: &AmongKin,
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
            let runs = held_out.features.iter().zip(&held_out.log_losses);
            Some(runs.map(|(x, y)| Miss::new(&fitted, x, *y)).collect::<Vec<_>>())
        });
        let mut shares = match full.shown_to {
            Some(_) => Shares::new(experience.coupled_share, None),
            None if form == Form::Kin => Shares::new(experience.kin_share, Some(experience.kin_pace_share)),
            None => Shares::new(experience.share, None),
        };
        if form == Form::Kin {
            shares.learn(&among_kin.cuts, among_kin.weight);
        }
        let cuts: Vec<Vec<Miss>> = cuts.collect();
        let log_evidence = shares.learn(&cuts, experience.cut_weight);
        Self { cuts, log_evidence, shares }
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
}
