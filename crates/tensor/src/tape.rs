//! The list of what was computed, replayed backwards for gradients.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    DType, Kernels, Tensor,
    kernel::{Packed, Weight},
};

/// What an op must bring to be recorded: its backward.
pub(crate) trait Op: Send {
    /// Adds this op's share to the gradients of its inputs, which are numbered in the order in which they were
    /// given. `dy` is the op's own, to be worked on in place or given away.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>);
}

/// A value on a tape.
#[derive(Clone, Debug)]
pub struct Var {
    value: Tensor,
    packed: Option<Packed>,
    /// `None`: no gradient flows here.
    node: Option<NodeId>,
}

/// A place on one tape. Another tape's is a bug, and one that would pick a wrong gradient silently.
#[derive(Clone, Copy, Debug)]
struct NodeId {
    tape: u64,
    index: usize,
}

impl Var {
    /// A value that needs no gradient.
    pub fn constant(value: Tensor) -> Self {
        Self { value, packed: None, node: None }
    }

    /// A weight that needs no gradient, with its copy in the kernels' own order.
    pub fn packed(value: Tensor, packed: Option<Packed>) -> Self {
        Self { value, packed, node: None }
    }

    /// The numbers.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The numbers, for an op that works in place on a value that it was given.
    pub(crate) fn value_mut(&mut self) -> &mut Tensor {
        &mut self.value
    }

    /// A weight `[N, K]` for a product.
    pub(crate) fn weight(&self) -> Weight<'_> {
        Weight { packed: self.packed.as_ref(), ..weight(&self.value) }
    }

    /// The same value without a gradient.
    fn detached(&self) -> Self {
        Self { node: None, ..self.clone() }
    }
}

/// A weight `[N, K]` as its op kept it.
pub(crate) fn weight(w: &Tensor) -> Weight<'_> {
    Weight { values: w.slice(), n: w.shape()[0], packed: None }
}

enum Node<'k> {
    /// A parameter; its gradient is added to the buffer of this index.
    Param {
        index: usize,
        shape: Vec<usize>,
        dtype: DType,
    },
    Computed {
        op: Box<dyn Op + 'k>,
        inputs: Vec<Input>,
    },
}

/// What an op was given, without its numbers.
struct Input {
    /// `None`: no gradient flows here.
    node: Option<usize>,
    shape: Vec<usize>,
    dtype: DType,
}

/// Records ops in the order in which they ran. It takes only ops that have a backward.
///
/// Inference runs the same ops on a tape that keeps nothing: [`Tape::inference`].
pub struct Tape<'k> {
    pub(crate) kernels: &'k dyn Kernels,
    nodes: Vec<Node<'k>>,
    is_recording: bool,
    id: u64,
}

impl<'k> Tape<'k> {
    /// A tape that records.
    pub fn recording(kernels: &'k dyn Kernels) -> Self {
        Self { is_recording: true, ..Self::inference(kernels) }
    }

    /// A tape that keeps nothing: values are freed as soon as nobody holds them.
    pub fn inference(kernels: &'k dyn Kernels) -> Self {
        static N_TAPES: AtomicU64 = AtomicU64::new(0);
        Self { kernels, nodes: Vec::new(), is_recording: false, id: N_TAPES.fetch_add(1, Relaxed) }
    }

    /// Whether gradients can be asked for.
    pub fn is_recording(&self) -> bool {
        self.is_recording
    }

