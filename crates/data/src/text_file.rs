//! Small files that people write: recipes, prompts, tokenizers.

use std::{io::Read as _, path::Path};

use crate::{
    DataError,
    reader::{Encoding, FromUtf16},
};

/// The text of a small file: a byte-order mark is no part of it, and UTF-16, as some Windows programs write it, is
/// decoded. `path` is named in errors.
///
/// ```
/// let text = data::text_of("a.toml".as_ref(), b"\xef\xbb\xbfname = \"a\"".to_vec()).unwrap();
/// assert_eq!(text, "name = \"a\"");
/// ```
///
/// # Errors
/// If the bytes are not text in one of these encodings.
pub fn text_of(path: &Path, mut bytes: Vec<u8>) -> Result<String, DataError> {
    let (encoding, n_mark) = Encoding::of(&bytes);
    bytes.drain(..n_mark);
    let decoded = match encoding {
        Encoding::Utf8 => bytes,
        Encoding::Utf16Le | Encoding::Utf16Be => {
            let mut decoded = Vec::new();
            FromUtf16::new(&bytes[..], encoding == Encoding::Utf16Be)
                .read_to_end(&mut decoded)
                .map_err(DataError::io("read", path))?;
            decoded
        }
        Encoding::Utf32 => return Err(other(path, "text in UTF-32".to_owned())),
    };
    String::from_utf8(decoded).map_err(|error| {
        let at = n_mark + error.utf8_error().valid_up_to();
        other(path, format!("a byte at offset {at} that is not UTF-8"))
    })
}

fn other(path: &Path, found: String) -> DataError {
    let (path, hint) = (path.to_path_buf(), "save the file as UTF-8".to_owned());
    DataError::OtherFormat { path, expected: "text in UTF-8", found, hint }
}
