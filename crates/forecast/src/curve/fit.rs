//! From the rungs' curves to the target run's: blocks, the competition of methods, and the spread between runs.

use super::{
    Alignment, Channel, CurveBlock, CurveForecast, CurveForm, CurveMethod, CurveSchedule, FinalLoss, RunPlan,
    RungCurve,
    family::{Family, Member, Residual, leave_one_group_out},
    schedule::Series,
};

use crate::alarm::tracker::{DRIFT, Loading, Statistics, largest};

/// Blocks grow by this part of the steps done.
const GROWTH: f64 = 0.12;
/// Longest block, as a part of the run.
const LONGEST: f64 = 0.01;
/// Parts of the smallest final loss that are tried as the floor of a collapse.
const FLOORS: [f64; 5] = [0.0, 0.2, 0.4, 0.6, 0.8];
/// Batch noise falls as `batch^(−this)` in variance: by independent tokens it would be 1, documents make it less.
const NOISE_EXPONENT: f64 = 0.75;
/// Between runs that differ only in their seed the curve differs by about this part of what has been learned so far:
/// 0.2 to 0.4 % in ln loss of the 0.63 that a run of 1.2e13 FLOPs learns (three seeds).
const PRIOR_SD_OF_LEARNED: f64 = 0.006;
/// The same for ln of the gradient's norm, at any step.
const PRIOR_SD_OF_GRAD_NORM: f64 = 0.1;
/// How much earlier or later its early peak comes.
const PRIOR_SD_OF_GRAD_NORM_TIMING: f64 = 0.15;
/// Between plans the same loss is met earlier or later by about this part of the steps so far.
const PRIOR_SD_OF_TIMING: f64 = 0.04;
/// Degrees of freedom that these priors are worth.
const PRIOR_DEGREES: f64 = 6.0;
/// No spread is taken to be smaller: mapped moments are rounded to steps.
const LEAST_SD: f64 = 5e-4;
/// The same per e-fold of batch, where rungs do not show how batch counts.
const PRIOR_SD_OF_TIMING_BY_BATCH: f64 = 0.1;
/// How batch counts where all rungs have the same: doubling it made steps 10 to 50 of a run count 1.1 to 1.2 times.
const USUAL_BATCH_EXPONENT: f64 = 0.25;
/// Rungs whose compute differs by less than this, as a logarithm, are of one budget.
const SAME_BUDGET: f64 = 0.3;
/// Candidates for the correlation length ℓ.
const LENGTHS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// Why a curve could not be predicted.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CurveError {
    /// Not enough rungs.
    #[error(
        "expected curves of at least 3 different plans, found {found}\nhint: add rungs to the ladder; another seed of a rung does not count"
    )]
    TooFewRungs {
        /// Different plans found.
        found: usize,
    },
    /// A curve whose length is not its plan's.
    #[error(
        "run `{run}`: expected one {channel} for each of {steps} steps, found {found}\nhint: leave out runs that were stopped early"
    )]
    Incomplete {
        /// The run.
        run: String,
        /// `training loss` or `gradient norm`.
        channel: &'static str,
        /// Steps of its plan.
        steps: u64,
        /// Values found.
        found: usize,
    },
    /// A value that has no logarithm.
    #[error(
        "run `{run}`, step {step}: expected a positive number, found {found}\nhint: leave out runs that diverged"
    )]
    NotPositive {
        /// The run.
        run: String,
        /// The step, counted from 1; 0 for the final loss.
        step: usize,
        /// The value.
        found: f64,
    },
    /// A plan that cannot be.
    #[error(
        "{of}: expected {expected}, found {found}\nhint: give warmup, decay and all steps of the schedule as they were run"
    )]
    Plan {
        /// The run, or the target run.
        of: String,
        /// What the plan must hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
}

/// One method applied to all rungs.
struct Fit {
    score: f64,
    method: CurveMethod,
    members: Vec<Member>,
    /// `[rung][block]`: variance of one step's ln value.
    noises: Vec<Vec<f64>>,
    residuals: Vec<Residual>,
}

