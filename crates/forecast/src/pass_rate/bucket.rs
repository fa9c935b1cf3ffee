//! Problems of like difficulty: what the runs say of their common scale q.

use super::{
    Outcome, PassRateTable,
    form::{Place, Value},
};
use crate::{Warning, WarningKind, stats::quantile::ln_gamma};

/// ln q of the grid on which likelihoods are kept: q from e^−9 (p = 0.9999) to e^7.5 (p = e^−1800).
const GRID: Grid = Grid { first: -9.0, step: 0.075, len: 221 };
/// Shapes that the gamma distribution of difficulties may have, where samples leave it to be estimated.
const SHAPES: [f64; 6] = [0.5, 1.0, 2.0, 4.0, 8.0, 32.0];
/// Nodes of the integral over difficulties, evenly spaced in ln h.
const N_NODES: usize = 64;
/// Runs are off the law by at least this in ln q.
pub(crate) const LEAST_SD: f64 = 0.03;

/// Difficulties h and their weights.
type Nodes = Vec<(f64, f64)>;

struct Grid {
    first: f64,
    step: f64,
    len: usize,
}

impl Grid {
    fn ln_q(&self, idx: usize) -> f64 {
        self.first + self.step * idx as f64
    }
}

/// One bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) problems: Vec<String>,
    pub(crate) places: Vec<Place>,
    /// Of the largest run.
    pub(crate) ln_flops_base: f64,
    pub(crate) chance: f64,
    /// `[run]`: log-likelihood of ln q on the grid, in which exact runs have the standard deviation [`LEAST_SD`].
    pub(crate) evidence: Vec<Vec<f64>>,
    /// `[run]`: ln q where the evidence is largest, and its standard deviation; none if nothing was ever solved.
    pub(crate) estimates: Vec<Option<(f64, f64)>>,
    nodes: Nodes,
    /// m(q) on the grid, falling.
    pass_rates: Vec<f64>,
    pub(crate) refused: Option<String>,
    pub(crate) warnings: Vec<Warning>,
}

