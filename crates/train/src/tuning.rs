//! Which parameters of a model are trained, and what is added to it.

use std::collections::BTreeMap;

use model::{AdapterConfig, Gpt, ParamSpec};
use serde::{Deserialize, Serialize};
use tensor::Tensor;

use crate::TrainError;

/// What of a model is trained, beside or instead of all its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Low-rank adapters; everything else is frozen then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<AdapterConfig>,
    /// Parameters whose names contain one of these are frozen, such as `embed_tokens` or `layers.0.`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// What learning rates are multiplied by, for parameters whose names contain the key, such as `vision_tower`; of several
    /// keys in a name all count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, f64>,
    /// Further heads: names such as `value_head.weight`, with their numbers of outputs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub heads: BTreeMap<String, usize>,
}

impl Tuning {
    /// The model as it is trained. What is added begins from `seed`.
    ///
    /// # Errors
    /// If the rank of the adapters is 0, or nothing is left to train.
    pub(crate) fn apply(&self, mut gpt: Gpt, seed: u64) -> Result<Gpt, TrainError> {
        if let Some(adapters) = &self.adapters {
            if adapters.rank == 0 {
                let (expected, found) = ("at least 1", "0".into());
                return Err(TrainError::Setting { name: "adapters.rank", expected, found });
            }
            gpt = gpt.with_adapters(adapters, seed);
        }
        for (name, n) in &self.heads {
            gpt = gpt.with_head(name, *n);
        }
        if !self.frozen.is_empty() {
            let is_frozen = |spec: &ParamSpec| self.frozen.iter().any(|part| spec.name.contains(part));
            gpt.train_only(|spec| spec.is_trained && !is_frozen(spec));
        }
        if let Some((part, rate)) = self.rates.iter().find(|(_, rate)| !(rate.is_finite() && **rate > 0.0)) {
            let found = format!("{rate} for `{part}`");
            return Err(TrainError::Setting { name: "tuning.rates", expected: "positive", found });
        }
        gpt.set_rates(|spec| {
            let of_name = self.rates.iter().filter(|(part, _)| spec.name.contains(*part));
            of_name.map(|(_, rate)| rate).product()
        });
        if !gpt.specs().iter().any(|spec| spec.is_trained) {
            let (expected, found) = ("some of the parameters", "all of them".into());
            return Err(TrainError::Setting { name: "frozen", expected, found });
        }
        Ok(gpt)
    }
}

/// Parameters that the model's own checkpoint does not hold.
pub(crate) fn added(gpt: &Gpt) -> impl Iterator<Item = (String, &Tensor)> {
    let own: Vec<String> = gpt.config().params().into_iter().map(|spec| spec.name).collect();
    let named = gpt.specs().iter().map(|spec| spec.name.clone()).zip(gpt.params());
    named.filter(move |(name, _)| !own.contains(name))
}

/// Fills them in; `None` if one is missing or has another shape.
pub(crate) fn fill_added(gpt: &mut Gpt, mut from: BTreeMap<String, Tensor>) -> Option<()> {
    let names: Vec<String> = added(gpt).map(|(name, _)| name).collect();
    let specs: Vec<String> = gpt.specs().iter().map(|spec| spec.name.clone()).collect();
    for (name, param) in specs.iter().zip(gpt.params_mut()) {
        if names.contains(name) {
            *param = from.remove(name).filter(|found| found.shape() == param.shape())?;
        }
    }
    Some(())
}
