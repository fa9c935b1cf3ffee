//! Why a picture was refused.

/// Why a picture was refused: which one, what was expected, what was found, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Bytes of no known format.
    #[error(
        "expected a PNG, JPEG, WebP or GIF picture in `{place}`, found {found}\nhint: convert it to PNG, or leave the row out"
    )]
    Format {
        /// The file, and the row if there are several.
        place: String,
        /// What the first bytes look like.
        found: String,
    },
    /// More than is decoded.
    #[error("expected at most {limit} {what} in `{place}`, found {found}\nhint: {}", smaller(.setting))]
    TooLarge {
        /// The file, and the row if there are several.
        place: String,
        /// What is counted.
        what: &'static str,
        /// How many may be there.
        limit: u64,
        /// How many are there.
        found: u64,
        /// The field of [`super::ImageLimits`] that allows more.
        setting: &'static str,
    },
    /// Bytes that contradict themselves, or end too early.
    #[error(
        "expected a whole {format} picture in `{place}`, found an error: {message}\nhint: the picture is damaged or cut off: copy it again, or leave the row out"
    )]
    Damaged {
        /// The file, and the row if there are several.
        place: String,
        /// The format that the first bytes announce.
        format: &'static str,
        /// What the decoder said.
        message: String,
    },
    /// A picture that is named and not there.
    #[error("expected the picture `{name}` of `{place}`, found {found}\nhint: {hint}")]
    Missing {
        /// The file, and the row if there are several.
        place: String,
        /// What the row calls the picture.
        name: String,
        /// What is there.
        found: String,
        /// What to do.
        hint: &'static str,
    },
}

/// What to do about a picture that is beyond a limit. Limits are no setting of a recipe or a command.
fn smaller(setting: &str) -> &'static str {
    match setting {
        "max_frames" => "show a folder with some of its frames, or cut it into shorter parts",
        _ => "make the picture smaller",
    }
}

impl ImageError {
    /// What is wrong in a few words, to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Format { .. } => "no picture format",
            Self::TooLarge { .. } => "picture too large",
            Self::Damaged { .. } => "picture damaged",
            Self::Missing { .. } => "picture missing",
        }
    }
}
