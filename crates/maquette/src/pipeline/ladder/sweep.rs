//! The rules, tested on the rungs: each width and length that was swept, each compute with several widths.

use std::collections::BTreeMap;

use crate::run_dir::{RatioPoint, RatioTest, Role, RungResult, Sweep, SweepPoint};

/// Widths that make a valley: one to each side of the best.
const LEAST_WIDTHS: usize = 3;

/// One verdict for each compute at which the rungs have widths enough, the largest last.
pub(super) fn judge_ratios(results: &[RungResult], rule: f64) -> Vec<RatioTest> {
    let mut rungs: Vec<&RungResult> = results.iter().filter(|result| result.role == Role::Rung).collect();
    rungs.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    rungs
        .chunk_by(|a, b| b.flops <= a.flops * (1.0 + SAME_COMPUTE))
        .filter_map(|group| {
            let mut by_width: BTreeMap<usize, Vec<&RungResult>> = BTreeMap::new();
            group.iter().for_each(|result| by_width.entry(result.config.d_model).or_default().push(result));
            let points = by_width.values().map(|runs| {
                let losses: Vec<f64> = runs.iter().map(|run| run.loss_nats).collect();
                let (loss_nats, stderr) = mean(&losses);
                RatioPoint {
                    tokens_per_param: runs[0].n_tokens / runs[0].n_params,
                    loss_nats,
                    stderr,
                    n_seeds: losses.len(),
                }
            });
            let points: Vec<RatioPoint> = points.collect();
            (points.len() >= LEAST_WIDTHS).then(|| RatioTest { flops: group[0].flops, rule, points })
        })
        .collect()
}

/// A batch is whole rows, so runs of one budget differ in compute by a step.
const SAME_COMPUTE: f64 = 0.03;

/// One verdict for each width and length that was swept.
pub(super) fn judge(results: &[RungResult]) -> Vec<Sweep> {
    let mut swept: Vec<(usize, u64, f64)> = results
        .iter()
        .filter(|result| result.role == Role::Sweep)
        .map(|result| (result.config.d_model, result.settings.steps, result.flops))
        .collect();
    swept.sort_by(|a, b| a.2.total_cmp(&b.2));
    swept.dedup();
    swept
        .into_iter()
        .map(|(d_model, steps, flops)| {
            let mut by_factor: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for result in results.iter().filter(|r| r.config.d_model == d_model && r.flops == flops) {
                // Factors are positive, so their bits sort as they do.
                by_factor.entry(result.lr_factor.to_bits()).or_default().push(result.loss_nats);
            }
            let points = by_factor.into_iter().map(|(factor, losses)| point(f64::from_bits(factor), &losses));
            Sweep { d_model, steps, flops, points: points.collect() }
        })
        .collect()
}

fn point(lr_factor: f64, losses: &[f64]) -> SweepPoint {
    let (loss_nats, stderr) = mean(losses);
    SweepPoint { lr_factor, loss_nats, stderr, n_seeds: losses.len() }
}

/// Mean and its standard error; 0 of a single loss.
fn mean(losses: &[f64]) -> (f64, f64) {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}
