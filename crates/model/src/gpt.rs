//! The decoder: the one forward pass that training, evaluation and generation share.

mod added;
mod outputs;
mod pixels;

use tensor::{AttentionShape, CrossEntropy, DType, Kernels, Tape, Tensor, Var, kernel::Packed};

use crate::{
    Adapter, Block, KvCache, Linear, ModelConfig, ParamSpec, Params, Tokens, VisionConfig,
    input::{Pixels, Places},
};

pub use outputs::{Outputs, Wanted};

/// A decoder with its weights.
#[derive(Clone, Debug)]
pub struct Gpt {
    config: ModelConfig,
    /// Those of the config, and what was added to them.
    specs: Params<ParamSpec>,
    params: Params<Tensor>,
    /// Copies in the kernels' order, where [`Gpt::pack`] made them; `params` alone is the truth.
    packed: Params<Option<Packed>>,
    /// What the corrections of adapters are multiplied by.
    adapter_scale: f64,
    /// What activations are held in and products multiply in.
    dtype: DType,
    recomputes: bool,
    /// `[max_seq_len, D/2]`.
    cos: Tensor,
    sin: Tensor,
}

impl Gpt {
    /// A fresh model computing in f32. The same seed gives the same weights on every machine.
    pub fn new(config: ModelConfig, seed: u64) -> Self {
        let params = config.params().map(|spec| spec.init(DType::F32, seed));
        Self::from_params(config, params)
    }

    /// A model of given weights.
    ///
    /// # Panics
    /// If a shape is not the config's.
    #[track_caller]
    pub fn from_params(config: ModelConfig, params: Params<Tensor>) -> Self {
        let specs = config.params();
        let (n, n_given) = (specs.iter().len(), params.iter().len());
        assert!(n == n_given, "{n_given} parameters, want {n}");
        for (spec, param) in specs.iter().zip(&params) {
            assert!(spec.shape == param.shape(), "{}: {:?}, want {:?}", spec.name, param.shape(), spec.shape);
        }
        let dtype = params.embedding.dtype();
        let (cos, sin) = rope_tables(&config, dtype);
        let packed = specs.as_ref().map(|_| None);
        Self { config, specs, params, packed, adapter_scale: 1.0, dtype, recomputes: false, cos, sin }
    }

    /// The same model computing in `dtype`: bf16 for activations and products, or f32 throughout. Weights, the
    /// residual stream, norms, softmaxes and losses stay f32.
    pub fn with_dtype(mut self, dtype: DType) -> Self {
        self.unpack();
        self.dtype = dtype;
        self
    }

    /// What activations are held in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// With `true`, training keeps only the input of each block and computes the rest again in the backward: less
    /// memory for a third more work. The gradients stay the same bits.
    pub fn with_recomputation(mut self, recomputes: bool) -> Self {
        self.recomputes = recomputes;
        self
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What each weight is: those of the config, and what was added to them.
    pub fn specs(&self) -> &Params<ParamSpec> {
        &self.specs
    }

    /// The weights.
    pub fn params(&self) -> &Params<Tensor> {
        &self.params
    }

    /// The weights, to be changed. Copies that [`Gpt::pack`] made are dropped.
    pub fn params_mut(&mut self) -> &mut Params<Tensor> {
        self.unpack();
        &mut self.params
    }

    fn unpack(&mut self) {
        self.packed.iter_mut().for_each(|packed| *packed = None);
    }

    /// Gradients to which nothing was added yet.
    pub fn no_gradients(&self) -> Params<Tensor> {
        self.specs.as_ref().map(|_| Tensor::zeros(&[0], DType::F32))
    }

    /// Keeps a copy of every matrix in the order in which the kernels read it: decoding gets fast, results stay the
    /// same. Memory for matrices doubles, unless they lie in a mapped file, from which they are read again where needed.
    pub fn pack(&mut self, kernels: &dyn Kernels) {
        for (packed, param) in self.packed.iter_mut().zip(&self.params) {
            if let &[n, k] = param.shape() {
                *packed = kernels.pack(param.slice(), n, k, self.dtype);
                if packed.is_some() {
                    param.release();
                }
            }
        }
    }

    /// Final hidden vectors, normed: `[R, C]`, with the parameters on the tape.
    ///
    /// With a cache, new keys and values are stored in the pages that `tokens` names and every query sees all of its
    /// sequence. A token's vector has the same bits with or without a cache, alone or in any batch.
    ///
    /// # Panics
    /// If an id is not below the vocabulary, a position not below `max_seq_len`, or a cache comes with a tape
    /// that records.
    #[track_caller]
    pub fn hidden<'a>(
        &'a self,
        tape: &mut Tape<'a>,
        tokens: &'a Tokens,
        cache: Option<&mut KvCache>,
    ) -> Hidden {
        self.run(tape, tokens, cache, None)
    }