/// Cuts problems into `n_buckets` by mean logarithm of difficulty, easiest first; sampled problems count with Jeffreys'
/// estimate (passes + ½)/(n + 1).
pub(crate) fn by_difficulty(outcomes: &[Vec<Outcome>], n_buckets: usize) -> Vec<Vec<usize>> {
    let n_problems = outcomes.first().map_or(0, Vec::len);
    let difficulty =
        |problem: usize| -> f64 { outcomes.iter().map(|run| minus_ln_p(run[problem]).max(1e-9).ln()).sum() };
    let mut order: Vec<(f64, usize)> = (0..n_problems).map(|i| (difficulty(i), i)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    (0..n_buckets)
        .map(|b| {
            let range = b * n_problems / n_buckets..(b + 1) * n_problems / n_buckets;
            order[range].iter().map(|(_, problem)| *problem).collect()
        })
        .collect()
}

fn minus_ln_p(outcome: Outcome) -> f64 {
    match outcome {
        Outcome::Exact { ln_p } => -ln_p.min(0.0),
        Outcome::Sampled { n, passes } => -((passes as f64 + 0.5) / (n as f64 + 1.0)).ln(),
    }
}

impl Bucket {
    pub(crate) fn new(table: &PassRateTable, problems: &[usize], chance: f64) -> Self {
        let ln_flops_base = table.runs.last().map_or(0.0, |run| run.1.ln());
        let places: Vec<Place> = table
            .runs
            .iter()
            .map(|run| Place { ln_flops: run.1.ln() - ln_flops_base, loss_nats: run.2 })
            .collect();
        let of_run = |run: usize| problems.iter().map(move |problem| table.outcomes[run][*problem]);
        let n_runs = table.runs.len();
        let is_exact =
            (0..n_runs).all(|run| of_run(run).all(|outcome| matches!(outcome, Outcome::Exact { .. })));
        let is_solved =
            |run: usize| of_run(run).any(|outcome| !matches!(outcome, Outcome::Sampled { passes: 0, .. }));
        let grids: Vec<Nodes> = if is_exact {
            vec![empirical_nodes(table, problems)]
        } else {
            SHAPES.iter().map(|shape| gamma_nodes(*shape)).collect()
        };
        let mut best: Option<(f64, Nodes, Vec<Vec<f64>>)> = None;
        for nodes in grids {
            let evidence: Vec<Vec<f64>> = (0..n_runs).map(|run| evidence(of_run(run), &nodes)).collect();
            let total =
                evidence.iter().map(|run| run.iter().copied().fold(f64::NEG_INFINITY, f64::max)).sum();
            if best.as_ref().is_none_or(|(most, ..)| total > *most) {
                best = Some((total, nodes, evidence));
            }
        }
        let (_, nodes, evidence) = best.expect("there is at least one grid");
        let estimates =
            (0..n_runs).map(|run| is_solved(run).then(|| peak(&evidence[run]))).collect::<Vec<_>>();
        let mut bucket = Self {
            pass_rates: (0..GRID.len).map(|i| pass_rate(&nodes, GRID.ln_q(i))).collect(),
            problems: problems.iter().map(|problem| table.problems[*problem].clone()).collect(),
            places,
            ln_flops_base,
            chance,
            evidence,
            estimates,
            nodes,
            refused: None,
            warnings: Vec::new(),
        };
        bucket.diagnose();
        bucket
    }

    /// Refuses what no law of this kind can say.
    fn diagnose(&mut self) {
        let solved: Vec<(f64, f64, f64)> = self
            .places
            .iter()
            .zip(&self.estimates)
            .filter_map(|(place, estimate)| {
                estimate.map(|(ln_q, sd)| (place.ln_flops, ln_q, sd.max(LEAST_SD)))
            })
            .collect();
        if solved.is_empty() {
            self.refused = Some(
                "every rung is at the floor: none of its problems was solved, so no slope can be fitted"
                    .to_owned(),
            );
            return;
        }
        if solved.len() < 2 {
            self.refused = Some(
                "only one rung is above the floor: a single point has no slope; take more samples or larger rungs".to_owned(),
            );
            return;
        }
        let (slope, sd) = slope(&solved);
        if slope > 2.0 * sd && solved.len() >= 3 {
            self.refused = Some(format!(
                "pass rate falls as compute grows (−E[ln p] ~ C^{slope:+.3} ± {sd:.3}): an inverse-scaling task, as Hindsight \
                 Neglect in the GPT-4 report; a law fitted to these runs cannot say where it turns"
            ));
        } else if slope > -sd {
            self.warnings.push(Warning::new(
                WarningKind::Undetermined,
                format!("Pass rates show no clear trend with compute (−E[ln p] ~ C^{slope:+.3} ± {sd:.3})."),
            ));
        }
        if let [.., before, last] = solved[..]
            && last.1 - before.1 > 3.0 * last.2.hypot(before.2).max(0.1)
        {
            self.warnings.push(Warning::new(
                WarningKind::Reversal,
                "The largest rung solves fewer of these problems than the one before it.",
            ));
        }
        let n_floored = self.estimates.len() - solved.len();
        if n_floored > 0 {
            self.warnings.push(Warning::new(
                WarningKind::FewRuns,
                format!("{n_floored} of {} rungs solved none of these problems and bound the law from one side only.", self.estimates.len()),
            ));
        }
    }

    /// `m(q) = Σ w·e^(−q·h)`.
    pub(crate) fn pass_rate(&self, ln_q: f64) -> f64 {
        pass_rate(&self.nodes, ln_q)
    }

    /// ln q of a predicted value.
    pub(crate) fn ln_q(&self, value: Value) -> f64 {
        match value {
            Value::LnQ(ln_q) => ln_q,
            Value::PassRate(p) => {
                let above = self.pass_rates.partition_point(|rate| *rate > p).clamp(1, GRID.len - 1);
                let (high, low) = (self.pass_rates[above - 1], self.pass_rates[above]);
                let part = if high > low { ((high - p) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
                GRID.ln_q(above - 1) + part * GRID.step
            }
        }
    }
}

fn pass_rate(nodes: &[(f64, f64)], ln_q: f64) -> f64 {
    let q = ln_q.exp();
    nodes.iter().map(|(h, weight)| weight * (-q * h).exp()).sum()
}

/// Log-likelihood, by the parabola through the three nearest nodes, which exact runs follow; past the grid's ends it goes on as its last step does.
pub(crate) fn log_likelihood(evidence: &[f64], ln_q: f64) -> f64 {
    let position = (ln_q - GRID.first) / GRID.step;
    let nearest = (position.max(0.0).round() as usize).clamp(1, GRID.len - 2);
    let (a, b, c) = (evidence[nearest - 1], evidence[nearest], evidence[nearest + 1]);
    let t = position - nearest as f64;
    let edge = t.clamp(-1.0, 1.0);
    let inside = b + 0.5 * edge * (c - a) + 0.5 * edge * edge * (a - 2.0 * b + c);
    inside + (t - edge) * if t > 0.0 { c - b } else { b - a }
}

/// Where the evidence peaks, and the standard deviation that its bend there says.
fn peak(evidence: &[f64]) -> (f64, f64) {
    let top = (0..GRID.len).max_by(|&a, &b| evidence[a].total_cmp(&evidence[b])).unwrap_or(0);
    let i = top.clamp(1, GRID.len - 2);
    let (a, b, c) = (evidence[i - 1], evidence[i], evidence[i + 1]);
    let bend = (a - 2.0 * b + c).min(-1e-6);
    let shift = (0.5 * (a - c) / bend).clamp(-1.0, 1.0);
    (GRID.first + GRID.step * (i as f64 + shift), GRID.step / (-bend).sqrt())
}

/// log-likelihood of ln q on the grid.
///
/// Exact outcomes fix their mean: `q = −mean ln p`, up to [`LEAST_SD`]; sampled ones are integrated over difficulties.
fn evidence(outcomes: impl Iterator<Item = Outcome>, nodes: &[(f64, f64)]) -> Vec<f64> {
    let (mut sum, mut n_exact) = (0.0, 0.0);
    let mut counts: std::collections::BTreeMap<(u64, u64), f64> = std::collections::BTreeMap::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Exact { .. } => {
                sum += minus_ln_p(outcome);
                n_exact += 1.0;
            }
            Outcome::Sampled { n, passes } => *counts.entry((n, passes)).or_default() += 1.0,
        }
    }
    (0..GRID.len)
        .map(|i| {
            let ln_q = GRID.ln_q(i);
            let q = ln_q.exp();
            let mut total = 0.0;
            if n_exact > 0.0 {
                let exact = (sum / n_exact).max(1e-9).ln();
                total -= 0.5 * ((ln_q - exact) / LEAST_SD).powi(2);
            }
            for (&(n, passes), many) in &counts {
                let (n, passes) = (n as f64, passes as f64);
                let ln_terms = nodes.iter().map(|(h, weight)| {
                    let x = (q * h).max(1e-12);
                    weight.ln() - passes * x + (n - passes) * (-(-x).exp_m1()).ln()
                });
                total += many * ln_sum_exp(ln_terms);
            }
            total
        })
        .collect()
}

fn ln_sum_exp(terms: impl Iterator<Item = f64>) -> f64 {
    let terms: Vec<f64> = terms.collect();
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return -1e300;
    }
    most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
}

