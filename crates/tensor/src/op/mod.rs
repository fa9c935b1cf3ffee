//! What is computed: one file per op, each with its forward on the tape and its hand-written backward.

pub(crate) mod add;
pub(crate) mod attention;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod linear;
pub(crate) mod rmsnorm;
pub(crate) mod rope;
pub(crate) mod swiglu;
