//! The decoder: the one forward pass that training, evaluation and generation share.

use std::sync::Arc;

use tensor::{AttentionShape, DType, Kernels, Segment, Tape, Tensor, Var};

use crate::{KvCache, ModelConfig, cache::Append};

/// Token ids with their places: what the forward pass reads.
#[derive(Clone, Debug)]
pub struct Tokens {
    ids: Vec<u32>,
    /// Position of each token in its own sequence.
    positions: Arc<[u32]>,
    segments: Arc<[Segment]>,
    appends: Vec<Append>,
}

impl Tokens {
    /// Sequences one after another; `lens` are their lengths. None sees another.
    ///
    /// # Panics
    /// If a sequence is empty, or the lengths do not sum to the number of ids.
    #[track_caller]
    pub fn packed(ids: Vec<u32>, lens: impl IntoIterator<Item = usize>) -> Self {
        let mut positions = Vec::with_capacity(ids.len());
        let mut segments = Vec::new();
        for len in lens {
            assert!(len > 0, "sequence {} is empty", segments.len());
            segments.push(Segment::whole(positions.len(), len));
            positions.extend(0..len as u32);
        }
        assert!(positions.len() == ids.len(), "sequences of {} tokens, {} ids", positions.len(), ids.len());
        Self { ids, positions: positions.into(), segments: segments.into(), appends: Vec::new() }
    }

    /// New tokens behind what the slots of a cache hold: pairs of a slot and its new ids. Slots must differ.
    ///
    /// # Panics
    /// If a slot gets no id or would overflow; the decode loop checks that at the door.
    #[track_caller]
    pub fn continued<'a>(cache: &KvCache, news: impl IntoIterator<Item = (usize, &'a [u32])>) -> Self {
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        let (mut segments, mut appends) = (Vec::new(), Vec::new());
        for (slot, new) in news {
            let (at, row, len) = (cache.len(slot), ids.len(), new.len());
            assert!(
                at + len <= cache.capacity(),
                "slot {slot} holds {at} of {}, {len} more",
                cache.capacity()
            );
            ids.extend_from_slice(new);
            positions.extend((at..at + len).map(|p| p as u32));
            let k_start = cache.start(slot);
            segments.push(Segment { q_start: row, n_queries: len, k_start, n_keys: at + len });
            appends.push(Append { slot, at, row, len });
        }
        Self { ids, positions: positions.into(), segments: segments.into(), appends }
    }

    /// Number of tokens: R of the forward pass.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Row of the last token of each sequence.
    pub fn last_rows(&self) -> Vec<usize> {
        self.segments.iter().map(|s| s.q_start + s.n_queries - 1).collect()
    }
}

