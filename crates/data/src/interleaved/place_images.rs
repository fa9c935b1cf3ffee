//! Pictures put where a text has its placeholders.

use super::{PLACEHOLDER, PLACEHOLDERS, RowPart};
use crate::image::ImageError;

/// Whether a text has a place for a picture.
pub fn has_place(text: &str) -> bool {
    PLACEHOLDERS.iter().any(|name| text.contains(name))
}

/// A text without its placeholders, and where in it pictures stand. A line break beside a placeholder goes with it: it is a chat
/// template's to write.
///
/// ```
/// use data::interleaved::taken_out;
///
/// assert_eq!(taken_out("<image>\nWhat is <|image|>?"), ("What is ?".to_owned(), vec![0, 8]));
/// ```
pub fn taken_out(text: &str) -> (String, Vec<usize>) {
    let pieces = pieces(text);
    let (mut rest, mut at) = (String::new(), Vec::new());
    for (i, piece) in pieces.iter().enumerate() {
        let piece = if i > 0 { piece.strip_prefix('\n').unwrap_or(piece) } else { piece };
        let is_last = i + 1 == pieces.len();
        rest.push_str(if is_last { piece } else { piece.strip_suffix('\n').unwrap_or(piece) });
        if !is_last {
            at.push(rest.len());
        }
    }
    (rest, at)
}

/// What stands before, between and behind the placeholders.
fn pieces(text: &str) -> Vec<&str> {
    PLACEHOLDERS
        .iter()
        .fold(vec![text], |pieces, name| pieces.into_iter().flat_map(|piece| piece.split(name)).collect())
}

/// Text and pictures in order: a picture for each placeholder, or all in front of a text without any.
pub(super) fn placed(text: &str, images: Vec<Vec<u8>>, place: &str) -> Result<Vec<RowPart>, ImageError> {
    let pieces = pieces(text);
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
