//! The section of a run's forecast: forecast and result, the curve it was watched against, and what the ladder cost.

use forecast::{AlarmKind, CurveForecast};
use maud::{Markup, html};

use super::answers;
use super::axis::Axis;
use super::forecast::{Picture, rows};
use super::number::{duration, scientific, significant};
use super::plot::{Mark, Plot, Series};
use super::read::{Metrics, SealedRun};
use crate::run_dir::{RatioTest, Sweep};

/// Places at which the predicted curve is drawn, at equal ratios of steps.
const N_PLACES: u32 = 160;

pub(super) fn section(sealed: &SealedRun, metrics: &Metrics) -> Markup {
    let SealedRun { seal, verdict, watched, curves, cost, sweep, ratios, .. } = sealed;
    html! {
        div.plots {
            (Picture::sealed(seal, Some(verdict)).figure())
            @for curve in curves { (watched_curve(curve, metrics).figure()) }
        }
        (rows(seal, Some(verdict)))
        @if !verdict.parts.is_empty() { (answers::section(&verdict.parts)) }
        h3 { "Cost of the forecast" }
        p.intro {
            (cost.n_runs) " small runs: " (scientific(cost.flops)) " FLOPs, "
            (significant(100.0 * cost.share, 3)) " % of the run, "
            (duration(cost.thread_seconds)) " of thread time."
        }
        @if !sweep.is_empty() || !ratios.is_empty() { (sweeps(sweep, ratios)) }
        h3 { "Alarms" }
        @if watched.alarms.is_empty() {
            p.intro {
                "None in " (watched.n_steps) " steps. A healthy run raises one with a probability of at most "
                (significant(100.0 * watched.false_alarm_rate, 2)) " %."
            }
        } @else {
            @for alarm in &watched.alarms {
                p.intro {
                    "Step " (alarm.step) " (" (significant(100.0 * alarm.fraction, 2)) " % of the run), "
                    (kind(alarm.kind)) ": forecast " (significant(alarm.forecast, 4))
                    @if let Some(observed) = alarm.observed { ", observed " (significant(observed, 4)) }
                    ". " (alarm.meaning)
                }
            }
        }
    }
}

fn kind(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::NotANumber => "not a number",
        AlarmKind::Jump => "a jump",
        AlarmKind::Drift => "a drift",
        AlarmKind::Level => "a shifted level",
    }
}

/// The training loss over the curve that was predicted for it.
fn watched_curve(curve: &CurveForecast, metrics: &Metrics) -> Plot {
    let last = curve.steps as f64;
    let places = (0..=N_PLACES).map(|i| last.powf(f64::from(i) / f64::from(N_PLACES)) / last);
    let points: Vec<_> = places.map(|fraction| curve.at(fraction)).collect();
    let band = |level: f64| {
        points
            .iter()
            .map(|point| {
                let (low, high) = point.interval(level, None);
                (point.step as f64, low, high)
            })
            .collect()
    };
    let median = points.iter().map(|point| (point.step as f64, point.median)).collect();
    let seen: Vec<(f64, f64)> = curve
        .blocks
        .iter()
        .filter_map(|block| {
            let steps = block.first_step..block.first_step + block.n_steps;
            let losses: Vec<f64> = metrics
                .steps
                .iter()
                .filter(|line| steps.contains(&line.step))
                .map(|line| line.loss_of_text_nats().ln())
                .collect();
            let middle = block.first_step as f64 + 0.5 * (block.n_steps as f64 - 1.0);
            (!losses.is_empty()).then(|| (middle, (losses.iter().sum::<f64>() / losses.len() as f64).exp()))
        })
        .collect();
    let series = |label: &str, tone, mark| Series { label: label.to_owned(), tone, mark };
    Plot {
        title: "Training loss and its forecast".into(),
        caption: "Training loss averaged over blocks of steps, as the alarms use it, and the curve sealed before the first step."
            .to_owned(),
        x: Axis::log("step"),
        y: Axis::log("nats per token"),
        series: [
            Some(series("80 and 95 % intervals", 2, Mark::Bands(vec![band(0.95), band(0.8)]))),
            Some(series("forecast", 2, Mark::Dotted(median))),
            (!seen.is_empty()).then(|| series("training", 1, Mark::Line(seen))),
        ]
        .into_iter()
        .flatten()
        .collect(),
        is_wide: true,
    }
}

fn sweeps(sweeps: &[Sweep], ratios: &[RatioTest]) -> Markup {
    html! {
        h3 { "Scaling rules, tested on the ladder" }
        @for sweep in sweeps { p.intro { (sweep.to_string()) } }
        @for test in ratios { p.intro { (test.to_string()) } }
    }
}
