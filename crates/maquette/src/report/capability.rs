//! The section of what the run can do: pass rates of the rungs by difficulty, what was sealed for the run, and the actual rates.

use forecast::{BucketForecast, Point as Run};
use maud::{Markup, html};

use super::axis::Axis;
use super::number::{probability, scientific};
use super::plot::{Mark, Plot, Point, Series};
use super::read::{Capability, SealedRun};
use crate::run_dir::BucketOutcome;

pub(super) fn section(capability: &Capability, sealed: &SealedRun) -> Markup {
    let Capability { buckets, outcomes } = capability;
    let target = sealed.verdict.target_flops;
    html! {
        div.plots { (figure(buckets, outcomes, &sealed.seal.points, target).figure()) }
        (tally(outcomes))
        div.scroll tabindex="0" role="region" aria-label="Pass rates" { table {
            thead { tr {
                th { "Bucket" } th { "Problems" } th { "Forecast" } th { "80 % interval" } th { "Actual" } th { "Inside" }
            } }
            tbody {
                @for outcome in outcomes { tr {
                    td { (outcome.bucket) }
                    td { (outcome.n_problems) }
                    @if let Some(p) = outcome.predicted {
                        td { (probability(p.median)) }
                        td { (probability(p.lo80)) " to " (probability(p.hi80)) }
                    } @else { td { "refused" } td {} }
                    td { (probability(outcome.actual)) }
                    td { @match outcome.inside_80 { Some(true) => "yes", Some(false) => "no", None => "" } }
                } }
            }
        } }
    }
}

/// Factor of compute by which the buckets of the run stand apart, so that no interval covers another.
const STEP_ASIDE: f64 = 1.06;

/// How many forecasts held.
fn tally(outcomes: &[BucketOutcome]) -> Markup {
    let predicted: Vec<(f64, &BucketOutcome)> = outcomes
        .iter()
        .filter_map(|outcome| Some(((outcome.predicted?.median - outcome.actual).abs(), outcome)))
        .collect();
    let n_near = predicted.iter().filter(|(error, _)| *error <= 0.1).count();
    let n_inside = predicted.iter().filter(|(_, outcome)| outcome.inside_80 == Some(true)).count();
    html! {
        p.intro {
            "Of " (predicted.len()) " forecasts " (n_near) " came within 0.1 of the pass rate, " (n_inside)
            " inside the 80 % interval."
        }
    }
}

/// In the manner of figure 2 of the GPT-4 report, <https://arxiv.org/abs/2303.08774>, the pass rate itself on the axis.
fn figure(buckets: &[BucketForecast], outcomes: &[BucketOutcome], rungs: &[Run], target: f64) -> Plot {
    let mut series = Vec::new();
    for (i, (bucket, outcome)) in buckets.iter().zip(outcomes).enumerate() {
        let (tone, x) = (1 + i % 6, target * STEP_ASIDE.powf(i as f64 - 0.5 * (buckets.len() as f64 - 1.0)));
        let seen: Vec<(f64, f64)> =
            rungs.iter().zip(&bucket.fitted_pass_rates).map(|(rung, rate)| (rung.flops, *rate)).collect();
        let label = format!("bucket {}{}", bucket.bucket, if i == 0 { ", the easiest" } else { "" });
        series.push(Series { label: label.clone(), tone, mark: Mark::Faint(means(&seen)) });
        let none = |x: f64, y: f64, note: String| Point { x, y, low: f64::NAN, high: f64::NAN, note };
        let note =
            |flops: f64, rate: f64| format!("{label}: {} at {} FLOPs", probability(rate), scientific(flops));
        let mut dots: Vec<Point> = seen.iter().map(|(x, y)| none(*x, *y, note(*x, *y))).collect();
        dots.push(none(x, outcome.actual, format!("actual {}", note(target, outcome.actual))));
        series.push(Series { label: String::new(), tone, mark: Mark::Points(dots) });
        if let Some(p) = outcome.predicted {
            let note = format!("sealed {}", note(target, p.median));
            let ring = Point { x, y: p.median, low: p.lo80, high: p.hi80, note };
            series.push(Series { label: String::new(), tone, mark: Mark::Rings(vec![ring]) });
        }
    }
    Plot {
        title: "Pass rates by difficulty".into(),
        caption: "Lines join the mean pass rates of the rungs. At the right, the run's buckets side by side: a ring is the sealed \
                  forecast with its 80 % interval, a dot the actual rate."
            .to_owned(),
        x: Axis::log("training FLOPs"),
        y: Axis::linear("pass rate").over(0.0, 1.0),
        series,
        is_wide: true,
    }
}

/// Means of the values whose `x` lie within a tenth of each other; `x` ascend.
fn means(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points
        .chunk_by(|a, b| b.0 < 1.1 * a.0)
        .map(|of_one| {
            let n = of_one.len() as f64;
            (of_one.iter().map(|p| p.0).sum::<f64>() / n, of_one.iter().map(|p| p.1).sum::<f64>() / n)
        })
        .collect()
}
