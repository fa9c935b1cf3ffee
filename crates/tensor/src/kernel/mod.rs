//! What a kernel is given and what it must return: one trait, implemented by [`reference`] and [`cpu`].
//!
//! Kernels take slices and sizes, neither allocate outputs nor read files, and check every length at the door.
//! Each method's formula, shapes and source stand at the function of the same name in [`reference`].

pub mod cpu;
pub mod reference;

use std::sync::Arc;

use crate::{Slice, SliceMut};

/// Head counts and width of an attention op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// H: query heads.
    pub n_heads: usize,
    /// K: key/value heads; divides H.
    pub n_kv_heads: usize,
    /// D: width of one head.
    pub d_head: usize,
}

/// One causal sequence among the rows of an attention op: queries see keys of their own segment only.
///
/// The queries are the last `n_queries` of the `n_keys` positions, so query `i` sees keys
/// `0 ..= n_keys − n_queries + i`. Without a cache both counts are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Row of the first query.
    pub q_start: usize,
    /// Number of queries.
    pub n_queries: usize,
    /// Row of the first key and value.
    pub k_start: usize,
    /// Number of keys and values.
    pub n_keys: usize,
}

impl Segment {
    /// A sequence without a cache: as many keys as queries.
    pub fn whole(start: usize, len: usize) -> Self {
        Self { q_start: start, n_queries: len, k_start: start, n_keys: len }
    }

    /// How many keys the query `i` sees.
    pub fn n_visible(&self, i: usize) -> usize {
        self.n_keys - self.n_queries + i + 1
    }
}

/// A weight `[N, K]`, and its copy in the order in which the kernel reads it if [`Kernels::pack`] made one.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// Row-major `[N, K]`.
    pub values: Slice<'a>,
    /// What `pack` returned for the same values.
    pub packed: Option<&'a Packed>,
}

/// A weight as a kernel wants to read it. Its layout is the kernel's own.
#[derive(Clone, Debug)]
pub struct Packed(pub(crate) Arc<Vec<f32>>);

/// Settings of one AdamW step. Paper: <https://arxiv.org/abs/1711.05101>.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, multiplied by `lr`.
    pub weight_decay: f64,
    /// Which step this is; the first is 1.
    pub step: u64,
}

/// Settings of one Muon step. Source: <https://kellerjordan.github.io/posts/muon/>.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon {
    /// Learning rate, before the factor `√max(1, rows/cols)`.
    pub lr: f64,
    /// Decay of the momentum; Nesterov's form is used.
    pub momentum: f64,
    /// Decoupled weight decay, multiplied by `lr`.
    pub weight_decay: f64,
}

impl Muon {
    /// Coefficients of the quintic Newton–Schulz iteration.
    pub const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];
    /// Iterations.
    pub const STEPS: usize = 5;
    /// Least norm that the matrix is divided by.
    pub const EPS: f64 = 1e-7;

    /// What the orthogonalised update is multiplied by, so that its effect does not depend on the shape.
    pub fn update_scale(&self, rows: usize, cols: usize) -> f64 {
        self.lr * (rows as f64 / cols as f64).max(1.0).sqrt()
    }
}

/// The operations of a transformer and of its optimizers.
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments: nothing is hidden")]
pub trait Kernels: Send + Sync {
    /// A copy of `w [N, K]` for [`Kernels::linear_forward`], if that makes it faster.
    fn pack(&self, w: Slice, n: usize, k: usize) -> Option<Packed>;

    /// `y[r] = table[ids[r]]`.
    fn embedding_forward(&self, ids: &[u32], table: Slice, y: SliceMut);
    /// `dtable[ids[r]] += dy[r]`.
    fn embedding_backward(&self, ids: &[u32], dy: Slice, dtable: SliceMut);

    /// `y = x·wᵀ`: `x [R, K]`, `w [N, K]`, `y [R, N]`.
    fn linear_forward(&self, x: Slice, w: Weight, y: SliceMut, r: usize, n: usize, k: usize);
    /// `dx += dy·w`.
    fn linear_backward_input(&self, dy: Slice, w: Slice, dx: SliceMut, r: usize, n: usize, k: usize);
    /// `dw += dyᵀ·x`.
    fn linear_backward_weight(&self, dy: Slice, x: Slice, dw: SliceMut, r: usize, n: usize, k: usize);

    /// `y = x·rstd·gain` for each row.
    fn rmsnorm_forward(&self, x: Slice, gain: Slice, eps: f64, y: SliceMut, rstd: SliceMut);
    /// Gradients of `x` (absent where it needs none) and `gain`.
    fn rmsnorm_backward(&self, x: Slice, gain: Slice, rstd: Slice, dy: Slice, dx: SliceMut, dgain: SliceMut);

    /// Turns pairs of channels by the angles of each row's position; `cos`, `sin` are `[P, D/2]`.
    fn rope_forward(&self, x: Slice, positions: &[u32], cos: Slice, sin: Slice, y: SliceMut, d_head: usize);
    /// The inverse turn, accumulated.
    fn rope_backward(
        &self,
        dy: Slice,
        positions: &[u32],
        cos: Slice,
        sin: Slice,
        dx: SliceMut,
        d_head: usize,
    );

    /// Causal attention in each segment; `lse [R, H]` is the logarithm of each softmax's denominator.
    fn attention_forward(
        &self,
        q: Slice,
        k: Slice,
        v: Slice,
        segments: &[Segment],
        shape: AttentionShape,
        y: SliceMut,
        lse: SliceMut,
    );
    /// Gradients of `q`, `k` and `v`.
    fn attention_backward(
        &self,
        q: Slice,
        k: Slice,
        v: Slice,
        y: Slice,
        lse: Slice,
        dy: Slice,
        segments: &[Segment],
        shape: AttentionShape,
        dq: SliceMut,
        dk: SliceMut,
        dv: SliceMut,
    );

    /// `y = silu(gate)·up`.
    fn swiglu_forward(&self, gate: Slice, up: Slice, y: SliceMut);
    /// Gradients of `gate` and `up`.
    fn swiglu_backward(&self, gate: Slice, up: Slice, dy: Slice, dgate: SliceMut, dup: SliceMut);

    /// `y = a + b`.
    fn add_forward(&self, a: Slice, b: Slice, y: SliceMut);
    /// `dx += scale·dy`.
    fn add_scaled(&self, dy: Slice, scale: f64, dx: SliceMut);

    /// Head and cross-entropy in one, never holding `[R, V]` logits.
    ///
    /// `losses[r] = −ln softmax(x[r]·wᵀ)[targets[r]]` in nats; with `grads`, also `dx += scale·∂Σlosses/∂x` and
    /// `dw += scale·∂Σlosses/∂w`.
    fn cross_entropy(
        &self,
        x: Slice,
        w: Weight,
        targets: &[u32],
        losses: SliceMut,
        grads: Option<(f64, SliceMut, SliceMut)>,
        v: usize,
        c: usize,
    );

    /// Sum of squares, in f64.
    fn sum_of_squares(&self, x: Slice) -> f64;
    /// One step of AdamW; overwrites the parameter and both moments. `scale` multiplies the gradient first.
    fn adamw_step(
        &self,
        settings: &AdamW,
        scale: f64,
        grad: Slice,
        param: SliceMut,
        m: SliceMut,
        v: SliceMut,
    );
    /// One step of Muon on a matrix; overwrites the parameter and the momentum. `scale` multiplies the gradient.
    fn muon_step(
        &self,
        settings: &Muon,
        scale: f64,
        grad: Slice,
        param: SliceMut,
        momentum: SliceMut,
        rows: usize,
        cols: usize,
    );
}
