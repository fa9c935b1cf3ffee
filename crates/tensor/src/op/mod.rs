//! What is computed: one file per op, each with its forward on the tape and its hand-written backward.

pub(crate) mod attention;
pub(crate) mod bias;
pub(crate) mod columns;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod gated_linear;
pub(crate) mod gelu;
pub(crate) mod head_norm;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod norm_linear;
pub(crate) mod rmsnorm;
pub(crate) mod rope;
pub(crate) mod rows;

use crate::{DType, Tensor, kernel::WeightGrad};

/// How an op on `dtype` stores statistics and losses: in f32, in checks in f64.
fn statistics(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The gradient of a weight `[N, K]`, from [`Grads::sum`](crate::tape::Grads::sum), for a kernel to fill or add to.
fn weight_grad((dw, accumulates): &mut (Tensor, bool)) -> WeightGrad<'_> {
    let n = dw.shape()[0];
    WeightGrad { values: dw.slice_mut(), n, accumulates: *accumulates }
}
