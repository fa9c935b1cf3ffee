//! Reports parameters that no longer change.

use model::Gpt;

/// Values of each parameter that are looked at.
const N_LOOKED_AT: usize = 64;
/// Parameters that every token reaches. A row of the embedding that no batch holds stays as it is by right.
const OF_A_LAYER: &str = "layers.";

/// Looks at a few values of every layer's parameters; reports, and changes nothing.
///
/// A layer whose gradient is cut off, or whose weights are put back, costs a loss of one or two per cent, which hides
/// among the ways that healthy runs differ in. That its weights stand still hides nowhere.
#[derive(Clone, Debug, Default)]
pub struct StillnessDetector {
    /// Of each parameter, the values when it last changed and the steps since.
    seen: Vec<(Vec<u32>, u64)>,
}

impl StillnessDetector {
    /// Steps after which a parameter that has not changed is reported.
    pub const PATIENCE: u64 = 20;

    /// Takes in the parameters after a step; returns the names of those that have stood still for [`Self::PATIENCE`] steps, once each.
    pub fn push(&mut self, gpt: &Gpt) -> Vec<String> {
        let specs = gpt.config().params();
        self.seen.resize_with(specs.len(), Default::default);
        let mut still = Vec::new();
        for ((spec, param), (seen, n_steps)) in specs.iter().zip(gpt.params()).zip(&mut self.seen) {
            if !spec.name.contains(OF_A_LAYER) {
                continue;
            }
            let values = param.f32();
            let stride = values.len().div_ceil(N_LOOKED_AT).max(1);
            let now: Vec<u32> = values.iter().step_by(stride).map(|x| x.to_bits()).collect();
            if now != *seen {
                (*seen, *n_steps) = (now, 0);
                continue;
            }
            *n_steps += 1;
            if *n_steps == Self::PATIENCE {
                still.push(spec.name.clone());
            }
        }
        still
    }
}
