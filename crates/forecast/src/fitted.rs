//! Laws fitted to a table, ready to forecast any target.

use std::{collections::BTreeMap, num::NonZero, thread};

use crate::{
    Candidate, Experience, Forecast, ForecastError, Kin, Prediction, Settings, Table, Target, Warning,
    WarningKind,
    candidate::{Data, FittedForm},
    diagnose,
    interval::quantile,
    kinship::{self, AmongKin},
    law::{Features, Form, Theta},
    random::Stream,
    rehearsal::Rehearsal,
};

/// Forms whose share of the draws would be smaller than this get none.
const LEAST_WEIGHT: f64 = 0.01;

/// Kin must reach this many times beyond the table to show more of the bend than the table does.
pub(crate) const LEAST_REACH: f64 = 3.0;
/// A target with more than this many times the compute of the largest run of kin lies beyond what they show.
pub(crate) const BEYOND: f64 = 2.0;

/// Laws fitted to a table: the forms that compete, their weights, and the draws of their coefficients.
#[derive(Clone, Debug)]
pub struct Fitted {
    table: Table,
    settings: Settings,
    /// For targets as far as kin reach, and for all where there are none.
    near: Ensemble,
    /// For targets beyond what kin show.
    beyond_kin: Option<Ensemble>,
    warnings: Vec<Warning>,
    kin: Vec<Kin>,
}

/// Forms with their weights, the heaviest first, and the draws that these give.
#[derive(Clone, Debug)]
struct Ensemble {
    members: Vec<Member>,
    draws: Vec<Draw>,
    /// Cautions about the heaviest form.
    warnings: Vec<Warning>,
}

/// One form, how it did, and its share of the draws.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) fitted: FittedForm,
    rehearsal: Rehearsal,
    weight: f64,
    data: Data,
}

/// One draw: a form, its coefficients, and the standard normal errors that a target adds to them.
#[derive(Clone, Debug)]
struct Draw {
    member: usize,
    theta: Theta,
    /// Error of the law, as a share of the drop that no run supports.
    law_error: f64,
    /// Scatter of one run, in ln L.
    run_error: f64,
    /// Error of the law beyond the shapes of the runs, as a share of what it says changes there.
    shape_error: f64,
}

impl Fitted {
    /// Fits every form that `settings` and the table allow, weighs them by the table's own back-test and draws
    /// `n_draws` coefficients. Takes all cores; the result does not depend on how many.
    ///
    /// # Errors
    /// If the table has too few runs, too narrow a range of compute, or losses that rise.
    pub fn fit(table: &Table, settings: &Settings) -> Result<Self, ForecastError> {
        Self::fit_with(table, settings, &Experience::default())
    }

    /// [`Fitted::fit`] with other beliefs than the default.
    ///
    /// # Errors
    /// As [`Fitted::fit`].
    pub fn fit_with(
        table: &Table,
        settings: &Settings,
        experience: &Experience,
    ) -> Result<Self, ForecastError> {
        check(settings)?;
        let near = members(table, settings, experience)?;
        let beyond_kin = beyond_kin(&near);
        let ensemble = |members: Vec<Member>| {
            let Member { data, fitted, rehearsal, .. } = &members[0];
            let warnings = diagnose::warnings(table, data, fitted, rehearsal);
            Ensemble { draws: draw(&members, settings, experience), members, warnings }
        };
        let (near, beyond_kin) = (ensemble(near), beyond_kin.map(ensemble));
        let mut warnings = table.warnings().to_vec();
        let short = experience.kin.iter().filter(|kin| !reaches_beyond(kin, table));
        warnings.extend(short.map(|kin| {
            let text = format!(
                "The largest run of kin `{}` has less than {LEAST_REACH} times the compute of the largest here: it \
                 shows nothing that these runs do not, and was left out.",
                kin.name()
            );
            Warning::new(WarningKind::ShortKin, text)
        }));
        let largest = table.points().last().map_or(0.0, |point| point.flops);
        let strange = experience
            .kin
            .iter()
            .filter(|kin| reaches_beyond(kin, table) && kin.breaks_with_its_ladder(largest));
        warnings.extend(strange.map(|kin| {
            let text = format!(
                "No floor lets the small runs of kin `{}` foretell its large ones: what it says of a floor was left out.",
                kin.name()
            );
            Warning::new(WarningKind::StrangeKin, text)
        }));
        Ok(Self {
            table: table.clone(),
            settings: settings.clone(),
            near,
            beyond_kin,
            warnings,
            kin: experience.kin.clone(),
        })
    }

    /// The kin that competed.
    pub fn kin(&self) -> &[Kin] {
        &self.kin
    }

