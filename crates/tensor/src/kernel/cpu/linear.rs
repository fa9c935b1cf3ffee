//! Products with weights; see the file of the same name in `reference/`.

use std::sync::Arc;

use super::{
    gemm::{self, Format, Operand, Panels, Product, Target},
    pool::Pool,
};
use crate::{
    DType, Slice, SliceMut,
    arena::Buffer,
    kernel::{Packed, Weight, WeightGrad},
};

/// `w [N, K]` in the order in which [`forward`] reads it.
pub(crate) fn pack(pool: &Pool, w: Slice, n: usize, k: usize, dtype: DType) -> Packed {
    let format = Format::of(dtype);
    let mut words = Buffer::unspecified(format.packed_len(k, n));
    gemm::pack(pool, format, Operand::depth(w, k), k, n, &mut words);
    Packed { words: Arc::new(words), format: dtype }
}

/// The packed weight: the caller's, or one made now.
pub(crate) fn packed(pool: &Pool, w: &Weight, k: usize, dtype: DType) -> Packed {
    match w.packed {
        Some(packed) if packed.format == dtype => packed.clone(),
        _ => pack(pool, w.values, w.n, k, dtype),
    }
}

#[track_caller]
pub(crate) fn forward(
    pool: &Pool,
    x: Slice,
    weights: &[Weight],
    residual: Option<Slice>,
    y: SliceMut,
    r: usize,
    k: usize,
) {
    let n: usize = weights.iter().map(|w| w.n).sum();
    check(weights.iter().map(|w| (w.n, w.values.len())), k);
    assert!(
        x.len() == r * k && y.len() == r * n && residual.is_none_or(|residual| residual.len() == r * n),
        "linear: x {}, y {}, want r {r}, n {n}, k {k}",
        x.len(),
        y.len()
    );
    let format = Format::of(x.dtype());
    let packed: Vec<Packed> = weights.iter().map(|w| self::packed(pool, w, k, x.dtype())).collect();
    let panels: Vec<Panels> =
        packed.iter().zip(weights).map(|(p, w)| Panels::new(format, &p.words, k, w.n)).collect();
    let target = match (y, residual) {
        (SliceMut::Bf16(c), None) => Target::Bf16 { c, stride: n },
        (y, residual) => Target::F32 {
            c: y.f32(),
            stride: n,
            accumulates: false,
            residual: residual.map(|residual| residual.f32()),
        },
    };
    gemm::gemm(pool, Product { format, m: r, k }, Operand::depth(x, k), &panels, target);
}

#[track_caller]
pub(crate) fn backward_input(pool: &Pool, dy: Slice, weights: &[Weight], dx: SliceMut, r: usize, k: usize) {
    let n: usize = weights.iter().map(|w| w.n).sum();
    check(weights.iter().map(|w| (w.n, w.values.len())), k);
    assert!(dy.len() == r * n && dx.len() == r * k, "linear: dy {}, dx {}, want r {r}", dy.len(), dx.len());
    let format = Format::of(dx.dtype());
    let mut packed = Buffer::unspecified(format.packed_len(n, k));
    let parts: Vec<_> = weights.iter().map(|w| (Operand::outer(w.values, k), w.n)).collect();
    gemm::pack_stacked(pool, format, &parts, k, &mut packed);
    let target = match dx {
        SliceMut::Bf16(c) => Target::Bf16 { c, stride: k },
        dx => Target::f32(dx.f32(), k),
    };
    let panels = [Panels::new(format, &packed, n, k)];
    gemm::gemm(pool, Product { format, m: r, k: n }, Operand::depth(dy, n), &panels, target);
}

