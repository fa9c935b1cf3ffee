//! Laws fitted to a table, ready to forecast any target.

use crate::{Forecast, ForecastError, LawSummary, Prediction, Settings, Table, Target, Warning, WarningKind};

use super::{
    diagnostics,
    ensemble::{Ensemble, features},
    frame::{BEYOND, LEAST_REACH},
    member::{Member, beyond_references, members},
    priors::Priors,
    reference_runs::ReferenceRuns,
    transfer::References,
};

/// Laws fitted to a table: the forms that compete, their weights, and the draws of their coefficients.
#[derive(Clone, Debug)]
pub struct Forecaster {
    table: Table,
    settings: Settings,
    /// For targets as far as reference runs reach, and for all where there are none.
    near: Competition,
    /// For targets beyond what reference runs show.
    far: Option<Competition>,
    warnings: Vec<Warning>,
    references: Vec<ReferenceRuns>,
}

/// Laws that compete, and cautions about the heaviest of them.
#[derive(Clone, Debug)]
struct Competition {
    ensemble: Ensemble,
    warnings: Vec<Warning>,
}

impl Forecaster {
    /// Fits every form that `settings` and the table allow, weighs them by cross-validation within the table and draws
    /// `n_draws` coefficients. `references` are finished runs of the same design on other data, and may be none. Takes all
    /// cores; the result does not depend on how many.
    ///
    /// # Errors
    /// If the table has too few runs, too narrow a range of compute, or losses that rise.
    pub fn fit(
        table: &Table,
        settings: &Settings,
        references: &[ReferenceRuns],
    ) -> Result<Self, ForecastError> {
        Self::fit_with(table, settings, references, &Priors::default())
    }

    /// [`Forecaster::fit`] with other priors than the default.
    ///
    /// # Errors
    /// As [`Forecaster::fit`].
    pub fn fit_with(
        table: &Table,
        settings: &Settings,
        references: &[ReferenceRuns],
        priors: &Priors,
    ) -> Result<Self, ForecastError> {
        check(settings)?;
        // A known floor is one of this table's law; reference runs know nothing of it.
        let has_use = |runs: &&ReferenceRuns| {
            settings.irreducible.is_none() && table.has_shapes() && reaches_beyond(runs, table)
        };
        let transfer = References { runs: references.iter().filter(has_use).collect(), priors };
        let near = members(table, settings, priors, &transfer)?;
        let far = beyond_references(&near);
        let competition = |members: Vec<Member>| {
            let Member { runs, fitted, cross_validation, .. } = &members[0];
            let warnings = diagnostics::warnings(table, runs, fitted, cross_validation);
            Competition { ensemble: Ensemble::new(members, settings, priors), warnings }
        };
        let (near, far) = (competition(near), far.map(competition));
        let mut warnings = table.warnings().to_vec();
        warnings.extend(reference_warnings(table, references));
        Ok(Self {
            table: table.clone(),
            settings: settings.clone(),
            near,
            far,
            warnings,
            references: references.to_vec(),
        })
    }

    /// The reference runs that were given.
    pub fn references(&self) -> &[ReferenceRuns] {
        &self.references
    }

