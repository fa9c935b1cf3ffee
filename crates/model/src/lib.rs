//! Token ids in, logits out. This crate knows no text and no optimizer.
//!
//! [`scaling`] turns a compute budget into a [`ModelConfig`], the shape; [`Gpt`] holds the weights and has the one
//! forward pass, which reads [`Tokens`] and may keep keys and values in a [`KvCache`]; [`generate()`] continues prompts
//! with a [`Sampler`]. [`checkpoint`] reads and writes Hugging Face folders, [`gguf`] llama.cpp's files.
//!
//! ```
//! use model::{Gpt, Request, Sampler, Sampling, generate, scaling};
//!
//! // The compute-optimal shape for 1e10 FLOPs, 300 tokens of vocabulary, rows of 64.
//! let (config, _tokens) =
//!     scaling::compute_optimal(1e10, scaling::TOKENS_PER_PARAM, 300, 64, &Default::default());
//! let gpt = Gpt::new(config, 1);
//! let request = Request {
//!     prompt: vec![17, 4],
//!     max_new_tokens: 5,
//!     sampler: Sampler::new(Sampling::greedy(), 1)?,
//!     stop: Vec::new(),
//! };
//! let completions = generate(&gpt, &tensor::Cpu::new(1), vec![request], &mut |_, _| true);
//! assert_eq!(completions[0].ids.len(), 5);
//! # Ok::<(), model::SamplingError>(())
//! ```
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
