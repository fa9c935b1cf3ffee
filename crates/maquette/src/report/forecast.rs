//! A forecast as a figure and as rows: the runs, the law, the interval, and the result.

use forecast::{BandPoint, Forecast, Point as Run, Seal, Timing, Verdict};
use maud::{Markup, html};

use super::axis::Axis;
use super::number::{scientific, si, significant};
use super::plot::{Mark, Plot, Point, Series};

/// Share of the axis left free at both of its ends, so that no mark lies on the edge.
const MARGIN: f64 = 0.04;

/// What there is to draw. In the manner of figures 1 and 2 of the GPT-4 report, <https://arxiv.org/abs/2303.08774>.
#[derive(Clone, Copy)]
pub(crate) struct Picture<'a> {
    /// The runs fitted.
    pub(crate) runs: &'a [Run],
    /// The law over the axis.
    pub(crate) band: &'a [BandPoint],
    pub(crate) forecast: &'a Forecast,
    /// Whether the forecast was sealed.
    pub(crate) is_sealed: bool,
    /// Compute and loss of the run that was forecast.
    pub(crate) actual: Option<(f64, f64)>,
}

impl<'a> Picture<'a> {
    /// A sealed forecast, and the result where there is one.
    pub(crate) fn sealed(seal: &'a Seal, verdict: Option<&Verdict>) -> Self {
        let actual = verdict.map(|v| (v.actual_flops.unwrap_or(v.target_flops), v.actual));
        Self { runs: &seal.points, band: &seal.band, forecast: &seal.forecast, is_sealed: true, actual }
    }

    /// An SVG file.
    pub(crate) fn file(&self) -> String {
        self.plot().file()
    }

    /// A figure of the page.
    pub(crate) fn figure(&self) -> Markup {
        self.plot().figure()
    }

    fn plot(&self) -> Plot {
        let interval = |low: fn(&BandPoint) -> f64, high: fn(&BandPoint) -> f64| {
            self.band.iter().map(|at| (at.flops, low(at), high(at))).collect()
        };
        let bands = vec![
            interval(|at| at.prediction.lo95, |at| at.prediction.hi95),
            interval(|at| at.prediction.lo80, |at| at.prediction.hi80),
            interval(|at| at.prediction.lo50, |at| at.prediction.hi50),
        ];
        let line = self.band.iter().map(|at| (at.flops, at.prediction.median)).collect();
        let series = |label: String, tone, mark| Series { label, tone, mark };
        let mut all = vec![
            series("50, 80 and 95 % intervals".to_owned(), 1, Mark::Bands(bands)),
            series(format!("law, {}", self.forecast.formula), 1, Mark::Dotted(line)),
            series(format!("runs fitted, n = {}", self.runs.len()), 5, Mark::Points(self.dots())),
        ];
        if self.band.is_empty() {
            all.drain(..2);
        }
        let p = &self.forecast.prediction;
        let kind = if self.is_sealed { "sealed forecast" } else { "forecast" };
        let said = format!(
            "{kind} {}, 95 % interval {} to {}",
            significant(p.median, 4),
            significant(p.lo95, 4),
            significant(p.hi95, 4)
        );
        let (flops, y) = (self.forecast.target.flops, p.median);
        let ring = Point { x: flops, y, low: p.lo95, high: p.hi95, note: said.clone() };
        all.push(series(said, 2, Mark::Rings(vec![ring])));
        if let Some((x, y)) = self.actual {
            let note = format!("actual {}", significant(y, 4));
            let dot = Point { x, y, low: f64::NAN, high: f64::NAN, note: note.clone() };
            all.push(series(note, 3, Mark::Points(vec![dot])));
        }
        Plot {
            title: "Forecast of the loss".into(),
            caption: match self.forecast.extrapolation {
                ratio if ratio > 1.0 => {
                    format!(
                        "For {} FLOPs, from runs with at most 1/{} of that compute.",
                        scientific(flops),
                        significant(ratio, 3)
                    )
                }
                _ => format!("For {} FLOPs, from runs of which some had more.", scientific(flops)),
            },
            x: self.x_axis(),
            y: Axis::log("loss"),
            series: all,
            is_wide: true,
        }
    }

    fn dots(&self) -> Vec<Point> {
        let dot = |run: &Run| {
            let name: String = run.run.chars().filter(|c| !c.is_control()).collect();
            let note = format!("{name}: {} at {} FLOPs", significant(run.loss, 4), scientific(run.flops));
            Point { x: run.flops, y: run.loss, low: f64::NAN, high: f64::NAN, note }
        };
        self.runs.iter().map(dot).collect()
    }

    fn x_axis(&self) -> Axis {
        let all = self.runs.iter().map(|run| run.flops).chain(self.actual.map(|(flops, _)| flops));
        let (low, high) = all
            .chain([self.forecast.target.flops])
            .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), flops| (low.min(flops), high.max(flops)));
        let room = (high / low).max(2.0).powf(MARGIN);
        Axis::log("training FLOPs").over(low / room, high * room)
    }
}

