//! Buffers of any dtype as f64, for plain loops to work on.

use std::ops::{Deref, DerefMut};

use super::super::{Weight, WeightGrad};
use crate::SliceMut;

/// An output in f64, rounded into its buffer when it is dropped.
pub(super) struct Rounded<'a> {
    values: Vec<f64>,
    buffer: SliceMut<'a>,
}

/// An output that starts from zeros.
pub(super) fn overwritten(buffer: SliceMut<'_>) -> Rounded<'_> {
    Rounded { values: vec![0.0; buffer.len()], buffer }
}

/// An output that starts from what its buffer holds.
pub(super) fn added_to(buffer: SliceMut<'_>) -> Rounded<'_> {
    Rounded { values: buffer.as_slice().to_f64(), buffer }
}

impl Drop for Rounded<'_> {
    fn drop(&mut self) {
        std::mem::replace(&mut self.buffer, SliceMut::F64(&mut [])).set_f64(&self.values);
    }
}

impl Deref for Rounded<'_> {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values
    }
}

impl DerefMut for Rounded<'_> {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }
}

/// `[w₀; w₁; …]`: weights `[Nᵢ, K]` as one `[ΣN, K]` in f64, and ΣN.
#[track_caller]
pub(super) fn stacked(weights: &[Weight], k: usize) -> (Vec<f64>, usize) {
    for Weight { values, n, .. } in weights {
        assert!(values.len() == n * k, "a weight of {} elements, want [{n}, {k}]", values.len());
    }
    let rows = weights.iter().flat_map(|weight| weight.values.to_f64()).collect();
    (rows, weights.iter().map(|weight| weight.n).sum())
}

/// The gradient of a weight, which starts from zeros or from what is there.
pub(super) fn weight_grad<'a>(dw: &'a mut WeightGrad) -> Rounded<'a> {
    let accumulates = dw.accumulates;
    let values = match &mut dw.values {
        SliceMut::Bf16(x) => SliceMut::Bf16(x),
        SliceMut::F32(x) => SliceMut::F32(x),
        SliceMut::F64(x) => SliceMut::F64(x),
    };
    if accumulates { added_to(values) } else { overwritten(values) }
}
