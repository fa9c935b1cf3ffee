//! `maquette reward`

use std::{path::PathBuf, sync::Arc};

use align::{BradleyTerry, PairExample, RewardModel, Statistics};
use data::{ChatTemplate, Tokenizer};
use eval::interval;
use model::checkpoint::{self, SpecialIds};
use serde_json::{Value, json};
use tensor::Cpu;
use train::Objective as _;

use crate::{
    output::{self, program, shell_word, talk},
    progress,
    tune::{Base, Made, Shown, TuneOptions, Tuned, preferences, steps},
};

/// Most pairs whose scores the mean and the standard deviation are taken from.
const N_FOR_STATISTICS: usize = 2048;

/// Train a reward model: which of two answers people prefer, as one number for an answer
///
/// Pairs are read as `chosen` and `rejected`: lists of messages, texts of Anthropic's HH, or answers beside a `prompt`. The result
/// is DIR/model, which transformers opens as a sequence classifier, with mean and standard deviation of its scores beside it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of a fine-tuned model, of a checkpoint, or of a run
    base: PathBuf,
    #[command(flatten)]
    options: TuneOptions,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let options = &args.options;
    options.check()?;
    let base = Base::open(&args.base)?;
    let seq_len = options.seq_len(&base)?;
    anyhow::ensure!(
        options.replay.replay.is_none(),
        "--replay keeps a model able to write text, and a reward model writes none\nhint: leave it out"
    );
    // Every token passes through the model: none is a target alone.
    let (pairs, held_out) = preferences(options, &base, seq_len.saturating_sub(1).max(1))?;
    let settings = options.settings(&base, seq_len, pairs.len())?;
    let mut tuning = options.tuning();
    tuning.heads.insert(checkpoint::SCORE.into(), 1);
    // The head of the language model has no part in a score.
    tuning.frozen.push("lm_head".into());
    let (learned, unseen) = (pairs.clone(), held_out.clone());
    let objective = BradleyTerry::new(pairs, held_out, &settings)?;
    let made = Made {
        method: "reward".into(),
        base_weights: base.weights.clone(),
        data: objective.fingerprint().to_owned(),
        train: settings,
        tuning,
        settings: json!({}),
    };
    let folder = Tuned::open(&options.out, &made)?;
    let kernels = Arc::new(Cpu::new(options.threads));
    let (trainer, _) = steps(Shown::loss("reward"), &folder, &made, &base, Box::new(objective), &kernels)?;

    progress::say("scores", "mean and standard deviation on what was learned, accuracy on what was held out");
    let unnormalised = Statistics { mean: 0.0, std: 1.0, n: 0, held_out: Value::Null };
    let model = RewardModel::new(trainer.gpt().clone(), unnormalised)?;
    let known = &learned[..learned.len().min(N_FOR_STATISTICS)];
    let mut statistics = Statistics::of(&model.pair_scores(&*kernels, known).concat());
    let accuracy = Accuracy::of(&model.pair_scores(&*kernels, &unseen), &unseen);
    statistics.held_out = accuracy.json();
    let dir = options.out.join("model");
    checkpoint::publish(&dir, |dir| -> anyhow::Result<()> {
        let ids = SpecialIds { pad: Some(padding(&base.tokenizer)), ..train::special_ids(&base.tokenizer) };
        checkpoint::write_scorer(dir, trainer.gpt(), &ids, base.tokenizer.fingerprint())?;
        base.tokenizer.save(dir)?;
        checkpoint::write_file(&dir.join(ChatTemplate::FILE), base.template.source().as_bytes())?;
        checkpoint::write_file(&dir.join(RewardModel::STATISTICS), &serde_json::to_vec_pretty(&statistics)?)?;
        Ok(())
    })?;
    if options.json {
        return output::json(&json!({ "model": dir, "statistics": statistics }));
    }
    accuracy.print()?;
    output::words(format_args!(
        "scores: mean {:.4}, standard deviation {:.4}",
        statistics.mean, statistics.std
    ))?;
    output::words(format_args!("model: {}", dir.display()))?;
    talk(format_args!("\nscore answers:\n  {} score {} --data chats.jsonl", program(), shell_word(&dir)));
    Ok(())
}

