//! What is added to a model: adapters, further heads; and which of its parameters are trained.

use std::collections::HashMap;

use tensor::{DType, Tensor};

use super::Gpt;
use crate::{Adapter, AdapterConfig, Linear, ModelConfig, ParamSpec, Params, VisionConfig};

impl Gpt {
    /// The model with low-rank adapters, and everything else frozen. It begins as it was.
    ///
    /// # Panics
    /// If the rank is 0, or an adapter is there already.
    #[track_caller]
    pub fn with_adapters(mut self, adapters: &AdapterConfig, seed: u64) -> Self {
        let mut specs = self.specs.clone();
        specs.add_adapters(adapters);
        self.adapter_scale = adapters.scale();
        self.extended(specs, seed)
    }

    /// The model with one head more, of `n` outputs and without a bias, beginning at 0; see [`Params::add_head`].
    pub fn with_head(self, name: &str, n: usize) -> Self {
        let mut specs = self.specs.clone();
        specs.add_head(name, n);
        self.extended(specs, 0)
    }

    /// The head of the given name among [`Params::heads`].
    pub fn head_named(&self, name: &str) -> Option<usize> {
        self.specs.heads.iter().position(|head| head.weight.name == name)
    }

    /// A model of zeros with what `add` adds to the config's own parameters, to be filled in.
    pub(crate) fn from_specs(config: ModelConfig, add: impl FnOnce(&mut Params<ParamSpec>)) -> Self {
        let zeros = config.params().map(|spec| Tensor::zeros(&spec.shape, DType::F32));
        let gpt = Self::from_params(config, zeros);
        let mut specs = gpt.specs.clone();
        add(&mut specs);
        gpt.extended(specs, 0)
    }

    /// The same model with other weights.
    ///
    /// # Panics
    /// If a shape is another.
    #[track_caller]
    pub(crate) fn with_params(mut self, params: Params<Tensor>) -> Self {
        for (spec, param) in self.specs.iter().zip(&params) {
            assert!(spec.shape == param.shape(), "{}: {:?}, want {:?}", spec.name, param.shape(), spec.shape);
        }
        self.unpack();
        self.params = params;
        self
    }

    /// The model with the parameters of `specs`: its own where it has them, new ones where not.
    fn extended(mut self, specs: Params<ParamSpec>, seed: u64) -> Self {
        let names = self.specs.into_iter().map(|spec| spec.name);
        let mut own: HashMap<String, Tensor> = names.zip(self.params).collect();
        let param = |spec: &ParamSpec| own.remove(&spec.name).unwrap_or_else(|| spec.init(DType::F32, seed));
        self.params = specs.as_ref().map(param);
        self.packed = specs.as_ref().map(|_| None);
        self.specs = specs;
        self
    }

    /// Trains the parameters for which `is_trained` is true, and freezes the others.
    pub fn train_only(&mut self, is_trained: impl Fn(&ParamSpec) -> bool) {
        self.specs.iter_mut().for_each(|spec| spec.is_trained = is_trained(spec));
    }

    /// Multiplies the learning rate of each parameter.
    pub fn set_rates(&mut self, rate: impl Fn(&ParamSpec) -> f64) {
        self.specs.iter_mut().for_each(|spec| spec.rate = rate(spec));
    }

    /// The model with eyes, which begin at random, in front of what it was.
    ///
    /// # Panics
    /// If it has eyes, or something was added to it.
    #[track_caller]
    pub fn with_eyes(self, vision: VisionConfig, seed: u64) -> Self {
        assert!(self.config.vision.is_none(), "a model has one pair of eyes");
        let config = ModelConfig { vision: Some(vision), ..self.config };
        let prefix = VisionConfig::TEXT_PREFIX;
        let mut own: HashMap<String, Tensor> =
            self.specs.into_iter().map(|spec| format!("{prefix}{}", spec.name)).zip(self.params).collect();
        let param = |spec: ParamSpec| own.remove(&spec.name).unwrap_or_else(|| spec.init(DType::F32, seed));
        let params = config.params().map(param);
        assert!(own.is_empty(), "eyes come before adapters and heads");
        Self::from_params(config, params).with_dtype(self.dtype).with_recomputation(self.recomputes)
    }

    /// The model with its adapters added to the weights that they correct, and without further heads: one of its config alone.
    ///
    /// Its logits are those of the adapted model up to rounding.
    pub fn merged(&self) -> Self {
        let mut params = self.params.clone();
        params.heads.clear();
        for block in &mut params.blocks {
            for (_, linear) in block.linears_mut() {
                if let Some(adapter) = linear.adapter.take() {
                    merge(linear, &adapter, self.adapter_scale);
                }
            }
        }
        let merged = Self::from_params(self.config.clone(), params).with_dtype(self.dtype);
        merged.with_recomputation(self.recomputes)
    }
}

/// `weight += scale·b·a`, the sum over the rank in f64.
fn merge(linear: &mut Linear<Tensor>, adapter: &Adapter<Tensor>, scale: f64) {
    let (rank, k) = (adapter.a.shape()[0], adapter.a.shape()[1]);
    let (a, b) = (adapter.a.f32(), adapter.b.f32());
    for (row, b) in linear.weight.f32_mut().chunks_exact_mut(k).zip(b.chunks_exact(rank)) {
        for (i, weight) in row.iter_mut().enumerate() {
            let sum: f64 = b.iter().enumerate().map(|(r, b)| f64::from(*b) * f64::from(a[r * k + i])).sum();
            *weight = (f64::from(*weight) + scale * sum) as f32;
        }
    }
}
