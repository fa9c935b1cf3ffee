//! The sizes of a model that is measured without having been trained.

use model::scaling::ModelOverrides;

/// Sizes of a model of random weights.
#[derive(Debug, clap::Args)]
pub(super) struct Shape {
    #[arg(long, value_name = "N", default_value_t = 6)]
    n_layers: usize,
    #[arg(long, value_name = "N", default_value_t = 384)]
    d_model: usize,
    #[arg(long, value_name = "N", default_value_t = 6)]
    n_heads: usize,
    #[arg(long, value_name = "N", default_value_t = 6)]
    n_kv_heads: usize,
    #[arg(long, value_name = "N", default_value_t = 1024)]
    d_ff: usize,
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub(super) vocab_size: usize,
}

impl Shape {
    pub(super) fn overrides(&self) -> ModelOverrides {
        ModelOverrides {
            n_layers: Some(self.n_layers),
            d_model: Some(self.d_model),
            n_heads: Some(self.n_heads),
            n_kv_heads: Some(self.n_kv_heads),
            d_ff: Some(self.d_ff),
            qk_norm: Some(false), // as the peers have it
            ..ModelOverrides::default()
        }
    }
}

/// For `mut_args`: other defaults, of about the 124M parameters of GPT-2 small where the head is tied.
pub(super) fn as_gpt2_small(arg: clap::Arg) -> clap::Arg {
    match arg.get_id().as_str() {
        "n_layers" | "n_heads" | "n_kv_heads" => arg.default_value("12"),
        "d_model" => arg.default_value("768"),
        "d_ff" => arg.default_value("2048"), // gated: three matrices as large as GPT-2's two
        "vocab_size" => arg.default_value("50257"),
        _ => arg,
    }
}