#[track_caller]
pub(crate) fn backward_weight(pool: &Pool, dy: Slice, x: Slice, dws: &mut [WeightGrad], r: usize, k: usize) {
    let n: usize = dws.iter().map(|dw| dw.n).sum();
    check(dws.iter().map(|dw| (dw.n, dw.values.len())), k);
    assert!(dy.len() == r * n && x.len() == r * k, "linear: dy {}, x {}, want r {r}", dy.len(), x.len());
    let format = Format::of(x.dtype());
    let mut packed = Buffer::unspecified(format.packed_len(r, k));
    gemm::pack(pool, format, Operand::outer(x, k), r, k, &mut packed);
    let panels = [Panels::new(format, &packed, r, k)];
    let mut column = 0;
    for dw in dws {
        let SliceMut::F32(values) = &mut dw.values else { panic!("gradients of weights are f32") };
        let dy = Operand::outer(dy.from(column.min(dy.len())), n);
        gemm::gemm(
            pool,
            Product { format, m: dw.n, k: r },
            dy,
            &panels,
            Target::sum(values, k, dw.accumulates),
        );
        column += dw.n;
    }
}

#[track_caller]
fn check(weights: impl Iterator<Item = (usize, usize)>, k: usize) {
    for (n, len) in weights {
        assert!(len == n * k, "linear: a weight of {len}, want [{n}, {k}]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu, Kernels, Reference,
        testing::{Guarded, HOSTILE, check_close, normal_bf16, normal_f32, widen},
    };

    /// The reference accumulates in f64; a sequential f32 sum errs like k·ε. Worst seen: 0.4 of this bound. One
    /// dropped term errs by about 1.
    fn bound(k: usize) -> f32 {
        2.0 * f32::EPSILON * (k as f32 + 4.0)
    }

    /// A unit in the last of bf16's eight bits: both sides round, and near a tie to different sides.
    const ROUNDING: f32 = 1.0 / 128.0;

    /// Two weights side by side, so that pairs of bf16 lie across their border where the first is odd.
    fn widths(n: usize) -> [usize; 2] {
        [n / 2 + n % 2, n / 2]
    }

    struct Outputs {
        y: Vec<f32>,
        plus_residual: Vec<f32>,
        dx: Vec<f32>,
        dws: Vec<Vec<f32>>,
    }

    fn run(kernels: &dyn Kernels, [x, dy]: [Slice; 2], w: &[Vec<f32>], [r, n, k]: [usize; 3]) -> Outputs {
        let weights: Vec<Weight> =
            w.iter().map(|w| Weight { values: Slice::F32(w), n: w.len() / k.max(1), packed: None }).collect();
        let residual = normal_f32(r * n, 9);
        let mut plus_residual = Guarded::new(&vec![0.0f32; r * n]);
        kernels.linear_forward(x, &weights, Some(Slice::F32(&residual)), plus_residual.slice_mut(), r, k);
        let grads: Vec<Vec<f32>> = w.iter().map(|w| normal_f32(w.len(), 5)).collect();
        let mut dws: Vec<Guarded<f32>> = grads.iter().map(|w| Guarded::new(w)).collect();
        let mut views: Vec<WeightGrad> = dws
            .iter_mut()
            .zip(&weights)
            .map(|(dw, w)| WeightGrad { values: dw.slice_mut(), n: w.n, accumulates: w.n % 3 != 1 })
            .collect();
        kernels.linear_backward_weight(dy, x, &mut views, r, k);
        let (y, dx) = if x.dtype() == DType::Bf16 {
            let (mut y, mut dx) =
                (Guarded::new(&vec![bf16::ONE; r * n]), Guarded::new(&vec![bf16::ONE; r * k]));
            kernels.linear_forward(x, &weights, None, y.slice_mut(), r, k);
            kernels.linear_backward_input(dy, &weights, dx.slice_mut(), r, k);
            (widen(y.checked()), widen(dx.checked()))
        } else {
            let (mut y, mut dx) = (Guarded::new(&vec![1.0f32; r * n]), Guarded::new(&vec![1.0f32; r * k]));
            kernels.linear_forward(x, &weights, None, y.slice_mut(), r, k);
            kernels.linear_backward_input(dy, &weights, dx.slice_mut(), r, k);
            (y.checked().to_vec(), dx.checked().to_vec())
        };
        let dws = dws.iter().map(|dw| dw.checked().to_vec()).collect();
        Outputs { y, plus_residual: plus_residual.checked().to_vec(), dx, dws }
    }

    use crate::bf16;

    #[test]
    fn linear_agrees_with_the_reference() {
        let cpu = Cpu::new(2);
        for r in HOSTILE {
            for n in HOSTILE {
                for k in [1, 7, 33, 97, 521] {
                    let w: Vec<Vec<f32>> = widths(n).map(|n| normal_f32(n * k, 2 + n as u64)).to_vec();
                    // What is rounded to bf16 on the way in is made exact first, so that only sums differ.
                    let exact =
                        |values: Vec<f32>| values.iter().map(|x| bf16::from_f32(*x).to_f32()).collect();
                    let exact_w: Vec<Vec<f32>> = w.iter().cloned().map(exact).collect();
                    let (x, dy) = (normal_f32(r * k, 1), normal_f32(r * n, 3));
                    let (xb, dyb) = (normal_bf16(r * k, 1), normal_bf16(r * n, 3));
                    let dy_exact: Vec<f32> = widen(&dyb);
                    let cases = [
                        ("f32", [Slice::F32(&x), Slice::F32(&dy)], &w, 0.0),
                        ("bf16", [Slice::Bf16(&xb), Slice::Bf16(&dyb)], &exact_w, ROUNDING),
                        (
                            "bf16 with dy in f32",
                            [Slice::Bf16(&xb), Slice::F32(&dy_exact)],
                            &exact_w,
                            ROUNDING,
                        ),
                    ];
                    for (name, inputs, w, rounding) in cases {
                        let got = run(&cpu, inputs, w, [r, n, k]);
                        let want = run(&Reference, inputs, w, [r, n, k]);
                        let what = |part: &str| format!("{name} {part} r {r} n {n} k {k}");
                        check_close(&what("y"), &got.y, &want.y, bound(k) + rounding);
                        let [got_sum, want_sum] = [&got.plus_residual, &want.plus_residual];
                        check_close(&what("residual + y"), got_sum, want_sum, bound(k));
                        check_close(&what("dx"), &got.dx, &want.dx, bound(n) + rounding);
                        for (got, want) in got.dws.iter().zip(&want.dws) {
                            check_close(&what("dw"), got, want, bound(r));
                        }
                    }
                }
            }
        }
    }

    /// Tokens must not feel their company: one row alone gives the bits that it gives among others.
    #[test]
    fn a_row_alone_gives_the_same_bits_as_in_a_batch() {
        let (r, n, k) = (201, 70, 4200);
        let (x, w) = (normal_f32(r * k, 1), normal_f32(n * k, 2));
        let xb = normal_bf16(r * k, 1);
        for dtype in [DType::F32, DType::Bf16] {
            let run = |n_threads: usize, rows: std::ops::Range<usize>, is_packed: bool| {
                let cpu = Cpu::new(n_threads);
                let packed = if is_packed { cpu.pack(Slice::F32(&w), n, k, dtype) } else { None };
                let weight = Weight { values: Slice::F32(&w), n, packed: packed.as_ref() };
                let range = rows.start * k..rows.end * k;
                if dtype == DType::F32 {
                    let mut y = vec![0.0; rows.len() * n];
                    cpu.linear_forward(
                        Slice::F32(&x[range]),
                        &[weight],
                        None,
                        SliceMut::F32(&mut y),
                        rows.len(),
                        k,
                    );
                    y
                } else {
                    let mut y = vec![bf16::ZERO; rows.len() * n];
                    cpu.linear_forward(
                        Slice::Bf16(&xb[range]),
                        &[weight],
                        None,
                        SliceMut::Bf16(&mut y),
                        rows.len(),
                        k,
                    );
                    widen(&y)
                }
            };
            let all = run(1, 0..r, false);
            assert_eq!(all, run(2, 0..r, true));
            assert_eq!(all, run(3, 0..r, false));
            for rows in [0..1, 7..8, 200..201, 13..14, 5..24, 90..201] {
                let want = &all[rows.start * n..rows.end * n];
                assert_eq!(want, run(2, rows.clone(), true), "{dtype:?} rows {rows:?}");
            }
        }
    }
}
