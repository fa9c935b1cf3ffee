//! GGUF, llama.cpp's file format: metadata, tensors (often quantised), tokenizer, all in one file.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Versions 2 and 3, little-endian. [`GgufFile`] maps
//! a file and checks every claim that it makes before anything is allocated for it; [`export`] writes one; [`Kind`] says
//! how a tensor is stored and turns it into f32 and back; `layout.rs` knows which tensor and which key of llama.cpp is
//! which of ours.

mod dequantize;
mod export;
mod kind;
mod layout;
mod quantize;
mod reader;
mod value;
mod writer;

use std::path::PathBuf;

pub use export::{Exported, WRITER_KEY, export};
pub use kind::Kind;
pub use reader::{GgufFile, TensorInfo};
pub use value::Value;

#[cfg(test)]
mod tests;

/// Why a GGUF file was refused, or could not be made.
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
    /// The operating system refused.
    #[error(
        "cannot write `{path}`: {source}\nhint: check the path and the space on that disk, or choose another file"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The checkpoint to be exported cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
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
    /// A model that reads images, for which such a file has no place.
    #[error(
        "expected a model of text alone for a GGUF file, found one that reads images in `{dir}`\nhint: its folder is opened as it is by transformers, as LlavaForConditionalGeneration"
    )]
    Eyes {
        /// The checkpoint.
        dir: PathBuf,
    },
    /// A model that this build does not compute.
    #[error(
        "`{path}`: {what} is {found}, expected {expected}\nhint: only such models can be imported and exported"
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
