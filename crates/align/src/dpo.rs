//! Direct preference optimisation (Rafailov et al. 2023, <https://arxiv.org/abs/2305.18290>).

use std::collections::BTreeMap;

use base::hash::Xxh3;
use model::{Gpt, Tokens};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor::{IGNORE_TARGET, Kernels};
use train::{
    Batch, Example, Learner, MicroBatch, Objective, Scalars, Shuffled, TrainError, TrainSettings, Validation,
};

use crate::{PairExample, pair_batch};

/// Numbers of the method.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DpoSettings {
    /// How strongly the model is held to the reference: the optimum is `π_ref·e^{r/β}/Z`.
    pub beta: f64,
}

impl Default for DpoSettings {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

/// `−ln σ(m)` of each pair, with `m = β·((ln π(y⁺) − ln π_ref(y⁺)) − (ln π(y⁻) − ln π_ref(y⁻)))`; a batch is the mean over its pairs.
///
/// The reference is the model as the training begins. Its log-probabilities are computed once, in the dtype of the training.
pub struct Dpo {
    pairs: Vec<Known>,
    held_out: Vec<Known>,
    beta: f64,
    settings: TrainSettings,
    fingerprint: String,
    shuffled: Shuffled,
}

/// A pair with the log-probabilities that the reference gives its answers: the better, the worse.
struct Known {
    pair: PairExample,
    reference: [f64; 2],
}

/// What a pair came to.
struct Judged {
    margin: f64,
    /// Log-probabilities of the better and the worse answer.
    log_probs: [f64; 2],
}

impl Judged {
    /// `−ln σ(m)`, without overflow.
    fn loss(&self) -> f64 {
        (-self.margin).max(0.0) + (-self.margin.abs()).exp().ln_1p()
    }

    /// `−dL/dm = σ(−m)`.
    fn slope(&self) -> f64 {
        1.0 / (1.0 + self.margin.exp())
    }
}

impl Dpo {
    /// At the first pair; `reference` is the model that the training begins with.
    ///
    /// # Errors
    /// If one of the sides has no pair, or `beta` is not positive.
    pub fn new(
        pairs: Vec<PairExample>,
        held_out: Vec<PairExample>,
        reference: &Gpt,
        kernels: &dyn Kernels,
        dpo: DpoSettings,
        settings: &TrainSettings,
    ) -> Result<Self, TrainError> {
        if !(dpo.beta > 0.0 && dpo.beta.is_finite()) {
            let (expected, found) = ("above 0", dpo.beta.to_string());
            return Err(TrainError::Setting { name: "beta", expected, found });
        }
        let mut hash = Xxh3::new();
        hash.update(&dpo.beta.to_bits().to_le_bytes());
        hash.update(&settings.seed.to_le_bytes());
        for (side, pairs) in [("training", &pairs), ("held-out", &held_out)] {
            if pairs.is_empty() {
                return Err(TrainError::Example {
                    side,
                    index: 0,
                    problem: "is missing: there is none".into(),
                });
            }
            for example in pairs.iter().flat_map(|pair| [&pair.chosen, &pair.rejected]) {
                hash.update(&(example.ids.len() as u64).to_le_bytes());
                example.ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
                example.weights.iter().for_each(|weight| hash.update(&weight.to_bits().to_le_bytes()));
            }
        }
        let known = |pairs: Vec<PairExample>| -> Vec<Known> {
            pairs
                .into_iter()
                .map(|pair| {
                    let reference =
                        log_probs(reference, kernels, &packed([&pair], &[]), [&pair]).swap_remove(0);
                    Known { pair, reference }
                })
                .collect()
        };
        let (pairs, held_out) = (known(pairs), known(held_out));
        let shuffled = Shuffled::new(pairs.len(), settings.seed);
        Ok(Self {
            pairs,
            held_out,
            beta: dpo.beta,
            settings: settings.clone(),
            fingerprint: base::hash::hex(hash.digest128()),
            shuffled,
        })
    }