    /// Each token's own loss in nats, `−ln p(target)`; 0 where the target is [`tensor::IGNORE_TARGET`].
    #[track_caller]
    pub fn losses(&self, kernels: &dyn Kernels, tokens: &Tokens, targets: &[u32]) -> Tensor {
        let mut tape = Tape::inference(kernels);
        let hidden = self.hidden(&mut tape, tokens, None);
        tape.cross_entropy(&hidden.rows, hidden.head(), targets)
    }

    /// Adds the gradients of `scale·Σ row_weights[r]·losses[r]`, of [`Gpt::losses`], to `grads`; returns those losses. Weights
    /// of rows are 1 where there are none. Divide by the sum of weights of the whole batch with `scale`.
    ///
    /// `grads` begins as [`Gpt::no_gradients`]; those of frozen parameters stay empty.
    #[track_caller]
    pub fn add_gradients(
        &self,
        kernels: &dyn Kernels,
        tokens: &Tokens,
        targets: &[u32],
        scale: f64,
        row_weights: Option<&[f32]>,
        grads: &mut Params<Tensor>,
    ) -> Tensor {
        if !self.is_trained_on(tokens) {
            return self.losses(kernels, tokens, targets);
        }
        let mut tape = Tape::recording(kernels);
        let hidden = self.hidden(&mut tape, tokens, None);
        let (x, w) = (&hidden.rows, hidden.head());
        let loss = CrossEntropy { x, w, targets, scale, row_weights };
        grads.with_slice(|grads| tape.backward_cross_entropy(&loss, Vec::new(), grads))
    }

    /// Whether a parameter that is trained has to do with these tokens: eyes have not where there is no image.
    fn is_trained_on(&self, tokens: &Tokens) -> bool {
        let meets_all = self.config.vision.is_none() || tokens.images.is_some();
        let is_met = |spec: &ParamSpec| meets_all || spec.name.starts_with(VisionConfig::TEXT_PREFIX);
        self.specs.iter().any(|spec| spec.is_trained && is_met(spec))
    }

    /// Logits of the given rows: `[rows, V]` in f32, in nats up to a constant.
    pub fn logits(
        &self,
        kernels: &dyn Kernels,
        tokens: &Tokens,
        rows: &[usize],
        cache: Option<&mut KvCache>,
    ) -> Tensor {
        let mut tape = Tape::inference(kernels);
        let hidden = self.run(&mut tape, tokens, cache, Some(rows));
        tape.linear(&hidden.rows, hidden.head(), self.params.embedding.dtype()).value().clone()
    }

