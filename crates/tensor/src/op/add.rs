//! The residual connection.

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

struct Add;

impl Op for Add {
    /// `da = dy`, `db = dy`.
    fn backward(&self, _: &dyn Kernels, dy: &Tensor, grads: &mut Grads<'_>) {
        grads.add(0, dy);
        grads.add(1, dy);
    }
}

impl Tape<'_> {
    /// `a + b`, of equal shapes.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn add(&mut self, a: &Var, b: &Var) -> Var {
        let shape = a.value().shape();
        assert!(shape == b.value().shape(), "add: a {shape:?}, b {:?}", b.value().shape());
        let mut y = Tensor::zeros(shape, a.value().dtype());
        self.kernels.add_forward(a.value().slice(), b.value().slice(), y.slice_mut());
        self.push(y, &[a, b], || Add)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn add_gradients() {
        check_gradients(&[normal(&[3, 5]), normal(&[3, 5])], |tape, v| tape.add(&v[0], &v[1]));
    }

    #[test]
    fn one_value_may_be_both_inputs() {
        check_gradients(&[normal(&[2, 7])], |tape, v| tape.add(&v[0], &v[0]));
    }
}
