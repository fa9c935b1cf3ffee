//! Models that are small enough to be trained in a test.

use model::{Gpt, ModelConfig, ParamSpec, scaling::ModelOverrides};
use tensor::{DType, Tensor};
use train::{OptimizerKind, TrainOverrides, TrainSettings};

pub(crate) fn config(vocab_size: usize, max_seq_len: usize, n_layers: usize) -> ModelConfig {
    ModelConfig {
        vocab_size,
        max_seq_len,
        n_layers,
        d_model: 16,
        n_heads: 2,
        n_kv_heads: 2,
        d_head: 8,
        d_ff: 32,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        qk_norm: false,
        qkv_bias: false,
        rope_scaling: None,
        tie_embeddings: false,
        vision: None,
    }
}

/// A model in which every weight matters: fresh ones write zeros to the residual stream.
pub(crate) fn scattered(config: &ModelConfig, scale: f64) -> Gpt {
    let param = |spec: ParamSpec| match spec.shape.len() {
        1 => spec.init(DType::F32, 1),
        _ => Tensor::normal(&spec.shape, scale, DType::F32, &mut base::Rng::named(3, &spec.name)),
    };
    Gpt::from_params(config.clone(), config.params().map(param))
}

/// AdamW at one rate for all, with what `change` changes.
pub(crate) fn settings(
    config: &ModelConfig,
    seed: u64,
    rate: f64,
    change: impl FnOnce(&mut TrainOverrides),
) -> TrainSettings {
    let mut train = TrainOverrides { optimizer: Some(OptimizerKind::AdamW), ..TrainOverrides::default() };
    let rates = &mut train.learning_rates;
    for open in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
        *open = Some(rate);
    }
    change(&mut train);
    train::plan(None, config.vocab_size, &ModelOverrides::fixed(config), &train, seed).unwrap().1
}
