//! Models and tokens to try, and comparison to the bit.

use base::Rng;
use model::{Gpt, ModelConfig, Params, RopeScaling, Tokens};
use tensor::{Cpu, DType, Kernels, Tensor};

/// Every size differs and none is a multiple of 16; three query heads share a key/value head.
fn odd() -> ModelConfig {
    ModelConfig {
        vocab_size: 101,
        max_seq_len: 57,
        n_layers: 3,
        d_model: 42,
        n_heads: 6,
        n_kv_heads: 2,
        d_head: 10,
        d_ff: 53,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        qk_norm: true,
        qkv_bias: false,
        rope_scaling: None,
        tie_embeddings: false,
        vision: None,
    }
}

/// Sizes that fill registers and tiles.
fn even() -> ModelConfig {
    ModelConfig {
        vocab_size: 256,
        max_seq_len: 70,
        n_layers: 2,
        d_model: 64,
        n_heads: 2,
        n_kv_heads: 2,
        d_head: 32,
        d_ff: 192,
        ..odd()
    }
}

/// Of the 16 waves of a head of 32 some are slow, some quick and some between.
const STRETCHED: RopeScaling =
    RopeScaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_seq_len: 64 };

/// Both shapes, with and without QK-norm, biases and stretched frequencies, tied and untied, each in f32 and in bf16.
pub(crate) fn models() -> Vec<Gpt> {
    let f32 = models_in_f32();
    f32.iter().cloned().chain(f32.iter().map(|gpt| gpt.clone().with_dtype(DType::Bf16))).collect()
}

/// The same in f32 alone.
pub(crate) fn models_in_f32() -> Vec<Gpt> {
    let switch =
        |config: ModelConfig, qk_norm, tie_embeddings| ModelConfig { qk_norm, tie_embeddings, ..config };
    [
        switch(odd(), true, false),
        switch(odd(), false, true),
        ModelConfig { n_kv_heads: 1, ..switch(odd(), true, true) },
        switch(even(), true, false),
        switch(even(), false, false),
        ModelConfig { qkv_bias: true, ..switch(odd(), false, true) },
        ModelConfig { rope_scaling: Some(STRETCHED), ..switch(even(), false, true) },
    ]
    .map(scattered)
    .into()
}

/// A model in which every weight matters: fresh ones write zeros to the residual stream.
pub(crate) fn scattered(config: ModelConfig) -> Gpt {
    let params = config.params().map(|spec| {
        let mut rng = Rng::named(11, &spec.name);
        if let [n] = spec.shape[..] {
            let gains = (0..n).map(|_| 1.0 + 0.2 * rng.normal() as f32).collect();
            return Tensor::from_f32(&spec.shape, gains);
        }
        let std = 1.5 / (spec.shape[1] as f64).sqrt();
        Tensor::normal(&spec.shape, std, DType::F32, &mut rng)
    });
    Gpt::from_params(config, params)
}

/// A random text that the model can read.
pub(crate) fn text(gpt: &Gpt, len: usize, stream: u64) -> Vec<u32> {
    let mut rng = Rng::new(5, stream);
    (0..len).map(|_| rng.below(gpt.config().vocab_size as u64) as u32).collect()
}

/// Texts one after another.
pub(crate) fn packed(texts: &[&[u32]]) -> Tokens {
    Tokens::packed(texts.concat(), texts.iter().map(|text| text.len()))
}

/// Logits of every row, `[R, V]`.
pub(crate) fn logits(gpt: &Gpt, kernels: &dyn Kernels, tokens: &Tokens) -> Vec<f32> {
    let rows: Vec<usize> = (0..tokens.len()).collect();
    gpt.logits(kernels, tokens, &rows, None).f32().to_vec()
}

/// Logits of a text alone.
pub(crate) fn logits_alone(gpt: &Gpt, text: &[u32]) -> Vec<f32> {
    logits(gpt, &Cpu::new(1), &packed(&[text]))
}

/// Each token's loss, and the gradients of `scale` times their sum.
pub(crate) fn losses_and_gradients(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokens: &Tokens,
    targets: &[u32],
    scale: f64,
) -> (Vec<f32>, Params<Tensor>) {
    let mut grads = gpt.no_gradients();
    let losses = add_gradients(gpt, kernels, tokens, targets, scale, &mut grads);
    (losses, grads)
}

/// The same, added to what is there.
pub(crate) fn add_gradients(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokens: &Tokens,
    targets: &[u32],
    scale: f64,
    grads: &mut Params<Tensor>,
) -> Vec<f32> {
    gpt.add_gradients(kernels, tokens, targets, scale, None, grads).f32().to_vec()
}

/// Equal to the last bit; −0 and 0 differ.
#[track_caller]
pub(crate) fn check_same_bits(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    if let Some(i) = (0..got.len()).find(|&i| got[i].to_bits() != want[i].to_bits()) {
        let n = (0..got.len()).filter(|&i| got[i].to_bits() != want[i].to_bits()).count();
        panic!("{what}: {n} of {} differ, first [{i}]: {:e}, want {:e}", got.len(), got[i], want[i]);
    }
    assert!(got.iter().all(|x| x.is_finite()), "{what}: not finite");
}
