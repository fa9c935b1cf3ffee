//! The logarithm of a softmax's denominator; see the file of the same name in `reference/`.

use super::{
    exp::exp,
    pool::{Pool, Shared},
    reduce::{lane_sum, max_of},
};
use crate::isa::for_each_isa;

/// Numbers that are added up in f32 before their sum joins the others in f64.
const BLOCK: usize = 1024;

#[track_caller]
pub(crate) fn forward(pool: &Pool, x: &[f32], y: &mut [f64], n: usize) {
    assert!(x.len() == y.len() * n, "log-sum-exp: x {}, y {}, n {n}", x.len(), y.len());
    let rows = y.len();
    let y = Shared::new(y);
    pool.for_each(rows, |row| {
        // SAFETY: every row is computed by one task.
        let y = unsafe { y.part(row, 1) };
        y[0] = of_row(&x[row * n..][..n]);
    });
}

for_each_isa! {
    fn of_row(x: &[f32]) -> f64 {
        let max = max_of(x);
        // A loop: the closure of an iterator's sum would be compiled for the baseline, where each fused multiply-add is a call.
        let mut sum = 0.0;
        for x in x.chunks(BLOCK) {
            sum += f64::from(lane_sum(x.len(), |i| exp(x[i] - max)));
        }
        f64::from(max) + libm::log(sum)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Cpu, Kernels, Reference, Slice, testing::normal_f32};

    #[test]
    fn it_agrees_with_the_reference_whatever_else_is_computed() {
        for n in [1, 15, 1024, 5000] {
            let x: Vec<f32> = normal_f32(3 * n, n as u64).iter().map(|x| 9.0 * x).collect();
            let (mut got, mut want, mut alone) = ([0.0; 3], [0.0; 3], [0.0; 1]);
            Cpu::new(2).log_sum_exp(Slice::F32(&x), &mut got, n);
            Reference.log_sum_exp(Slice::F32(&x), &mut want, n);
            Cpu::new(1).log_sum_exp(Slice::F32(&x[n..2 * n]), &mut alone, n);
            // Worst seen: 1e-7.
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?}, {want:?}");
            assert_eq!(got[1].to_bits(), alone[0].to_bits());
        }
    }
}
