//! Logits and the outputs of a further head at chosen rows, with gradients of both: what a loss needs that is no cross-entropy.

use tensor::{DType, Kernels, Tape, Tensor, Var};

use super::{Gpt, Hidden};
use crate::{Params, Tokens};

/// Which outputs are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Rows of the pass, ascending or not; each may be named more than once.
    pub rows: &'a [usize],
    /// Whether logits are computed.
    pub logits: bool,
    /// A head among [`Params::heads`].
    pub head: Option<usize>,
}

/// What the model says at rows; in a backward pass, the gradients of a loss with respect to it.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// `[rows, V]` in f32, to the bit those that the engine draws from.
    pub logits: Option<Tensor>,
    /// `[rows, n]` in f32.
    pub head: Option<Tensor>,
}

impl Gpt {
    /// Logits and the outputs of a head at rows.
    ///
    /// # Panics
    /// If there is no such head or row.
    #[track_caller]
    pub fn outputs(&self, kernels: &dyn Kernels, tokens: &Tokens, wanted: Wanted) -> Outputs {
        let mut tape = Tape::inference(kernels);
        let hidden = self.run(&mut tape, tokens, None, Some(wanted.rows));
        let [logits, head] = self.vars_of(&mut tape, &hidden, wanted);
        Outputs { logits: logits.map(|var| var.value().clone()), head: head.map(|var| var.value().clone()) }
    }

    /// Adds the gradients of a loss to `grads`: `loss` is given the outputs and returns its gradients with respect to them, and
    /// whatever else its caller wants to know.
    ///
    /// # Panics
    /// If there is no such head or row, or a gradient has another shape than its output.
    #[track_caller]
    pub fn add_output_gradients<R>(
        &self,
        kernels: &dyn Kernels,
        tokens: &Tokens,
        wanted: Wanted,
        grads: &mut Params<Tensor>,
        loss: impl FnOnce(&Outputs) -> (Outputs, R),
    ) -> R {
        let mut tape = Tape::recording(kernels);
        let hidden = self.run(&mut tape, tokens, None, Some(wanted.rows));
        let vars = self.vars_of(&mut tape, &hidden, wanted);
        let value = |var: &Option<Var>| var.as_ref().map(|var| var.value().clone());
        let (gradients, result) = loss(&Outputs { logits: value(&vars[0]), head: value(&vars[1]) });
        let pairs = vars.iter().zip([gradients.logits, gradients.head]);
        let outputs: Vec<(&Var, Tensor)> = pairs.filter_map(|(var, dy)| Some((var.as_ref()?, dy?))).collect();
        grads.with_slice(|grads| tape.backward_several(outputs, grads));
        result
    }

    #[track_caller]
    fn vars_of(&self, tape: &mut Tape, hidden: &Hidden, wanted: Wanted) -> [Option<Var>; 2] {
        let logits =
            wanted.logits.then(|| tape.linear(&hidden.rows, hidden.head(), self.params.embedding.dtype()));
        let head = wanted.head.map(|i| tape.linear(&hidden.rows, &hidden.params.heads[i].weight, DType::F32));
        [logits, head]
    }
}