impl CurveForecast {
    /// Predicts the training loss of the run `plan` from the curves of `rungs` and the sealed forecast of its final loss.
    ///
    /// Cost: a few milliseconds per rung and form.
    ///
    /// # Errors
    /// If fewer than three different plans are given, or a curve is incomplete or not positive.
    pub fn fit(rungs: &[RungCurve], plan: &RunPlan, final_loss: &FinalLoss) -> Result<Self, CurveError> {
        Self::fit_channel(rungs, plan, final_loss, Channel::Loss)
    }

    /// As [`fit`](Self::fit), for either channel; a gradient norm is a function of the final loss as the loss is.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_channel(
        rungs: &[RungCurve],
        plan: &RunPlan,
        final_loss: &FinalLoss,
        channel: Channel,
    ) -> Result<Self, CurveError> {
        check(rungs, plan, final_loss, channel)?;
        let groups = groups(rungs);
        let n_groups = groups.iter().max().map_or(0, |last| last + 1);
        if n_groups < 3 {
            return Err(CurveError::TooFewRungs { found: n_groups });
        }
        let edges = block_edges(plan.schedule.steps);
        let largest = (0..rungs.len()).max_by(|&a, &b| rungs[a].plan.flops.total_cmp(&rungs[b].plan.flops));
        let ln_final = final_loss.median_nats.ln();
        let mut best: Option<Fit> = None;
        let mut methods = Vec::new();
        for alignment in alignments(rungs) {
            let (members, noises): (Vec<Member>, Vec<Vec<f64>>) = rungs
                .iter()
                .zip(&groups)
                .map(|(rung, &group)| member(rung, group, plan, &edges, alignment, channel))
                .unzip();
            for form in forms(channel, rungs, final_loss) {
                let residuals = leave_one_group_out(form, &members);
                let score = score(&residuals, &groups, largest);
                let method = CurveMethod { alignment, form, held_out_rms_percent: 100.0 * score.sqrt() };
                methods.push(method.clone());
                if best.as_ref().is_none_or(|best| score < best.score) {
                    let (members, noises) = (members.clone(), noises.clone());
                    best = Some(Fit { score, method, members, noises, residuals });
                }
            }
        }
        methods.sort_by(|a, b| a.held_out_rms_percent.total_cmp(&b.held_out_rms_percent));
        let Fit { method, members, noises, residuals, .. } = best.expect("there are always forms to try");

        let family = Family::fit(method.form, &members.iter().collect::<Vec<_>>());
        let coordinates: Vec<f64> =
            edges.windows(2).map(|edge| plan.schedule.coordinate(0.5 * (edge[0] + edge[1]) - 0.5)).collect();
        let predicted: Vec<(f64, f64)> =
            (0..coordinates.len()).map(|k| family.predict(k, ln_final)).collect();
        let prior = prior_sd(channel, &coordinates, &predicted, batch_distance(rungs, plan));
        let spread = Spread::of(&residuals, &members, &coordinates, &prior, n_groups, method.form);
        let widened = (1.0 + family.leverage(ln_final)).sqrt();
        let noise = target_noise(rungs, plan, &noises);
        let mut held_out_statistics = held_out_statistics(&residuals, &members, &coordinates, &spread);
        let [_, drift, _] = &mut held_out_statistics;
        *drift = forward_drifts(method.form, rungs, plan, &members)
            .into_iter()
            .map(|(residual, further)| {
                further * statistics(&residual, &members, &coordinates, &spread)[DRIFT]
            })
            .fold(*drift, f64::max);
        let blocks = edges
            .windows(2)
            .enumerate()
            .map(|(k, edge)| CurveBlock {
                first_step: edge[0] as u64 + 1,
                n_steps: (edge[1] - edge[0]) as u64,
                coordinate: coordinates[k],
                ln_value: predicted[k].0,
                sensitivity: predicted[k].1,
                shape_sd: spread.sd[k] * widened,
                step_noise_sd: noise[k].sqrt(),
                rung_noise_sd: (family.leverage(ln_final) * mean_noise(&members, k)).sqrt(),
            })
            .collect();
        Ok(Self {
            channel,
            steps: plan.schedule.steps,
            blocks,
            final_sd: spread_of_draws(final_loss),
            correlation_length: spread.correlation_length,
            degrees_of_freedom: spread.degrees_of_freedom,
            held_out_statistics,
            methods,
        })
    }
}

