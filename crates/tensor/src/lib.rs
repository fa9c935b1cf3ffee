//! Compute core.
#![allow(unsafe_code)]

mod mapped;
mod rng;

pub use mapped::MappedFile;
pub use rng::Rng;
