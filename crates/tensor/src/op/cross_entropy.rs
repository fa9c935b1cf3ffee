//! The language-model head fused with its loss.

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

/// A target that is not counted: nothing is to be learned at this position.
pub const IGNORE_TARGET: u32 = u32::MAX;

/// The gradients for `dy = 1`: the forward computes them while it has the logits of a few rows at hand.
struct CrossEntropy {
    dx: Tensor,
    dw: Tensor,
}

impl Op for CrossEntropy {
    /// `dx += dy·∂loss/∂x`, `dw += dy·∂loss/∂w`, with the scalar `dy`.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        let dy = match dy.slice() {
            crate::Slice::F32(dy) => f64::from(dy[0]),
            crate::Slice::F64(dy) => dy[0],
        };
        grads.accumulate(0, self.dx.shape(), |dx| kernels.add_scaled(self.dx.slice(), dy, dx));
        grads.accumulate(1, self.dw.shape(), |dw| kernels.add_scaled(self.dw.slice(), dy, dw));
    }
}

impl Tape<'_> {
    /// `scale · Σ_r −ln softmax(x[r]·wᵀ)[targets[r]]`, and each row's own loss in nats.
    ///
    /// `x [R, C]`, `w [V, C]`, `targets [R]`; a target of [`IGNORE_TARGET`] costs 0. Divide by the number of
    /// targets of the *whole* batch with `scale`: then any split into micro-batches adds up to the same gradient.
    /// Logits exist for a few rows at a time only. Costs `2RVC` FLOPs, three times that with gradients.
    ///
    /// # Panics
    /// If a shape disagrees, or a target is neither below V nor ignored.
    #[track_caller]
    pub fn cross_entropy(&mut self, x: &Var, w: &Var, targets: &[u32], scale: f64) -> (Var, Tensor) {
        let (&[r, c], &[v, c_of_w]) = (x.value().shape(), w.value().shape()) else {
            panic!("cross_entropy: x {:?}, w {:?}", x.value().shape(), w.value().shape())
        };
        assert!(
            c == c_of_w && targets.len() == r,
            "cross_entropy: x [{r}, {c}], w [{v}, {c_of_w}], {} targets",
            targets.len()
        );
        let dtype = x.value().dtype();
        let mut losses = Tensor::zeros(&[r], dtype);
        let mut saved = self
            .is_recording()
            .then(|| CrossEntropy { dx: Tensor::zeros(&[r, c], dtype), dw: Tensor::zeros(&[v, c], dtype) });
        let grads = saved.as_mut().map(|s| (scale, s.dx.slice_mut(), s.dw.slice_mut()));
        self.kernels.cross_entropy(x.value().slice(), w.weight(), targets, losses.slice_mut(), grads, v, c);
        let loss = match losses.slice() {
            crate::Slice::F32(rows) => {
                let sum: f64 = rows.iter().map(|&loss| f64::from(loss)).sum();
                Tensor::from_f32(&[1], vec![(scale * sum) as f32])
            }
            crate::Slice::F64(rows) => Tensor::from_f64(&[1], vec![scale * rows.iter().sum::<f64>()]),
        };
        let op = || saved.expect("only a recording tape builds the op");
        (self.push(loss, &[x, w], op), losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn cross_entropy_gradients() {
        for (r, c, v) in [(1, 1, 2), (5, 3, 7), (4, 9, 130)] {
            let mut targets: Vec<u32> = (0..r).map(|i| (i * 3 % v) as u32).collect();
            if r > 1 {
                targets[1] = IGNORE_TARGET;
            }
            check_gradients(&[normal(&[r, c]), normal(&[v, c])], |tape, x| {
                tape.cross_entropy(&x[0], &x[1], &targets, 0.37).0
            });
        }
    }
}
