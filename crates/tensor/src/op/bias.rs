//! Biases behind a product.

use std::slice;

use crate::{
    Kernels, Slice, SliceMut, Tape, Tensor, Var,
    tape::{Grads, Op},
};

struct Bias {
    n_biases: usize,
}

impl Op for Bias {
    /// `dbᵢ += Σᵣ dy[r, columns of i]`; the gradient of `y` passes.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut dbiases: Vec<Tensor> = (1..=self.n_biases).map(|i| grads.take(i)).collect();
        let mut views: Vec<SliceMut> = dbiases.iter_mut().map(Tensor::slice_mut).collect();
        kernels.bias_backward(dy.slice(), &mut views);
        (1..).zip(dbiases).for_each(|(i, db)| grads.give(i, db));
        grads.give(0, dy);
    }
}

impl Tape<'_> {
    /// `y + [b₀; b₁; …]` in every row of `y [R, ΣN]`, biases `[Nᵢ]` side by side, as Qwen2 adds them to queries, keys
    /// and values (<https://arxiv.org/abs/2407.10671>). In place if nobody else holds the value; the dtype stays.
    ///
    /// # Panics
    /// If the biases together are not as wide as `y`.
    #[track_caller]
    pub fn add_bias(&mut self, y: Var, biases: &[&Var]) -> Var {
        let n: usize = biases.iter().map(|b| b.value().len()).sum();
        assert!(y.value().last_dim() == n, "add_bias: y {:?}, biases of {n} in all", y.value().shape());
        let mut sum = y;
        let views: Vec<Slice> = biases.iter().map(|b| b.value().slice()).collect();
        self.kernels.bias_forward(&views, sum.value_mut().slice_mut());
        let value = sum.value().clone();
        let inputs = [slice::from_ref(&&sum), biases].concat();
        self.push(value, &inputs, || Bias { n_biases: biases.len() })
    }
}

impl Tape<'_> {
    /// `y + table` in every stretch of P rows: `y [N·P, C]`, `table [P, C]`, as learned positions are added to patches. In
    /// place if nobody else holds the value; the dtype stays.
    ///
    /// # Panics
    /// If the widths differ, or `y` is not whole stretches.
    #[track_caller]
    pub fn add_table(&mut self, y: Var, table: &Var) -> Var {
        let (shape, n) = (y.value().shape(), table.value().len());
        assert!(
            y.value().last_dim() == table.value().last_dim() && n > 0 && y.value().len().is_multiple_of(n),
            "add_table: y {shape:?}, table {:?}",
            table.value().shape()
        );
        let mut sum = y;
        self.kernels.bias_forward(&[table.value().slice()], sum.value_mut().slice_mut());
        let value = sum.value().clone();
        self.push(value, &[&sum, table], || Bias { n_biases: 1 })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn bias_gradients() {
        for (r, ns) in [(1, &[1][..]), (3, &[2, 5, 1]), (7, &[11, 3])] {
            let mut inputs = vec![normal(&[r, ns.iter().sum()])];
            inputs.extend(ns.iter().map(|&n| normal(&[n])));
            check_gradients(&inputs, |tape, v| {
                tape.add_bias(v[0].clone(), &v[1..].iter().collect::<Vec<_>>())
            });
        }
    }

    #[test]
    fn table_gradients() {
        for (n, p, c) in [(1, 1, 1), (3, 2, 5)] {
            check_gradients(&[normal(&[n * p, c]), normal(&[p, c])], |tape, v| {
                tape.add_table(v[0].clone(), &v[1])
            });
        }
    }

    #[test]
    fn one_bias_may_be_given_twice() {
        check_gradients(&[normal(&[3, 4]), normal(&[2])], |tape, v| {
            tape.add_bias(v[0].clone(), &[&v[1], &v[1]])
        });
    }
}
