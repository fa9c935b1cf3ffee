//! The specification: what kernels compute ([`Kernels`]), and plain loops in f64 that do so, one file per op.
//!
//! Inputs of any dtype are widened, every sum is accumulated in f64, and every output is rounded once into its
//! buffer: what differs from a faster kernel is that kernel's rounding. Nothing here is fast; everything here is
//! meant to be read.

mod adamw;
mod add;
mod attention;
mod bias;
mod columns;
mod cross_entropy;
mod embedding;
mod gelu;
mod head_norm;
mod layer_norm;
mod linear;
mod log_sum_exp;
mod muon;
mod reduce;
mod rmsnorm;
mod rope;
mod round;
mod rows;
mod swiglu;

use self::round::{Rounded, added_to, overwritten, stacked, weight_grad};
pub(super) use self::rows::width as rows_width;
use super::{
    AdamW, AttentionShape, Columns, CrossEntropyGrads, Gelu, KvPage, Muon, Packed, PagedSegments, Rows,
    Segment, Weight, WeightGrad,
};
use crate::{DType, Slice, SliceMut};

/// The plain loops that say what every kernel means.
#[derive(Clone, Copy, Debug)]
pub struct Reference;

/// The operations of a transformer and of its optimizers.
#[allow(clippy::too_many_arguments, reason = "sizes and buffers are arguments: nothing is hidden")]
pub trait Kernels: Send + Sync {
    /// A copy of `w [N, K]` for [`Kernels::linear_forward`] on activations of `format`, if that makes it faster.
    fn pack(&self, w: Slice, n: usize, k: usize, format: DType) -> Option<Packed>;

    /// `y[r] = table[ids[r]]`.
    fn embedding_forward(&self, ids: &[u32], table: Slice, y: SliceMut);
    /// `dtable[ids[r]] += dy[r]`.
    fn embedding_backward(&self, ids: &[u32], dy: Slice, dtable: SliceMut);

    /// `y[r] += [b₀; b₁; …]`: biases `[Nᵢ]` in f32, `y [R, ΣN]`.
    fn bias_forward(&self, biases: &[Slice], y: SliceMut);
    /// `dbᵢ += Σᵣ dy[r, columns of i]`.
    fn bias_backward(&self, dy: Slice, dbiases: &mut [SliceMut]);

    /// `y = residual + x·[w₀; w₁; …]ᵀ`: `x [R, K]`, weights `[Nᵢ, K]`, `y` and `residual` `[R, ΣN]`.
    ///
    /// With a residual, `y` and the residual are f32; else `y` may be f32 or of the dtype of `x`.
    fn linear_forward(
        &self,
        x: Slice,
        weights: &[Weight],
        residual: Option<Slice>,
        y: SliceMut,
        r: usize,
        k: usize,
    );
    /// `dx = dy·[w₀; w₁; …]`, multiplied in the format of `dx`; `dy [R, ΣN]` may be f32.
    fn linear_backward_input(&self, dy: Slice, weights: &[Weight], dx: SliceMut, r: usize, k: usize);
    /// `dwᵢ (+)= dyᵢᵀ·x`, multiplied in the format of `x`; `dy [R, ΣN]` may be f32.
    fn linear_backward_weight(&self, dy: Slice, x: Slice, dws: &mut [WeightGrad], r: usize, k: usize);

    /// `y = x·rstd·gain` for each row, rounded to the dtype of `y`.
    fn rmsnorm_forward(&self, x: Slice, gain: Slice, eps: f64, y: SliceMut, rstd: SliceMut);
    /// Gradients of `x` (added to) and `gain`.
    fn rmsnorm_backward(&self, x: Slice, gain: Slice, rstd: Slice, dy: Slice, dx: SliceMut, dgain: SliceMut);