    /// The loss of `target`.
    ///
    /// A target without a shape takes, in each draw, the N and D that the drawn law holds best for its compute.
    ///
    /// # Errors
    /// If the target holds a number that is not finite and above 0.
    pub fn forecast(&self, target: &Target) -> Result<Forecast, ForecastError> {
        let target = &checked(target)?;
        let ensemble = self.ensemble(target.flops);
        let draws = self.draws(ensemble, target);
        let largest = self.table.points().last().map_or(f64::NAN, |point| point.flops);
        let extrapolation = target.flops / largest;
        let best = &ensemble.members[0];
        let form = best.fitted.form;
        let mut warnings = [&self.warnings[..], &ensemble.warnings].concat();
        warnings.extend(diagnose::target_warnings(&self.table, &best.data, target, form, extrapolation));
        Ok(Forecast {
            law: form.name().to_owned(),
            formula: form.formula().to_owned(),
            coefficients: ensemble.coefficients(),
            standard_errors: ensemble.standard_errors(),
            irreducible: ensemble.irreducible(),
            target: *target,
            prediction: Prediction::from_draws(&draws),
            draws,
            warnings,
            candidates: self.candidates(ensemble, target),
            n_points: self.table.points().len(),
            n_configurations: best.data.n_clusters,
            extrapolation,
            residual_pct: 100.0 * best.fitted.sigma,
            fingerprint: self.table.fingerprint(),
            settings: self.settings.clone(),
        })
    }

    /// The loss at `place` by the forms that forecast a run of `flops`: a figure is drawn by one set of them.
    ///
    /// # Errors
    /// As [`Fitted::forecast`].
    pub(crate) fn prediction_by(&self, place: &Target, flops: f64) -> Result<Prediction, ForecastError> {
        Ok(Prediction::from_draws(&self.draws(self.ensemble(flops), &checked(place)?)))
    }

    fn draws(&self, ensemble: &Ensemble, target: &Target) -> Vec<f64> {
        ensemble.draws.iter().map(|draw| self.draw_loss(ensemble, draw, target)).collect()
    }

    /// N and D with the least loss at `flops = 6·N·D`, by the form with the most weight; `None` where that reads
    /// compute alone.
    pub fn compute_optimal(&self, flops: f64) -> Option<(f64, f64)> {
        let best = &self.ensemble(flops).members[0].fitted;
        best.compute_optimal(&best.theta, flops)
    }

    /// The forms that forecast a run of `flops`.
    fn ensemble(&self, flops: f64) -> &Ensemble {
        let reach = self.kin.iter().map(Kin::largest_flops).fold(0.0, f64::max);
        self.beyond_kin.as_ref().filter(|_| flops > BEYOND * reach).unwrap_or(&self.near)
    }

    /// Names of the kin from which a coupled law has its floor.
    fn kin_names(&self) -> String {
        let flops = self.table.points().last().map_or(0.0, |point| point.flops);
        let telling = |kin: &&Kin| reaches_beyond(kin, &self.table) && kin.floor_share(flops).is_some();
        let names = self.kin.iter().filter(telling).map(Kin::name);
        names.collect::<Vec<_>>().join(", ")
    }

    fn draw_loss(&self, ensemble: &Ensemble, draw: &Draw, target: &Target) -> f64 {
        let member = &ensemble.members[draw.member].fitted;
        let x = features(target, member, &draw.theta);
        let law = member.form.log_loss(&draw.theta, &x);
        let drop = member.unsupported_drop(&features(target, member, &member.theta));
        let beyond = member.beyond_shapes(&x);
        let loss = (law + draw.law_error * drop + draw.shape_error * beyond + draw.run_error).exp();
        // No run can lie below a floor that is known, and none at 0.
        loss.max(self.settings.irreducible.unwrap_or(f64::MIN_POSITIVE))
    }

    fn candidates(&self, ensemble: &Ensemble, target: &Target) -> Vec<Candidate> {
        let candidate = |member: &Member| {
            let fitted = &member.fitted;
            Candidate {
                law: fitted.form.name().to_owned(),
                formula: fitted.form.formula().to_owned(),
                kin: match (&fitted.frame.kin, fitted.shown_to) {
                    (Some(kin), _) => Some(kin.name().to_owned()),
                    (None, Some(_)) => Some(self.kin_names()),
                    (None, None) => None,
                },
                backtest_error_pct: member.rehearsal.error_pct(),
                weight: member.weight,
                median: fitted.log_loss(&features(target, fitted, &fitted.theta)).exp(),
            }
        };
        ensemble.members.iter().map(candidate).collect()
    }
}

