//! What the finished run can do, beside what was forecast of it.

use std::path::Path;

use data::{
    Tokenizer,
    tasks::{self, Problem},
};
use eval::{CapabilitySettings, Score};
use forecast::{
    BucketForecast, Forecast, Outcome, PassRateForecast, PassRateRow, PassRateSettings, PassRateTable,
};
use model::checkpoint;
use tensor::{DType, Kernels};

use crate::{
    progress,
    run_dir::{BucketOutcome, PassRates, RunFile as _, RungResult, SCORES, write_scores},
};

/// Seed of the problems that every rung and the large run are examined with.
pub(crate) const SUITE_SEED: u64 = 1;

/// The forecast of pass rates from the ladder's scores; none, with a word why, where they do not give one.
pub(super) fn predict<'a>(
    points: impl Iterator<Item = &'a RungResult>,
    forecast: &Forecast,
) -> anyhow::Result<Option<PassRates>> {
    let rows: Vec<PassRateRow> = points
        .flat_map(|result| {
            result.scores.iter().map(|score| PassRateRow {
                run: result.run.clone(),
                flops: result.flops,
                loss_nats: result.loss_nats,
                problem: score.problem.prompt.clone(),
                outcome: outcome(score),
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let fitted = PassRateTable::new(&rows)
        .and_then(|table| PassRateForecast::fit(&table, &PassRateSettings::default()));
    match fitted {
        Ok(fitted) => {
            let buckets = fitted.at(forecast.target.flops, &forecast.draws);
            Ok(Some(PassRates { form: fitted.form(), buckets }))
        }
        Err(error) => {
            progress::say("forecast", &format!("no pass rates: {error}"));
            Ok(None)
        }
    }
}

/// Exact probabilities as they are, samples with their number.
fn outcome(score: &Score) -> Outcome {
    match score.outcome {
        // Rounding may lift a certain answer above 1.
        eval::Outcome::Exact { log_prob } => Outcome::Exact { ln_p: log_prob.min(0.0) },
        eval::Outcome::Sampled { n, passes } => Outcome::Sampled { n: n as u64, passes: passes as u64 },
    }
}

/// The problems of the suite that a model of this context can read.
pub(super) fn problems(n_per_level: usize, tokenizer: &Tokenizer, max_seq_len: usize) -> Vec<Problem> {
    let mut problems = tasks::suite(SUITE_SEED, n_per_level);
    // With end-of-text before it.
    let len = |p: &Problem| 1 + tokenizer.encode(&p.prompt).len() + tokenizer.encode(&p.answer).len();
    problems.retain(|problem| len(problem) <= max_seq_len);
    problems
}

/// Examines the checkpoint; writes `eval/TASK.jsonl` and, where pass rates were forecast, both side by side.
pub(super) fn examine(
    run_dir: &Path,
    dir: &Path,
    n_problems: usize,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    dtype: DType,
    predicted: Option<&PassRates>,
) -> anyhow::Result<()> {
    let mut gpt = checkpoint::read_model(dir)?.with_dtype(dtype);
    gpt.pack(kernels);
    let problems = problems(n_problems, tokenizer, gpt.config().max_seq_len);
    let scores = eval::capability(&gpt, kernels, tokenizer, &problems, &CapabilitySettings::default())?;
    write_scores(&run_dir.join(SCORES), &scores)?;
    let Some(predicted) = predicted else { return Ok(()) };
    let outcomes: Vec<BucketOutcome> =
        predicted.buckets.iter().map(|bucket| judge(bucket, &scores)).collect();
    outcomes.write(run_dir)?;
    for outcome in &outcomes {
        let Some(p) = outcome.predicted else { continue };
        let mark = if outcome.inside_80 == Some(true) { "inside" } else { "OUTSIDE" };
        progress::say(
            "verdict",
            &format!(
                "bucket {}: pass rate forecast {} ({} to {}), actual {}: {mark} the 80 % interval",
                outcome.bucket,
                progress::probability(p.median),
                progress::probability(p.lo80),
                progress::probability(p.hi80),
                progress::probability(outcome.actual)
            ),
        );
    }
    Ok(())
}

fn judge(bucket: &BucketForecast, scores: &[Score]) -> BucketOutcome {
    let of: Vec<f64> = scores
        .iter()
        .filter(|score| bucket.problems.contains(&score.problem.prompt))
        .map(Score::pass_rate)
        .collect();
    let actual = of.iter().sum::<f64>() / of.len().max(1) as f64;
    let inside_80 = bucket.pass_rate.map(|p| (p.lo80..=p.hi80).contains(&actual));
    BucketOutcome {
        bucket: bucket.bucket,
        n_problems: of.len(),
        predicted: bucket.pass_rate,
        actual,
        inside_80,
    }
}