fn check(
    rungs: &[RungCurve],
    plan: &RunPlan,
    final_loss: &FinalLoss,
    channel: Channel,
) -> Result<(), CurveError> {
    check_plan("the target run", plan)?;
    if !(final_loss.median_nats > 0.0 && final_loss.median_nats.is_finite()) {
        let run = "the target run".to_owned();
        return Err(CurveError::NotPositive { run, step: 0, found: final_loss.median_nats });
    }
    for rung in rungs {
        check_plan(&rung.run, &rung.plan)?;
        let (values, name) = values(rung, channel);
        if values.len() as u64 != rung.plan.schedule.steps {
            return Err(CurveError::Incomplete {
                run: rung.run.clone(),
                channel: name,
                steps: rung.plan.schedule.steps,
                found: values.len(),
            });
        }
        let not_positive = |step, found| CurveError::NotPositive { run: rung.run.clone(), step, found };
        if !(rung.final_loss_nats > 0.0 && rung.final_loss_nats.is_finite()) {
            return Err(not_positive(0, rung.final_loss_nats));
        }
        if let Some(idx) = values.iter().position(|value| !(*value > 0.0 && value.is_finite())) {
            return Err(not_positive(idx + 1, values[idx]));
        }
    }
    Ok(())
}

fn check_plan(of: &str, plan: &RunPlan) -> Result<(), CurveError> {
    let CurveSchedule { steps, warmup_steps, decay_steps, .. } = plan.schedule;
    let wrong = |expected, found| Err(CurveError::Plan { of: of.to_owned(), expected, found });
    if steps < 20 {
        return wrong("at least 20 steps", steps.to_string());
    }
    if warmup_steps.saturating_add(decay_steps) >= steps {
        return wrong(
            "warmup and decay that leave steps between them",
            format!("{warmup_steps} and {decay_steps} of {steps}"),
        );
    }
    if !(plan.batch_tokens > 0.0 && plan.batch_tokens.is_finite()) {
        return wrong("a batch of at least one token", plan.batch_tokens.to_string());
    }
    Ok(())
}

fn values(rung: &RungCurve, channel: Channel) -> (&[f64], &'static str) {
    match channel {
        Channel::Loss => (&rung.train_loss_nats, "training loss"),
        Channel::GradNorm => (&rung.grad_norm, "gradient norm"),
    }
}

/// Runs that differ in nothing but their seed have one number, in order of appearance.
fn groups(rungs: &[RungCurve]) -> Vec<usize> {
    let mut plans: Vec<&RunPlan> = Vec::new();
    rungs
        .iter()
        .map(|rung| {
            plans.iter().position(|plan| **plan == rung.plan).unwrap_or_else(|| {
                plans.push(&rung.plan);
                plans.len() - 1
            })
        })
        .collect()
}

/// Steps done at the start of each block and at the end of the last.
fn block_edges(steps: u64) -> Vec<f64> {
    let (steps, mut done) = (steps as f64, 0.0);
    let mut edges = vec![0.0];
    while done < steps {
        let length = (GROWTH * done).min(LONGEST * steps).floor().max(1.0);
        // A rest shorter than a block joins the last one.
        done = if steps - done < 2.0 * length { steps } else { done + length };
        edges.push(done);
    }
    edges
}

/// A rung's block means and step noise on the target run's blocks.
fn member(
    rung: &RungCurve,
    group: usize,
    plan: &RunPlan,
    edges: &[f64],
    alignment: Alignment,
    channel: Channel,
) -> (Member, Vec<f64>) {
    let series = Series::new(values(rung, channel).0.iter().map(|value| value.ln()).collect());
    let batch_ratio = plan.batch_tokens / rung.plan.batch_tokens;
    let matching =
        |done: f64| plan.schedule.matching(done.max(0.0), &rung.plan.schedule, batch_ratio, alignment);
    let (mut ln_value, mut noise, mut step_noise) = (Vec::new(), Vec::new(), Vec::new());
    for edge in edges.windows(2) {
        // The loss of a step is measured before it: block [a, b) holds the moments a, …, b − 1.
        let half = if edge[1] - edge[0] > 1.0 { 0.5 } else { 0.0 };
        let (from, to) = (matching(edge[0] - half), matching(edge[1] - 1.0 + half));
        let variance = series.noise_variance(from, to);
        ln_value.push(series.mean(from, to));
        noise.push(variance / (to - from).max(1.0));
        step_noise.push(variance);
    }
    (Member { group, ln_final: rung.final_loss_nats.ln(), ln_value, noise }, step_noise)
}

