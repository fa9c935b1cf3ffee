//! Eyes: from the pixels of images to rows of the sequence, as `LlavaForConditionalGeneration` of Hugging Face has them.
//!
//! An encoder in the way of SigLIP (<https://arxiv.org/abs/2303.15343>) reads an image in patches: a product each, learned
//! positions, blocks of attention among all patches of the image and of a feed-forward with GELU, LayerNorm before
//! either. Two layers with a GELU between them ([`Eyes::projector`], <https://arxiv.org/abs/2310.03744>) make a row of the
//! text model's width of every patch. These rows stand where the sequence has placeholders, one each; nothing else of the
//! text model changes.
//!
//! CLIP's encoder (<https://arxiv.org/abs/2103.00020>) has a row for the whole image besides ([`Class`]), which takes part in
//! attention and is left out behind it.
//!
//! What comes out for an image depends on its pixels alone, bit for bit, whatever stands beside it.

mod config;
mod encoder;
mod params;
mod picture;
#[cfg(test)]
mod tests;

pub use config::{Activation, VisionConfig, VisionOverrides};
pub use params::{Class, EyeBlock, Eyes, LayerNorm};
pub use picture::Picture;
