//! Compute core of Maquette: what a transformer computes, and how to make it fast.
//!
//! `op/` says what is computed, `kernel/reference/` says what it means, `kernel/cpu/` makes it fast; the folders
//! share file names. A training step is a list of ops on a [`Tape`]; replaying the list backwards gives
//! gradients. This crate does not know what a token, a layer or a configuration is.
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
pub use kernel::{AttentionShape, Kernels, Segment, cpu::Cpu, reference::Reference};
pub use op::cross_entropy::{CrossEntropy, IGNORE_TARGET};
pub use slice::{Slice, SliceMut};
pub use tape::{Tape, Var};
pub use tensor::{DType, Tensor};
