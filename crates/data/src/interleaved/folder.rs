//! A folder of pictures with captions.

use std::path::{Path, PathBuf};

use super::{Row, RowSource, is_image_name, place_images::placed};
use crate::{
    DataError,
    image::{ImageLimits, read_image},
};

/// Pictures of a folder and the folders in it, by name, each with the caption of the same name that ends in `.txt` or
/// `.caption`. A picture without a caption stands alone.
pub struct CaptionFolder {
    pictures: std::vec::IntoIter<PathBuf>,
    limits: ImageLimits,
}

impl CaptionFolder {
    /// Lists a folder.
    ///
    /// # Errors
    /// If it cannot be read, or has no picture.
    pub fn open(folder: &Path, limits: ImageLimits) -> Result<Self, DataError> {
        let (mut pictures, mut todo) = (Vec::new(), vec![folder.to_path_buf()]);
        while let Some(folder) = todo.pop() {
            let entries = std::fs::read_dir(&folder).map_err(DataError::io("read", &folder))?;
            for entry in entries {
                let path = entry.map_err(DataError::io("read", &folder))?.path();
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                // Links to folders may form rings.
                if path.is_dir() && !path.is_symlink() {
                    todo.push(path);
                } else if !name.starts_with('.') && is_image_name(&name) {
                    pictures.push(path);
                }
            }
        }
        if pictures.is_empty() {
            return Err(DataError::OtherFormat {
                path: folder.to_path_buf(),
                expected: "pictures with captions",
                found: "a folder without .png, .jpg, .webp or .gif files".to_owned(),
                hint: "put captions beside the pictures, as in boat.png and boat.txt".to_owned(),
            });
        }
        pictures.sort();
        Ok(Self { pictures: pictures.into_iter(), limits })
    }
}

impl RowSource for CaptionFolder {
    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some(path) = self.pictures.next() else { return Ok(None) };
        let place = path.display().to_string();
        let image = read_image(&path, &place, &place, &self.limits)?;
        let mut caption = String::new();
        for ending in ["txt", "caption"] {
            let path = path.with_extension(ending);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    caption = String::from_utf8(bytes).map_err(|error| {
                        let offset = error.utf8_error().valid_up_to() as u64;
                        DataError::InvalidUtf8 { path: path.clone(), offset }
                    })?;
                    break;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(DataError::io("read", &path)(error)),
            }
        }
        let parts = placed(&caption, vec![image], &place)?;
        Ok(Some(Row::new(place, parts)))
    }

    fn is_over(&self) -> bool {
        self.pictures.len() == 0
    }
}
