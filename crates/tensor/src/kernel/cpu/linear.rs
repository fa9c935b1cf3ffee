//! Matrix products with a weight; see the file of the same name in `reference/`.

use std::sync::Arc;

use super::{
    gemm::{self, Strided, Target},
    pool::Pool,
};
use crate::kernel::{Packed, Weight};

/// `w [N, K]` in the order in which [`forward`] reads it.
pub(crate) fn pack(pool: &Pool, w: &[f32], n: usize, k: usize) -> Packed {
    let mut packed = vec![0.0; gemm::packed_len(k, n)];
    gemm::pack(pool, Strided::transposed(w, k), k, n, &mut packed);
    Packed(Arc::new(packed))
}

/// Calls `f` with the packed weight: the caller's, or one made in scratch memory.
pub(crate) fn with_packed<T>(pool: &Pool, w: Weight, n: usize, k: usize, f: impl FnOnce(&[f32]) -> T) -> T {
    match w.packed {
        Some(Packed(packed)) => f(packed),
        None => pool.with_scratch(gemm::packed_len(k, n), |packed| {
            gemm::pack(pool, Strided::transposed(w.values.f32(), k), k, n, packed);
            f(packed)
        }),
    }
}

#[track_caller]
pub(crate) fn forward(pool: &Pool, x: &[f32], w: Weight, y: &mut [f32], r: usize, n: usize, k: usize) {
    assert!(
        x.len() == r * k && w.values.len() == n * k && y.len() == r * n,
        "linear: x {}, w {}, y {}, want r {r}, n {n}, k {k}",
        x.len(),
        w.values.len(),
        y.len()
    );
    with_packed(pool, w, n, k, |packed| {
        let y = Target { values: y, row_stride: n, accumulate: false };
        gemm::gemm(pool, r, n, k, Strided::rows(x, k), packed, y);
    });
}

#[track_caller]
pub(crate) fn backward_input(
    pool: &Pool,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    r: usize,
    n: usize,
    k: usize,
) {
    assert!(
        dy.len() == r * n && w.len() == n * k && dx.len() == r * k,
        "linear: dy, w or dx of another length"
    );
    pool.with_scratch(gemm::packed_len(n, k), |packed| {
        gemm::pack(pool, Strided::rows(w, k), n, k, packed);
        let dx = Target { values: dx, row_stride: k, accumulate: true };
        gemm::gemm(pool, r, k, n, Strided::rows(dy, n), packed, dx);
    });
}

#[track_caller]
pub(crate) fn backward_weight(
    pool: &Pool,
    dy: &[f32],
    x: &[f32],
    dw: &mut [f32],
    r: usize,
    n: usize,
    k: usize,
) {
    assert!(
        dy.len() == r * n && x.len() == r * k && dw.len() == n * k,
        "linear: dy, x or dw of another length"
    );
    pool.with_scratch(gemm::packed_len(r, k), |packed| {
        gemm::pack(pool, Strided::rows(x, k), r, k, packed);
        let dw = Target { values: dw, row_stride: k, accumulate: true };
        gemm::gemm(pool, n, k, r, Strided::transposed(dy, n), packed, dw);
    });
}

#[cfg(test)]
mod tests {
    use crate::{
        Cpu, Kernels, Reference, Slice,
        kernel::Weight,
        testing::{Guarded, HOSTILE, check_close, normal_f32},
    };

    /// The reference accumulates in f64; a sequential f32 sum errs like k·ε. Worst seen: 0.4 of this bound. One
    /// dropped term errs by about 1.
    fn bound(k: usize) -> f32 {
        2.0 * f32::EPSILON * (k as f32 + 4.0)
    }

    #[test]
    fn linear_agrees_with_the_reference() {
        let cpu = Cpu::new(2);
        for r in HOSTILE {
            for n in HOSTILE {
                for k in [0, 1, 7, 33, 97, 521] {
                    let (x, w, dy) = (normal_f32(r * k, 1), normal_f32(n * k, 2), normal_f32(r * n, 3));
                    let run = |kernels: &dyn Kernels| {
                        let (x, values, dy) = (Slice::F32(&x), Slice::F32(&w), Slice::F32(&dy));
                        let mut y = Guarded::new(&vec![0.0; r * n]);
                        let mut dx = Guarded::new(&normal_f32(r * k, 4));
                        let mut dw = Guarded::new(&normal_f32(n * k, 5));
                        let packed = kernels.pack(values, n, k);
                        let mut from_packed = Guarded::new(&vec![0.0; r * n]);
                        kernels.linear_forward(x, Weight { values, packed: None }, y.slice_mut(), r, n, k);
                        let weight = Weight { values, packed: packed.as_ref() };
                        kernels.linear_forward(x, weight, from_packed.slice_mut(), r, n, k);
                        assert_eq!(y.checked(), from_packed.checked(), "packing changes nothing");
                        kernels.linear_backward_input(dy, values, dx.slice_mut(), r, n, k);
                        kernels.linear_backward_weight(dy, x, dw.slice_mut(), r, n, k);
                        [y, dx, dw].map(|buffer| buffer.checked().to_vec())
                    };
                    let [y, dx, dw] = run(&cpu);
                    let [y_ref, dx_ref, dw_ref] = run(&Reference);
                    let what = |name: &str| format!("{name} r {r} n {n} k {k}");
                    check_close(&what("y"), &y, &y_ref, bound(k));
                    check_close(&what("dx"), &dx, &dx_ref, bound(n));
                    check_close(&what("dw"), &dw, &dw_ref, bound(r));
                }
            }
        }
    }

    /// Tokens must not feel their company: one row alone gives the bits that it gives among others.
    #[test]
    fn a_row_alone_gives_the_same_bits_as_in_a_batch() {
        let (r, n, k) = (201, 70, 1100);
        let (x, w) = (normal_f32(r * k, 1), normal_f32(n * k, 2));
        let run = |n_threads: usize, rows: std::ops::Range<usize>| {
            let mut y = vec![0.0; rows.len() * n];
            let weight = Weight { values: Slice::F32(&w), packed: None };
            let x = Slice::F32(&x[rows.start * k..rows.end * k]);
            Cpu::new(n_threads).linear_forward(x, weight, crate::SliceMut::F32(&mut y), rows.len(), n, k);
            y
        };
        let all = run(1, 0..r);
        assert_eq!(all, run(2, 0..r));
        assert_eq!(all, run(3, 0..r));
        for rows in [0..1, 7..8, 200..201, 13..14, 5..24, 90..201] {
            assert_eq!(all[rows.start * n..rows.end * n], run(2, rows.clone()), "rows {rows:?}");
        }
    }
}