    fn judged(&self, known: &Known, log_probs: [f64; 2]) -> Judged {
        let [better, worse] = [0, 1].map(|side| log_probs[side] - known.reference[side]);
        Judged { margin: self.beta * (better - worse), log_probs }
    }
}

/// Both sides of pairs, one after another; `examples` are their numbers.
fn packed<'a>(pairs: impl IntoIterator<Item = &'a PairExample>, examples: &[usize]) -> MicroBatch {
    let sides: Vec<&Example> = pairs.into_iter().flat_map(|pair| [&pair.chosen, &pair.rejected]).collect();
    let n_inputs = |example: &Example| example.ids.len() - 1;
    let ids = sides.iter().flat_map(|side| &side.ids[..n_inputs(side)]).copied().collect();
    let tokens = Tokens::packed(ids, sides.iter().map(|side| n_inputs(side)));
    let target = |(id, weight): (&u32, &f32)| if *weight == 0.0 { IGNORE_TARGET } else { *id };
    let targets = sides.iter().flat_map(|side| side.ids[1..].iter().zip(&side.weights[1..]).map(target));
    MicroBatch { examples: examples.to_vec(), ..MicroBatch::new(tokens, targets.collect()) }
}

/// Log-probabilities of the answers of packed pairs: the better and the worse of each.
fn log_probs<'a>(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    batch: &MicroBatch,
    pairs: impl IntoIterator<Item = &'a PairExample>,
) -> Vec<[f64; 2]> {
    let losses = gpt.losses(kernels, &batch.tokens, &batch.targets);
    let mut rest = losses.f32();
    let mut next = |example: &Example| {
        let (own, others) = rest.split_at(example.ids.len() - 1);
        rest = others;
        -own.iter().map(|&loss| f64::from(loss)).sum::<f64>()
    };
    pairs.into_iter().map(|pair| [next(&pair.chosen), next(&pair.rejected)]).collect()
}

impl Objective for Dpo {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn next(&mut self) -> Batch {
        let Self { pairs, settings, shuffled, .. } = self;
        pair_batch::next(shuffled, settings, |examples| {
            packed(examples.iter().map(|i| &pairs[*i].pair), examples)
        })
    }

    /// The margin is needed before the gradient: one forward pass more.
    fn add_gradients(
        &mut self,
        learner: &mut Learner,
        kernels: &dyn Kernels,
        batch: &MicroBatch,
        scale: f64,
    ) -> Scalars {
        let pairs: Vec<&Known> = batch.examples.iter().map(|i| &self.pairs[*i]).collect();
        let log_probs = log_probs(learner.gpt(), kernels, batch, pairs.iter().map(|known| &known.pair));
        let mut weights = Vec::with_capacity(batch.targets.len());
        let (mut loss, mut margin, mut n_right, mut sums) = (0.0, 0.0, 0.0, [0.0; 2]);
        for (known, log_probs) in pairs.iter().zip(log_probs) {
            let judged = self.judged(known, log_probs);
            // The loss of a token is −ln π: of the better answer it is lowered, of the worse raised.
            let weight = (self.beta * judged.slope()) as f32;
            weights.resize(weights.len() + known.pair.chosen.ids.len() - 1, weight);
            weights.resize(weights.len() + known.pair.rejected.ids.len() - 1, -weight);
            loss += judged.loss();
            margin += judged.margin;
            n_right += f64::from(u8::from(judged.margin > 0.0));
            (0..2).for_each(|side| sums[side] += judged.log_probs[side]);
        }
        let weighted = MicroBatch { weights: Some(weights), ..batch.clone() };
        learner.add_gradients(kernels, &weighted, scale);
        let others = [
            ("margin", margin),
            ("accuracy", n_right),
            ("chosen_log_prob", sums[0]),
            ("rejected_log_prob", sums[1]),
        ];
        let others: BTreeMap<&'static str, f64> =
            others.into_iter().map(|(name, sum)| (name, scale * sum)).collect();
        Scalars { loss_nats: scale * loss, others }
    }

    fn cursor(&self) -> Value {
        self.shuffled.cursor()
    }

    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        self.shuffled.seek(cursor)
    }

    /// The mean loss of the held-out pairs; it is no loss of text, so that its bits per byte are 0.
    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, _: bool) -> Result<Validation, TrainError> {
        let losses: Vec<f64> = self
            .held_out
            .chunks(self.settings.micro_batch_rows)
            .flat_map(|known| {
                let pairs = || known.iter().map(|known| &known.pair);
                let log_probs = log_probs(gpt, kernels, &packed(pairs(), &[]), pairs());
                known
                    .iter()
                    .zip(log_probs)
                    .map(|(known, log_probs)| self.judged(known, log_probs).loss())
                    .collect::<Vec<_>>()
            })
            .collect();
        Ok(crate::validation(&losses))
    }
}