    /// The forward pass; with `rows`, only those reach the final norm, since nothing after the last block mixes
    /// tokens.
    #[track_caller]
    fn run<'a>(
        &'a self,
        tape: &mut Tape<'a>,
        tokens: &'a Tokens,
        cache: Option<&mut KvCache>,
        rows: Option<&[usize]>,
    ) -> Hidden {
        let params = self.vars(tape);
        let images = tokens.images.as_ref().map(|images| match &images.pixels {
            Pixels::Patches(patches) => {
                let patches = Var::constant(patches.to_dtype(self.dtype));
                self.features(tape, &patches, &params)
            }
            Pixels::Features(features) => Var::constant(features.clone()),
        });
        self.run_with(tape, tokens, params, images, cache, rows)
    }

    /// The same with parameters on the tape and with the rows of images, where there are any.
    #[track_caller]
    fn run_with<'a>(
        &'a self,
        tape: &mut Tape<'a>,
        tokens: &'a Tokens,
        params: Params<Var>,
        image_rows: Option<Var>,
        mut cache: Option<&mut KvCache>,
        rows: Option<&[usize]>,
    ) -> Hidden {
        let config = &self.config;
        assert!(cache.is_none() || !tape.is_recording(), "gradients do not flow through a cache");
        let mut x = tape.embedding(&tokens.ids, &params.embedding);
        if let (Some(images), Some(rows)) = (&tokens.images, &image_rows) {
            x = tape.place_rows(x, rows, &images.at);
        }
        for (layer, block) in params.blocks.iter().enumerate() {
            x = if self.recomputes && tape.is_recording() {
                let leaves: Vec<Var> = block.as_ref().into_leaves().into_iter().cloned().collect();
                let shape = &self.specs.blocks[layer];
                tape.checkpoint(&x, &leaves, move |tape, x, leaves| {
                    self.block(tape, x, &shape.rebuilt(leaves), tokens, None)
                })
            } else {
                let cache = cache.as_deref_mut().map(|cache| (layer, cache));
                self.block(tape, &x, &block.as_ref(), tokens, cache)
            };
        }
        if let Some(rows) = rows {
            let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
            x = tape.embedding(&rows, &x);
        }
        let rows = tape.rmsnorm(&x, &params.norm, config.norm_eps, self.dtype);
        Hidden { rows, params }
    }

    /// One block: attention, then the feed-forward, each normed before and added to the residual stream.
    fn block<'a>(
        &'a self,
        tape: &mut Tape<'a>,
        x: &Var,
        block: &Block<&Var>,
        tokens: &'a Tokens,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Var {
        let (config, dtype) = (&self.config, self.dtype);
        let shape =
            AttentionShape { n_heads: config.n_heads, n_kv_heads: config.n_kv_heads, d_head: config.d_head };
        let mut qkv = self.normed(tape, x, block.input_norm, &[&block.q, &block.k, &block.v]);
        if let (Some(q), Some(k), Some(v)) = (block.q.bias, block.k.bias, block.v.bias) {
            qkv = tape.add_bias(qkv, &[q, k, v]);
        }
        if let Some([q_gain, k_gain]) = block.head_norms {
            qkv = tape.head_norm(&qkv, q_gain, k_gain, config.norm_eps, shape);
        }
        let qkv = tape.rope(qkv, &tokens.positions, &self.cos, &self.sin, shape);
        let mixed = match (&tokens.places, cache) {
            (Places::Rows(segments), _) => tape.attention(&qkv, segments, shape),
            (Places::Pages(segments), Some((layer, cache))) => {
                let (pages, at) = cache.layer(layer);
                tape.attention_paged(&qkv, pages, at, segments, shape)
            }
            (Places::Pages(_), None) => panic!("tokens that continue sequences come with the cache of these"),
        };
        let mut x = tape.linear_residual(&mixed, block.out.weight, x);
        if let Some(Adapter { a, b }) = block.out.adapter {
            let low = tape.linear(&mixed, a, dtype);
            let correction = tape.linear(&low, b, x.value().dtype());
            x = tape.add_columns(x, &correction, 0, self.adapter_scale);
        }
        let gate_up = self.normed(tape, &x, block.post_norm, &[&block.gate, &block.up]);
        let mut y = tape.gated_linear(&gate_up, block.down.weight, &x, config.d_ff);
        if let Some(Adapter { a, b }) = block.down.adapter {
            let none = Var::constant(Tensor::zeros(&[tokens.len(), a.value().shape()[0]], x.value().dtype()));
            let low = tape.gated_linear(&gate_up, a, &none, config.d_ff);
            let correction = tape.linear(&low, b, y.value().dtype());
            y = tape.add_columns(y, &correction, 0, self.adapter_scale);
        }
        y
    }

    /// The products of normed rows with several weights, side by side, corrected by their adapters.
    fn normed(&self, tape: &mut Tape, x: &Var, gain: &Var, linears: &[&Linear<&Var>]) -> Var {
        let (eps, dtype) = (self.config.norm_eps, self.dtype);
        let weights: Vec<&Var> = linears.iter().map(|linear| linear.weight).collect();
        let mut y = tape.norm_linear(x, gain, eps, &weights, dtype);
        let mut at = 0;
        for linear in linears {
            if let Some(Adapter { a, b }) = linear.adapter {
                let low = tape.norm_linear(x, gain, eps, &[a], dtype);
                let correction = tape.linear(&low, b, dtype);
                y = tape.add_columns(y, &correction, at, self.adapter_scale);
            }
            at += linear.weight.value().shape()[0];
        }
        y
    }

    /// The weights on a tape: frozen ones as constants, which cost no gradient.
    pub(crate) fn vars(&self, tape: &mut Tape) -> Params<Var> {
        let leaves = self.specs.iter().zip(&self.params).zip(&self.packed).enumerate();
        self.specs.rebuilt(
            leaves
                .map(|(i, ((spec, param), packed))| match tape.is_recording() && spec.is_trained {
                    true => tape.param(param, i),
                    false => Var::packed(param.clone(), packed.clone()),
                })
                .collect::<Vec<_>>(),
        )
    }
}

/// What comes out of the last block.
pub struct Hidden {
    /// Hidden vectors, normed: `[R, C]`.
    pub rows: Var,
    /// The parameters on the tape.
    pub params: Params<Var>,
}

impl Hidden {
    /// From hidden vectors to logits, `[V, C]`.
    pub fn head(&self) -> &Var {
        self.params.head.as_ref().unwrap_or(&self.params.embedding)
    }
}

/// Cosines and sines of `position·θ^(−2i/D)`, `[max_seq_len, D/2]` each.
///
/// Frequencies and angles are rounded to f32 as Hugging Face's code does: at large positions that rounding is
/// what both sides must share.
fn rope_tables(config: &ModelConfig, dtype: DType) -> (Tensor, Tensor) {
    let half = config.d_head / 2;
    let frequency: Vec<f32> = (0..half).map(|i| config.rope_frequency(i)).collect();
    let shape = [config.max_seq_len, half];
    let table = |f: fn(f64) -> f64| {
        let angles = (0..config.max_seq_len).flat_map(|p| frequency.iter().map(move |w| p as f32 * w));
        let values = angles.map(|angle| f(f64::from(angle)));
        match dtype {
            DType::F32 | DType::Bf16 => Tensor::from_f32(&shape, values.map(|x| x as f32).collect()),
            DType::F64 => Tensor::from_f64(&shape, values.collect()),
        }
    };
    (table(libm::cos), table(libm::sin))
}