    /// The norm of every query and key head of `x [R, (H+2K)·D]` by itself; values are copied. `rstd [R, H+K]`.
    fn head_norm_forward(
        &self,
        x: Slice,
        q_gain: Slice,
        k_gain: Slice,
        eps: f64,
        shape: AttentionShape,
        y: SliceMut,
        rstd: SliceMut,
    );
    /// In place: the gradient `d` of the output becomes that of `x`; gradients of both gains.
    fn head_norm_backward(
        &self,
        x: Slice,
        q_gain: Slice,
        k_gain: Slice,
        rstd: Slice,
        shape: AttentionShape,
        d: SliceMut,
        dq_gain: SliceMut,
        dk_gain: SliceMut,
    );

    /// In place: turns pairs of channels of every query and key head of `x [R, (H+2K)·D]` by the angles of each row's
    /// position; `cos`, `sin` are `[P, D/2]`.
    fn rope_forward(&self, x: SliceMut, positions: &[u32], cos: Slice, sin: Slice, shape: AttentionShape);
    /// The inverse turn, in place.
    fn rope_backward(&self, d: SliceMut, positions: &[u32], cos: Slice, sin: Slice, shape: AttentionShape);

    /// Attention in each segment, causal where the segment is: `q` rows of H heads, `k` and `v` rows of K heads, `y [R, H·D]`; `lse [R, H]` is the
    /// logarithm of each softmax's denominator. Rows of no segment become 0.
    fn attention_forward(
        &self,
        q: Rows,
        k: Rows,
        v: Rows,
        segments: &[Segment],
        shape: AttentionShape,
        y: SliceMut,
        lse: SliceMut,
    );
    /// Words of a [`KvPage`] that the keys and values of one attention op take, on activations of `format`.
    fn kv_words(&self, shape: AttentionShape, format: DType) -> usize;
    /// As [`Kernels::attention_forward`] of `qkv [R, (H+2K)·D]`, with keys and values in pages: those of the rows are
    /// written there first. The op's own words of every page begin at word `at`.
    fn attention_paged(
        &self,
        qkv: Slice,
        pages: &mut [KvPage],
        at: usize,
        segments: &PagedSegments,
        shape: AttentionShape,
        y: SliceMut,
    );
    /// The gradient of `qkv [R, (H+2K)·D]`, where every segment has as many keys as queries, in the same rows.
    /// Rows of no segment become 0.
    fn attention_backward(
        &self,
        qkv: Slice,
        y: Slice,
        lse: Slice,
        dy: Slice,
        segments: &[Segment],
        shape: AttentionShape,
        dqkv: SliceMut,
    );

    /// `y = gelu(x)`, of one dtype.
    fn gelu_forward(&self, gelu: Gelu, x: Slice, y: SliceMut);
    /// `dx = dy·gelu'(x)`, overwritten.
    fn gelu_backward(&self, gelu: Gelu, x: Slice, dy: Slice, dx: SliceMut);

    /// `y = (x − mean)·rstd·gain + bias` of each row of `x [R, C]`; `stats [R, 2]` are mean and rstd.
    fn layer_norm_forward(&self, x: Slice, gain: Slice, bias: Slice, eps: f64, y: SliceMut, stats: SliceMut);
    /// Gradients of `x`, `gain` and `bias`, all added to.
    fn layer_norm_backward(
        &self,
        x: Slice,
        gain: Slice,
        stats: Slice,
        dy: Slice,
        dx: SliceMut,
        dgain: SliceMut,
        dbias: SliceMut,
    );

    /// `y[at[i]] = rows[i]`; `at` ascends.
    fn rows_place(&self, rows: Slice, at: &[u32], y: SliceMut);
    /// `drows[i] = dy[at[i]]`, and those rows of `dy` become 0.
    fn rows_take(&self, at: &[u32], dy: SliceMut, drows: SliceMut);

    /// `y = silu(gate)·up` of rows `[gate | up]`: `gate_up [R, 2F]`, `y [R, F]`.
    fn swiglu_forward(&self, gate_up: Slice, y: SliceMut, f: usize);
    /// The gradient of `gate_up`, and `y` once more, which need not be kept between the passes.
    fn swiglu_backward(&self, gate_up: Slice, dy: Slice, d_gate_up: SliceMut, y: SliceMut, f: usize);

