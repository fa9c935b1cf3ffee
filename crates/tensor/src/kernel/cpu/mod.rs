//! The fast kernels: f32, threaded, one file per op, named as in [`super::reference`].
//!
//! **Order of sums.** An element of a matrix product is one chain of fused multiply-adds over ascending k; a sum
//! along a row has sixteen such chains by index modulo 16, combined in a fixed tree. So the bits of a result
//! depend on its own reduction length alone: not on threads, tiles, instruction set, or on what else is in the
//! batch.

mod adamw;
mod add;
mod attention;
mod cross_entropy;
mod embedding;
mod exp;
mod gemm;
mod linear;
mod muon;
mod peak;
mod pool;
mod reduce;
mod rmsnorm;
mod rope;
mod swiglu;

use super::{AdamW, AttentionShape, Kernels, Muon, Packed, Segment, Weight};
use crate::{Slice, SliceMut};
use pool::Pool;

/// Threaded f32 kernels.
#[derive(Debug)]
pub struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// Kernels that use `n_threads` threads; 0 means one for each core. Their results do not depend on it.
    pub fn new(n_threads: usize) -> Self {
        crate::memory::keep_freed();
        Self { pool: Pool::new(n_threads) }
    }

    /// How many threads compute.
    pub fn n_threads(&self) -> usize {
        self.pool.n_threads()
    }
}

impl Kernels for Cpu {
    fn pack(&self, w: Slice, n: usize, k: usize) -> Option<Packed> {
        Some(linear::pack(&self.pool, w.f32(), n, k))
    }

    fn embedding_forward(&self, ids: &[u32], table: Slice, y: SliceMut) {
        embedding::forward(ids, table.f32(), y.f32());
    }

    fn embedding_backward(&self, ids: &[u32], dy: Slice, dtable: SliceMut) {
        embedding::backward(&self.pool, ids, dy.f32(), dtable.f32());
    }

    fn linear_forward(&self, x: Slice, w: Weight, y: SliceMut, r: usize, n: usize, k: usize) {
        linear::forward(&self.pool, x.f32(), w, y.f32(), r, n, k);
    }

    fn linear_backward_input(&self, dy: Slice, w: Slice, dx: SliceMut, r: usize, n: usize, k: usize) {
        linear::backward_input(&self.pool, dy.f32(), w.f32(), dx.f32(), r, n, k);
    }

    fn linear_backward_weight(&self, dy: Slice, x: Slice, dw: SliceMut, r: usize, n: usize, k: usize) {
        linear::backward_weight(&self.pool, dy.f32(), x.f32(), dw.f32(), r, n, k);
    }

    fn rmsnorm_forward(&self, x: Slice, gain: Slice, eps: f64, y: SliceMut, rstd: SliceMut) {
        rmsnorm::forward(&self.pool, x.f32(), gain.f32(), eps as f32, y.f32(), rstd.f32());
    }

    fn rmsnorm_backward(&self, x: Slice, gain: Slice, rstd: Slice, dy: Slice, dx: SliceMut, dgain: SliceMut) {
        rmsnorm::backward(&self.pool, x.f32(), gain.f32(), rstd.f32(), dy.f32(), dx.f32(), dgain.f32());
    }

    fn rope_forward(&self, x: Slice, positions: &[u32], cos: Slice, sin: Slice, y: SliceMut, d_head: usize) {
        rope::forward(&self.pool, x.f32(), positions, cos.f32(), sin.f32(), y.f32(), d_head);
    }

    fn rope_backward(
        &self,
        dy: Slice,
        positions: &[u32],
        cos: Slice,
        sin: Slice,
        dx: SliceMut,
        d_head: usize,
    ) {
        rope::backward(&self.pool, dy.f32(), positions, cos.f32(), sin.f32(), dx.f32(), d_head);
    }

    fn attention_forward(
        &self,
        q: Slice,
        k: Slice,
        v: Slice,
        segments: &[Segment],
        shape: AttentionShape,
        y: SliceMut,
        lse: SliceMut,
    ) {
        attention::forward(&self.pool, q.f32(), k.f32(), v.f32(), segments, shape, y.f32(), lse.f32());
    }

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
    ) {
        let inputs = attention::Saved { q: q.f32(), k: k.f32(), v: v.f32(), y: y.f32(), lse: lse.f32() };
        attention::backward(&self.pool, inputs, dy.f32(), segments, shape, dq.f32(), dk.f32(), dv.f32());
    }

    fn swiglu_forward(&self, gate: Slice, up: Slice, y: SliceMut) {
        swiglu::forward(&self.pool, gate.f32(), up.f32(), y.f32());
    }

    fn swiglu_backward(&self, gate: Slice, up: Slice, dy: Slice, dgate: SliceMut, dup: SliceMut) {
        swiglu::backward(&self.pool, gate.f32(), up.f32(), dy.f32(), dgate.f32(), dup.f32());
    }

    fn add_forward(&self, a: Slice, b: Slice, y: SliceMut) {
        add::forward(&self.pool, a.f32(), b.f32(), y.f32());
    }

    fn add_scaled(&self, dy: Slice, scale: f64, dx: SliceMut) {
        add::scaled(&self.pool, dy.f32(), scale as f32, dx.f32());
    }

    fn cross_entropy(
        &self,
        x: Slice,
        w: Weight,
        targets: &[u32],
        losses: SliceMut,
        grads: Option<(f64, SliceMut, SliceMut)>,
        v: usize,
        c: usize,
    ) {
        let grads = grads.map(|(scale, dx, dw)| (scale as f32, dx.f32(), dw.f32()));
        cross_entropy::forward(&self.pool, x.f32(), w, targets, losses.f32(), grads, v, c);
    }

    fn sum_of_squares(&self, x: Slice) -> f64 {
        reduce::sum_of_squares(&self.pool, x.f32())
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
        adamw::step(&self.pool, settings, scale, grad.f32(), param.f32(), m.f32(), v.f32());
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
        muon::step(&self.pool, settings, scale, grad.f32(), param.f32(), momentum.f32(), rows, cols);
    }
}