/// Each problem's own difficulty: the mean over runs of its `−ln p` over the bucket's.
///
/// Later runs count more: difficulties are wanted for a run that is larger still.
fn empirical_nodes(table: &PassRateTable, problems: &[usize]) -> Nodes {
    let n_runs = table.outcomes.len();
    let weight = |run: usize| (run + 1) as f64;
    let means: Vec<f64> = table
        .outcomes
        .iter()
        .map(|run| problems.iter().map(|p| minus_ln_p(run[*p])).sum::<f64>() / problems.len() as f64)
        .collect();
    let raw: Vec<f64> = problems
        .iter()
        .map(|p| {
            let sum: f64 = (0..n_runs)
                .map(|run| weight(run) * minus_ln_p(table.outcomes[run][*p]) / means[run].max(1e-12))
                .sum();
            (sum / (0..n_runs).map(weight).sum::<f64>()).max(1e-6)
        })
        .collect();
    let mean = raw.iter().sum::<f64>() / raw.len() as f64;
    raw.iter().map(|h| (h / mean, 1.0 / raw.len() as f64)).collect()
}

/// The gamma distribution of mean 1 and shape `shape`.
fn gamma_nodes(shape: f64) -> Nodes {
    let (low, high) = (-12.0 / shape.min(1.0), (1.0 + 30.0 / shape).ln());
    let nodes: Vec<(f64, f64)> = (0..N_NODES)
        .map(|i| {
            let ln_h = low + (high - low) * (i as f64 + 0.5) / N_NODES as f64;
            (ln_h.exp(), (shape * shape.ln() - ln_gamma(shape) + shape * (ln_h - ln_h.exp())).exp())
        })
        .filter(|(_, weight)| *weight > 1e-300)
        .collect();
    let total: f64 = nodes.iter().map(|(_, weight)| weight).sum();
    let mean: f64 = nodes.iter().map(|(h, weight)| h * weight).sum::<f64>() / total;
    nodes.into_iter().map(|(h, weight)| (h / mean, weight / total)).collect()
}

/// Weighted least squares of ln q on ln C: slope and its standard deviation, by the scatter or by the estimates' own
/// errors, whichever is larger.
fn slope(points: &[(f64, f64, f64)]) -> (f64, f64) {
    let total: f64 = points.iter().map(|p| 1.0 / (p.2 * p.2)).sum();
    let mean = |value: fn(&(f64, f64, f64)) -> f64| {
        points.iter().map(|p| value(p) / (p.2 * p.2)).sum::<f64>() / total
    };
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2) / (p.2 * p.2)).sum::<f64>().max(1e-12);
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y) / (p.2 * p.2)).sum::<f64>() / spread;
    let misfit: f64 = points.iter().map(|p| ((p.1 - y - slope * (p.0 - x)) / p.2).powi(2)).sum::<f64>();
    let scale = (misfit / (points.len() as f64 - 2.0).max(1.0)).max(1.0);
    (slope, (scale / spread).sqrt())
}
