//! Draws of competing laws, and what they say of a target.

use std::{collections::BTreeMap, num::NonZero, thread};

use crate::{
    Prediction, Settings, Target,
    stats::{interval::quantile, random::Stream},
};

use super::{
    fitted_law::FittedLaw,
    law::{Features, Theta},
    member::Member,
    priors::Priors,
};

/// Laws with their weights, the heaviest first, and the draws that these give.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    pub(crate) members: Vec<Member>,
    draws: Vec<Draw>,
}

/// One draw: a law, its coefficients, and the standard normal errors that a target adds to them.
#[derive(Clone, Debug)]
struct Draw {
    member: usize,
    theta: Theta,
    /// Error of the law, as a fraction of the extrapolated decrease.
    law_error: f64,
    /// Scatter of one run, in ln L.
    run_error: f64,
    /// Error of the law beyond the shapes of the runs, as a fraction of what it says changes there.
    shape_error: f64,
}

impl Ensemble {
    /// Draws by index, so that any number of threads makes the same ones.
    pub(crate) fn new(members: Vec<Member>, settings: &Settings, priors: &Priors) -> Self {
        let draw = |index: usize| draw(&members, index, settings, priors);
        let n_threads = thread::available_parallelism().map_or(1, NonZero::get).min(settings.n_draws);
        let chunk = settings.n_draws.div_ceil(n_threads);
        let draws = thread::scope(|scope| {
            let handles: Vec<_> = (0..n_threads)
                .map(|k| {
                    let range = (k * chunk).min(settings.n_draws)..((k + 1) * chunk).min(settings.n_draws);
                    scope.spawn(move || range.map(draw).collect::<Vec<_>>())
                })
                .collect();
            handles.into_iter().flat_map(|h| h.join().expect("drawing coefficients does not panic")).collect()
        });
        Self { members, draws }
    }

    /// The law with the most weight.
    pub(crate) fn best(&self) -> &Member {
        &self.members[0]
    }

    /// One loss of `target` for each draw, never below `least`.
    pub(crate) fn losses(&self, target: &Target, least: f64) -> Vec<f64> {
        self.draws.iter().map(|draw| self.loss(draw, target).max(least)).collect()
    }

    fn loss(&self, draw: &Draw, target: &Target) -> f64 {
        let law = &self.members[draw.member].fitted;
        let x = features(target, law, &draw.theta);
        let log_loss = law.form.log_loss(&draw.theta, &x);
        let decrease = law.extrapolated_decrease(&features(target, law, &law.theta));
        let beyond = law.beyond_shapes(&x);
        (log_loss + draw.law_error * decrease + draw.shape_error * beyond + draw.run_error).exp()
    }

    /// Coefficients of the heaviest law.
    pub(crate) fn coefficients(&self) -> BTreeMap<String, f64> {
        let FittedLaw { form, theta, frame, .. } = &self.best().fitted;
        let theta = form.unshifted(theta, &frame.shift);
        form.report().iter().map(|(name, i)| ((*name).to_owned(), theta[*i].exp())).collect()
    }

    /// Half the central 68 % of the draws: a standard error that the long tail of A and B does not rule.
    pub(crate) fn standard_errors(&self) -> BTreeMap<String, f64> {
        let FittedLaw { form, frame, .. } = &self.best().fitted;
        let thetas: Vec<Theta> = self
            .draws
            .iter()
            .filter(|d| d.member == 0)
            .map(|d| form.unshifted(&d.theta, &frame.shift))
            .collect();
        let error = |i: usize| {
            let mut values: Vec<f64> = thetas.iter().map(|theta| theta[i].exp()).collect();
            values.sort_by(f64::total_cmp);
            0.5 * (quantile(&values, 0.8413) - quantile(&values, 0.1587))
        };
        form.report().iter().map(|(name, i)| ((*name).to_owned(), error(*i))).collect()
    }

    /// The irreducible loss over all draws; `None` where no law with a floor has weight.
    pub(crate) fn irreducible(&self) -> Option<Prediction> {
        let floor = |draw: &Draw| self.members[draw.member].fitted.form.floor().map(|i| draw.theta[i].exp());
        let floors: Vec<f64> = self.draws.iter().filter_map(floor).collect();
        (!floors.is_empty()).then(|| Prediction::from_draws(&floors))
    }
}

/// Shifted features of `target` as `law` with `theta` reads them.
pub(crate) fn features(target: &Target, law: &FittedLaw, theta: &Theta) -> Features {
    let optimum = || law.compute_optimal(theta, target.flops);
    let (n, d) = target.n_params.zip(target.n_tokens).or_else(optimum).unwrap_or((1.0, 1.0));
    law.frame.shifted(&[target.flops.ln(), n.ln(), d.ln()])
}

fn draw(members: &[Member], index: usize, settings: &Settings, priors: &Priors) -> Draw {
    let mut stream = Stream::new(settings.seed, index as u64);
    // Every law gets its exact fraction of the draws, up to one.
    let u = (index as f64 + 0.5) / settings.n_draws as f64;
    let mut below = 0.0;
    let holds = |m: &Member| {
        below += m.weight;
        u < below
    };
    let member = members.iter().position(holds).unwrap_or(0);
    let Member { fitted, cross_validation, runs, .. } = &members[member];
    let degrees = priors.model_error_degrees;
    let model_error = cross_validation.model_error.at(stream.uniform()).of(fitted.log_exponent_ratio());
    let law_error = model_error * (degrees / stream.chi_squared(degrees)).sqrt() * stream.normal();
    let run_error =
        fitted.sigma * (fitted.degrees / stream.chi_squared(fitted.degrees)).sqrt() * stream.normal();
    let theta = fitted.resampled(runs, &mut stream);
    let shape_error = (degrees / stream.chi_squared(degrees)).sqrt() * stream.normal();
    Draw { member, theta, law_error, run_error, shape_error }
}