    /// `y[:, at..at+N] += scale·d`: `d [R, N]`, `y [R, width]`.
    fn columns_add(&self, d: Slice, scale: f64, y: SliceMut, columns: Columns);
    /// `d = scale·dy[:, at..at+N]`, overwritten: `dy [R, width]`, `d [R, N]`.
    fn columns_take(&self, dy: Slice, scale: f64, d: SliceMut, columns: Columns);

    /// `dx += scale·dy`.
    fn add_scaled(&self, dy: Slice, scale: f64, dx: SliceMut);

    /// Head and cross-entropy in one, never holding `[R, V]` logits.
    ///
    /// `losses[r] = −ln softmax(x[r]·wᵀ)[targets[r]]` in nats; with `grads`, also the gradients of
    /// `scale·Σ row_weights[r]·losses[r]`.
    fn cross_entropy(
        &self,
        x: Slice,
        w: Weight,
        targets: &[u32],
        losses: SliceMut,
        grads: Option<CrossEntropyGrads>,
        c: usize,
    );

    /// `y[r] = ln Σᵢ exp(x[r, i])` of `x [R, n]`, in f64.
    fn log_sum_exp(&self, x: Slice, y: &mut [f64], n: usize);
    /// Calls `task(0)`, …, `task(n_tasks − 1)` on the kernels' threads, in any order, and returns when all are done.
    fn for_each(&self, n_tasks: usize, task: &(dyn Fn(usize) + Sync));

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

impl Kernels for Reference {
    fn pack(&self, _: Slice, _: usize, _: usize, _: DType) -> Option<Packed> {
        None
    }

    fn bias_forward(&self, biases: &[Slice], y: SliceMut) {
        let biases: Vec<Vec<f64>> = biases.iter().map(|b| b.to_f64()).collect();
        let biases: Vec<&[f64]> = biases.iter().map(|b| &b[..]).collect();
        bias::forward(&biases, &mut added_to(y));
    }

    fn bias_backward(&self, dy: Slice, dbiases: &mut [SliceMut]) {
        let mut sums: Vec<Rounded> = dbiases.iter_mut().map(|db| added_to(db.reborrow())).collect();
        bias::backward(&dy.to_f64(), &mut sums.iter_mut().map(|sum| &mut **sum).collect::<Vec<_>>());
    }

    fn embedding_forward(&self, ids: &[u32], table: Slice, y: SliceMut) {
        embedding::forward(ids, &table.to_f64(), &mut overwritten(y));
    }

    fn embedding_backward(&self, ids: &[u32], dy: Slice, dtable: SliceMut) {
        embedding::backward(ids, &dy.to_f64(), &mut added_to(dtable));
    }

    fn linear_forward(
        &self,
        x: Slice,
        weights: &[Weight],
        residual: Option<Slice>,
        y: SliceMut,
        r: usize,
        k: usize,
    ) {
        let ((w, n), residual) = (stacked(weights, k), residual.map(Slice::to_f64));
        linear::forward(&x.to_f64(), &w, residual.as_deref(), &mut overwritten(y), r, n, k);
    }

    fn linear_backward_input(&self, dy: Slice, weights: &[Weight], dx: SliceMut, r: usize, k: usize) {
        let (w, n) = stacked(weights, k);
        linear::backward_input(&dy.to_f64(), &w, &mut overwritten(dx), r, n, k);
    }

    fn linear_backward_weight(&self, dy: Slice, x: Slice, dws: &mut [WeightGrad], r: usize, k: usize) {
        let (dy, x) = (dy.to_f64(), x.to_f64());
        let n = dws.iter().map(|dw| dw.n).sum();
        let mut column = 0;
        for dw in dws {
            let columns = column..column + dw.n;
            column = columns.end;
            let mut values = weight_grad(dw);
            linear::backward_weight(&dy, &x, &mut values, columns, r, n, k);
        }
    }

    fn rmsnorm_forward(&self, x: Slice, gain: Slice, eps: f64, y: SliceMut, rstd: SliceMut) {
        rmsnorm::forward(&x.to_f64(), &gain.to_f64(), eps, &mut overwritten(y), &mut overwritten(rstd));
    }

