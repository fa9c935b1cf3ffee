//! Token ids in, logits out.
//!
//! [`ModelConfig`] says the shape, [`Gpt`] computes, [`generate()`] samples, [`checkpoint`] reads and writes Hugging
//! Face folders, [`scaling`] turns a compute budget into a shape and its training. This crate knows no text and
//! no optimizer.
#![forbid(unsafe_code)]

mod cache;
pub mod checkpoint;
mod config;
mod flops;
mod generate;
pub mod gguf;
mod gpt;
mod params;
mod sampling;
pub mod scaling;

pub use cache::KvCache;
pub use config::{ConfigError, ModelConfig, RopeScaling};
pub use generate::{Completion, Finish, Request, generate};
pub use gpt::{Gpt, Hidden, Tokens};
pub use params::{Adapter, AdapterConfig, Block, Linear, LinearName, ParamSpec, Params, Role};
pub use sampling::{Sampler, Sampling, SamplingError};