/// The numbers of a sealed forecast and of its verdict, in two columns, below what they mean.
pub(crate) fn rows(seal: &Seal, verdict: Option<&Verdict>) -> Markup {
    let p = &seal.forecast.prediction;
    let range = |low, high| format!("{} to {}", significant(low, 4), significant(high, 4));
    let mut rows = vec![
        ("Forecast", significant(p.median, 4)),
        ("50 % interval", range(p.lo50, p.hi50)),
        ("80 % interval", range(p.lo80, p.hi80)),
        ("95 % interval", range(p.lo95, p.hi95)),
    ];
    if let Some(verdict) = verdict {
        rows.push(("Actual", significant(verdict.actual, 4)));
        rows.push(("Error", format!("{:+.2} %", verdict.error_pct)));
        rows.push(("Quantile of the forecast distribution", format!("{:.3}", verdict.quantile)));
    }
    rows.push(("Law", seal.forecast.formula.clone()));
    for runs in &seal.reference_runs {
        rows.push(("Reference runs", format!("{}, {} runs", runs.name, runs.points.len())));
    }
    rows.push(("Runs fitted", seal.points.len().to_string()));
    rows.push(("Compute over that of the largest run", si(seal.forecast.extrapolation)));
    rows.push(("Sealed at", seal.sealed_at.to_string()));
    if let Some(verdict) = verdict {
        let timing = match (verdict.timing, verdict.first_step_at) {
            (Timing::InTime, Some(at)) => format!("{at}, after the seal"),
            (Timing::Late, Some(at)) => format!("{at}, before the seal: no forecast"),
            _ => "not known".to_owned(),
        };
        rows.push(("First step at", timing));
    }
    html! {
        @if let Some(verdict) = verdict {
            @for sentence in &verdict.learned { p.intro { (sentence) } }
        }
        div.scroll tabindex="0" role="region" aria-label="Forecast" { table.facts {
            tbody {
                @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } }
                tr { th scope="row" { "Seal" } td.hash { (seal.seal) } }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::Timestamp;
    use forecast::{Actual, Prediction, Settings, Table, Target};

    use super::*;

    fn example() -> Seal {
        let run = |name: &str, flops: f64, loss: f64| Run {
            run: name.to_owned(),
            n_params: None,
            n_tokens: None,
            flops,
            loss,
            seed: None,
        };
        let table = Table::new(vec![run("a<\u{1}b", 1e15, 4.0), run("c", 1e17, 3.2)]).expect("a table");
        let draws: Vec<f64> = (0..=100).map(|i| 2.5 + 0.002 * f64::from(i)).collect();
        let prediction = Prediction::from_draws(&draws);
        let forecast = Forecast {
            law: "compute".to_owned(),
            formula: "L = a·C^-b + c".to_owned(),
            coefficients: BTreeMap::new(),
            standard_errors: BTreeMap::new(),
            irreducible: None,
            target: Target::at_flops(1e20).expect("a target"),
            prediction,
            draws,
            warnings: Vec::new(),
            laws: Vec::new(),
            n_points: 2,
            n_configurations: 2,
            extrapolation: 1e3,
            residual_pct: 0.5,
            fingerprint: table.fingerprint(),
            settings: Settings::default(),
        };
        let band = vec![BandPoint { flops: 1e15, prediction }, BandPoint { flops: 1e20, prediction }];
        let at = Timestamp::from_unix_s(1.8e9).expect("a time after 1970");
        Seal::new(&table, forecast, at, "0.1.0").expect("a seal").with_band(band)
    }

    #[test]
    fn the_figure_shows_runs_law_interval_forecast_and_outcome() {
        let seal = example();
        let before = Picture::sealed(&seal, None).file();
        assert_eq!(
            before.matches("<circle").count(),
            3 + 2,
            "two runs, a forecast and their entries: {before}"
        );
        assert!(before.contains("sealed forecast 2.600, 95 % interval 2.505 to 2.695"), "{before}");
        assert!(before.contains("a&lt;b: 4.000 at"), "names are text, and an SVG holds no control character");
        assert!(!before.contains("actual"), "{before}");

        let actual = Actual { loss: 2.61, flops: Some(1.1e20), first_step_at: None };
        let verdict = Verdict::new(&seal, actual).expect("a verdict");
        let after = Picture::sealed(&seal, Some(&verdict));
        assert!(
            after.file().contains("actual 2.610") && after.figure().into_string().contains("actual 2.610")
        );
        let rows = rows(&seal, Some(&verdict)).into_string();
        assert!(
            rows.contains(&seal.seal) && rows.contains("+0.38 %") && rows.contains("not known"),
            "{rows}"
        );
    }
}