    /// The loss of `target`.
    ///
    /// A target without a shape takes, in each draw, the N and D that the drawn law holds best for its compute.
    ///
    /// # Errors
    /// If the target holds a number that is not finite and above 0.
    pub fn forecast(&self, target: &Target) -> Result<Forecast, ForecastError> {
        let target = &checked(target)?;
        let Competition { ensemble, warnings } = self.competition(target.flops);
        let draws = ensemble.losses(target, self.least());
        let largest = self.table.points().last().map_or(f64::NAN, |point| point.flops);
        let extrapolation = target.flops / largest;
        let best = ensemble.best();
        let form = best.fitted.form;
        let mut warnings = [&self.warnings[..], warnings].concat();
        warnings.extend(diagnostics::target_warnings(&self.table, &best.runs, target, form, extrapolation));
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
            laws: ensemble.members.iter().map(|member| self.summary(member, target)).collect(),
            n_points: self.table.points().len(),
            n_configurations: best.runs.n_clusters,
            extrapolation,
            residual_pct: 100.0 * best.fitted.sigma,
            fingerprint: self.table.fingerprint(),
            settings: self.settings.clone(),
        })
    }

    /// The loss at `place` by the laws that forecast a run of `flops`: a figure is drawn by one set of them.
    ///
    /// # Errors
    /// As [`Forecaster::forecast`].
    pub(crate) fn prediction_by(&self, place: &Target, flops: f64) -> Result<Prediction, ForecastError> {
        let ensemble = &self.competition(flops).ensemble;
        Ok(Prediction::from_draws(&ensemble.losses(&checked(place)?, self.least())))
    }

    /// N and D with the least loss at `flops = 6·N·D`, by the law with the most weight; `None` where that reads
    /// compute alone.
    pub fn compute_optimal(&self, flops: f64) -> Option<(f64, f64)> {
        let best = &self.competition(flops).ensemble.best().fitted;
        best.compute_optimal(&best.theta, flops)
    }

    /// The laws that forecast a run of `flops`.
    fn competition(&self, flops: f64) -> &Competition {
        let reach = self.references.iter().map(ReferenceRuns::largest_flops).fold(0.0, f64::max);
        self.far.as_ref().filter(|_| flops > BEYOND * reach).unwrap_or(&self.near)
    }

    /// No run can lie below a floor that is known, and none at 0.
    fn least(&self) -> f64 {
        self.settings.irreducible.unwrap_or(f64::MIN_POSITIVE)
    }

    /// Names of the reference runs from which a coupled law has its floor.
    fn reference_names(&self) -> String {
        let flops = self.table.points().last().map_or(0.0, |point| point.flops);
        let gives_floor =
            |runs: &&ReferenceRuns| reaches_beyond(runs, &self.table) && runs.floor_fraction(flops).is_some();
        let names = self.references.iter().filter(gives_floor).map(ReferenceRuns::name);
        names.collect::<Vec<_>>().join(", ")
    }

    fn summary(&self, member: &Member, target: &Target) -> LawSummary {
        let fitted = &member.fitted;
        LawSummary {
            law: fitted.form.name().to_owned(),
            formula: fitted.form.formula().to_owned(),
            reference_runs: match (&fitted.frame.reference, fitted.shown_to) {
                (Some(curve), _) => Some(curve.name.clone()),
                (None, Some(_)) => Some(self.reference_names()),
                (None, None) => None,
            },
            cross_validation_error_pct: member.cross_validation.error_pct(),
            weight: member.weight,
            median: fitted.log_loss(&features(target, fitted, &fitted.theta)).exp(),
        }
    }
}

fn reaches_beyond(runs: &ReferenceRuns, table: &Table) -> bool {
    runs.largest_flops() > LEAST_REACH * table.points().last().map_or(0.0, |point| point.flops)
}

fn reference_warnings(table: &Table, references: &[ReferenceRuns]) -> Vec<Warning> {
    let short = references.iter().filter(|runs| !reaches_beyond(runs, table)).map(|runs| {
        let text = format!(
            "The largest of the reference runs `{}` has less than {LEAST_REACH} times the compute of the largest run \
             here: they show nothing that these runs do not, and were left out.",
            runs.name()
        );
        Warning::new(WarningKind::ShortReference, text)
    });
    let largest = table.points().last().map_or(0.0, |point| point.flops);
    let inconsistent =
        references.iter().filter(|runs| reaches_beyond(runs, table) && runs.is_inconsistent(largest));
    let inconsistent = inconsistent.map(|runs| {
        let text = format!(
            "No floor lets the small runs of the reference runs `{}` predict the large ones: they give no floor here.",
            runs.name()
        );
        Warning::new(WarningKind::InconsistentReference, text)
    });
    short.chain(inconsistent).collect()
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