    fn rmsnorm_backward(&self, x: Slice, gain: Slice, rstd: Slice, dy: Slice, dx: SliceMut, dgain: SliceMut) {
        rmsnorm::backward(
            &x.to_f64(),
            &gain.to_f64(),
            &rstd.to_f64(),
            &dy.to_f64(),
            &mut added_to(dx),
            &mut added_to(dgain),
        );
    }

    fn head_norm_forward(
        &self,
        x: Slice,
        q_gain: Slice,
        k_gain: Slice,
        eps: f64,
        shape: AttentionShape,
        y: SliceMut,
        rstd: SliceMut,
    ) {
        head_norm::forward(
            &x.to_f64(),
            &q_gain.to_f64(),
            &k_gain.to_f64(),
            eps,
            shape,
            &mut overwritten(y),
            &mut overwritten(rstd),
        );
    }

    fn head_norm_backward(
        &self,
        x: Slice,
        q_gain: Slice,
        k_gain: Slice,
        rstd: Slice,
        shape: AttentionShape,
        d: SliceMut,
        dq_gain: SliceMut,
        dk_gain: SliceMut,
    ) {
        head_norm::backward(
            &x.to_f64(),
            &q_gain.to_f64(),
            &k_gain.to_f64(),
            &rstd.to_f64(),
            shape,
            &mut added_to(d),
            &mut added_to(dq_gain),
            &mut added_to(dk_gain),
        );
    }

    fn rope_forward(&self, x: SliceMut, positions: &[u32], cos: Slice, sin: Slice, shape: AttentionShape) {
        rope::forward(&mut added_to(x), positions, &cos.to_f64(), &sin.to_f64(), shape);
    }

    fn rope_backward(&self, d: SliceMut, positions: &[u32], cos: Slice, sin: Slice, shape: AttentionShape) {
        rope::backward(&mut added_to(d), positions, &cos.to_f64(), &sin.to_f64(), shape);
    }

    fn attention_forward(
        &self,
        q: Rows,
        k: Rows,
        v: Rows,
        segments: &[Segment],
        shape: AttentionShape,
        y: SliceMut,
        lse: SliceMut,
    ) {
        attention::forward(
            &q.into(),
            &k.into(),
            &v.into(),
            segments,
            shape,
            &mut overwritten(y),
            &mut overwritten(lse),
        );
    }

    fn kv_words(&self, shape: AttentionShape, _: DType) -> usize {
        attention::kv_words(shape)
    }

    fn attention_paged(
        &self,
        qkv: Slice,
        pages: &mut [KvPage],
        at: usize,
        segments: &PagedSegments,
        shape: AttentionShape,
        y: SliceMut,
    ) {
        attention::paged(&qkv.to_f64(), pages, at, segments, shape, &mut overwritten(y));
    }

    fn attention_backward(
        &self,
        qkv: Slice,
        y: Slice,
        lse: Slice,
        dy: Slice,
        segments: &[Segment],
        shape: AttentionShape,
        dqkv: SliceMut,
    ) {
        attention::backward(
            &qkv.to_f64(),
            &y.to_f64(),
            &lse.to_f64(),
            &dy.to_f64(),
            segments,
            shape,
            &mut overwritten(dqkv),
        );
    }

    fn gelu_forward(&self, gelu: Gelu, x: Slice, y: SliceMut) {
        gelu::forward(gelu, &x.to_f64(), &mut overwritten(y));
    }

    fn gelu_backward(&self, gelu: Gelu, x: Slice, dy: Slice, dx: SliceMut) {
        gelu::backward(gelu, &x.to_f64(), &dy.to_f64(), &mut overwritten(dx));
    }

    fn layer_norm_forward(&self, x: Slice, gain: Slice, bias: Slice, eps: f64, y: SliceMut, stats: SliceMut) {
        let (x, gain, bias) = (x.to_f64(), gain.to_f64(), bias.to_f64());
        layer_norm::forward(&x, &gain, &bias, eps, &mut overwritten(y), &mut overwritten(stats));
    }