/// A decoder with its weights.
#[derive(Clone, Debug)]
pub struct Gpt {
    config: ModelConfig,
    /// In the order of [`ModelConfig::params`].
    params: Vec<Tensor>,
    /// Copies in the kernels' order, where [`Gpt::pack`] made them; `params` alone is the truth.
    packed: Vec<Option<tensor::kernel::Packed>>,
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
        let params = config.params().iter().map(|spec| spec.init(DType::F32, seed)).collect();
        Self::from_params(config, params)
    }

    /// A model of given weights, in the order of [`ModelConfig::params`].
    ///
    /// # Panics
    /// If a shape is not the config's.
    #[track_caller]
    pub fn from_params(config: ModelConfig, params: Vec<Tensor>) -> Self {
        let specs = config.params();
        assert!(specs.len() == params.len(), "{} parameters, want {}", params.len(), specs.len());
        for (spec, param) in specs.iter().zip(&params) {
            assert!(spec.shape == param.shape(), "{}: {:?}, want {:?}", spec.name, param.shape(), spec.shape);
        }
        let dtype = params.first().map_or(DType::F32, Tensor::dtype);
        let (cos, sin) = rope_tables(&config, dtype);
        let packed = vec![None; params.len()];
        Self { config, params, packed, dtype, recomputes: false, cos, sin }
    }

    /// The same model computing in `dtype`: bf16 for activations and products, or f32 throughout. Weights, the
    /// residual stream, norms, softmaxes and losses stay f32.
    pub fn with_dtype(mut self, dtype: DType) -> Self {
        self.packed.fill(None);
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

    /// The weights, in the order of [`ModelConfig::params`].
    pub fn params(&self) -> &[Tensor] {
        &self.params
    }

    /// The weights, to be changed. Copies that [`Gpt::pack`] made are dropped.
    pub fn params_mut(&mut self) -> &mut [Tensor] {
        self.packed.fill(None);
        &mut self.params
    }

    /// Keeps a copy of every matrix in the order in which the kernels read it: decoding gets fast, memory for
    /// matrices doubles, results stay the same.
    pub fn pack(&mut self, kernels: &dyn Kernels) {
        for (packed, param) in self.packed.iter_mut().zip(&self.params) {
            if let &[n, k] = param.shape() {
                *packed = kernels.pack(param.slice(), n, k, self.dtype);
            }
        }
    }

    /// Final hidden vectors, normed: `[R, C]`, and the head's weight, both on the tape.
    ///
    /// With a cache, new keys and values are stored there and every query sees its whole slot. A token's vector
    /// has the same bits with or without a cache, alone or in any batch.
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
    ) -> (Var, Var) {
        let rows: Option<&[usize]> = None;
        self.run(tape, tokens, cache, rows)
    }

    /// Each token's own loss in nats, `−ln p(target)`; 0 where the target is [`tensor::IGNORE_TARGET`].
    #[track_caller]
    pub fn losses(&self, kernels: &dyn Kernels, tokens: &Tokens, targets: &[u32]) -> Tensor {
        let mut tape = Tape::inference(kernels);
        let (hidden, head) = self.hidden(&mut tape, tokens, None);
        tape.cross_entropy(&hidden, &head, targets)
    }

    /// Adds the gradients of `scale` times the sum of [`Gpt::losses`] to `grads`, one for each parameter, empty where
    /// nothing was added yet; returns those losses. Divide by the targets of the whole batch with `scale`.
    #[track_caller]
    pub fn add_gradients(
        &self,
        kernels: &dyn Kernels,
        tokens: &Tokens,
        targets: &[u32],
        scale: f64,
        grads: &mut [Tensor],
    ) -> Tensor {
        let mut tape = Tape::recording(kernels);
        let (hidden, head) = self.hidden(&mut tape, tokens, None);
        tape.backward_cross_entropy(&hidden, &head, targets, scale, grads)
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
        let (hidden, head) = self.run(&mut tape, tokens, cache, Some(rows));
        tape.linear(&hidden, &head, self.params[0].dtype()).value().clone()
    }

    /// The forward pass; with `rows`, only those reach the final norm, since nothing after the last block mixes
    /// tokens.
    #[track_caller]
    fn run<'a>(
        &'a self,
        tape: &mut Tape<'a>,
        tokens: &'a Tokens,
        mut cache: Option<&mut KvCache>,
        rows: Option<&[usize]>,
    ) -> (Var, Var) {
        let config = &self.config;
        assert!(cache.is_none() || !tape.is_recording(), "gradients do not flow through a cache");
        let vars = self.vars(tape);
        let (embedding, mut rest) = vars.split_first().expect("a model has an embedding");
        let mut x = tape.embedding(&tokens.ids, embedding);
        for layer in 0..config.n_layers {
            let (params, others) = rest.split_at(config.n_params_of_a_block());
            rest = others;
            x = if self.recomputes && tape.is_recording() {
                tape.checkpoint(&x, params, move |tape, x, params| self.block(tape, x, params, tokens, None))
            } else {
                let cache = cache.as_deref_mut().map(|cache| (layer, cache));
                self.block(tape, &x, params, tokens, cache)
            };
        }
        if let Some(cache) = cache {
            cache.advance(&tokens.appends);
        }
        if let Some(rows) = rows {
            x = Var::constant(select_rows(tape.kernels(), x.value(), rows));
        }
        let hidden = tape.rmsnorm(&x, &rest[0], config.norm_eps, self.dtype);
        let head = if config.tie_embeddings { embedding.clone() } else { rest[1].clone() };
        (hidden, head)
    }

    /// One block: attention, then the feed-forward, each normed before and added to the residual stream.
    fn block<'a>(
        &'a self,
        tape: &mut Tape<'a>,
        x: &Var,
        params: &[Var],
        tokens: &'a Tokens,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Var {
        let config = &self.config;
        let shape =
            AttentionShape { n_heads: config.n_heads, n_kv_heads: config.n_kv_heads, d_head: config.d_head };
        let (attention, rest) = params.split_at(4);
        let [gain, q, k, v] = attention else { unreachable!("a norm and three projections") };
        let mut qkv = tape.norm_linear(x, gain, config.norm_eps, &[q, k, v], self.dtype);
        let (biases, rest) = rest.split_at(if config.qkv_bias { 3 } else { 0 });
        if !biases.is_empty() {
            qkv = tape.add_bias(qkv, &biases.iter().collect::<Vec<_>>());
        }
        let (head_gains, rest) = rest.split_at(if config.qk_norm { 2 } else { 0 });
        if let [q_gain, k_gain] = head_gains {
            qkv = tape.head_norm(&qkv, q_gain, k_gain, config.norm_eps, shape);
        }
        let qkv = tape.rope(qkv, &tokens.positions, &self.cos, &self.sin, shape);
        let mixed = match cache {
            None => tape.attention(&qkv, &tokens.segments, shape),
            Some((layer, cache)) => {
                let [k, v] = cache.write(layer, qkv.value(), shape, &tokens.appends);
                tape.attention_cached(&qkv, k, v, &tokens.segments, shape)
            }
        };
        let [out, gain, gate, up, down] = rest else { unreachable!("five more parameters") };
        let x = tape.linear_residual(&mixed, out, x);
        let gate_up = tape.norm_linear(&x, gain, config.norm_eps, &[gate, up], self.dtype);
        tape.gated_linear(&gate_up, down, &x, config.d_ff)
    }

    /// The weights on a tape.
    fn vars(&self, tape: &mut Tape) -> Vec<Var> {
        if tape.is_recording() {
            return self.params.iter().enumerate().map(|(i, param)| tape.param(param, i)).collect();
        }
        let packed = self.packed.iter().cloned();
        self.params.iter().cloned().zip(packed).map(|(param, packed)| Var::packed(param, packed)).collect()
    }
}

/// Rows of `x [R, C]`.
fn select_rows(kernels: &dyn Kernels, x: &Tensor, rows: &[usize]) -> Tensor {
    let ids: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    let mut selected = Tensor::unspecified(&[rows.len(), x.last_dim()], x.dtype());
    kernels.embedding_forward(&ids, x.slice(), selected.slice_mut());
    selected
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