fn alignments(rungs: &[RungCurve]) -> Vec<Alignment> {
    let has_one_batch = rungs.windows(2).all(|pair| pair[0].plan.batch_tokens == pair[1].plan.batch_tokens);
    let exponents =
        if has_one_batch { vec![USUAL_BATCH_EXPONENT] } else { vec![USUAL_BATCH_EXPONENT, 0.0, 0.5] };
    let by_sum = exponents.into_iter().map(|batch_exponent| Alignment::LearningRateSum { batch_exponent });
    by_sum.chain([Alignment::Fraction]).collect()
}

fn forms(channel: Channel, rungs: &[RungCurve], final_loss: &FinalLoss) -> Vec<CurveForm> {
    let mut forms = vec![CurveForm::Affine];
    if channel == Channel::Loss {
        forms.push(CurveForm::Proportional);
        let least = rungs.iter().map(|rung| rung.final_loss_nats).fold(final_loss.median_nats, f64::min);
        forms.extend(FLOORS.map(|part| CurveForm::Collapse { floor_nats: part * least }));
    }
    forms
}

fn score(residuals: &[Residual], groups: &[usize], largest: Option<usize>) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for residual in residuals {
        let mean = residual.error.iter().map(|e| e * e).sum::<f64>() / residual.error.len() as f64;
        let is_largest = largest.is_some_and(|largest| groups[largest] == groups[residual.member]);
        let siblings = groups.iter().filter(|group| **group == groups[residual.member]).count() as f64;
        let weight = if is_largest { 2.0 } else { 1.0 } / siblings;
        sum += weight * mean;
        weights += weight;
    }
    sum / weights
}

/// Half the width of the draws' central 95 %, as a normal's standard deviation, or their own if that is larger.
fn spread_of_draws(final_loss: &FinalLoss) -> f64 {
    let mut logs: Vec<f64> = final_loss.draws_nats.iter().map(|draw| draw.max(1e-9).ln()).collect();
    if logs.len() < 2 {
        return 0.0;
    }
    logs.sort_by(f64::total_cmp);
    let n = logs.len();
    let quantile = |p: f64| logs[((n - 1) as f64 * p).round() as usize];
    let mean = logs.iter().sum::<f64>() / n as f64;
    let sd = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
    // A single wild draw must not open the band without end.
    let by_quantiles = (quantile(0.975) - quantile(0.025)) / 3.92;
    by_quantiles.max(sd.min(1.5 * by_quantiles))
}

/// Variance of one step's ln value in the target run: the rungs', carried over to its batch, in the mean of logarithms,
/// times the worst factor by which a held-out rung's was above that of the others.
fn target_noise(rungs: &[RungCurve], plan: &RunPlan, noises: &[Vec<f64>]) -> Vec<f64> {
    let n_blocks = noises.first().map_or(0, Vec::len);
    let scaled: Vec<Vec<f64>> = rungs
        .iter()
        .zip(noises)
        .map(|(rung, noise)| {
            let by_batch = NOISE_EXPONENT * (rung.plan.batch_tokens / plan.batch_tokens).ln();
            noise.iter().map(|variance| variance.max(1e-12).ln() + by_batch).collect()
        })
        .collect();
    let mean = |k: usize| scaled.iter().map(|noise| noise[k]).sum::<f64>() / scaled.len() as f64;
    let second_half = n_blocks / 2..n_blocks;
    let level =
        |noise: &[f64]| second_half.clone().map(|k| noise[k]).sum::<f64>() / second_half.len().max(1) as f64;
    let levels: Vec<f64> = scaled.iter().map(|noise| level(noise)).collect();
    let total: f64 = levels.iter().sum();
    let worst = levels
        .iter()
        .map(|mine| mine - (total - mine) / (levels.len() as f64 - 1.0).max(1.0))
        .fold(0.0, f64::max);
    (0..n_blocks).map(|k| (mean(k) + worst.min(4f64.ln())).exp()).collect()
}

/// E-folds between the target run's batch and the nearest of a rung.
fn batch_distance(rungs: &[RungCurve], plan: &RunPlan) -> f64 {
    rungs
        .iter()
        .map(|rung| (plan.batch_tokens / rung.plan.batch_tokens).ln().abs())
        .fold(f64::INFINITY, f64::min)
}

