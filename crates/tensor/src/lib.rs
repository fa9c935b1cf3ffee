//! Compute core of Maquette: what a transformer computes, and how to make it fast. It does not know what a token, a
//! layer or a configuration is.
//!
//! A [`Tensor`] is a shape and its numbers, f32 or bf16. A [`Tape`] records ops on tensors; replaying it backwards
//! gives gradients, and [`Tape::inference`] runs the same ops and keeps nothing. The ops are methods of the tape
//! (`op/`); they call [`Kernels`], of which there are two: [`Reference`] says what each computes, in plain loops
//! (`kernel/reference/`), and [`Cpu`] is fast (`kernel/cpu/`). The three folders share file names.
//!
//! ```
//! use tensor::{Cpu, DType, Tape, Tensor, Var};
//!
//! let kernels = Cpu::new(1);
//! let x = Tensor::from_f32(&[1, 2], vec![3.0, 4.0]);
//! let w = Tensor::from_f32(&[1, 2], vec![0.5, 0.25]);
//!
//! let mut tape = Tape::recording(&kernels);
//! let w = tape.param(&w, 0); // its gradient goes to buffer 0
//! let y = tape.linear(&Var::constant(x), &w, DType::F32);
//! assert_eq!(y.value().item(), 2.5); // x·wᵀ
//!
//! let mut grads = vec![Tensor::zeros(&[0], DType::F32)];
//! tape.backward(&y, Tensor::from_f32(&[1, 1], vec![1.0]), &mut grads);
//! assert_eq!(grads[0].f32(), [3.0, 4.0]); // ∂y/∂w = x
//! ```
//!
//! Shape letters, used in every doc of this crate and of those above it:
//!
//! | letter | meaning | | letter | meaning |
//! |---|---|---|---|---|
//! | B | batch: rows of tokens | | K | key/value heads |
//! | T | query length | | D | `d_head` |
//! | S | key length | | F | `d_ff` |
//! | C | `d_model` | | V | vocabulary |
//! | H | heads | | R | rows, B·T |
//!
//! All buffers are dense and row-major. Gradients are accumulated (`+=`); every other output is overwritten.
#![allow(unsafe_code)] // each block says why it is sound

pub mod arena;
mod isa;
pub mod kernel;
mod op;
mod slice;
mod tape;
mod tensor;
#[cfg(test)]
mod testing;

pub use half::{bf16, f16};
pub use isa::Isa;
pub use kernel::{
    AttentionShape, Gelu, Kernels, KvPage, PAGE_LEN, PagedSegment, PagedSegments, Segment, cpu::Cpu,
    reference::Reference,
};
pub use op::cross_entropy::{CrossEntropy, IGNORE_TARGET};
pub use slice::{Slice, SliceMut};
pub use tape::{Tape, Var};
pub use tensor::{DType, Tensor};
