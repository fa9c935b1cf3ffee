//! Where documents come from: files, folders and globs.

mod format;
mod name;
mod pattern;
mod walk;

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use format::{Compression, Format};
pub use name::shown;
pub use walk::Listing;

use crate::{
    DataError, SpecialTokens,
    place::{relative_by, without_detours},
};

/// One source of documents; a mixture is a list of them.
///
/// Formats by ending: `.txt` and `.md` (the file is one document), `.jsonl` (a line is one document), `.parquet`
/// (a row is one document); the first three also compressed as `.gz` or `.zst`. Other files in a folder are
/// passed over and counted; names that begin with a dot too, uncounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// A file, a folder (searched to the bottom) or a glob.
    pub path: String,
    /// Field or column that holds the text, in `.jsonl` and `.parquet`; `a.b` is the field `b` of the object `a`.
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

    /// Takes the path relative to `folder`, whose name is never a pattern: `*`, `?` and `[` in it mean themselves.
    ///
    /// # Errors
    /// If the folder's name is not UTF-8 (a recipe could not spell it).
    pub fn place_in(&mut self, folder: &Path) -> Result<(), DataError> {
        let literal = folder.join(&self.path);
        // A file that is there under exactly this name stays that file, also when it is gone later.
        let tail = match literal.exists() {
            true => pattern::escape(&self.path),
            false => self.path.clone(),
        };
        if Path::new(&self.path).is_absolute() {
            self.path = without_detours(Path::new(&tail)).to_string_lossy().into_owned();
            return Ok(());
        }
        let Some(folder) = folder.to_str() else {
            return Err(DataError::FolderName { path: folder.to_path_buf() });
        };
        let path = without_detours(&Path::new(&pattern::escape(folder)).join(tail));
        self.path = path.to_string_lossy().into_owned();
        Ok(())
    }

    /// The path as it is named from `folder`, with the same files: what [`Self::place_in`] takes back.
    pub fn path_from(&self, folder: &Path) -> String {
        let is_same = |part: Component<'_>, there: Component<'_>| match (part, there) {
            (Component::Normal(part), Component::Normal(there)) => {
                part.to_str().and_then(pattern::unescape).is_some_and(|part| *part == *there)
            }
            (part, there) => part == there,
        };
        // From UTF-8 alone, in parts.
        relative_by(Path::new(&self.path), folder, is_same).to_string_lossy().into_owned()
    }

    /// The folder that the files are named from: their names in it are the same wherever it lies.
    pub fn root(&self) -> PathBuf {
        let literal = match Path::new(&self.path).exists() {
            true => Some(self.path.clone()),
            false => pattern::unescape(&self.path),
        };
        match literal.map(PathBuf::from) {
            Some(path) if path.is_dir() => path,
            Some(path) => path.parent().unwrap_or(&path).to_path_buf(),
            None => pattern::literal_begin(&self.path),
        }
    }

    /// The files of this source, and what was passed over.
    ///
    /// # Errors
    /// If the path is missing, the glob is malformed, or no file of a known format is there.
    pub fn list(&self) -> Result<Listing, DataError> {
        let plain = pattern::unescape(&self.path);
        let named = plain.as_ref().unwrap_or(&self.path);
        let no_files = |found: String| DataError::NoFiles { path: named.clone(), found };
        let literal = PathBuf::from(&self.path);
        let is_literal = std::fs::symlink_metadata(&literal).is_ok();
        let path = match is_literal {
            true => literal,
            false => match &plain {
                Some(path) => PathBuf::from(path),
                None => {
                    let pattern = pattern::Pattern::parse(&self.path)
                        .map_err(|error| no_files(format!("a malformed glob ({error})")))?;
                    let mut listing = Listing::default();
                    pattern.find(&mut listing);
                    return listing.finish().map_err(|passed| no_files(format!("no match{passed}")));
                }
            },
        };
        let mut listing = Listing::default();
        match std::fs::metadata(&path) {
            Err(_) if is_literal => Err(no_files("a link that leads nowhere".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(DataError::io("read", &path)(error))
            }
            Err(_) => Err(no_files("nothing".to_owned())),
            Ok(meta) if meta.is_dir() => {
                walk::folder(&path, &mut listing);
                listing.finish().map_err(|passed| no_files(format!("a folder with none{passed}")))
            }
            Ok(meta) if !meta.is_file() => Err(no_files(walk::special(meta.file_type()).to_owned())),
            Ok(_) if Format::of(&path).is_none() => Err(no_files("a file with another ending".to_owned())),
            Ok(_) => {
                listing.files.push(path);
                Ok(listing)
            }
        }
    }

    /// The files of this source, sorted by path.
    ///
    /// # Errors
    /// As [`SourceConfig::list`], and if a folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        let listing = self.list()?;
        match listing.unreadable.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(listing.files),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files; each holds its own name.
    fn scene(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        dir
    }

    fn names_in(dir: &Path, path: &str) -> Vec<String> {
        let mut source = SourceConfig::new(path);
        source.place_in(dir).unwrap();
        let files = source.files().unwrap_or_else(|error| panic!("{path}: {error}"));
        files.iter().map(|file| shown(file.strip_prefix(dir).unwrap())).collect()
    }

    #[test]
    fn folders_and_globs_are_sorted() {
        let dir = scene(&["b.txt", "a/z.md", "c.png", ".hidden.txt", ".git/x.txt", "a.jsonl.gz"]);
        let names = |path: &str| names_in(dir.path(), path);
        assert_eq!(names(""), ["a/z.md", "a.jsonl.gz", "b.txt"]);
        assert_eq!(names("*.txt"), ["b.txt"]);
        for pattern in ["**/*.md", "**/z.*", "a/**/*.md", "?/z.md", "[ab]/*", "**/**/*.md", "a/**", "[!b]/*"]
        {
            assert_eq!(names(pattern), ["a/z.md"], "{pattern}");
        }
        assert_eq!(names("**/*"), ["a/z.md", "a.jsonl.gz", "b.txt"]);
    }

    #[test]
    fn what_is_missing_is_refused_by_name() {
        let dir = scene(&["a.txt", "c.png"]);
        for missing in ["none.txt", "*.tx", "c.png", "[.txt", "a**", ".*"] {
            let mut source = SourceConfig::new(missing);
            source.place_in(dir.path()).unwrap();
            let error = source.files().unwrap_err().to_string();
            assert!(error.contains(missing) && error.contains("\nhint: "), "{error}");
        }
    }

    #[test]
    fn glob_signs_of_the_folder_mean_themselves() {
        for folder in ["v[12]", "v*", "v?", "[v", "v]", "v[!1]", "**", "v[[]12[]]", "{v,w}", "v[1]/w*"] {
            let dir = scene(&["v1/in/other.txt", "v1/other.txt", "w/in/other.txt"]);
            let dir = dir.path().canonicalize().unwrap();
            let inner = dir.join(folder);
            std::fs::create_dir_all(inner.join("in")).unwrap();
            for file in ["in/mine.txt", "in/a[1].txt", "in/a1.txt", "in/*.txt"] {
                std::fs::write(inner.join(file), "x").unwrap();
            }
            let names = |path: &str| names_in(&inner, path);
            let all = ["in/*.txt", "in/a1.txt", "in/a[1].txt", "in/mine.txt"];
            assert_eq!(names("in"), all, "{folder}");
            assert_eq!(names("i*/m*.txt"), ["in/mine.txt"], "{folder}");
            assert_eq!(names("**/a[12].txt"), ["in/a1.txt"], "{folder}");
            assert_eq!(names("in/mine.txt"), ["in/mine.txt"], "{folder}");
            // A file of exactly this name comes before what the pattern would match.
            assert_eq!(names("in/a[1].txt"), ["in/a[1].txt"], "{folder}");
            assert_eq!(names("in/*.txt"), ["in/*.txt"], "{folder}");
            assert_eq!(names("in/[*].txt"), ["in/*.txt"], "{folder}");
            let mut gone = SourceConfig::new("in/gone.txt");
            gone.place_in(&inner).unwrap();
            assert!(gone.files().unwrap_err().to_string().contains("found nothing"), "{folder}");
        }
    }

    #[test]
    fn a_path_named_from_elsewhere_means_the_same_files() {
        let dir = scene(&["v[12]/in/a.txt", "v[12]/in/b[1].txt", "v1/in/a.txt", "v[12]/run/x"]);
        let dir = dir.path().canonicalize().unwrap();
        let (inner, run) = (dir.join("v[12]"), dir.join("v[12]/run"));
        for (path, from_run, root) in [
            ("in", "../in", "in"),
            ("in/*.txt", "../in/*.txt", "in"),
            ("in/a.txt", "../in/a.txt", "in"),
            ("in/b[1].txt", "../in/b[[]1[]].txt", "in"),
            ("i*/a.txt", "../i*/a.txt", ""),
        ] {
            let mut source = SourceConfig::new(path);
            source.place_in(&inner).unwrap();
            assert_eq!(
                source.root().components().collect::<PathBuf>(),
                inner.join(root).components().collect::<PathBuf>()
            );
            let mut again = SourceConfig::new(source.path_from(&run));
            assert_eq!(again.path, from_run);
            again.place_in(&run).unwrap();
            assert_eq!(again.files().unwrap(), source.files().unwrap(), "{path}");
        }
    }

    #[test]
    fn a_file_that_was_there_stays_that_file() {
        let dir = scene(&["a[1].txt", "a1.txt"]);
        let mut source = SourceConfig::new("a[1].txt");
        source.place_in(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join("a[1].txt")).unwrap();
        assert!(source.files().unwrap_err().to_string().contains("found nothing"));
    }

    #[cfg(target_os = "linux")]
    mod unix {
        use std::{
            ffi::OsStr,
            os::unix::{ffi::OsStrExt, fs::symlink},
        };

        use super::*;

        #[test]
        fn names_that_are_not_utf8_are_read() {
            let dir = scene(&["texts/a.md"]);
            let odd = OsStr::from_bytes(b"texts/caf\xe9.MD");
            std::fs::write(dir.path().join(odd), "x").unwrap();
            for path in ["texts", "texts/*", "**/*.[mM]*", "texts/a.md"] {
                let expected: &[&str] = match path {
                    "texts/a.md" => &["texts/a.md"],
                    _ => &["texts/a.md", r"texts/caf\xe9.MD"],
                };
                assert_eq!(names_in(dir.path(), path), expected, "{path}");
            }
            assert_eq!(names_in(dir.path(), "texts/caf?.MD"), [r"texts/caf\xe9.MD"]);
        }

        #[test]
        fn links_in_a_ring_end() {
            let dir = scene(&["a/one.txt", "b/two.txt"]);
            let at = |name: &str| dir.path().join(name);
            symlink(dir.path(), at("a/up")).unwrap();
            symlink(at("b"), at("a/b")).unwrap();
            symlink(at("a"), at("b/a")).unwrap();
            symlink("self", at("a/self")).unwrap();
            symlink("nowhere", at("a/gone.txt")).unwrap();
            symlink(at("b/two.txt"), at("a/file.txt")).unwrap();
            assert_eq!(names_in(dir.path(), ""), ["a/file.txt", "a/one.txt", "b/two.txt"]);
            assert_eq!(names_in(dir.path(), "**/*.txt"), ["a/file.txt", "a/one.txt", "b/two.txt"]);
            // Links to folders are followed where a pattern or a name leads through them.
            assert_eq!(names_in(dir.path(), "a/b/*.txt"), ["a/b/two.txt"]);
            assert_eq!(names_in(dir.path(), "a/*/two.txt"), ["a/b/two.txt"]);
        }

        #[test]
        fn what_is_no_file_is_passed_over_or_named() {
            let dir = scene(&["a.txt"]);
            let pipe = dir.path().join("pipe.txt");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let socket = dir.path().join("s.txt");
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            symlink("/dev/zero", dir.path().join("zero.jsonl")).unwrap();
            let listing = SourceConfig::new(dir.path().to_str().unwrap()).list().unwrap();
            assert_eq!(listing.files, [dir.path().join("a.txt")]);
            let passed = listing.passed_over().join("; ");
            for part in ["a named pipe", "a socket", "a device"] {
                assert!(passed.contains(part), "{passed}");
            }
            for (name, what) in
                [("pipe.txt", "a named pipe"), ("s.txt", "a socket"), ("zero.jsonl", "a device")]
            {
                let error = SourceConfig::new(dir.path().join(name).to_str().unwrap()).list().unwrap_err();
                assert!(error.to_string().contains(what), "{error}");
            }
        }
    }

    #[test]
    fn other_endings_are_counted() {
        let dir = scene(&["a.txt", "b.jsonl.xz", "c.XZ", "d.zip", "e/f.tar.gz", "README", ".x.zip"]);
        let list = |path: &str| {
            let mut source = SourceConfig::new(path);
            source.place_in(dir.path()).unwrap();
            source.list().unwrap().passed_over()
        };
        let all = "5 files with other endings: .xz (2), .tar.gz, .zip, no ending";
        assert_eq!(list(""), [all]);
        assert_eq!(list("**/*"), [all]);
        assert_eq!(list("*.txt"), [""; 0].map(str::to_owned));
        let only = scene(&["a.xz", "b.xz"]);
        let error = SourceConfig::new(only.path().to_str().unwrap()).files().unwrap_err().to_string();
        assert!(
            error.contains("a folder with none (passed over: 2 files with other endings: .xz (2))"),
            "{error}"
        );
    }
}
