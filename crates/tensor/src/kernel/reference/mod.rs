//! The specification: plain loops, one file per op, in f32 and f64.
//!
//! Every sum is accumulated in f64 and rounded once, so that what differs from a faster kernel is that kernel's
//! rounding. Nothing here is fast; everything here is meant to be read.

mod adamw;
mod add;
mod attention;
mod cross_entropy;
mod embedding;
mod linear;
mod muon;
mod reduce;
mod rmsnorm;
mod rope;
mod swiglu;

use super::{AdamW, AttentionShape, Kernels, Muon, Packed, Segment, Weight};
use crate::{Slice, SliceMut};

/// The plain loops that say what every kernel means.
#[derive(Clone, Copy, Debug)]
pub struct Reference;

/// An element that the specification computes with.
pub(crate) trait Real: Copy {
    fn to_f64(self) -> f64;
    fn from_f64(x: f64) -> Self;
}

impl Real for f32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn from_f64(x: f64) -> Self {
        x as Self
    }
}

impl Real for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(x: f64) -> Self {
        x
    }
}

/// `x += y`, rounded once.
fn accumulate<E: Real>(x: &mut E, y: f64) {
    *x = E::from_f64(x.to_f64() + y);
}

/// Adds to `x` what `f` adds to zeros in f64.
fn accumulate_all<E: Real>(x: &mut [E], f: impl FnOnce(&mut [f64])) {
    let mut sums = vec![0.0; x.len()];
    f(&mut sums);
    x.iter_mut().zip(sums).for_each(|(x, sum)| accumulate(x, sum));
}

/// Calls `$call` with every slice as f32 or every slice as f64; mixed dtypes are a bug.
macro_rules! dispatch {
    ($($read:ident),*; $($write:ident),* => $call:expr) => {
        match ($($read,)* $($write,)*) {
            ($(Slice::F32($read),)* $(SliceMut::F32($write),)*) => $call,
            ($(Slice::F64($read),)* $(SliceMut::F64($write),)*) => $call,
            _ => panic!("one kernel call mixes dtypes"),
        }
    };
}

#[allow(unreachable_patterns, reason = "a kernel with one slice cannot mix dtypes")]
impl Kernels for Reference {
    fn pack(&self, _: Slice, _: usize, _: usize) -> Option<Packed> {
        None
    }

    fn embedding_forward(&self, ids: &[u32], table: Slice, y: SliceMut) {
        dispatch!(table; y => embedding::forward(ids, table, y))
    }

    fn embedding_backward(&self, ids: &[u32], dy: Slice, dtable: SliceMut) {
        dispatch!(dy; dtable => embedding::backward(ids, dy, dtable))
    }

    fn linear_forward(&self, x: Slice, w: Weight, y: SliceMut, r: usize, n: usize, k: usize) {
        let w = w.values;
        dispatch!(x, w; y => linear::forward(x, w, y, r, n, k))
    }

    fn linear_backward_input(&self, dy: Slice, w: Slice, dx: SliceMut, r: usize, n: usize, k: usize) {
        dispatch!(dy, w; dx => linear::backward_input(dy, w, dx, r, n, k))
    }

    fn linear_backward_weight(&self, dy: Slice, x: Slice, dw: SliceMut, r: usize, n: usize, k: usize) {
        dispatch!(dy, x; dw => linear::backward_weight(dy, x, dw, r, n, k))
    }

    fn rmsnorm_forward(&self, x: Slice, gain: Slice, eps: f64, y: SliceMut, rstd: SliceMut) {
        dispatch!(x, gain; y, rstd => rmsnorm::forward(x, gain, eps, y, rstd))
    }

    fn rmsnorm_backward(&self, x: Slice, gain: Slice, rstd: Slice, dy: Slice, dx: SliceMut, dgain: SliceMut) {
        dispatch!(x, gain, rstd, dy; dx, dgain => rmsnorm::backward(x, gain, rstd, dy, dx, dgain))
    }

    fn rope_forward(&self, x: Slice, positions: &[u32], cos: Slice, sin: Slice, y: SliceMut, d_head: usize) {
        dispatch!(x, cos, sin; y => rope::forward(x, positions, cos, sin, y, d_head))
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
        dispatch!(dy, cos, sin; dx => rope::backward(dy, positions, cos, sin, dx, d_head))
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
        dispatch!(q, k, v; y, lse => attention::forward(q, k, v, segments, shape, y, lse))
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
        dispatch!(q, k, v, y, lse, dy; dq, dk, dv =>
            attention::backward(q, k, v, y, lse, dy, segments, shape, dq, dk, dv))
    }

    fn swiglu_forward(&self, gate: Slice, up: Slice, y: SliceMut) {
        dispatch!(gate, up; y => swiglu::forward(gate, up, y))
    }

    fn swiglu_backward(&self, gate: Slice, up: Slice, dy: Slice, dgate: SliceMut, dup: SliceMut) {
        dispatch!(gate, up, dy; dgate, dup => swiglu::backward(gate, up, dy, dgate, dup))
    }

    fn add_forward(&self, a: Slice, b: Slice, y: SliceMut) {
        dispatch!(a, b; y => add::forward(a, b, y))
    }

    fn add_scaled(&self, dy: Slice, scale: f64, dx: SliceMut) {
        dispatch!(dy; dx => add::scaled(dy, scale, dx))
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
        let w = w.values;
        match grads {
            None => dispatch!(x, w; losses => cross_entropy::losses(x, w, targets, losses, v, c)),
            Some((scale, dx, dw)) => dispatch!(x, w; losses, dx, dw =>
                cross_entropy::losses_and_gradients(x, w, targets, losses, scale, dx, dw, v, c)),
        }
    }

    fn sum_of_squares(&self, x: Slice) -> f64 {
        dispatch!(x; => reduce::sum_of_squares(x))
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
        dispatch!(grad; param, m, v => adamw::step(settings, scale, grad, param, m, v))
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
        dispatch!(grad; param, momentum => muon::step(settings, scale, grad, param, momentum, rows, cols))
    }
}