/// What fills up a batch for `transformers`: no token that ends an answer, as it looks for the last that is something else.
fn padding(tokenizer: &Tokenizer) -> u32 {
    let others = [tokenizer.end_of_text(), tokenizer.begin_of_text()].into_iter().chain(tokenizer.pad());
    let end = tokenizer.end_of_turn();
    others.into_iter().find(|id| Some(*id) != end).unwrap_or_else(|| tokenizer.end_of_text())
}

/// How often the better answer is found, by the model and by rules that know nothing.
struct Accuracy {
    n: usize,
    model: usize,
    longer: usize,
    shorter: usize,
    /// By how much the model is better than the better of the rules, pair by pair.
    gain: interval::Mean,
}

impl Accuracy {
    fn of(scores: &[[f64; 2]], pairs: &[PairExample]) -> Self {
        let length =
            |example: &train::Example| example.weights.iter().filter(|weight| **weight != 0.0).count();
        let lengths: Vec<[usize; 2]> =
            pairs.iter().map(|pair| [length(&pair.chosen), length(&pair.rejected)]).collect();
        let model: Vec<bool> = scores.iter().map(|[better, worse]| better > worse).collect();
        let longer: Vec<bool> = lengths.iter().map(|[better, worse]| better > worse).collect();
        let shorter: Vec<bool> = lengths.iter().map(|[better, worse]| better < worse).collect();
        let n_right = |right: &[bool]| right.iter().filter(|right| **right).count();
        let rule = if n_right(&longer) > n_right(&shorter) { &longer } else { &shorter };
        let gains: Vec<f64> =
            model.iter().zip(rule).map(|(a, b)| f64::from(u8::from(*a)) - f64::from(u8::from(*b))).collect();
        Self {
            n: pairs.len(),
            model: n_right(&model),
            longer: n_right(&longer),
            shorter: n_right(&shorter),
            gain: interval::paired_shares(&gains),
        }
    }

    fn json(&self) -> Value {
        let share = |n_right: usize| {
            let [lo95, hi95] = interval::wilson(n_right, self.n).unwrap_or([0.0, 1.0]);
            json!({ "n": self.n, "rate": n_right as f64 / self.n as f64, "lo95": lo95, "hi95": hi95 })
        };
        let interval::Mean { value, lo95, hi95, .. } = self.gain;
        json!({
            "accuracy": share(self.model), "longer_answer": share(self.longer), "shorter_answer": share(self.shorter),
            "better_than_rules_by": { "rate": value, "lo95": lo95, "hi95": hi95 },
        })
    }

    fn print(&self) -> anyhow::Result<()> {
        let rows =
            [("reward model", self.model), ("longer answer", self.longer), ("shorter answer", self.shorter)];
        output::words(format_args!("right about {} pairs that were held out (95 % interval):", self.n))?;
        for (name, n_right) in rows {
            let [lo, hi] = interval::wilson(n_right, self.n).unwrap_or([0.0, 1.0]).map(|end| 100.0 * end);
            let share = 100.0 * n_right as f64 / self.n as f64;
            output::words(format_args!("  {name:<15}{share:5.1} % ({lo:.1} to {hi:.1})"))?;
        }
        let interval::Mean { value, lo95, hi95, .. } = self.gain;
        if let (Some(lo), Some(hi)) = (lo95, hi95) {
            let [value, lo, hi] = [value, lo, hi].map(|x| 100.0 * x);
            output::words(format_args!(
                "  more than the better rule by {value:+.1} points ({lo:+.1} to {hi:+.1}), paired"
            ))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use train::Example;

    #[test]
    fn accuracy_is_counted_beside_rules() {
        let example = |n: usize| Example {
            ids: vec![0; n + 1],
            weights: [vec![0.0], vec![1.0; n]].concat(),
            ..Example::default()
        };
        let pair = |a: usize, b: usize| PairExample { chosen: example(a), rejected: example(b) };
        let pairs = [pair(1, 2), pair(3, 2), pair(2, 2), pair(1, 4)];
        let scores = [[1.0, 0.0], [1.0, 2.0], [0.0, 0.0], [2.0, 1.0]];
        let Accuracy { n, model, longer, shorter, gain } = Accuracy::of(&scores, &pairs);
        assert_eq!((n, model, longer, shorter), (4, 2, 1, 2));
        assert_eq!(gain.value, 0.0); // the same pairs as `shorter`
    }
}