/// The spread between runs that is expected before any is seen.
fn prior_sd(
    channel: Channel,
    coordinates: &[f64],
    predicted: &[(f64, f64)],
    batch_distance: f64,
) -> Vec<f64> {
    let by_batch = PRIOR_SD_OF_TIMING_BY_BATCH * batch_distance;
    let last = coordinates.len() - 1;
    (0..=last)
        .map(|k| {
            // Over a fifth of an e-fold, and at least two blocks to either side, so that batch noise makes no slope.
            let is_far = |j: usize| (coordinates[j] - coordinates[k]).abs() > 0.2;
            let before = (0..k.saturating_sub(1)).rev().find(|j| is_far(*j)).unwrap_or(0);
            let after = (k + 2..=last).find(|j| is_far(*j)).unwrap_or(last);
            let slope =
                (predicted[after].0 - predicted[before].0) / (coordinates[after] - coordinates[before]);
            let (level, timing) = match channel {
                Channel::Loss => {
                    (PRIOR_SD_OF_LEARNED * (predicted[k].0 - predicted[0].0).abs(), PRIOR_SD_OF_TIMING)
                }
                Channel::GradNorm => (PRIOR_SD_OF_GRAD_NORM, PRIOR_SD_OF_GRAD_NORM_TIMING),
            };
            level.hypot((timing + by_batch) * slope).hypot(LEAST_SD)
        })
        .collect()
}

/// How far runs that end alike lie apart along the way.
struct Spread {
    sd: Vec<f64>,
    correlation_length: f64,
    degrees_of_freedom: f64,
}

impl Spread {
    fn of(
        residuals: &[Residual],
        members: &[Member],
        coordinates: &[f64],
        prior: &[f64],
        n_groups: usize,
        form: CurveForm,
    ) -> Self {
        let n_blocks = coordinates.len();
        let excess: Vec<f64> = (0..n_blocks)
            .map(|k| {
                let sum: f64 = residuals
                    .iter()
                    .map(|r| (r.error[k].powi(2) - own_variance(r, members, k)) / (1.0 + r.leverage))
                    .sum();
                sum / residuals.len() as f64
            })
            .collect();
        let free = (n_groups as f64 - form.n_coefficients() as f64).max(1.0);
        let mut sd: Vec<f64> = (0..n_blocks)
            .map(|k| {
                // A window of a third on the logarithm of steps.
                let near = |j: &usize| (coordinates[*j] - coordinates[k]).abs() <= 0.33;
                let (mut sum, mut n) = (0.0, 0.0);
                for j in (0..n_blocks).filter(near) {
                    sum += excess[j];
                    n += 1.0;
                }
                let own = (sum / n).max(0.0);
                ((free * own + PRIOR_DEGREES * prior[k] * prior[k]) / (free + PRIOR_DEGREES))
                    .sqrt()
                    .max(LEAST_SD)
            })
            .collect();
        let mut best = (f64::NEG_INFINITY, LENGTHS[0], 1.0);
        for length in LENGTHS {
            let (likelihood, mean_square) = likelihood(residuals, members, coordinates, &sd, length);
            if likelihood > best.0 {
                best = (likelihood, length, mean_square);
            }
        }
        let (_, correlation_length, mean_square) = best;
        let scale = mean_square.clamp(1.0, 9.0).sqrt();
        sd.iter_mut().for_each(|sd| *sd *= scale);
        let range = coordinates.last().unwrap_or(&0.0) - coordinates.first().unwrap_or(&0.0);
        // Stretches of a curve that are further apart than ℓ are independent evidence of the spread; half counted, for safety.
        let stretches = (range / correlation_length).clamp(1.0, 4.0);
        Self {
            sd,
            correlation_length,
            degrees_of_freedom: PRIOR_DEGREES + free * (1.0 + 0.5 * (stretches - 1.0)),
        }
    }
}

/// The largest statistics of any held-out rung.
fn held_out_statistics(
    residuals: &[Residual],
    members: &[Member],
    coordinates: &[f64],
    spread: &Spread,
) -> [f64; 3] {
    let mut all = [0f64; 3];
    for residual in residuals {
        for (most, value) in all.iter_mut().zip(statistics(residual, members, coordinates, spread)) {
            *most = most.max(value);
        }
    }
    all
}