    fn layer_norm_backward(
        &self,
        x: Slice,
        gain: Slice,
        stats: Slice,
        dy: Slice,
        dx: SliceMut,
        dgain: SliceMut,
        dbias: SliceMut,
    ) {
        layer_norm::backward(
            &x.to_f64(),
            &gain.to_f64(),
            &stats.to_f64(),
            &dy.to_f64(),
            &mut added_to(dx),
            &mut added_to(dgain),
            &mut added_to(dbias),
        );
    }

    fn rows_place(&self, rows: Slice, at: &[u32], y: SliceMut) {
        rows::place(&rows.to_f64(), at, &mut added_to(y));
    }

    fn rows_take(&self, at: &[u32], dy: SliceMut, drows: SliceMut) {
        rows::take(at, &mut added_to(dy), &mut overwritten(drows));
    }

    fn swiglu_forward(&self, gate_up: Slice, y: SliceMut, f: usize) {
        swiglu::forward(&gate_up.to_f64(), &mut overwritten(y), f);
    }

    fn swiglu_backward(&self, gate_up: Slice, dy: Slice, d_gate_up: SliceMut, y: SliceMut, f: usize) {
        let gate_up = gate_up.to_f64();
        swiglu::backward(&gate_up, &dy.to_f64(), &mut overwritten(d_gate_up), &mut overwritten(y), f);
    }

    fn columns_add(&self, d: Slice, scale: f64, y: SliceMut, columns: Columns) {
        columns::add(&d.to_f64(), scale, &mut added_to(y), columns);
    }

    fn columns_take(&self, dy: Slice, scale: f64, d: SliceMut, columns: Columns) {
        columns::take(&dy.to_f64(), scale, &mut overwritten(d), columns);
    }

    fn add_scaled(&self, dy: Slice, scale: f64, dx: SliceMut) {
        add::scaled(&dy.to_f64(), scale, &mut added_to(dx));
    }

    fn cross_entropy(
        &self,
        x: Slice,
        w: Weight,
        targets: &[u32],
        losses: SliceMut,
        grads: Option<CrossEntropyGrads>,
        c: usize,
    ) {
        let (x, (w, v)) = (x.to_f64(), stacked(&[w], c));
        cross_entropy::losses(&x, &w, targets, &mut overwritten(losses), v, c);
        if let Some(CrossEntropyGrads { scale, row_weights, dx, dw }) = grads {
            let scales = match row_weights {
                Some(weights) => weights.iter().map(|weight| scale * f64::from(*weight)).collect(),
                None => vec![scale; targets.len()],
            };
            let mut dx = overwritten(dx);
            match dw {
                Some(mut dw) => {
                    cross_entropy::gradients(
                        &x,
                        &w,
                        targets,
                        &scales,
                        &mut dx,
                        &mut weight_grad(&mut dw),
                        v,
                        c,
                    );
                }
                None => {
                    cross_entropy::gradients(&x, &w, targets, &scales, &mut dx, &mut vec![0.0; v * c], v, c)
                }
            }
        }
    }

    fn log_sum_exp(&self, x: Slice, y: &mut [f64], n: usize) {
        log_sum_exp::forward(&x.to_f64(), y, n);
    }

    fn for_each(&self, n_tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..n_tasks).for_each(task);
    }

    fn sum_of_squares(&self, x: Slice) -> f64 {
        reduce::sum_of_squares(&x.to_f64())
    }

    fn adamw_step(
        &self,
        settings: &AdamW,
        scale: f64,
        grad: Slice,
        param: SliceMut,
        m: SliceMut,
        v: SliceMut,
    ) {
        adamw::step(
            settings,
            scale,
            &grad.to_f64(),
            &mut added_to(param),
            &mut added_to(m),
            &mut added_to(v),
        );
    }

    fn muon_step(
        &self,
        settings: &Muon,
        scale: f64,
        grad: Slice,
        param: SliceMut,
        momentum: SliceMut,
        rows: usize,
        cols: usize,
    ) {
        muon::step(
            settings,
            scale,
            &grad.to_f64(),
            &mut added_to(param),
            &mut added_to(momentum),
            rows,
            cols,
        );
    }
}
