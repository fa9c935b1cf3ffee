//! Columns added to a wider matrix.

use crate::{
    Kernels, Tape, Tensor, Var,
    kernel::Columns,
    tape::{Grads, Op},
};

struct AddColumns {
    scale: f64,
    columns: Columns,
}

impl Op for AddColumns {
    /// `dd = scale·dy[:, at..at+N]`; the gradient of `y` passes.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        if grads.wants(1) {
            let mut dd = grads.unspecified(1);
            kernels.columns_take(dy.slice(), self.scale, dd.slice_mut(), self.columns);
            grads.give(1, dd);
        }
        grads.give(0, dy);
    }
}

impl Tape<'_> {
    /// `y[:, at..at+N] += scale·d`: `y [R, width]`, `d [R, N]` → `[R, width]`, as a low-rank adapter adds its correction to one
    /// of several products side by side (<https://arxiv.org/abs/2106.09685>). In place if nobody else holds the value; the dtype
    /// stays.
    ///
    /// # Panics
    /// If the columns do not lie in `y`, or the rows differ.
    #[track_caller]
    pub fn add_columns(&mut self, y: Var, d: &Var, at: usize, scale: f64) -> Var {
        let columns = Columns { at, n: d.value().last_dim(), width: y.value().last_dim() };
        let mut sum = y;
        self.kernels.columns_add(d.value().slice(), scale, sum.value_mut().slice_mut(), columns);
        let value = sum.value().clone();
        self.push(value, &[&sum, d], || AddColumns { scale, columns })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn add_columns_gradients() {
        for (r, n, at, width) in [(1, 1, 0, 1), (3, 2, 1, 5), (4, 3, 0, 3), (2, 4, 3, 7)] {
            check_gradients(&[normal(&[r, width]), normal(&[r, n])], |tape, v| {
                tape.add_columns(v[0].clone(), &v[1], at, 0.7)
            });
        }
    }

    #[test]
    fn columns_may_be_added_to_themselves() {
        check_gradients(&[normal(&[3, 4])], |tape, v| tape.add_columns(v[0].clone(), &v[0], 0, -2.0));
    }
}
