//! Where a picture is that a row names: in a file beside that of the row, or in the row itself.

use std::path::{Path, PathBuf};

use super::{Background, ImageError, ImageLimits, RgbImage, decode, from_data_url, is_data_url};

/// A picture that a row names, not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// A file.
    File {
        /// Where it lies.
        path: PathBuf,
        /// What the row calls it.
        name: String,
    },
    /// The bytes of a file.
    Bytes(Vec<u8>),
}

impl ImageSource {
    /// What `name` means in a file of `folder`: a path relative to it, `file://` and a path, or a data URL.
    ///
    /// # Errors
    /// What was expected, and what to do.
    pub fn named(name: &str, folder: &Path) -> Result<Self, (&'static str, &'static str)> {
        const EXPECTED: &str = "the name of a picture's file, or a data URL with the picture";
        if is_data_url(name) {
            return from_data_url(name).map(Self::Bytes);
        }
        let path = name.strip_prefix("file://").unwrap_or(name);
        if path.contains("://") {
            return Err((EXPECTED, "nothing is fetched: save the picture beside the file that names it"));
        }
        if path.is_empty() || path.contains('\0') {
            return Err((EXPECTED, "names are relative to the file that has them"));
        }
        Ok(Self::File { path: folder.join(path), name: name.to_owned() })
    }

    /// The picture; `place` names the row.
    ///
    /// # Errors
    /// If it is not there, no picture, damaged, or beyond the limits.
    pub fn decode(
        &self,
        place: &str,
        limits: &ImageLimits,
        background: Background,
    ) -> Result<RgbImage, ImageError> {
        match self {
            Self::Bytes(bytes) => decode(bytes, place, limits, background),
            Self::File { path, name } => decode(
                &read_image(path, name, place, limits)?,
                &format!("{name}` of `{place}"),
                limits,
                background,
            ),
        }
    }
}

/// The bytes of the file `name`, beside the one that names it, if they are no more than the limits allow.
pub(crate) fn read_image(
    path: &Path,
    name: &str,
    place: &str,
    limits: &ImageLimits,
) -> Result<Vec<u8>, ImageError> {
    let missing = |found: String| ImageError::Missing {
        place: place.to_owned(),
        name: name.to_owned(),
        found,
        hint: "names are relative to the file that has them; copy the pictures beside it",
    };
    let meta = std::fs::metadata(path).map_err(|error| missing(error.to_string()))?;
    // A device may have no end.
    if !meta.is_file() {
        return Err(missing("a folder or device".to_owned()));
    }
    limits.check_bytes(place, usize::try_from(meta.len()).unwrap_or(usize::MAX))?;
    std::fs::read(path).map_err(|error| missing(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_beside_or_pictures_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let picture = RgbImage::filled(3, 2, [9, 8, 7]);
        let png = picture.to_png();
        std::fs::write(dir.path().join("a.png"), &png).unwrap();
        let url = format!("data:image/png;base64,{}", base::base64::encode(&png));
        let absolute = dir.path().join("a.png").display().to_string();
        let limits = ImageLimits::default();
        for name in ["a.png", &url, &absolute, &format!("file://{absolute}")] {
            let source = ImageSource::named(name, dir.path()).unwrap();
            assert_eq!(
                source.decode("x.jsonl:line 3", &limits, Background::WHITE).unwrap(),
                picture,
                "{name}"
            );
        }
        for name in ["https://example.org/a.png", "", "data:image/png,x", "s3://a/b.png", "a\0.png"] {
            assert!(ImageSource::named(name, dir.path()).is_err(), "{name}");
        }
        std::fs::write(dir.path().join("b.png"), &png[..40]).unwrap();
        for (name, found) in [
            ("no.png", "`no.png` of `x.jsonl:line 3`"),
            ("b.png", "picture in `b.png` of `x.jsonl:line 3`"),
            (".", "found a folder or device"),
            ("/dev/zero", "found a folder or device"),
        ] {
            let source = ImageSource::named(name, dir.path()).unwrap();
            let error = source.decode("x.jsonl:line 3", &limits, Background::WHITE).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("hint: "), "{name}: {error}");
        }
    }
}
