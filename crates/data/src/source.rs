//! Where documents come from: files, folders and globs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{DataError, SpecialTokens};

/// One source of documents; a mixture is a list of them.
///
/// Formats by ending: `.txt` and `.md` (the file is one document), `.jsonl` (a line is one document), `.parquet`
/// (a row is one document); the first three also compressed as `.gz` or `.zst`. Other files in a folder are
/// passed over; names that begin with a dot too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// A file, a folder (searched to the bottom) or a glob.
    pub path: String,
    /// Field or column that holds the text, in `.jsonl` and `.parquet`.
    #[serde(default = "default_text")]
    pub text: String,
    /// Share of the training tokens, relative to the weights of the other sources.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// What the names of special tokens in its texts are taken for: `"text"`, letters, or `"parse"`, the tokens, for
    /// conversations that a chat template wrote.
    #[serde(default, skip_serializing_if = "SpecialTokens::is_text")]
    pub special_tokens: SpecialTokens,
    /// Licence, kept in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Name in reports; the path when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn default_text() -> String {
    "text".to_owned()
}

fn default_weight() -> f64 {
    1.0
}

impl SourceConfig {
    /// A source with every other setting at its default.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: default_text(),
            weight: default_weight(),
            special_tokens: SpecialTokens::default(),
            licence: None,
            name: None,
        }
    }

    /// The name in reports.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.path)
    }

    /// The files of this source, sorted by path.
    ///
    /// # Errors
    /// If the path is missing, the glob is malformed, or no file of a known format is there.
    pub fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        let no_files = |found: &str| DataError::NoFiles { path: self.path.clone(), found: found.to_owned() };
        let path = Path::new(&self.path);
        let mut files = Vec::new();
        if path.is_dir() {
            walk(path, &mut files)?;
            if files.is_empty() {
                return Err(no_files("a folder with none"));
            }
        } else if path.exists() {
            if Format::of(path).is_none() {
                return Err(no_files("a file with another ending"));
            }
            files.push(path.to_path_buf());
        } else {
            if !self.path.contains(['*', '?', '[']) {
                return Err(no_files("nothing"));
            }
            let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
            let matches = glob::glob_with(&self.path, options)
                .map_err(|error| no_files(&format!("a malformed glob ({error})")))?;
            for found in matches {
                let found = found.map_err(|e| {
                    let path = e.path().to_path_buf();
                    DataError::Io { action: "read", path, source: e.into() }
                })?;
                if found.is_file() && Format::of(&found).is_some() {
                    files.push(found);
                }
            }
            if files.is_empty() {
                return Err(no_files("no match"));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Collects the files of a known format below `folder`. Links to folders are not followed: they may form rings.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for entry in std::fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(DataError::io("read", &path))?;
        if kind.is_dir() {
            walk(&path, files)?;
        } else if path.is_file() && Format::of(&path).is_some() {
            files.push(path);
        }
    }
    Ok(())
}

/// What a file holds, by its ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text(Compression),
    Jsonl(Compression),
    Parquet,
}

/// How a file is compressed, by its ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Format {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, compression) = match name.rsplit_once('.')? {
            (stem, "gz") => (stem, Compression::Gzip),
            (stem, "zst") => (stem, Compression::Zstd),
            _ => (name.as_str(), Compression::None),
        };
        match (name.rsplit_once('.')?.1, compression) {
            ("txt" | "md", compression) => Some(Self::Text(compression)),
            ("jsonl", compression) => Some(Self::Jsonl(compression)),
            ("parquet", Compression::None) => Some(Self::Parquet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_decide() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a/b.txt"), Some(Format::Text(Compression::None)));
        assert_eq!(of("B.MD.GZ"), Some(Format::Text(Compression::Gzip)));
        assert_eq!(of("x.jsonl.zst"), Some(Format::Jsonl(Compression::Zstd)));
        assert_eq!(of("x.parquet"), Some(Format::Parquet));
        assert_eq!([of("x.parquet.gz"), of("x.json"), of("txt"), of("gz"), of("")], [None; 5]);
    }

    #[test]
    fn folders_and_globs_are_sorted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        for name in ["b.txt", "a/z.md", "c.png", ".hidden.txt", "a.jsonl.gz"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names = |config: SourceConfig| -> Vec<String> {
            let files = config.files().unwrap();
            files.iter().map(|f| f.strip_prefix(dir.path()).unwrap().display().to_string()).collect()
        };
        let at = |tail: &str| SourceConfig::new(format!("{}{tail}", dir.path().display()));
        assert_eq!(names(at("")), ["a/z.md", "a.jsonl.gz", "b.txt"]);
        assert_eq!(names(at("/*.txt")), ["b.txt"]);
        assert_eq!(names(at("/**/*.md")), ["a/z.md"]);
        for missing in ["/none.txt", "/*.tx", "/c.png", "/[.txt"] {
            let error = at(missing).files().unwrap_err().to_string();
            assert!(error.contains(missing) && error.contains("\nhint: "), "{error}");
        }
    }
}
