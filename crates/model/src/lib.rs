//! Token ids in, logits out. This crate knows no text and no optimizer.
//!
//! [`scaling`] turns a compute budget into a [`ModelConfig`], the shape; [`Gpt`] holds the weights and has the one
//! forward pass, which reads [`Tokens`] and may keep keys and values in a [`KvCache`]; an [`Engine`] continues
//! prompts ([`decode`]). With a [`VisionConfig`] it reads images too ([`eyes`]). [`checkpoint`] reads and writes Hugging Face folders, [`gguf`] llama.cpp's files.
//!
//! ```
//! use model::{Engine, EngineSettings, Gpt, Request, Sampling, scaling};
//!
//! // The compute-optimal shape for 1e10 FLOPs, 300 tokens of vocabulary, rows of 64.
//! let (config, _tokens) =
//!     scaling::compute_optimal(1e10, scaling::TOKENS_PER_PARAM, 300, 64, &Default::default());
//! let (gpt, kernels) = (Gpt::new(config, 1), tensor::Cpu::new(1));
//! let mut engine = Engine::new(&gpt, &kernels, EngineSettings::for_sequences(1, 64));
//! let request = Request { sampling: Sampling::greedy(), ..Request::new(vec![17, 4], 5) };
//! let completions = engine.complete(vec![request], &mut |_, _| true)?;
//! assert_eq!(completions[0].ids.len(), 5);
//! # Ok::<(), model::DecodeError>(())
//! ```
#![forbid(unsafe_code)]

pub mod checkpoint;
mod config;
pub mod decode;
pub mod eyes;
mod flops;
pub mod gguf;
mod gpt;
mod input;
mod params;
pub mod scaling;

pub use config::{ConfigError, ModelConfig, RopeScaling};
pub use decode::{
    Completion, DecodeError, Engine, EngineSettings, Event, Finish, KvCache, PromptToken, Request, Sampling,
    SamplingError, SequenceId, Token, TokenSet,
};
pub use eyes::{Activation, Eyes, Picture, VisionConfig};
pub use gpt::{Gpt, Hidden, Outputs, Wanted};
pub use input::{Piece, Tokens};
pub use params::{Adapter, AdapterConfig, Block, Linear, LinearName, ParamSpec, Params, Role};
