//! What a kernel is given and what it must return: one trait, implemented by [`mod@reference`] and [`cpu`].
//!
//! Kernels take slices and sizes, neither allocate outputs nor read files, and check every length at the door.
//! Each method's formula, shapes and source stand at the function of the same name in [`mod@reference`].
//!
//! **Dtypes.** *Activations* are bf16 or f32 (in the specification f64 too), and the dtype of a product's input is
//! the format that it multiplies in: weights are converted while they are packed. Weights, their gradients, the
//! residual stream, statistics of norms and softmaxes, losses and optimizer states are f32 throughout; every sum
//! is accumulated in f32 at least and rounded once.
//!
//! **Outputs.** Gradients of parameters are added to (`+=`; those of weights where [`WeightGrad`] says so), and so is `dx` of [`Kernels::rmsnorm_backward`], which
//! joins the residual stream's; everything else is overwritten.

pub mod cpu;
mod pages;
pub mod reference;

use std::sync::Arc;

pub use self::{
    pages::{KvPage, PAGE_LEN, PagedSegment, PagedSegments},
    reference::Kernels,
};
use crate::{DType, Slice, SliceMut, arena::Buffer};

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

impl AttentionShape {
    /// H·D: width of all queries of a token, and of its mix of values.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// K·D: width of all keys of a token, and of all its values.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.d_head
    }

    /// (H+2K)·D: queries, keys and values of a token side by side.
    pub fn qkv_width(&self) -> usize {
        self.q_width() + 2 * self.kv_width()
    }
}

/// Heads of width D for each token: head `h` of row `r` starts at element `r·stride + h·head_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// From the first row's first element on.
    pub values: Slice<'a>,
    /// Elements from row to row.
    pub stride: usize,
    /// Elements from head to head.
    pub head_stride: usize,
}

/// One sequence among the rows of an attention op: queries see keys of their own segment only.
///
/// The queries are the last `n_queries` of the `n_keys` positions, so query `i` of a causal segment sees keys
/// `0 ..= n_keys − n_queries + i`. Without a cache both counts are equal. In one that is not causal every query sees
/// every key.
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
    /// Whether a query sees no key after its own.
    pub is_causal: bool,
}

impl Segment {
    /// A causal sequence without a cache: as many keys as queries.
    pub fn whole(start: usize, len: usize) -> Self {
        Self { q_start: start, n_queries: len, k_start: start, n_keys: len, is_causal: true }
    }

    /// A sequence in which every query sees every key, such as the patches of an image.
    pub fn full(start: usize, len: usize) -> Self {
        Self { is_causal: false, ..Self::whole(start, len) }
    }

    /// Whether its keys are those of its own rows, as without a cache.
    pub(crate) fn is_whole(&self) -> bool {
        self.q_start == self.k_start && self.n_queries == self.n_keys
    }

    /// How many keys the query `i` sees.
    pub fn n_visible(&self, i: usize) -> usize {
        if self.is_causal { self.n_keys - self.n_queries + i + 1 } else { self.n_keys }
    }
}

/// Which form of the GELU. Paper: <https://arxiv.org/abs/1606.08415>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// `x·Φ(x)`, with the error function; `gelu` in Hugging Face configs.
    Erf,
    /// Its approximation by tanh; `gelu_pytorch_tanh` there.
    Tanh,
    /// Its approximation by the logistic function, `x·σ(1.702·x)`, as in CLIP; `quick_gelu` there.
    Quick,
}

/// A weight `[N, K]`, and its copy in the order in which the kernel reads it if [`Kernels::pack`] made one.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// Row-major `[N, K]`.
    pub values: Slice<'a>,
    /// N: rows.
    pub n: usize,
    /// What `pack` returned for the same values; used by products of its format.
    pub packed: Option<&'a Packed>,
}

/// What the gradients of [`Kernels::cross_entropy`] are multiplied by, and where they go.
#[derive(Debug)]
pub struct CrossEntropyGrads<'a> {
    /// Of every row.
    pub scale: f64,
    /// Of each row beside it; 1 where there are none.
    pub row_weights: Option<&'a [f32]>,
    /// Of `x`, overwritten.
    pub dx: SliceMut<'a>,
    /// Of `w`; none where it is frozen.
    pub dw: Option<WeightGrad<'a>>,
}

/// Some columns of a wider matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The first.
    pub at: usize,
    /// How many: N.
    pub n: usize,
    /// Of the matrix that they belong to.
    pub width: usize,
}

impl Columns {
    /// Refuses matrices of other sizes.
    #[track_caller]
    fn check(self, n_narrow: usize, n_wide: usize) {
        let Self { at, n, width } = self;
        assert!(
            n > 0 && at + n <= width && n_wide.is_multiple_of(width) && n_narrow == n_wide / width * n,
            "columns: {n} from {at} on of {width}, {n_narrow} elements of {n_wide}"
        );
    }
}

/// The gradient of a weight `[N, K]`.
#[derive(Debug)]
pub struct WeightGrad<'a> {
    /// Row-major `[N, K]`.
    pub values: SliceMut<'a>,
    /// N: rows.
    pub n: usize,
    /// Whether to add to what is there; else it is overwritten, which spares clearing and reading it.
    pub accumulates: bool,
}

/// A weight as a kernel wants to read it. Its layout is the kernel's own.
#[derive(Clone, Debug)]
pub struct Packed {
    pub(crate) words: Arc<Buffer<u32>>,
    /// The format that it was packed for.
    pub(crate) format: DType,
}

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