    /// The kernels that compute.
    pub fn kernels(&self) -> &'k dyn Kernels {
        self.kernels
    }

    /// A parameter whose gradient is added to buffer `index` of [`Tape::backward`].
    pub fn param(&mut self, value: &Tensor, index: usize) -> Var {
        let node = self
            .is_recording
            .then(|| self.add(Node::Param { index, shape: value.shape().to_vec(), dtype: value.dtype() }));
        Var { value: value.clone(), packed: None, node }
    }

    /// Puts a computed value on the tape; `op` is built only where a gradient will be wanted.
    #[track_caller]
    pub(crate) fn push<O: Op + 'k>(&mut self, value: Tensor, inputs: &[&Var], op: impl FnOnce() -> O) -> Var {
        let needs_gradient = self.is_recording && inputs.iter().any(|v| v.node.is_some());
        let node = needs_gradient.then(|| {
            let inputs = inputs.iter().map(|v| self.input(v)).collect();
            self.add(Node::Computed { op: Box::new(op()), inputs })
        });
        Var { value, packed: None, node }
    }

    /// `f(input, params)`, of which a recording tape keeps only what went in; the backward runs `f` once more.
    ///
    /// One forward more in exchange for memory; the gradients have the same bits as without. Paper:
    /// <https://arxiv.org/abs/1604.06174>.
    ///
    /// # Panics
    /// In the backward, if `f` computes with a value of the tape that is not among `input` and `params`.
    #[track_caller]
    pub fn checkpoint<F>(&mut self, input: &Var, params: &[Var], f: F) -> Var
    where
        F: Fn(&mut Tape<'k>, &Var, &[Var]) -> Var + Send + 'k,
    {
        if !self.is_recording {
            return f(self, input, params);
        }
        let kernels = self.kernels;
        let inputs: Vec<&Var> = std::iter::once(input).chain(params).collect();
        let kept: Vec<Var> = inputs.iter().map(|var| var.detached()).collect();
        let y = f(&mut Tape::inference(kernels), &kept[0], &kept[1..]);
        self.push(y.value, &inputs, || Checkpoint { inputs: kept, f, kernels })
    }

    fn add(&mut self, node: Node<'k>) -> NodeId {
        self.nodes.push(node);
        NodeId { tape: self.id, index: self.nodes.len() - 1 }
    }

    #[track_caller]
    fn input(&self, var: &Var) -> Input {
        let node = var.node.map(|node| {
            assert!(node.tape == self.id, "a value of another tape: give it to Tape::checkpoint as an input");
            node.index
        });
        Input { node, shape: var.value.shape().to_vec(), dtype: var.value.dtype() }
    }

    /// Adds `∂(dy·output)/∂param` to `grads[index]` of every parameter on the tape. An empty tensor there means that
    /// nothing was added yet. Uses the tape up.
    ///
    /// # Panics
    /// If the tape does not record, `output` depends on no parameter, or a shape or dtype differs.
    #[track_caller]
    pub fn backward(self, output: &Var, dy: Tensor, grads: &mut [Tensor]) {
        assert!(output.value.shape() == dy.shape(), "dy {:?}, output {:?}", dy.shape(), output.value.shape());
        self.backward_from(&[output], grads, |grads| grads.give(0, dy));
    }

    /// As [`Tape::backward`], from several outputs with a gradient each. An output may stand there more than once.
    ///
    /// # Panics
    /// As [`Tape::backward`].
    #[track_caller]
    pub fn backward_several(self, outputs: Vec<(&Var, Tensor)>, grads: &mut [Tensor]) {
        for (output, dy) in &outputs {
            assert!(
                output.value.shape() == dy.shape(),
                "dy {:?}, output {:?}",
                dy.shape(),
                output.value.shape()
            );
        }
        let (outputs, dys): (Vec<&Var>, Vec<Tensor>) = outputs.into_iter().unzip();
        self.backward_from(&outputs, grads, |grads| (0..).zip(dys).for_each(|(i, dy)| grads.give(i, dy)));
    }

    /// As [`Tape::backward`]; `start` gives the first gradients, to `outputs`.
    #[track_caller]
    pub(crate) fn backward_from(
        self,
        outputs: &[&Var],
        grads: &mut [Tensor],
        start: impl FnOnce(&mut Grads<'_>),
    ) {
        assert!(self.is_recording, "this tape keeps nothing: gradients need Tape::recording");
        assert!(outputs.iter().any(|output| output.node.is_some()), "the output depends on no parameter");
        // Buffers leave the caller's slice on the way, so that kernels add to them in place.
        let mut buffers: Vec<Option<Tensor>> = grads
            .iter_mut()
            .map(|grad| Some(std::mem::replace(grad, nothing())).filter(|grad| !grad.is_empty()))
            .collect();
        self.replay(outputs, &mut buffers, start);
        for (grad, buffer) in grads.iter_mut().zip(buffers) {
            *grad = buffer.unwrap_or_else(nothing);
        }
    }

    /// Replays the list backwards. Gradients of parameters are added to `buffers`; `None`: nothing came yet.
    #[track_caller]
    fn replay(self, outputs: &[&Var], buffers: &mut [Option<Tensor>], start: impl FnOnce(&mut Grads<'_>)) {
        let kernels = self.kernels;
        let mut partial: Vec<Option<Tensor>> = self.nodes.iter().map(|_| None).collect();
        for (node, partial) in self.nodes.iter().zip(&mut partial) {
            let Node::Param { index, shape, dtype } = node else { continue };
            *partial = buffers[*index].take();
            if let Some(buffer) = partial {
                assert!(
                    buffer.shape() == shape && buffer.dtype() == *dtype,
                    "gradient buffer {index} is {:?} {:?}, the parameter {dtype:?} {shape:?}",
                    buffer.dtype(),
                    buffer.shape()
                );
            }
        }
        let outputs: Vec<Input> = outputs.iter().map(|output| self.input(output)).collect();
        start(&mut Grads { inputs: &outputs, partial: &mut partial, kernels });
        // Popping drops each op, and with it what it saved, as soon as it has run.
        for (i, node) in self.nodes.into_iter().enumerate().rev() {
            let Some(dy) = partial[i].take() else { continue };
            match node {
                Node::Param { index, .. } => join(kernels, &mut buffers[index], dy),
                Node::Computed { op, inputs } => {
                    op.backward(kernels, dy, &mut Grads { inputs: &inputs, partial: &mut partial, kernels });
                }
            }
        }
    }
}

/// What stands in for a gradient to which nothing was added yet.
fn nothing() -> Tensor {
    Tensor::zeros(&[0], DType::F32)
}

/// What was given to a function that will run once more.
struct Checkpoint<'k, F> {
    inputs: Vec<Var>,
    f: F,
    kernels: &'k dyn Kernels,
}

impl<'k, F> Op for Checkpoint<'k, F>
where
    F: Fn(&mut Tape<'k>, &Var, &[Var]) -> Var + Send + 'k,
{
    /// The backward of `f` on a tape of its own. Its parameters are the inputs here, and their gradients go on from
    /// where they are: the same sums in the same order.
    fn backward(&self, _: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut tape = Tape::recording(self.kernels);
        let inputs: Vec<Var> = (self.inputs.iter().enumerate())
            .map(|(i, input)| if grads.wants(i) { tape.param(&input.value, i) } else { input.clone() })
            .collect();
        let y = (self.f)(&mut tape, &inputs[0], &inputs[1..]);
        let mut buffers: Vec<Option<Tensor>> = (0..inputs.len()).map(|i| grads.take_partial(i)).collect();
        tape.replay(&[&y], &mut buffers, |grads| grads.give(0, dy));
        for (i, buffer) in buffers.into_iter().enumerate() {
            if let Some(grad) = buffer {
                grads.give(i, grad);
            }
        }
    }
}

/// Adds `grad` to what came before it; what comes first is moved in.
fn join(kernels: &dyn Kernels, sum: &mut Option<Tensor>, grad: Tensor) {
    match sum {
        Some(sum) => kernels.add_scaled(grad.slice(), 1.0, sum.slice_mut()),
        None => *sum = Some(grad),
    }
}

/// The gradients of one op's inputs during the backward pass, each of its value's shape and dtype.
pub(crate) struct Grads<'a> {
    inputs: &'a [Input],
    /// The gradient of every node so far; of a parameter, its buffer.
    partial: &'a mut [Option<Tensor>],
    kernels: &'a dyn Kernels,
}

impl Grads<'_> {
    /// Whether input `i` wants a gradient.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.inputs[i].node.is_some()
    }

    /// A tensor for a whole gradient of input `i`, to be overwritten and given with [`Grads::give`].
    pub(crate) fn unspecified(&self, i: usize) -> Tensor {
        Tensor::unspecified(&self.inputs[i].shape, self.inputs[i].dtype)
    }

    /// Takes what came so far for input `i` out, zeros where nothing did, to be added to and given back with
    /// [`Grads::give`]. Where no gradient is wanted, nobody will read it.
    pub(crate) fn take(&mut self, i: usize) -> Tensor {
        let Input { shape, dtype, .. } = &self.inputs[i];
        self.take_partial(i).unwrap_or_else(|| Tensor::zeros(shape, *dtype))
    }

    /// As [`Grads::take`], with whether something came already: where nothing did, the buffer is of unspecified value
    /// and to be overwritten.
    pub(crate) fn sum(&mut self, i: usize) -> (Tensor, bool) {
        match self.take_partial(i) {
            Some(sum) => (sum, true),
            None => (self.unspecified(i), false),
        }
    }

    /// As [`Grads::take`], and `None` where nothing came.
    fn take_partial(&mut self, i: usize) -> Option<Tensor> {
        self.partial[self.inputs[i].node?].take()
    }

    /// Adds `grad` to the gradient of input `i`, if it wants one; the first share is moved in.
    pub(crate) fn give(&mut self, i: usize, grad: Tensor) {
        let Input { node, shape, dtype } = &self.inputs[i];
        let Some(node) = *node else { return };
        debug_assert_eq!((grad.shape(), grad.dtype()), (&shape[..], *dtype), "a gradient of another kind");
        join(self.kernels, &mut self.partial[node], grad);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;
    use crate::{
        AttentionShape, Reference, Segment,
        testing::{check_gradients, normal},
    };

    const SHAPE: AttentionShape = AttentionShape { n_heads: 2, n_kv_heads: 1, d_head: 4 };
    const C: usize = 6;
    const F: usize = 5;
    const R: usize = 7;

    /// A table `[3, C]`, then what [`block`] takes.
    fn params(dtype: DType) -> Vec<Tensor> {
        let (q, kv, d) = (SHAPE.q_width(), SHAPE.kv_width(), SHAPE.d_head);
        let shapes: [&[usize]; 12] = [
            &[3, C],
            &[C],
            &[q, C],
            &[kv, C],
            &[kv, C],
            &[d],
            &[d],
            &[C, q],
            &[C],
            &[F, C],
            &[F, C],
            &[C, F],
        ];
        shapes.map(|shape| normal(shape).to_dtype(dtype)).to_vec()
    }

    /// A block of a transformer with activations of `dtype` on a residual stream of the dtype of `x [R, C]`.
    fn block(tape: &mut Tape, x: &Var, params: &[Var], dtype: DType) -> Var {
        let [gain, q, k, v, q_gain, k_gain, o, gain2, gate, up, down] = params else {
            panic!("11 parameters")
        };
        let positions = [0, 1, 2, 3, 0, 1, 2].into();
        let segments = [Segment::whole(0, 3), Segment::whole(4, 3)].into();
        let angles = [0.0_f64, 0.0, 1.0, 0.1, 2.0, 0.2, 3.0, 0.3];
        let [cos, sin] = [f64::cos, f64::sin]
            .map(|f| Tensor::from_f64(&[4, 2], angles.map(f).to_vec()).to_dtype(x.value().dtype()));
        let qkv = tape.norm_linear(x, gain, 1e-2, &[q, k, v], dtype);
        let qkv = tape.head_norm(&qkv, q_gain, k_gain, 1e-2, SHAPE);
        let qkv = tape.rope(qkv, &positions, &cos, &sin, SHAPE);
        let mixed = tape.attention(&qkv, &segments, SHAPE);
        let x = tape.linear_residual(&mixed, o, x);
        let gate_up = tape.norm_linear(&x, gain2, 1e-2, &[gate, up], dtype);
        tape.gated_linear(&gate_up, down, &x, F)
    }

    /// Two blocks with one set of weights; what goes into the second is also read once more after it.
    fn model<'k>(tape: &mut Tape<'k>, params: &[Var], dtype: DType, keeps_all: bool) -> Var {
        let run = |tape: &mut Tape<'k>, x: &Var| {
            if keeps_all {
                block(tape, x, &params[1..], dtype)
            } else {
                tape.checkpoint(x, &params[1..], move |tape, x, params| block(tape, x, params, dtype))
            }
        };
        let x = tape.embedding(&[2, 0, 2, 1, 1, 0, 2], &params[0]);
        let x = run(tape, &x);
        let y = run(tape, &x);
        let mix = Var::constant(normal(&[C, C]).to_dtype(x.value().dtype()));
        tape.linear_residual(&y, &mix, &x)
    }

    /// The gradients of the model's parameters, added to what the buffers hold at first.
    fn gradients(residual: DType, dtype: DType, keeps_all: bool) -> Vec<Tensor> {
        let params = params(residual);
        let mut grads = params.clone();
        let mut tape = Tape::recording(&Reference);
        let vars: Vec<Var> = params.iter().enumerate().map(|(i, param)| tape.param(param, i)).collect();
        let y = model(&mut tape, &vars, dtype, keeps_all);
        tape.backward(&y, normal(&[R, C]).to_dtype(residual), &mut grads);
        grads
    }

    #[test]
    fn block_gradients() {
        for keeps_all in [true, false] {
            check_gradients(&params(DType::F64), |tape, v| model(tape, v, DType::F64, keeps_all));
        }
    }

    #[test]
    fn a_checkpoint_changes_no_bit() {
        for (residual, dtype) in
            [(DType::F32, DType::Bf16), (DType::F32, DType::F32), (DType::F64, DType::F64)]
        {
            let with = gradients(residual, dtype, false);
            for (i, (with, without)) in with.iter().zip(gradients(residual, dtype, true)).enumerate() {
                assert_eq!(with.dtype(), residual);
                let [with, without] = [with, &without]
                    .map(|x| x.slice().to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>());
                assert_eq!(with, without, "gradient {i} in {dtype:?}");
            }
        }
    }

    /// Worst seen: 4.9 %. A number that no kernel wrote would be NaN.
    #[test]
    fn gradients_in_bf16_are_near() {
        let exact = gradients(DType::F64, DType::F64, true);
        let rounded = gradients(DType::F32, DType::Bf16, true);
        for (i, ((rounded, exact), before)) in rounded.iter().zip(&exact).zip(params(DType::F64)).enumerate()
        {
            let [rounded, exact, before] = [rounded, exact, &before].map(|x| x.slice().to_f64());
            let norm = |x: &dyn Fn(usize) -> f64| (0..exact.len()).map(|i| x(i) * x(i)).sum::<f64>().sqrt();
            let error = norm(&|i| rounded[i] - exact[i]) / norm(&|i| exact[i] - before[i]);
            assert!(error < 0.1, "gradient {i} errs by {error}");
        }
    }

    #[test]
    fn a_checkpoint_keeps_what_goes_in_and_runs_twice() {
        let n_runs = Arc::new(AtomicUsize::new(0));
        let run = |tape: &mut Tape, x: &Var| {
            let n_runs = Arc::clone(&n_runs);
            tape.checkpoint(x, &[], move |tape, x, _| {
                n_runs.fetch_add(1, SeqCst);
                let x = tape.linear(x, x, DType::F64);
                tape.linear(&x, &x, DType::F64)
            })
        };
        let x = normal(&[3, 3]);
        run(&mut Tape::inference(&Reference), &Var::constant(x.clone()));
        assert_eq!(n_runs.load(SeqCst), 1);

        let mut tape = Tape::recording(&Reference);
        let var = tape.param(&x, 0);
        let y = run(&mut tape, &var);
        assert_eq!((n_runs.load(SeqCst), tape.nodes.len()), (2, 2));
        tape.backward(&y, x.clone(), &mut [x]);
        assert_eq!(n_runs.load(SeqCst), 3);
    }

    #[test]
    #[should_panic(expected = "a value of another tape")]
    fn a_checkpoint_takes_no_value_behind_its_back() {
        let mut tape = Tape::recording(&Reference);
        let x = tape.param(&normal(&[3, 3]), 0);
        let hidden = x.clone();
        let y = tape.checkpoint(&x, &[], move |tape, x, _| tape.linear(x, &hidden, DType::F64));
        tape.backward(&y, normal(&[3, 3]), &mut [normal(&[3, 3])]);
    }

    #[test]
    fn a_parameter_may_be_put_on_the_tape_twice() {
        let [x, dy, before] = [&[2, 3][..], &[2, 2], &[2, 3]].map(normal);
        let run = |again: bool| {
            let mut tape = Tape::recording(&Reference);
            let w = tape.param(&x, 0);
            let other = if again { tape.param(&x, 0) } else { w.clone() };
            let y = tape.linear(&w, &other, DType::F64);
            let mut grads = [before.clone()];
            tape.backward(&y, dy.clone(), &mut grads);
            grads[0].slice().to_f64()
        };
        for (once, twice) in run(false).iter().zip(run(true)) {
            assert!((once - twice).abs() < 1e-12, "{once} {twice}");
        }
    }

    #[test]
    #[should_panic(expected = "gradients need Tape::recording")]
    fn inference_has_no_gradients() {
        let tape = Tape::inference(&Reference);
        tape.backward(&Var::constant(normal(&[1])), normal(&[1]), &mut []);
    }
}
