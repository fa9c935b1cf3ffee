//! Rows put in the place of others, as those of an image in a sequence.

use std::sync::Arc;

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

struct PlaceRows {
    at: Arc<[u32]>,
}

impl Op for PlaceRows {
    /// `drows[i] = dy[at[i]]`; what was replaced has no gradient.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let (mut dx, mut drows) = (dy, grads.unspecified(1));
        kernels.rows_take(&self.at, dx.slice_mut(), drows.slice_mut());
        grads.give(0, dx);
        grads.give(1, drows);
    }
}

impl Tape<'_> {
    /// `x [R, C]` with row `at[i]` replaced by `rows[i]`: `rows [N, C]`, of one dtype. In place if nobody else holds `x`.
    ///
    /// # Panics
    /// If a shape disagrees, or `at` does not ascend below R.
    #[track_caller]
    pub fn place_rows(&mut self, x: Var, rows: &Var, at: &Arc<[u32]>) -> Var {
        let (shape, c) = (rows.value().shape(), x.value().last_dim());
        assert!(shape == [at.len(), c], "place_rows: rows {shape:?}, want [{}, {c}]", at.len());
        let mut y = x;
        self.kernels.rows_place(rows.value().slice(), at, y.value_mut().slice_mut());
        let value = y.value().clone();
        self.push(value, &[&y, rows], || PlaceRows { at: Arc::clone(at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, normal};

    #[test]
    fn place_rows_gradients() {
        for (r, c, at) in [(1, 1, &[0][..]), (5, 3, &[1, 2, 4]), (4, 2, &[0, 3])] {
            let at: Arc<[u32]> = at.into();
            check_gradients(&[normal(&[r, c]), normal(&[at.len(), c])], |tape, v| {
                tape.place_rows(v[0].clone(), &v[1], &at)
            });
        }
        // Into looked-up rows, as in a model.
        let at: Arc<[u32]> = [1, 2].into();
        check_gradients(&[normal(&[5, 3]), normal(&[2, 3])], |tape, v| {
            let x = tape.embedding(&[4, 0, 0, 4], &v[0]);
            tape.place_rows(x, &v[1], &at)
        });
    }
}