impl Ensemble {
    fn coefficients(&self) -> BTreeMap<String, f64> {
        let FittedForm { form, theta, frame, .. } = &self.members[0].fitted;
        let theta = form.unshifted(theta, &frame.shift);
        form.report().iter().map(|(name, i)| ((*name).to_owned(), theta[*i].exp())).collect()
    }

    /// Half the central 68 % of the draws: a standard error that the long tail of A and B does not rule.
    fn standard_errors(&self) -> BTreeMap<String, f64> {
        let FittedForm { form, frame, .. } = &self.members[0].fitted;
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

    fn irreducible(&self) -> Option<Prediction> {
        let floor = |draw: &Draw| self.members[draw.member].fitted.form.floor().map(|i| draw.theta[i].exp());
        let floors: Vec<f64> = self.draws.iter().filter_map(floor).collect();
        (!floors.is_empty()).then(|| Prediction::from_draws(&floors))
    }
}

/// Every form that `settings` and the table allow and each kin, fitted and weighed, the best first.
pub(crate) fn members(
    table: &Table,
    settings: &Settings,
    experience: &Experience,
) -> Result<Vec<Member>, ForecastError> {
    let forms = diagnose::admissible(table, settings)?;
    let lone = Data::new(table, experience.nearness, None);
    let of_kin = |kin: &Kin| (Form::Kin, Data::new(table, experience.nearness, Some(kin.clone())));
    // A known floor is one of this table's law; kin know nothing of it.
    let has_use =
        |kin: &&Kin| settings.irreducible.is_none() && table.has_shapes() && reaches_beyond(kin, table);
    let kin: Vec<Kin> = experience.kin.iter().filter(has_use).cloned().collect();
    let experience = &Experience { kin: kin.clone(), ..experience.clone() };
    let largest = table.points().last().map_or(0.0, |point| point.flops);
    let among_kin = AmongKin::new(experience, largest);
    let mut members: Vec<Member> = forms
        .into_iter()
        .map(|form| (form, lone.clone()))
        .chain(kin.iter().map(of_kin))
        .filter_map(|(form, data)| {
            let fitted = FittedForm::new(form, &data, settings.irreducible, experience, None)?;
            let rehearsal =
                Rehearsal::new(form, &data, &fitted, settings.irreducible, experience, &among_kin);
            Some(Member { fitted, rehearsal, weight: 0.0, data })
        })
        .collect();
    if members.is_empty() {
        return Err(ForecastError::NoFit { n_points: table.points().len() });
    }
    weigh(&mut members, largest, experience);
    Ok(members)
}

fn reaches_beyond(kin: &Kin, table: &Table) -> bool {
    kin.largest_flops() > LEAST_REACH * table.points().last().map_or(0.0, |point| point.flops)
}

/// Shifted features of `target` as `member` with `theta` reads them.
fn features(target: &Target, member: &FittedForm, theta: &Theta) -> Features {
    let optimum = || member.compute_optimal(theta, target.flops);
    let (n, d) = target.n_params.zip(target.n_tokens).or_else(optimum).unwrap_or((1.0, 1.0));
    member.frame.shifted(&[target.flops.ln(), n.ln(), d.ln()])
}

/// Weights by evidence; the largest comes first. `flops` is the largest compute of the table.
fn weigh(members: &mut [Member], flops: f64, experience: &Experience) {
    let has_kin = members.iter().any(|m| m.fitted.frame.kin.is_some());
    for member in members.iter_mut() {
        member.rehearsal.log_evidence += member.fitted.log_kinship(experience);
        let is_informed = member.fitted.shown_to.is_some();
        let weight = match member.fitted.form {
            Form::Power => experience.no_floor_weight,
            Form::Coupled if !is_informed => experience.coupled_weight,
            _ => 1.0,
        };
        member.rehearsal.log_evidence += weight.ln();
        if has_kin && member.fitted.frame.kin.is_none() && !is_informed {
            let trial = |kin: &Kin| kin.trial(member.fitted.form, flops);
            let trials: Vec<_> = experience.kin.iter().filter_map(trial).collect();
            let log_trial = kinship::log_trial(&trials, experience);
            member.rehearsal.log_evidence += experience.lone_weight.ln() + log_trial;
        }
    }
    normalise(members);
}

/// The same forms weighed for targets that no kin reach; `None` where no law takes its beliefs from kin.
///
/// A law carried over from one kin knows nothing there that the law of that kin does not, and stands back behind a coupled
/// law that takes from all kin what they share and from the table the rest. The rehearsal, which sees a few large runs, does
/// not tell such a law from the others as the whole table does: Akaike's criterion, negative log-likelihood plus the number
/// of coefficients, counts beside it, over the runs that no form holds to be outliers.
fn beyond_kin(members: &[Member]) -> Option<Vec<Member>> {
    let mut members: Vec<Member> = members.iter().filter(|m| m.fitted.frame.kin.is_none()).cloned().collect();
    members.iter().find(|m| m.fitted.shown_to.is_some())?;
    let n_runs = members.first().map_or(0, |m| m.fitted.kept.len());
    let common: Vec<f64> = (0..n_runs).map(|i| members.iter().map(|m| m.fitted.kept[i]).product()).collect();
    let sigma = members.iter().map(|m| m.fitted.sigma).fold(f64::INFINITY, f64::min);
    for member in &mut members {
        let Member { fitted, data, .. } = &*member;
        let criterion = fitted.misfit(data, &common, sigma) + fitted.n_free() as f64;
        member.rehearsal.log_evidence -= criterion;
    }
    normalise(&mut members);
    Some(members)
}

/// Weights in proportion to the evidence, the largest first.
fn normalise(members: &mut [Member]) {
    let largest = members.iter().map(|m| m.rehearsal.log_evidence).fold(f64::NEG_INFINITY, f64::max);
    members.iter_mut().for_each(|m| m.weight = (m.rehearsal.log_evidence - largest).exp());
    let mut normalise = |least: f64| {
        let sum: f64 = members.iter().map(|m| m.weight).sum();
        members.iter_mut().for_each(|m| m.weight = if m.weight < least * sum { 0.0 } else { m.weight / sum });
    };
    normalise(LEAST_WEIGHT);
    normalise(0.0);
    // A stable sort: at equal weights the order of the forms decides.
    members.sort_by(|a, b| b.weight.total_cmp(&a.weight));
}

/// Draws by index, so that any number of threads makes the same ones.
fn draw(members: &[Member], settings: &Settings, experience: &Experience) -> Vec<Draw> {
    let one = |index: usize| {
        let mut stream = Stream::new(settings.seed, index as u64);
        // Every form gets its exact share of the draws, up to one.
        let u = (index as f64 + 0.5) / settings.n_draws as f64;
        let mut below = 0.0;
        let share = |m: &Member| {
            below += m.weight;
            u < below
        };
        let member = members.iter().position(share).unwrap_or(0);
        let Member { fitted, rehearsal, data, .. } = &members[member];
        let share = rehearsal.shares.at(stream.uniform()).of(fitted.pace_gap());
        let law_error = share
            * (experience.share_tail / stream.chi_squared(experience.share_tail)).sqrt()
            * stream.normal();
        let run_error =
            fitted.sigma * (fitted.degrees / stream.chi_squared(fitted.degrees)).sqrt() * stream.normal();
        let theta = fitted.resampled(data, &mut stream);
        let tail = experience.share_tail;
        let shape_error = (tail / stream.chi_squared(tail)).sqrt() * stream.normal();
        Draw { member, theta, law_error, run_error, shape_error }
    };
    let n_threads = thread::available_parallelism().map_or(1, NonZero::get).min(settings.n_draws);
    let chunk = settings.n_draws.div_ceil(n_threads);
    thread::scope(|scope| {
        let handles: Vec<_> = (0..n_threads)
            .map(|k| {
                let range = (k * chunk).min(settings.n_draws)..((k + 1) * chunk).min(settings.n_draws);
                scope.spawn(move || range.map(one).collect::<Vec<_>>())
            })
            .collect();
        handles.into_iter().flat_map(|h| h.join().expect("drawing coefficients does not panic")).collect()
    })
}

fn check(settings: &Settings) -> Result<(), ForecastError> {
    const LEAST_DRAWS: usize = 100;
    if settings.n_draws < LEAST_DRAWS {
        return Err(ForecastError::BadSetting {
            name: "n_draws",
            expected: "at least 100 draws",
            found: settings.n_draws.to_string(),
            hint: "a 95 % interval reads the outer 2.5 % of the draws; 1000 is the default",
        });
    }
    if settings.irreducible.is_some_and(|loss| !(loss.is_finite() && loss > 0.0)) {
        return Err(ForecastError::BadSetting {
            name: "irreducible",
            expected: "a finite loss above 0",
            found: settings.irreducible.map_or(String::new(), |loss| loss.to_string()),
            hint: "leave it out to have it fitted",
        });
    }
    Ok(())
}

/// `target` with its shape dropped unless both N and D are known.
fn checked(target: &Target) -> Result<Target, ForecastError> {
    let numbers =
        [("flops", Some(target.flops)), ("n_params", target.n_params), ("n_tokens", target.n_tokens)];
    for (name, number) in numbers {
        if let Some(found) = number.filter(|x| !(x.is_finite() && *x > 0.0)) {
            return Err(ForecastError::BadTarget { name, expected: "a finite number above 0", found });
        }
    }
    Ok(*target)
}
