//! The language-model head fused with its loss.

use super::{statistics, weight_grad};
use crate::{Tape, Tensor, Var};

/// A target that is not counted: nothing is to be learned at this position.
pub const IGNORE_TARGET: u32 = u32::MAX;

impl Tape<'_> {
    /// `−ln softmax(x[r]·wᵀ)[targets[r]]` of every row in nats, without a gradient.
    ///
    /// `x [R, C]`, `w [V, C]`, `targets [R]` → `[R]`; a target of [`IGNORE_TARGET`] costs 0. Logits exist for a few
    /// rows at a time only. Costs `2RVC` FLOPs.
    ///
    /// # Panics
    /// If a shape disagrees, or a target is neither below V nor ignored.
    #[track_caller]
    pub fn cross_entropy(&mut self, x: &Var, w: &Var, targets: &[u32]) -> Tensor {
        let c = check(x, w, targets);
        let mut losses = Tensor::unspecified(&[targets.len()], statistics(x.value().dtype()));
        self.kernels.cross_entropy(x.value().slice(), w.weight(), targets, losses.slice_mut(), None, c);
        losses
    }

    /// As [`Tape::cross_entropy`], and where the backward starts: adds `∂(scale·Σlosses)/∂param` to `grads[index]`
    /// of every parameter on the tape. Uses the tape up.
    ///
    /// The gradient of `w` goes straight to its buffer, in the same pass over the logits. Divide by the number of
    /// targets of the *whole* batch with `scale`: then any split into micro-batches adds up to the same gradient.
    /// Costs `6RVC` FLOPs at the head: the logits, and once more for each gradient from them.
    ///
    /// # Panics
    /// If the tape does not record, neither `x` nor `w` depends on a parameter, a shape disagrees, or a target is
    /// neither below V nor ignored.
    #[track_caller]
    pub fn backward_cross_entropy(
        self,
        x: &Var,
        w: &Var,
        targets: &[u32],
        scale: f64,
        grads: &mut [Tensor],
    ) -> Tensor {
        let c = check(x, w, targets);
        let kernels = self.kernels;
        let mut losses = Tensor::unspecified(&[targets.len()], statistics(x.value().dtype()));
        self.backward_from(&[x, w], grads, |grads| {
            let (mut dx, mut dw) = (grads.unspecified(0), grads.sum(1));
            kernels.cross_entropy(
                x.value().slice(),
                w.weight(),
                targets,
                losses.slice_mut(),
                Some((scale, dx.slice_mut(), weight_grad(&mut dw))),
                c,
            );
            grads.give(0, dx);
            grads.give(1, dw.0);
        });
        losses
    }
}

/// C, after a check of all shapes.
#[track_caller]
fn check(x: &Var, w: &Var, targets: &[u32]) -> usize {
    let (&[r, c], &[v, c_of_w]) = (x.value().shape(), w.value().shape()) else {
        panic!("cross_entropy: x {:?}, w {:?}", x.value().shape(), w.value().shape())
    };
    assert!(
        c == c_of_w && targets.len() == r,
        "cross_entropy: x [{r}, {c}], w [{v}, {c_of_w}], {} targets",
        targets.len()
    );
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DType, Reference,
        testing::{check_loss_gradients, normal},
    };

    const SCALE: f64 = 0.37;

    /// Checks the gradients of `scale·Σlosses` of the `(x, w)` that `f` makes of `inputs`.
    #[track_caller]
    fn check_head(inputs: &[Tensor], targets: &[u32], f: impl Fn(&mut Tape, &[Var]) -> (Var, Var)) {
        let loss = |inputs: &[Tensor]| {
            let mut tape = Tape::inference(&Reference);
            let vars: Vec<Var> = inputs.iter().cloned().map(Var::constant).collect();
            let (x, w) = f(&mut tape, &vars);
            SCALE * tape.cross_entropy(&x, &w, targets).slice().to_f64().iter().sum::<f64>()
        };
        check_loss_gradients(inputs, loss, |grads| {
            let mut tape = Tape::recording(&Reference);
            let vars: Vec<Var> = inputs.iter().enumerate().map(|(i, x)| tape.param(x, i)).collect();
            let (x, w) = f(&mut tape, &vars);
            let losses = tape.backward_cross_entropy(&x, &w, targets, SCALE, grads);
            assert_eq!(SCALE * losses.slice().to_f64().iter().sum::<f64>(), loss(inputs));
        });
    }

    #[test]
    fn cross_entropy_gradients() {
        for (r, c, v) in [(1, 1, 2), (5, 3, 7), (4, 9, 130)] {
            let mut targets: Vec<u32> = (0..r).map(|i| (i * 3 % v) as u32).collect();
            if r > 1 {
                targets[1] = IGNORE_TARGET;
            }
            check_head(&[normal(&[r, c]), normal(&[v, c])], &targets, |_, v| (v[0].clone(), v[1].clone()));
        }
    }

    /// A head may be the embedding, too: both add to one buffer.
    #[test]
    fn head_and_embedding_may_be_one() {
        check_head(&[normal(&[7, 3]), normal(&[3, 3])], &[1, IGNORE_TARGET, 6, 0], |tape, v| {
            let x = tape.embedding(&[5, 2, 2, 6], &v[0]);
            (tape.linear_residual(&x, &v[1], &x), v[0].clone())
        });
    }

    #[test]
    fn either_side_may_be_constant() {
        let (x, w) = (Var::constant(normal(&[2, 3])), Var::constant(normal(&[5, 3])));
        check_head(&[normal(&[5, 3])], &[4, 1], |_, v| (x.clone(), v[0].clone()));
        check_head(&[normal(&[3, 3])], &[4, 1], |tape, v| (tape.linear(&x, &v[0], DType::F64), w.clone()));
    }

    #[test]
    #[should_panic(expected = "the output depends on no parameter")]
    fn one_side_must_depend_on_a_parameter() {
        let (x, w) = (Var::constant(normal(&[2, 3])), Var::constant(normal(&[5, 3])));
        Tape::recording(&Reference).backward_cross_entropy(&x, &w, &[4, 1], 1.0, &mut []);
    }
}
