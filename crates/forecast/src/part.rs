//! Further losses of the runs of a table, such as those of answers about each kind of picture. Each is forecast as the loss of
//! the table is: same runs, same compute, same laws and intervals.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Forecast, ForecastError, Forecaster, Inside, Point, Prediction, ReferencePoints, ReferenceRuns, Settings,
    Table, Target, Warning,
};

/// Half the width of an 80 % interval, in % of its median, above which it says too little to be called a forecast.
pub const MAX_HALF_WIDTH_PCT: f64 = 50.0;

/// One of the further losses of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartLoss {
    /// Name of the run.
    pub run: String,
    /// L: its final loss, in the unit of the other runs'.
    pub loss: f64,
    /// Standard error of `loss`: what other held-out examples would change. Runs that are measured on the same ones share
    /// that error, so that no fit reads it.
    pub stderr: f64,
}

/// The forecast of one of the further losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartForecast {
    /// What the losses are of, such as `charts`.
    pub name: String,
    /// The loss of each run fitted.
    pub losses: Vec<PartLoss>,
    /// The same part of runs of the same design on other data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_runs: Vec<ReferencePoints>,
    /// The form with the most weight; absent where nothing is forecast.
    pub law: Option<String>,
    /// The loss at the target; absent where nothing is forecast.
    pub prediction: Option<Prediction>,
    /// Why nothing is forecast, in words.
    pub refused: Option<String>,
    /// Cautions about the fit and the target.
    pub warnings: Vec<Warning>,
}

/// A forecast of a part beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartOutcome {
    /// What the loss is of.
    pub name: String,
    /// What was forecast; absent where nothing was.
    pub predicted: Option<Prediction>,
    /// Why nothing was forecast.
    pub refused: Option<String>,
    /// L: the final loss of the run.
    pub actual: f64,
    /// Its standard error.
    pub stderr: f64,
    /// `100·(actual − median)/median`; absent where nothing was forecast.
    pub error_pct: Option<f64>,
    /// Which intervals hold it; absent where nothing was forecast.
    pub inside: Option<Inside>,
}

impl PartForecast {
    /// Fits the part called `name` on the runs of `table`, each with its loss among `losses` in place of its own, with the same part
    /// of reference runs.
    ///
    /// A part that cannot be fitted, or whose 80 % interval is wider than ±[`MAX_HALF_WIDTH_PCT`], is refused in words.
    pub fn fit(
        name: &str,
        losses: Vec<PartLoss>,
        table: &Table,
        references: &[ReferenceRuns],
        settings: &Settings,
        target: &Target,
    ) -> Self {
        let fitted = forecast(name, &losses, table, references, settings, target);
        let (prediction, law, refused, warnings) = match fitted {
            Ok(forecast) => {
                let Forecast { prediction, law, warnings, .. } = forecast;
                match too_wide(&prediction) {
                    None => (Some(prediction), Some(law), None, warnings),
                    Some(refused) => (None, None, Some(refused), warnings),
                }
            }
            Err(refused) => (None, None, Some(refused), Vec::new()),
        };
        let reference_runs = references.iter().map(ReferencePoints::of).collect();
        Self { name: name.to_owned(), losses, reference_runs, law, prediction, refused, warnings }
    }

    /// The same part fitted again to the same losses.
    ///
    /// # Errors
    /// If its reference runs give no law any more.
    pub fn refitted(
        &self,
        table: &Table,
        settings: &Settings,
        target: &Target,
    ) -> Result<Self, ForecastError> {
        let references: Vec<ReferenceRuns> =
            self.reference_runs.iter().map(ReferencePoints::runs).collect::<Result<_, _>>()?;
        Ok(Self::fit(&self.name, self.losses.clone(), table, &references, settings, target))
    }

    /// The forecast beside the final loss of the run and its standard error.
    pub fn judged(&self, actual: f64, stderr: f64) -> PartOutcome {
        let inside = |p: Prediction| Inside {
            i50: p.covers(50, actual),
            i80: p.covers(80, actual),
            i95: p.covers(95, actual),
        };
        PartOutcome {
            name: self.name.clone(),
            predicted: self.prediction,
            refused: self.refused.clone(),
            actual,
            stderr,
            error_pct: self.prediction.map(|p| 100.0 * (actual - p.median) / p.median),
            inside: self.prediction.map(inside),
        }
    }
}

/// The forecast of a part, or why there is none.
fn forecast(
    name: &str,
    losses: &[PartLoss],
    table: &Table,
    references: &[ReferenceRuns],
    settings: &Settings,
    target: &Target,
) -> Result<Forecast, String> {
    let of_run = |point: &Point| {
        let mut found = losses.iter().filter(|loss| loss.run == point.run);
        match (found.next(), found.next()) {
            (Some(loss), None) => Ok(Point { loss: loss.loss, ..point.clone() }),
            (first, _) => Err(format!(
                "expected one final loss of `{name}` for run `{}`, found {}",
                point.run,
                if first.is_some() { "several" } else { "none" }
            )),
        }
    };
    let points = table.points().iter().map(of_run).collect::<Result<Vec<Point>, String>>()?;
    // A known irreducible loss is that of the table.
    let settings = Settings { irreducible: None, ..settings.clone() };
    let fitted = || Forecaster::fit(&Table::new(points)?, &settings, references)?.forecast(target);
    fitted().map_err(|error: ForecastError| {
        // What helps a user with a table of his own is no help here.
        let text = error.to_string();
        text.split("\nhint: ").next().unwrap_or_default().replace('\n', "; ")
    })
}

fn too_wide(p: &Prediction) -> Option<String> {
    let half_width = half_width_pct(p);
    // Not a number is no width either.
    let is_narrow = half_width <= MAX_HALF_WIDTH_PCT;
    (!is_narrow).then(|| {
        format!(
            "the 80 % interval, {:.4} to {:.4}, is ±{half_width:.0} % wide, more than ±{MAX_HALF_WIDTH_PCT:.0} %: the small runs do \
             not determine the loss",
            p.lo80, p.hi80
        )
    })
}

/// Half the width of the 80 % interval, in % of the median.
fn half_width_pct(p: &Prediction) -> f64 {
    50.0 * (p.hi80 - p.lo80) / p.median
}

impl fmt::Display for PartForecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.prediction, &self.refused) {
            (Some(p), _) => write!(
                f,
                "{} {:.4}, 80 % interval {:.4} to {:.4} (±{:.1} %)",
                self.name,
                p.median,
                p.lo80,
                p.hi80,
                half_width_pct(p)
            ),
            (None, why) => {
                write!(f, "{} not forecast: {}", self.name, why.as_deref().unwrap_or("no reason given"))
            }
        }
    }
}

impl fmt::Display for PartOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, actual, .. } = self;
        let margin = 1.96 * self.stderr;
        match (&self.predicted, self.inside) {
            (Some(p), Some(inside)) => write!(
                f,
                "{name} forecast {:.4} ({:.4} to {:.4}), actual {actual:.4} ± {margin:.4}: {} the 80 % interval",
                p.median,
                p.lo80,
                p.hi80,
                if inside.i80 { "inside" } else { "OUTSIDE" }
            ),
            _ => write!(f, "{name} not forecast, actual {actual:.4} ± {margin:.4}"),
        }
    }
}

#[cfg(test)]
mod tests;
