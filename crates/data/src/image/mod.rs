//! Pictures in: bytes of a PNG, JPEG, WebP or GIF to the pixels that a vision encoder reads.
//!
//! [`decode`] checks sizes before it decodes, turns a picture upright and lays transparency over a background. [`decode_frames`]
//! takes frames of a moving one.
//! [`Preprocessing`] fits it to the encoder's size with the arithmetic of Pillow's `Image.resize`, byte for byte, and
//! makes normalised numbers or patches of it.
//!
//! ```
//! use data::image::{Background, Preprocessing, RgbImage, decode};
//!
//! let png = RgbImage::filled(40, 20, [200, 30, 30]).to_png();
//! let picture = decode(&png, "red.png", &Default::default(), Background::WHITE)?;
//! let preprocessing = Preprocessing::square(16);
//! let pixels = preprocessing.pixels(&picture); // [3, 16, 16], from -1 to 1
//! assert_eq!(pixels.len(), 3 * 16 * 16);
//! assert_eq!(preprocessing.patches(&picture, 8).len(), 4 * (3 * 8 * 8));
//! # Ok::<(), data::image::ImageError>(())
//! ```

mod data_url;
mod decode;
mod error;
mod frames;
mod gif_blocks;
mod jpeg;
mod limits;
mod png_chunks;
mod preprocessing;
mod resample;
mod rgb;
mod source;

pub use data_url::{from_data_url, is_data_url};
pub use decode::{Background, decode};
pub use error::ImageError;
pub use frames::{Frame, decode_frames, spread};
pub use limits::ImageLimits;
pub use png_chunks::with_comment;
pub use preprocessing::{Fit, Preprocessing};
pub use resample::Filter;
pub use rgb::RgbImage;
pub use source::ImageSource;
pub(crate) use source::read_image;
