//! The list of what was computed, replayed backwards for gradients.

use crate::{
    DType, Kernels, SliceMut, Tensor,
    kernel::{Packed, Weight},
};

/// What an op must bring to be recorded: its backward.
pub(crate) trait Op: Send {
    /// Adds this op's share to the gradients of its inputs, in the order in which they were given.
    fn backward(&self, kernels: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>);
}

/// A value on a tape.
#[derive(Clone, Debug)]
pub struct Var {
    value: Tensor,
    packed: Option<Packed>,
    /// `None`: no gradient flows here.
    node: Option<usize>,
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

    pub(crate) fn weight(&self) -> Weight<'_> {
        Weight { values: self.value.slice(), packed: self.packed.as_ref() }
    }
}

enum Node {
    /// A parameter; its gradient is added to the caller's buffer of this index.
    Param(usize),
    Computed {
        op: Box<dyn Op>,
        inputs: Vec<Option<usize>>,
    },
}

/// Records ops in the order in which they ran. It takes only ops that have a backward.
///
/// Inference runs the same ops on a tape that keeps nothing: [`Tape::inference`].
pub struct Tape<'k> {
    pub(crate) kernels: &'k dyn Kernels,
    nodes: Vec<(Node, Vec<usize>)>,
    is_recording: bool,
}

impl<'k> Tape<'k> {
    /// A tape that records.
    pub fn recording(kernels: &'k dyn Kernels) -> Self {
        Self { kernels, nodes: Vec::new(), is_recording: true }
    }

    /// A tape that keeps nothing: values are freed as soon as nobody holds them.
    pub fn inference(kernels: &'k dyn Kernels) -> Self {
        Self { kernels, nodes: Vec::new(), is_recording: false }
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
        let node = self.is_recording.then(|| {
            self.nodes.push((Node::Param(index), value.shape().to_vec()));
            self.nodes.len() - 1
        });
        Var { value: value.clone(), packed: None, node }
    }

    /// Puts a computed value on the tape; `op` is built only where a gradient will be wanted.
    pub(crate) fn push<O: Op + 'static>(
        &mut self,
        value: Tensor,
        inputs: &[&Var],
        op: impl FnOnce() -> O,
    ) -> Var {
        let needs_gradient = self.is_recording && inputs.iter().any(|v| v.node.is_some());
        let node = needs_gradient.then(|| {
            let inputs = inputs.iter().map(|v| v.node).collect();
            self.nodes.push((Node::Computed { op: Box::new(op()), inputs }, value.shape().to_vec()));
            self.nodes.len() - 1
        });
        Var { value, packed: None, node }
    }

    /// Adds `∂(dy·output)/∂param` to `grads[index]` of every parameter on the tape. Uses the tape up.
    ///
    /// # Panics
    /// If the tape does not record, `output` depends on no parameter, or a shape differs.
    #[track_caller]
    pub fn backward(self, output: &Var, dy: Tensor, grads: &mut [Tensor]) {
        assert!(self.is_recording, "this tape keeps nothing: gradients need Tape::recording");
        let last = output.node.expect("the output depends on a parameter");
        assert!(output.value.shape() == dy.shape(), "dy {:?}, output {:?}", dy.shape(), output.value.shape());
        let shapes: Vec<Vec<usize>> = self.nodes.iter().map(|(_, shape)| shape.clone()).collect();
        let params: Vec<Option<usize>> = self
            .nodes
            .iter()
            .map(|(node, _)| if let Node::Param(index) = node { Some(*index) } else { None })
            .collect();
        let dtype = dy.dtype();
        for (index, shape) in params.iter().zip(&shapes).filter_map(|(param, shape)| Some(((*param)?, shape)))
        {
            let found = grads[index].shape();
            assert!(found == shape, "gradient buffer {index} is {found:?}, the parameter {shape:?}");
        }
        let mut partial: Vec<Option<Tensor>> = (0..=last).map(|_| None).collect();
        partial[last] = Some(dy);
        // Popping drops each op, and with it what it saved, as soon as it has run.
        for (i, (node, _)) in self.nodes.into_iter().enumerate().take(last + 1).rev() {
            let Node::Computed { op, inputs } = node else { continue };
            let Some(dy) = partial[i].take() else { continue };
            let kernels = self.kernels;
            let mut slots = Grads {
                inputs: &inputs,
                shapes: &shapes,
                params: &params,
                partial: &mut partial,
                grads,
                dtype,
                kernels,
            };
            op.backward(self.kernels, &dy, &mut slots);
        }
    }
}

/// The gradient buffers of one op's inputs during the backward pass.
pub(crate) struct Grads<'a> {
    inputs: &'a [Option<usize>],
    shapes: &'a [Vec<usize>],
    params: &'a [Option<usize>],
    partial: &'a mut [Option<Tensor>],
    grads: &'a mut [Tensor],
    dtype: DType,
    kernels: &'a dyn Kernels,
}

impl Grads<'_> {
    /// Whether input `i` wants a gradient.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.inputs[i].is_some()
    }

    /// Takes the buffer of input `i` out, to be added to and given back with [`Grads::put`].
    /// Where no gradient is wanted, it is a buffer that nobody reads.
    pub(crate) fn take(&mut self, i: usize, shape: &[usize]) -> Tensor {
        let Some(node) = self.inputs[i] else { return Tensor::zeros(shape, self.dtype) };
        debug_assert_eq!(self.shapes[node], shape, "gradient of another shape");
        let taken = match self.params[node] {
            Some(index) => Some(std::mem::replace(&mut self.grads[index], Tensor::zeros(&[0], self.dtype))),
            None => self.partial[node].take(),
        };
        // Empty where nothing came yet, or where the same value is two inputs of one op and was taken before.
        taken.filter(|grad| grad.shape() == shape).unwrap_or_else(|| Tensor::zeros(shape, self.dtype))
    }

    /// Gives back what [`Grads::take`] took.
    pub(crate) fn put(&mut self, i: usize, mut grad: Tensor) {
        let Some(node) = self.inputs[i] else { return };
        let slot = match self.params[node] {
            Some(index) => &mut self.grads[index],
            None => self.partial[node].get_or_insert_with(|| Tensor::zeros(&[0], self.dtype)),
        };
        if slot.shape() == grad.shape() {
            self.kernels.add_scaled(slot.slice(), 1.0, grad.slice_mut());
        }
        *slot = grad;
    }

    /// Adds with `f` to the buffer of input `i`, if it wants a gradient.
    pub(crate) fn accumulate(&mut self, i: usize, shape: &[usize], f: impl FnOnce(SliceMut<'_>)) {
        if self.wants(i) {
            let mut grad = self.take(i, shape);
            f(grad.slice_mut());
            self.put(i, grad);
        }
    }

    /// Adds `dy` itself to input `i`; the first share is taken without a copy.
    pub(crate) fn add(&mut self, i: usize, dy: &Tensor) {
        let Some(node) = self.inputs[i] else { return };
        if self.params[node].is_none() && self.partial[node].is_none() {
            self.partial[node] = Some(dy.clone());
        } else {
            let kernels = self.kernels;
            self.accumulate(i, dy.shape(), |dx| kernels.add_scaled(dy.slice(), 1.0, dx));
        }
    }
}
