//! What a model reached on problems, one by one and level by level.

use data::tasks::{Problem, Task};
use serde::{Deserialize, Serialize};

/// How likely a model is to solve a problem, at temperature 1; one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What was asked.
    #[serde(flatten)]
    pub problem: Problem,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How the chance of a right answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Exactly: one answer is right.
    Exact {
        /// `ln p(answer | prompt)`, in nats.
        log_prob: f64,
    },
    /// From samples: many answers are right.
    Sampled {
        /// How many were drawn.
        n: usize,
        /// How many of them were right.
        passes: usize,
    },
}

impl Score {
    /// The chance of a right answer; an estimate when it was sampled.
    pub fn pass_rate(&self) -> f64 {
        match self.outcome {
            Outcome::Exact { log_prob } => log_prob.exp(),
            Outcome::Sampled { n, passes } => passes as f64 / n as f64,
        }
    }

    /// `−ln` of the pass rate, in nats; none where no sample passed, since then it has no estimate.
    pub fn neg_log_pass_nats(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Exact { log_prob } => Some(-log_prob),
            Outcome::Sampled { passes: 0, .. } => None,
            Outcome::Sampled { .. } => Some(-self.pass_rate().ln()),
        }
    }
}

/// All problems of one task and difficulty; one JSON object.
///
/// Standard errors come from the spread between problems, `√(Σ(x − mean)² / (n·(n − 1)))`: what other problems of the
/// level would change, and where answers were sampled, what other samples would. A single problem has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelSummary {
    /// What was asked for.
    pub task: Task,
    /// How hard.
    pub difficulty: u32,
    /// Number of problems.
    pub n: usize,
    /// Mean chance of a right answer.
    pub pass_rate: f64,
    /// Standard error of that mean.
    pub pass_rate_stderr: Option<f64>,
    /// Mean of `−ln` of the chance, in nats: the form in which the GPT-4 report fits capabilities over compute,
    /// <https://arxiv.org/abs/2303.08774>, section 3.2. None where a problem's samples all failed.
    pub neg_log_pass_nats: Option<f64>,
    /// Standard error of that mean.
    pub neg_log_pass_stderr: Option<f64>,
    /// Samples of all problems, where answers were sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Right ones among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<usize>,
}

/// A summary for each task and difficulty, in the order in which they first come.
pub fn summarise(scores: &[Score]) -> Vec<LevelSummary> {
    let mut levels: Vec<(Task, u32)> = Vec::new();
    for score in scores {
        let level = (score.problem.task, score.problem.difficulty);
        if !levels.contains(&level) {
            levels.push(level);
        }
    }
    levels
        .into_iter()
        .map(|(task, difficulty)| {
            let of: Vec<&Score> = scores
                .iter()
                .filter(|s| (s.problem.task, s.problem.difficulty) == (task, difficulty))
                .collect();
            summary(task, difficulty, &of)
        })
        .collect()
}

fn summary(task: Task, difficulty: u32, scores: &[&Score]) -> LevelSummary {
    let pass_rates: Vec<f64> = scores.iter().map(|score| score.pass_rate()).collect();
    let neg_logs: Option<Vec<f64>> = scores.iter().map(|score| score.neg_log_pass_nats()).collect();
    let (pass_rate, pass_rate_stderr) = mean(&pass_rates);
    let neg_log = neg_logs.map(|values| mean(&values));
    let sampled: Vec<(usize, usize)> = (scores.iter())
        .filter_map(|score| match score.outcome {
            Outcome::Exact { .. } => None,
            Outcome::Sampled { n, passes } => Some((n, passes)),
        })
        .collect();
    let total = |value: fn(&(usize, usize)) -> usize| {
        (!sampled.is_empty()).then(|| sampled.iter().map(value).sum::<usize>())
    };
    LevelSummary {
        task,
        difficulty,
        n: scores.len(),
        pass_rate,
        pass_rate_stderr,
        neg_log_pass_nats: neg_log.map(|(mean, _)| mean),
        neg_log_pass_stderr: neg_log.and_then(|(_, stderr)| stderr),
        samples: total(|sample| sample.0),
        passes: total(|sample| sample.1),
    }
}

/// The mean and its standard error.
fn mean(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n * (n - 1.0))).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(difficulty: u32, outcome: Outcome) -> Score {
        let task = if matches!(outcome, Outcome::Exact { .. }) { Task::Copy } else { Task::Shuffle };
        let problem = Problem { task, difficulty, prompt: "p".to_owned(), answer: " a\n".to_owned() };
        Score { problem, outcome }
    }

    #[test]
    fn levels_have_means_with_their_noise() {
        let exact = |difficulty, p: f64| score(difficulty, Outcome::Exact { log_prob: p.ln() });
        let sampled = |passes| score(1, Outcome::Sampled { n: 100, passes });
        let scores = [exact(2, 0.25), sampled(50), exact(1, 0.5), exact(2, 0.75), sampled(25), exact(2, 0.5)];
        let got = summarise(&scores);
        let levels: Vec<_> = got.iter().map(|level| (level.task, level.difficulty, level.n)).collect();
        assert_eq!(levels, [(Task::Copy, 2, 3), (Task::Shuffle, 1, 2), (Task::Copy, 1, 1)]);
        let near =
            |got: Option<f64>, want: f64| assert!((got.unwrap() - want).abs() < 1e-12, "{got:?}, {want}");
        near(Some(got[0].pass_rate), 0.5);
        near(got[0].pass_rate_stderr, 0.25 / 3f64.sqrt());
        near(got[0].neg_log_pass_nats, -(0.25f64 * 0.75 * 0.5).ln() / 3.0);
        assert_eq!((got[0].samples, got[0].passes), (None, None));
        near(Some(got[1].pass_rate), 0.375);
        near(got[1].neg_log_pass_nats, 1.5 * std::f64::consts::LN_2);
        near(got[1].neg_log_pass_stderr, 0.5 * std::f64::consts::LN_2);
        assert_eq!((got[1].samples, got[1].passes), (Some(200), Some(75)));
        assert_eq!((got[2].pass_rate_stderr, got[2].neg_log_pass_stderr), (None, None));
    }

    #[test]
    fn a_problem_without_a_pass_has_no_logarithm() {
        let sampled = |passes| score(1, Outcome::Sampled { n: 100, passes });
        let got = summarise(&[sampled(50), sampled(0)]).remove(0);
        assert_eq!((got.pass_rate, got.neg_log_pass_nats, got.passes), (0.25, None, Some(50)));
    }

    #[test]
    fn a_score_is_one_flat_object() {
        let exact = score(2, Outcome::Exact { log_prob: -0.5 });
        let json = serde_json::to_string(&exact).unwrap();
        assert_eq!(json, r#"{"task":"copy","difficulty":2,"prompt":"p","answer":" a\n","log_prob":-0.5}"#);
        let sampled = score(1, Outcome::Sampled { n: 100, passes: 7 });
        let json = serde_json::to_string(&sampled).unwrap();
        assert!(json.ends_with(r#""n":100,"passes":7}"#), "{json}");
        for score in [exact, sampled] {
            let json = serde_json::to_string(&score).unwrap();
            assert_eq!(serde_json::from_str::<Score>(&json).unwrap(), score);
        }
    }
}
