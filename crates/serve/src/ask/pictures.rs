//! Pictures in messages: data URLs to what the model's eyes read.

use data::image::{Background, ImageError, ImageLimits, Preprocessing, decode, from_data_url};
use model::{Picture, VisionConfig};

use super::{Fields, fields::wrong};
use crate::api_error::ApiError;

/// Most pixels of all pictures of a request: a photograph or a few, and no bomb.
const MAX_PIXELS: u64 = 50_000_000;

/// How a model looks at pictures.
#[derive(Clone, Debug)]
pub(crate) struct Eyes {
    pub(crate) vision: VisionConfig,
    pub(crate) preprocessing: Preprocessing,
}

/// The pictures of a request in the order of their messages, not decoded yet.
#[derive(Default)]
pub(super) struct Found(Vec<(String, String)>);

impl Found {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the picture of a part of type `image_url`.
    pub(super) fn take(&mut self, part: &mut Fields, eyes: Option<&Eyes>) -> Result<(), ApiError> {
        if eyes.is_none() {
            let message = "this model reads no pictures\nhint: serve a model that was trained with pictures";
            return Err(part.bad("type", message).code("unsupported_value"));
        }
        let mut image = part.object("image_url")?.ok_or_else(|| part.missing("image_url"))?;
        let url = image.text("url")?.ok_or_else(|| image.missing("url"))?;
        image.only("detail", |detail| detail == "auto", "this model looks at every picture in one size")?;
        let path = image.path("url");
        image.end()?;
        self.0.push((path, url));
        Ok(())
    }

    /// The pictures as the model reads them. There must be room for their rows in `max_seq_len` tokens: nothing is decoded for
    /// a request that is refused in any case.
    pub(super) fn decoded(self, eyes: Option<&Eyes>, max_seq_len: usize) -> Result<Vec<Picture>, ApiError> {
        let Some(eyes) = eyes else { return Ok(Vec::new()) };
        let n_rows = self.0.len().saturating_mul(eyes.vision.n_patches());
        if n_rows > max_seq_len {
            let message = format!(
                "expected at most {max_seq_len} tokens, which is the context of this model, found {n_rows} of {} pictures\n\
                 hint: send fewer pictures",
                self.0.len()
            );
            return Err(ApiError::bad("messages", message).code("context_length_exceeded"));
        }
        let mut left = MAX_PIXELS;
        self.0.iter().map(|(path, url)| picture(path, url, eyes, &mut left)).collect()
    }
}

fn picture(path: &str, url: &str, eyes: &Eyes, left: &mut u64) -> Result<Picture, ApiError> {
    let broken = |message: String| ApiError::bad(path, message).code("invalid_image");
    let bytes = from_data_url(url).map_err(|(expected, hint)| {
        let scheme: String = url.chars().take(24).take_while(|c| !",;".contains(*c)).collect();
        broken(format!("expected {expected} in `{path}`, found {scheme:?}…\nhint: {hint}"))
    })?;
    let limits = ImageLimits { max_pixels: *left, ..ImageLimits::default() };
    let image = decode(&bytes, path, &limits, Background::WHITE).map_err(|error| match error {
        ImageError::TooLarge { what, limit, found, .. } => broken(format!(
            "expected at most {limit} {what} in `{path}`, found {found}: a request has {MAX_PIXELS} pixels in all\n\
             hint: make the picture smaller"
        )),
        ImageError::Format { found, .. } => broken(format!(
            "expected a PNG, JPEG, WebP or GIF picture in `{path}`, found {found}\nhint: convert it to PNG"
        )),
        ImageError::Damaged { format, message, .. } => broken(format!(
            "expected a whole {format} picture in `{path}`, found an error: {message}\nhint: send it again"
        )),
        other => broken(other.to_string()),
    })?;
    *left = left.saturating_sub(image.width() as u64 * image.height() as u64);
    Ok(Picture::new(eyes.preprocessing.patches(&image, eyes.vision.patch_size)))
}

/// A part of a message's content.
pub(super) enum Part {
    Text(String),
    Picture,
}

/// Parts as templates know them: one text where nothing else is there, or a list as transformers has it.
pub(super) fn content_json(parts: &[Part]) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return text(&joined(parts));
    }
    let all = parts.iter().map(|part| match part {
        Part::Text(said) => format!("{{\"type\": \"text\", \"text\": {}}}", text(said)),
        Part::Picture => "{\"type\": \"image\"}".to_owned(),
    });
    format!("[{}]", all.collect::<Vec<_>>().join(", "))
}

/// The texts of parts.
pub(super) fn joined(parts: &[Part]) -> String {
    parts
        .iter()
        .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
        .collect()
}

/// The content of a message: a text, or parts.
pub(super) fn content(
    fields: &mut Fields,
    found: &mut Found,
    eyes: Option<&Eyes>,
    takes_pictures: bool,
) -> Result<Option<Vec<Part>>, ApiError> {
    let path = fields.path("content");
    let parts = match fields.take("content") {
        None => return Ok(None),
        Some(serde_json::Value::String(text)) => return Ok(Some(vec![Part::Text(text)])),
        Some(serde_json::Value::Array(parts)) => parts,
        Some(other) => return Err(wrong(&path, "a text or a list of parts", &other)),
    };
    let part = |(i, part)| {
        let mut part = Fields::of(part, format!("{path}[{i}]"))?;
        let read = match part.text("type")?.as_deref() {
            Some("text") => Part::Text(part.text("text")?.ok_or_else(|| part.missing("text"))?),
            Some("image_url") if takes_pictures => {
                found.take(&mut part, eyes)?;
                Part::Picture
            }
            Some("image_url") => {
                let message = "pictures stand in messages of the user\nhint: move it there";
                return Err(part.bad("type", message).code("unsupported_value"));
            }
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                let message = format!(
                    "expected a part of type `text` or `image_url`, found {other:?}\nhint: leave other parts out"
                );
                return Err(part.bad("type", message).code("unsupported_value"));
            }
            None => return Err(part.missing("type")),
        };
        part.end()?;
        Ok(read)
    };
    parts.into_iter().enumerate().map(part).collect::<Result<_, _>>().map(Some)
}
