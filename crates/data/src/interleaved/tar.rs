//! WebDataset archives: members of one name and several endings are one row.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Row, RowSource, is_image_name,
    place_images::placed,
    tar_file::{Member, TarFile},
};
use crate::{DataError, error::Damage, image::ImageLimits};

/// Largest text of a row.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Rows of an archive; a row's members follow one another: pictures, and text as `.txt`, `.caption` or `.json` with `text`
/// or `caption`. Members of other kinds are passed over.
pub struct TarRows {
    archive: TarFile<BufReader<File>>,
    path: PathBuf,
    limits: ImageLimits,
    /// The row that is being collected.
    open: Pending,
    is_over: bool,
}

#[derive(Default)]
struct Pending {
    key: String,
    text: Option<String>,
    images: Vec<Vec<u8>>,
    error: Option<DataError>,
    fields: serde_json::Map<String, Value>,
}

impl TarRows {
    /// Opens an archive that is not compressed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path, limits: ImageLimits) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        Ok(Self {
            archive: TarFile::new(BufReader::new(file)),
            path: path.to_path_buf(),
            limits,
            open: Pending::default(),
            is_over: false,
        })
    }

    fn place(&self, name: &str) -> String {
        format!("{}:{name}", self.path.display())
    }

    fn take_in(&mut self, member: &Member, ending: &str) -> Result<(), DataError> {
        let damaged = |path: &Path, error: io::Error| DataError::Malformed {
            path: path.to_path_buf(),
            expected: "a WebDataset archive",
            place: format!("member `{}`", member.name),
            message: error.to_string(),
            damage: if error.kind() == io::ErrorKind::UnexpectedEof { Damage::CutOff } else { Damage::Row },
        };
        if is_image_name(&member.name) {
            let place = self.place(&member.name);
            let n_bytes = usize::try_from(member.n_bytes).unwrap_or(usize::MAX);
            self.limits.check_bytes(&place, n_bytes)?;
            let content = self.archive.content(member.n_bytes, self.limits.max_bytes);
            self.open.images.push(content.map_err(|error| damaged(&self.path, error))?);
        } else if matches!(ending, "txt" | "caption" | "json") {
            let content = self.archive.content(member.n_bytes, MAX_TEXT_BYTES);
            let content = content.map_err(|error| damaged(&self.path, error))?;
            let not_text = || damaged(&self.path, io::Error::other("not text in UTF-8"));
            let text = if ending == "json" {
                let value: Value = serde_json::from_slice(&content)
                    .map_err(|error| damaged(&self.path, io::Error::other(error)))?;
                let text = value.get("text").or_else(|| value.get("caption")).and_then(Value::as_str);
                let text = text.map(str::to_owned);
                if let Value::Object(fields) = value {
                    self.open.fields = fields;
                }
                text
            } else {
                Some(String::from_utf8(content).map_err(|_| not_text())?)
            };
            // Text that has a file of its own comes before that among the metadata.
            if ending != "json" || self.open.text.is_none() {
                self.open.text = text.or(self.open.text.take());
            }
        }
        Ok(())
    }

    fn finish(&mut self, next: &str) -> Result<Option<Row>, DataError> {
        let Pending { key, text, images, error, fields } =
            std::mem::replace(&mut self.open, Pending { key: next.to_owned(), ..Pending::default() });
        if let Some(error) = error {
            return Err(error);
        }
        if text.is_none() && images.is_empty() {
            return Ok(None);
        }
        let place = self.place(&key);
        let parts = placed(text.as_deref().unwrap_or(""), images, &place)?;
        Ok(Some(Row::new(place, parts).with_fields(fields.iter().map(|(name, value)| (name, value.clone())))))
    }
}

impl RowSource for TarRows {
    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        while !self.is_over {
            let member = self.archive.next_member();
            let (key, ending) = match &member {
                Ok(Some(member)) => split(&member.name),
                _ => (String::new(), String::new()),
            };
            let finished = if key == self.open.key { None } else { Some(self.finish(&key)) };
            match member {
                Ok(Some(member)) => {
                    if let Err(error) = self.take_in(&member, &ending) {
                        self.is_over |= matches!(error, DataError::Malformed { damage: Damage::CutOff, .. });
                        self.open.error.get_or_insert(error);
                        if self.is_over && finished.is_none() {
                            return self.finish("");
                        }
                    }
                }
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
                    self.open.error = Some(DataError::Malformed {
                        path: self.path.clone(),
                        expected: "a WebDataset archive",
                        place: format!("behind `{}`", self.open.key),
                        message: error.to_string(),
                        damage: if cut { Damage::CutOff } else { Damage::Content },
                    });
                }
            }
            match finished {
                Some(Ok(None)) | None => {}
                Some(Ok(row)) => return Ok(row),
                Some(Err(error)) => return Err(error),
            }
        }
        // What stopped the archive is said once, behind the last whole row.
        self.open.error.take().map_or(Ok(None), Err)
    }

    fn is_over(&self) -> bool {
        self.is_over && self.open.error.is_none()
    }
}

/// The key of a member and its ending: the file's name up to its first point, with its folder.
fn split(name: &str) -> (String, String) {
    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
    let (stem, _) = file.split_once('.').unwrap_or((file, ""));
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    (format!("{folder}/{stem}"), ending.to_ascii_lowercase())
}
