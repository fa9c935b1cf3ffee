//! GGUF, llama.cpp's file format: metadata, tensors (often quantised), tokenizer, all in one file.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Versions 2 and 3, little-endian. [`GgufFile`] maps
//! a file and checks every claim that it makes before anything is allocated for it; [`Kind`] says how a tensor is stored
//! and turns it into f32; `layout.rs` knows which tensor and which key of llama.cpp is which of ours.

mod dequantize;
mod kind;
mod layout;
mod reader;
mod value;

use std::path::PathBuf;

pub use kind::Kind;
pub use reader::{GgufFile, TensorInfo};
pub use value::Value;

#[cfg(test)]
mod tests;

/// Why a GGUF file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The operating system refused.
    #[error("cannot read `{path}`: {source}\nhint: check the path")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The content contradicts itself or the format.
    #[error(
        "`{path}` is damaged: expected {expected}, found {found}\nhint: download or copy the file again, or write it again with a current llama.cpp"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// A model that this build does not compute.
    #[error(
        "`{path}`: {what} is {found}, this build computes {expected}\nhint: only such models can be imported"
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Which property.
        what: String,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
}
