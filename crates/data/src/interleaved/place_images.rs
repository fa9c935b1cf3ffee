//! Pictures put where a text has its placeholders.

use super::{PLACEHOLDER, RowPart};
use crate::image::ImageError;

/// Text and pictures in order: a picture for each placeholder, or all in front of a text without any.
pub(super) fn placed(text: &str, images: Vec<Vec<u8>>, place: &str) -> Result<Vec<RowPart>, ImageError> {
    let pieces: Vec<&str> = text.split(PLACEHOLDER).collect();
    let n_places = pieces.len() - 1;
    let mut images = images.into_iter().map(RowPart::Image);
    let mut parts = Vec::new();
    if n_places == 0 {
        parts.extend(images.by_ref());
    } else if n_places != images.len() {
        return Err(ImageError::Missing {
            place: place.to_owned(),
            name: PLACEHOLDER.to_owned(),
            found: format!("{n_places} of them in the text for {} pictures", images.len()),
            hint: "write one <image> for each picture, or none if all stand in front",
        });
    }
    for piece in pieces {
        if !piece.is_empty() {
            parts.push(RowPart::Text(piece.to_owned()));
        }
        parts.extend(images.next());
    }
    Ok(parts)
}
