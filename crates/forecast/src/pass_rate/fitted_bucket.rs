//! A bucket with the form that was fitted to it, and its forecast.

use super::{BucketForecast, PassRateForm, PassRateSettings, bucket::Bucket, fit::Fitted, form::Place};
use crate::{Prediction, Warning, WarningKind, stats::random::Stream};

/// One bucket and its fit; none where its runs cannot be fitted.
#[derive(Clone, Debug)]
pub(crate) struct FittedBucket {
    bucket: Bucket,
    fit: Option<Fitted>,
}

impl FittedBucket {
    /// Fits `form` to all runs of `bucket`.
    pub(crate) fn new(bucket: Bucket, form: PassRateForm) -> Self {
        let fit = bucket.refused.is_none().then(|| Fitted::new(&bucket, form));
        Self { bucket, fit }
    }

    /// The forecast of bucket number `idx`.
    pub(crate) fn forecast(
        &self,
        idx: usize,
        form: PassRateForm,
        flops: f64,
        loss_draws_nats: &[f64],
        settings: &PassRateSettings,
    ) -> BucketForecast {
        let bucket = &self.bucket;
        let mut warnings = bucket.warnings.clone();
        let ln_qs: Vec<f64> = self.fit.as_ref().map_or_else(Vec::new, |fit| {
            let ln_flops = flops.ln() - bucket.ln_flops_base;
            let span = -bucket.places.first().map_or(0.0, |place| place.ln_flops);
            if ln_flops > 1.5 * span {
                warnings.push(Warning::new(
                    WarningKind::FarExtrapolation,
                    format!("The target lies {:.1} times as far beyond the largest rung, in ln C, as the rungs span.", ln_flops / span),
                ));
            }
            (0..settings.n_draws.max(1))
                .map(|draw| {
                    let mut rng = Stream::new(settings.seed.wrapping_add(1000 * idx as u64), draw as u64);
                    let place = Place { ln_flops, loss_nats: loss_draws_nats[draw % loss_draws_nats.len()] };
                    fit.draw(bucket, form, &place, &mut rng)
                })
                .collect()
        });
        let draws: Vec<f64> = ln_qs.iter().map(|ln_q| bucket.pass_rate(*ln_q)).collect();
        let is_forecast = !draws.is_empty();
        BucketForecast {
            bucket: idx + 1,
            problems: bucket.problems.clone(),
            fitted_pass_rates: (0..bucket.places.len())
                .map(|run| bucket.estimates[run].map_or(0.0, |(ln_q, _)| bucket.pass_rate(ln_q)))
                .collect(),
            pass_rate: is_forecast.then(|| Prediction::from_draws(&draws)),
            minus_mean_ln_p: is_forecast
                .then(|| Prediction::from_draws(&ln_qs.iter().map(|ln_q| ln_q.exp()).collect::<Vec<_>>())),
            draws,
            refused: bucket.refused.clone(),
            warnings,
        }
    }
}
