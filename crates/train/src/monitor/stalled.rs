//! Reports parameters that no longer change.

use base::hash::xxh3_64;
use model::Gpt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Monitor, StepView};
use crate::{Metric, ParamStalled};

/// Values of each parameter that are looked at.
const N_LOOKED_AT: usize = 64;
/// Parameters that every token reaches. A row of the embedding that no batch holds stays as it is by right.
const OF_A_LAYER: &str = "layers.";

/// Looks at a few values of every layer's parameters; reports, and changes nothing.
///
/// A layer whose gradient is cut off, or whose weights are put back, costs a loss of one or two per cent, which hides
/// among the ways that healthy runs differ in. That its weights stall hides nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StalledDetector {
    /// Of each parameter, a hash of its values when it last changed and the steps since.
    seen: Vec<(u64, u64)>,
}

impl StalledDetector {
    /// Steps after which a parameter that has not changed is reported.
    pub const PATIENCE: u64 = 20;

    /// Takes in the parameters after a step; returns the names of those that have stalled for [`Self::PATIENCE`] steps, once each.
    pub fn push(&mut self, gpt: &Gpt) -> Vec<String> {
        let specs = gpt.specs();
        self.seen.resize_with(specs.iter().len(), Default::default);
        let mut stalled = Vec::new();
        for ((spec, param), (seen, n_steps)) in specs.iter().zip(gpt.params()).zip(&mut self.seen) {
            if !spec.is_trained || !spec.name.contains(OF_A_LAYER) {
                continue;
            }
            let values = param.f32();
            let stride = values.len().div_ceil(N_LOOKED_AT).max(1);
            let bytes: Vec<u8> =
                values.iter().step_by(stride).flat_map(|x| x.to_bits().to_le_bytes()).collect();
            let now = xxh3_64(&bytes);
            if now != *seen {
                (*seen, *n_steps) = (now, 0);
                continue;
            }
            *n_steps += 1;
            if *n_steps == Self::PATIENCE {
                stalled.push(spec.name.clone());
            }
        }
        stalled
    }
}

/// Watches the parameters after each step.
#[derive(Default)]
pub struct StalledParams {
    detector: StalledDetector,
}

impl Monitor for StalledParams {
    fn name(&self) -> &'static str {
        "stalled"
    }

    fn step(&mut self, view: &StepView) -> Vec<Metric> {
        let step = view.step;
        let stalled = self.detector.push(view.gpt).into_iter();
        stalled.map(|param| Metric::of(&ParamStalled { step, param })).collect()
    }

    fn state(&self) -> Value {
        super::state_of(&self.detector)
    }

    fn restore(&mut self, state: &Value, _: Option<&[u8]>) {
        self.detector = super::restored(state);
    }
}

#[cfg(test)]
mod tests {
    use model::ModelConfig;

    use super::*;

    #[test]
    fn what_stands_still_is_named_once_until_it_moves() {
        let config = ModelConfig {
            vocab_size: 5,
            max_seq_len: 8,
            n_layers: 2,
            d_model: 8,
            n_heads: 1,
            n_kv_heads: 1,
            d_head: 8,
            d_ff: 16,
            rope_theta: 10_000.0,
            norm_eps: 1e-6,
            qk_norm: true,
            qkv_bias: false,
            rope_scaling: None,
            tie_embeddings: false,
            vision: None,
        };
        let n_frozen = config.params().iter().filter(|spec| spec.name.contains("layers.1.")).count();
        let mut gpt = Gpt::new(config.clone(), 1);
        let mut detector = StalledDetector::default();
        // The first look is what the others are compared with.
        for step in 0..=2 * StalledDetector::PATIENCE {
            for param in gpt.params_mut().blocks[0].as_mut().into_leaves() {
                param.f32_mut().iter_mut().for_each(|x| *x += 1.0);
            }
            let stalled = detector.push(&gpt);
            let expected = if step == StalledDetector::PATIENCE { n_frozen } else { 0 };
            assert_eq!(stalled.len(), expected, "after step {step}: {stalled:?}");
            assert!(stalled.iter().all(|name| name.contains("layers.1.")));
        }
    }
}
