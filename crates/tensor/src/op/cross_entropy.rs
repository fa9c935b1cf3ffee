//! The language-model head fused with its loss.

use super::{statistics, weight_grad};
use crate::{Tape, Tensor, Var, kernel::CrossEntropyGrads};

/// A target that is not counted: nothing is to be learned at this position.
pub const IGNORE_TARGET: u32 = u32::MAX;

/// What a backward pass starts from: `scale·Σ row_weights[r]·losses[r]`.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// Hidden vectors, `[R, C]`.
    pub x: &'a Var,
    /// The head, `[V, C]`.
    pub w: &'a Var,
    /// `[R]`.
    pub targets: &'a [u32],
    /// Of every row: one over the sum of weights of the whole batch.
    pub scale: f64,
    /// Of each row; 1 where there are none. They may be negative.
    pub row_weights: Option<&'a [f32]>,
}

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

    /// As [`Tape::cross_entropy`], and where the backward starts: adds `∂(scale·Σ row_weights[r]·losses[r])/∂param` to
    /// `grads[index]` of every parameter on the tape; returns the losses without their weights. `others` are further outputs
    /// with their gradients, such as those of a value head. Uses the tape up.
    ///
    /// The gradient of `w` goes straight to its buffer, in the same pass over the logits. Divide by the number of
    /// targets (or the sum of weights) of the *whole* batch with `scale`: then any split into micro-batches adds up to the same gradient.
    /// Costs `6RVC` FLOPs at the head: the logits, and once more for each gradient from them.
    ///
    /// # Panics
    /// If the tape does not record, neither `x` nor `w` depends on a parameter, a shape disagrees, or a target is
    /// neither below V nor ignored.
    #[track_caller]
    pub fn backward_cross_entropy(
        self,
        loss: &CrossEntropy,
        others: Vec<(&Var, Tensor)>,
        grads: &mut [Tensor],
    ) -> Tensor {
        let &CrossEntropy { x, w, targets, scale, row_weights } = loss;
        let c = check(x, w, targets);
        let kernels = self.kernels;
        let mut losses = Tensor::unspecified(&[targets.len()], statistics(x.value().dtype()));
        let (outputs, dys): (Vec<&Var>, Vec<Tensor>) = others.into_iter().unzip();
        self.backward_from(&[&[x, w], &outputs[..]].concat(), grads, |grads| {
            let (mut dx, mut dw) = (grads.unspecified(0), grads.wants(1).then(|| grads.sum(1)));
            let dw_view = dw.as_mut().map(weight_grad);
            let to = CrossEntropyGrads { scale, row_weights, dx: dx.slice_mut(), dw: dw_view };
            kernels.cross_entropy(x.value().slice(), w.weight(), targets, losses.slice_mut(), Some(to), c);
            grads.give(0, dx);
            if let Some(dw) = dw {
                grads.give(1, dw.0);
            }
            (2..).zip(dys).for_each(|(i, dy)| grads.give(i, dy));
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

    /// Checks the gradients of `scale·Σlosses`, and of a weighted sum, of the `(x, w)` that `f` makes of `inputs`.
    #[track_caller]
    fn check_head(inputs: &[Tensor], targets: &[u32], f: impl Fn(&mut Tape, &[Var]) -> (Var, Var)) {
        check_weighted(inputs, targets, None, &f);
        let weights: Vec<f32> = (0..targets.len()).map(|i| i as f32 * 0.5 - 0.75).collect();
        check_weighted(inputs, targets, Some(&weights), &f);
    }

    #[track_caller]
    fn check_weighted(
        inputs: &[Tensor],
        targets: &[u32],
        row_weights: Option<&[f32]>,
        f: &impl Fn(&mut Tape, &[Var]) -> (Var, Var),
    ) {
        let sum = |losses: &Tensor| -> f64 {
            let weight = |i| row_weights.map_or(1.0, |weights: &[f32]| f64::from(weights[i]));
            losses.slice().to_f64().iter().enumerate().map(|(i, loss)| weight(i) * loss).sum()
        };
        let loss = |inputs: &[Tensor]| {
            let mut tape = Tape::inference(&Reference);
            let vars: Vec<Var> = inputs.iter().cloned().map(Var::constant).collect();
            let (x, w) = f(&mut tape, &vars);
            SCALE * sum(&tape.cross_entropy(&x, &w, targets))
        };
        check_loss_gradients(inputs, loss, |grads| {
            let mut tape = Tape::recording(&Reference);
            let vars: Vec<Var> = inputs.iter().enumerate().map(|(i, x)| tape.param(x, i)).collect();
            let (x, w) = f(&mut tape, &vars);
            let loss_of = CrossEntropy { x: &x, w: &w, targets, scale: SCALE, row_weights };
            let losses = tape.backward_cross_entropy(&loss_of, Vec::new(), grads);
            assert_eq!(SCALE * sum(&losses), loss(inputs));
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
        let loss = CrossEntropy { x: &x, w: &w, targets: &[4, 1], scale: 1.0, row_weights: None };
        Tape::recording(&Reference).backward_cross_entropy(&loss, Vec::new(), &mut []);
    }

    /// A value head beside the language model's: both losses in one pass.
    #[test]
    fn further_outputs_add_their_gradients() {
        let inputs = [normal(&[4, 3]), normal(&[5, 3]), normal(&[1, 3])];
        let (targets, dv) = ([1, 4, IGNORE_TARGET, 0], normal(&[4, 1]));
        let loss = |inputs: &[Tensor]| {
            let mut tape = Tape::inference(&Reference);
            let vars: Vec<Var> = inputs.iter().cloned().map(Var::constant).collect();
            let losses = tape.cross_entropy(&vars[0], &vars[1], &targets).slice().to_f64();
            let values = tape.linear(&vars[0], &vars[2], DType::F64);
            let values = values.value().slice().to_f64();
            let dv = dv.slice().to_f64();
            SCALE * losses.iter().sum::<f64>() + values.iter().zip(&dv).map(|(v, dv)| v * dv).sum::<f64>()
        };
        check_loss_gradients(&inputs, loss, |grads| {
            let mut tape = Tape::recording(&Reference);
            let vars: Vec<Var> = inputs.iter().enumerate().map(|(i, x)| tape.param(x, i)).collect();
            let values = tape.linear(&vars[0], &vars[2], DType::F64);
            let loss =
                CrossEntropy { x: &vars[0], w: &vars[1], targets: &targets, scale: SCALE, row_weights: None };
            tape.backward_cross_entropy(&loss, vec![(&values, dv.clone())], grads);
        });
    }
}
