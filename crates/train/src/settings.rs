//! What training settings mean, and their ranges; the list of them is in `settings_list`.

use model::{ModelConfig, scaling::LearningRates};
use serde::{Deserialize, Serialize};
use tensor::{DType, kernel::AdamW};

use crate::{Schedule, TrainError, TrainSettings};

/// Which optimizer trains the matrices; embedding, head and gains have AdamW either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Orthogonalised momentum, <https://kellerjordan.github.io/posts/muon/>.
    #[default]
    Muon,
    /// <https://arxiv.org/abs/1711.05101>.
    AdamW,
}

/// What activations are held in and products multiply in. Weights, moments, the residual stream, norms, softmaxes,
/// losses and every sum are f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// The upper half of an f32; twice as fast on processors that multiply pairs of it.
    Bf16,
}

impl From<Precision> for DType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl TrainSettings {
    /// Tokens of one optimizer step.
    pub fn batch_tokens(&self) -> u64 {
        (self.batch_rows * self.seq_len) as u64
    }

    /// The learning rate over time.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            steps: self.steps,
            warmup_steps: self.warmup_steps,
            decay_steps: self.decay_steps,
            final_fraction: self.final_lr_fraction,
        }
    }

    /// AdamW at the given step and rate.
    pub(crate) fn adamw(&self, lr: f64, weight_decay: f64, step: u64) -> AdamW {
        let Self { beta1, beta2, adam_eps: eps, .. } = *self;
        AdamW { lr, beta1, beta2, eps, weight_decay, step }
    }

    /// Checks every range, and that the model can read the rows.
    ///
    /// # Errors
    /// Names the first setting outside its range.
    pub fn validate(&self, config: &ModelConfig) -> Result<(), TrainError> {
        let check = |name, is_valid: bool, expected, found: &dyn std::fmt::Display| {
            if is_valid {
                Ok(())
            } else {
                Err(TrainError::Setting { name, expected, found: found.to_string() })
            }
        };
        let at_least_1: [(&'static str, u64); 7] = [
            ("steps", self.steps),
            ("batch_rows", self.batch_rows as u64),
            ("micro_batch_rows", self.micro_batch_rows as u64),
            ("seq_len", self.seq_len as u64),
            ("eval_every_steps", self.eval_every_steps),
            ("checkpoint_every_steps", self.checkpoint_every_steps),
            ("keep_checkpoints", self.keep_checkpoints as u64),
        ];
        for (name, value) in at_least_1 {
            check(name, value > 0, "at least 1", &value)?;
        }
        // Everything that counts tokens does so in 64 bits.
        let batch_tokens = (self.batch_rows as u64).checked_mul(self.seq_len as u64);
        let tokens = batch_tokens.and_then(|tokens| tokens.checked_mul(self.steps));
        let can_count = tokens.is_some_and(|tokens| tokens < 1 << 62);
        check("steps", can_count, "few enough for at most 2^62 tokens in all", &self.steps)?;
        check(
            "seq_len",
            self.seq_len <= config.max_seq_len,
            "at most the model's `max_seq_len`",
            &self.seq_len,
        )?;
        let LearningRates { matrix, embedding, head, gain } = self.learning_rates;
        let positive = [
            ("learning_rates.matrix", matrix),
            ("learning_rates.embedding", embedding),
            ("learning_rates.head", head),
            ("learning_rates.gain", gain),
            ("adam_eps", self.adam_eps),
            ("max_grad_norm", self.max_grad_norm),
        ];
        for (name, value) in positive {
            // Below the smallest normal f32 it would vanish in the kernels.
            let is_valid = value >= f64::from(f32::MIN_POSITIVE) && value.is_finite();
            check(name, is_valid, "positive", &value)?;
        }
        let fractions = [("beta1", self.beta1), ("beta2", self.beta2), ("muon_momentum", self.muon_momentum)];
        for (name, value) in fractions {
            check(name, (0.0..1.0).contains(&value), "at least 0 and below 1", &value)?;
        }
        for (name, value) in
            [("weight_decay", self.weight_decay), ("embedding_weight_decay", self.embedding_weight_decay)]
        {
            check(name, value >= 0.0 && value.is_finite(), "0 or more", &value)?;
        }
        let fraction = self.final_lr_fraction;
        check("final_lr_fraction", (0.0..=1.0).contains(&fraction), "from 0 to 1", &fraction)?;
        let minutes = self.checkpoint_every_minutes.unwrap_or(1.0);
        check("checkpoint_every_minutes", minutes > 0.0 && minutes.is_finite(), "positive", &minutes)?;
        let ramps = self.warmup_steps.saturating_add(self.decay_steps);
        check("warmup_steps", ramps <= self.steps, "at most `steps`, together with `decay_steps`", &ramps)
    }
}
