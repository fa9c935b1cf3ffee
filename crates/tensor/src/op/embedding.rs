//! Rows of a table, chosen by id.

use std::sync::Arc;

use crate::{
    Kernels, Tape, Tensor, Var,
    tape::{Grads, Op},
};

struct Embedding {
    ids: Arc<[u32]>,
}

impl Op for Embedding {
    /// `dtable[ids[r]] += dy[r]`, in ascending order of r.
    fn backward(&self, kernels: &dyn Kernels, dy: Tensor, grads: &mut Grads<'_>) {
        let mut dtable = grads.take(0);
        kernels.embedding_backward(&self.ids, dy.slice(), dtable.slice_mut());
        grads.give(0, dtable);
    }
}

impl Tape<'_> {
    /// Looks up `ids [R]` in `table [V, C]` → `[R, C]`, of the table's dtype.
    ///
    /// # Panics
    /// If an id is not below V.
    #[track_caller]
    pub fn embedding(&mut self, ids: &[u32], table: &Var) -> Var {
        let &[_, c] = table.value().shape() else { panic!("embedding: table {:?}", table.value().shape()) };
        let mut y = Tensor::unspecified(&[ids.len(), c], table.value().dtype());
        self.kernels.embedding_forward(ids, table.value().slice(), y.slice_mut());
        self.push(y, &[table], || Embedding { ids: ids.into() })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_gradients, normal};

    #[test]
    fn embedding_gradients() {
        // One id repeats, one never occurs.
        check_gradients(&[normal(&[5, 3])], |tape, v| tape.embedding(&[4, 0, 4, 2, 1, 4, 0], &v[0]));
    }
}
