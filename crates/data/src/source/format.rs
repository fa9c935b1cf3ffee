//! What a file holds, by its ending.

use std::{ffi::OsStr, path::Path};

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
    /// The rest of the name need not be UTF-8.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = Path::new(path.file_name()?);
        let (name, compression) = match lower(name.extension()?)?.as_str() {
            "gz" => (Path::new(name.file_stem()?), Compression::Gzip),
            "zst" => (Path::new(name.file_stem()?), Compression::Zstd),
            _ => (name, Compression::None),
        };
        match (lower(name.extension()?)?.as_str(), compression) {
            ("txt" | "md", compression) => Some(Self::Text(compression)),
            ("jsonl", compression) => Some(Self::Jsonl(compression)),
            ("parquet", Compression::None) => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The ending of a file of no known format, for messages: `.xz`, `.tar.gz`; none where there is none.
pub(super) fn other_ending(path: &Path) -> Option<String> {
    let name = Path::new(path.file_name()?);
    let last = lower(name.extension()?)?;
    if !matches!(last.as_str(), "gz" | "zst") {
        return Some(format!(".{last}"));
    }
    let inner = name.file_stem().and_then(|stem| Path::new(stem).extension()).and_then(lower);
    Some(inner.map_or_else(|| format!(".{last}"), |inner| format!(".{inner}.{last}")))
}

fn lower(ending: &OsStr) -> Option<String> {
    ending.to_str().map(str::to_ascii_lowercase)
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
        assert_eq!(of("x.PARQUET"), Some(Format::Parquet));
        assert_eq!([of("x.parquet.gz"), of("x.json"), of("txt"), of("gz"), of("")], [None; 5]);
        let ending = |name: &str| other_ending(Path::new(name));
        assert_eq!(ending("a.b.TAR.gz").as_deref(), Some(".tar.gz"));
        assert_eq!(ending("a.gz").as_deref(), Some(".gz"));
        assert_eq!(ending("README"), None);
    }
}