/// The largest statistics of one held-out rung.
fn statistics(residual: &Residual, members: &[Member], coordinates: &[f64], spread: &Spread) -> Statistics {
    let loadings: Vec<Loading> = (0..coordinates.len())
        .map(|k| Loading {
            final_sd: 0.0,
            shape_sd: spread.sd[k] * (1.0 + residual.leverage).sqrt(),
            noise: own_variance(residual, members, k),
            rho: k.checked_sub(1).map_or(0.0, |before| {
                (-(coordinates[k] - coordinates[before]).abs() / spread.correlation_length).exp()
            }),
            coordinate: coordinates[k],
        })
        .collect();
    largest(&loadings, residual.error.iter().copied())
}

/// The largest rungs predicted from the lower half of the ladder, and how many times further the target run is than
/// each of these.
///
/// Curves change with scale in a way that no form here knows: a large run falls faster than the rungs say, a little more
/// with every doubling. Leaving out one rung among its neighbours does not show that.
fn forward_drifts(
    form: CurveForm,
    rungs: &[RungCurve],
    plan: &RunPlan,
    members: &[Member],
) -> Vec<(Residual, f64)> {
    let log_flops: Vec<f64> = rungs.iter().map(|rung| rung.plan.flops.ln()).collect();
    let least = log_flops.iter().copied().fold(f64::INFINITY, f64::min);
    let most = log_flops.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A little above the middle, so that a rung exactly there is below.
    let middle = 0.5 * (least + most) + 1e-6;
    let below: Vec<usize> = (0..rungs.len()).filter(|i| log_flops[*i] <= middle).collect();
    let largest = (0..rungs.len()).filter(|i| log_flops[*i] > most - SAME_BUDGET);
    let mut plans: Vec<usize> = below.iter().map(|i| members[*i].group).collect();
    plans.sort_unstable();
    plans.dedup();
    if plans.len() <= form.n_coefficients() {
        return Vec::new();
    }
    let lower: Vec<&Member> = below.iter().map(|i| &members[*i]).collect();
    let family = Family::fit(form, &lower);
    let edge = below.iter().map(|i| log_flops[*i]).fold(least, f64::max);
    let distance = (plan.flops.ln() - most).max(0.0);
    let one = |i: usize| {
        let further = (distance / (log_flops[i] - edge).max(SAME_BUDGET)).max(1.0);
        (family.residual(i, &members[i]), further)
    };
    largest.map(one).collect()
}

/// Variance of a held-out rung's distance from its prediction by batch noise: its own, and that of the others.
fn own_variance(residual: &Residual, members: &[Member], k: usize) -> f64 {
    members[residual.member].noise[k] + residual.leverage * mean_noise(members, k)
}

fn mean_noise(members: &[Member], k: usize) -> f64 {
    members.iter().map(|member| member.noise[k]).sum::<f64>() / members.len() as f64
}

/// Log-likelihood of all held-out residuals under correlation length `length`, by a scalar Kalman filter along each, and
/// the mean square of the standardised innovations.
fn likelihood(
    residuals: &[Residual],
    members: &[Member],
    coordinates: &[f64],
    sd: &[f64],
    length: f64,
) -> (f64, f64) {
    let (mut total, mut squares, mut n) = (0.0, 0.0, 0.0);
    for residual in residuals {
        let (mut state, mut variance) = (0.0, 1.0);
        let scale = (1.0 + residual.leverage).sqrt();
        for k in 0..coordinates.len() {
            if k > 0 {
                let rho = (-(coordinates[k] - coordinates[k - 1]).abs() / length).exp();
                state *= rho;
                variance = 1.0 - rho * rho * (1.0 - variance);
            }
            let loading = sd[k] * scale;
            let innovation = residual.error[k] - loading * state;
            let expected = loading * loading * variance + own_variance(residual, members, k) + 1e-12;
            total -= 0.5 * (innovation * innovation / expected + expected.ln());
            squares += innovation * innovation / expected;
            n += 1.0;
            let gain = variance * loading / expected;
            state += gain * innovation;
            variance *= 1.0 - gain * loading;
        }
    }
    (total, squares / f64::max(n, 1.0))
}
