//! Low-rank adapters and further heads, added to a tree of parameters.

use serde::{Deserialize, Serialize};

use super::{Adapter, Linear, LinearName, ParamSpec, Params, Role};

/// Which linear maps get a low-rank correction, and of what rank.
///
/// `W` becomes `W + (alpha/rank)·b·a` with `a [rank, K]` and `b [N, rank]`. `a` begins at random with standard deviation
/// `1/√K`, `b` at 0, so that the model begins as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rank of the correction.
    pub rank: usize,
    /// The correction is multiplied by `alpha/rank`.
    pub alpha: f64,
    /// In every block.
    pub on: Vec<LinearName>,
}

impl AdapterConfig {
    /// What a correction is multiplied by.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl Params<ParamSpec> {
    /// Adds adapters, and freezes everything else.
    ///
    /// # Panics
    /// If the rank is 0, or a linear map has an adapter already.
    #[track_caller]
    pub fn add_adapters(&mut self, config: &AdapterConfig) {
        assert!(config.rank > 0, "an adapter of rank 0");
        self.iter_mut().for_each(|spec| spec.is_trained = false);
        for block in &mut self.blocks {
            for (name, linear) in block.linears_mut() {
                if config.on.contains(&name) {
                    assert!(linear.adapter.is_none(), "`{}` has an adapter already", linear.weight.name);
                    linear.adapter = Some(adapter(linear, config.rank));
                }
            }
        }
    }

    /// Adds a head of `n` outputs without a bias, beginning at 0, of the given name, such as `value_head.weight`; returns its
    /// place among the [`Params::heads`].
    pub fn add_head(&mut self, name: &str, n: usize) -> usize {
        let c = self.norm.shape[0];
        self.heads.push(Linear::new(ParamSpec::new(name, &[n, c], Role::Head, 0.0)));
        self.heads.len() - 1
    }
}

fn adapter(linear: &Linear<ParamSpec>, rank: usize) -> Adapter<ParamSpec> {
    let (n, k) = (linear.weight.shape[0], linear.weight.shape[1]);
    let name = linear.weight.name.trim_end_matches(".weight");
    let spec = |factor: &str, shape: [usize; 2], std: f64| {
        ParamSpec::new(format!("{name}.{factor}.weight"), &shape, Role::Adapter, std)
    };
    // Names as the library `peft` has them.
    Adapter { a: spec("lora_A", [rank, k], (k as f64).sqrt().recip()), b: spec("lora_B", [n, rank], 0.0) }
}
