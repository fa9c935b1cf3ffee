//! A reward model from preferences.

use std::collections::BTreeMap;

use base::hash::Xxh3;
use model::{Gpt, Outputs, Wanted, checkpoint::SCORE};
use serde_json::Value;
use tensor::{IGNORE_TARGET, Kernels, Tensor};
use train::{
    Batch, Learner, MicroBatch, Objective, Scalars, Shuffled, TrainError, TrainSettings, Validation,
};

use super::{
    answered,
    model::{packed, scores},
};
use crate::{PairExample, pair_batch};

/// `−ln σ(r⁺ − r⁻)` of each pair (Bradley and Terry 1952), where r is the output of the head named [`SCORE`] at the token that ends
/// an answer; a batch is the mean over its pairs.
pub struct BradleyTerry {
    pairs: Vec<PairExample>,
    held_out: Vec<PairExample>,
    settings: TrainSettings,
    fingerprint: String,
    shuffled: Shuffled,
}

/// `−ln σ(m)`, without overflow.
fn loss(margin: f64) -> f64 {
    (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
}

impl BradleyTerry {
    /// At the first pair.
    ///
    /// # Errors
    /// If one of the sides has no pair.
    pub fn new(
        pairs: Vec<PairExample>,
        held_out: Vec<PairExample>,
        settings: &TrainSettings,
    ) -> Result<Self, TrainError> {
        let mut hash = Xxh3::new();
        hash.update(&settings.seed.to_le_bytes());
        for (side, pairs) in [("training", &pairs), ("held-out", &held_out)] {
            if pairs.is_empty() {
                let problem = "is missing: there is none".into();
                return Err(TrainError::Example { side, index: 0, problem });
            }
            for text in pairs.iter().flat_map(|pair| [&pair.chosen, &pair.rejected]).map(answered) {
                hash.update(&(text.len() as u64).to_le_bytes());
                text.iter().for_each(|id| hash.update(&id.to_le_bytes()));
            }
        }
        let shuffled = Shuffled::new(pairs.len(), settings.seed);
        let fingerprint = base::hash::hex(hash.digest128());
        Ok(Self { pairs, held_out, settings: settings.clone(), fingerprint, shuffled })
    }

    /// The pairs that it learns from.
    pub fn pairs(&self) -> &[PairExample] {
        &self.pairs
    }

    /// The pairs that it does not learn from.
    pub fn held_out(&self) -> &[PairExample] {
        &self.held_out
    }
}

/// Both answers of pairs, the better first.
fn texts<'a>(pairs: impl IntoIterator<Item = &'a PairExample>) -> Vec<&'a [u32]> {
    pairs.into_iter().flat_map(|pair| [answered(&pair.chosen), answered(&pair.rejected)]).collect()
}

/// The head that scores.
fn head(gpt: &Gpt) -> usize {
    gpt.head_named(SCORE).expect("a reward model is trained with a head that scores")
}

impl Objective for BradleyTerry {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn next(&mut self) -> Batch {
        let Self { pairs, settings, shuffled, .. } = self;
        pair_batch::next(shuffled, settings, |examples| {
            let tokens = packed(&texts(examples.iter().map(|i| &pairs[*i])));
            let targets = vec![IGNORE_TARGET; tokens.len()];
            MicroBatch { examples: examples.to_vec(), ..MicroBatch::new(tokens, targets) }
        })
    }

    fn add_gradients(
        &mut self,
        learner: &mut Learner,
        kernels: &dyn Kernels,
        batch: &MicroBatch,
        scale: f64,
    ) -> Scalars {
        let rows = batch.tokens.last_rows();
        let (gpt, grads) = learner.parts_mut();
        let wanted = Wanted { rows: &rows, logits: false, head: Some(head(gpt)) };
        gpt.add_output_gradients(kernels, &batch.tokens, wanted, grads, |outputs| {
            let scores = outputs.head.as_ref().expect("a head was asked for").f32();
            let mut sums =
                [("margin", 0.0), ("accuracy", 0.0), ("chosen_score", 0.0), ("rejected_score", 0.0)];
            let (mut total, mut slopes) = (0.0, Vec::with_capacity(scores.len()));
            for pair in scores.chunks_exact(2) {
                let [better, worse] = [f64::from(pair[0]), f64::from(pair[1])];
                let margin = better - worse;
                total += loss(margin);
                let slope = scale / (1.0 + margin.exp());
                slopes.extend([-slope as f32, slope as f32]);
                let values = [margin, f64::from(u8::from(margin > 0.0)), better, worse];
                sums.iter_mut().zip(values).for_each(|((_, sum), value)| *sum += value);
            }
            let others: BTreeMap<&'static str, f64> =
                sums.into_iter().map(|(name, sum)| (name, scale * sum)).collect();
            let dy = Tensor::from_f32(&[slopes.len(), 1], slopes);
            (Outputs { logits: None, head: Some(dy) }, Scalars { loss_nats: scale * total, others })
        })
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
            .flat_map(|pairs| scores(gpt, head(gpt), kernels, &texts(pairs)))
            .collect::<Vec<f64>>()
            .chunks_exact(2)
            .map(|pair| loss(pair[0] - pair[1]))
            .collect();
        Ok(crate::validation(&losses))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loss_does_not_overflow() {
        assert!((super::loss(0.0) - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(super::loss(-1000.0), 1000.0);
        assert_eq!(super::loss(1000.0), 0.0);
    }
}
