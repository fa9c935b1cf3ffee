//! Folders, searched to the bottom.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::FileType,
    path::{Path, PathBuf},
};

use super::{
    format::{Format, other_ending},
    name::shown,
};
use crate::DataError;

/// The files of a source, and what was passed over on the way.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files of a known format, sorted by path.
    pub files: Vec<PathBuf>,
    /// Folders that could not be read.
    pub unreadable: Vec<DataError>,
    other_endings: BTreeMap<String, u64>,
    /// What is neither file nor folder, by kind, with the first of each.
    specials: BTreeMap<&'static str, (u64, PathBuf)>,
    links: BTreeSet<PathBuf>,
}

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) path: PathBuf,
    pub(super) kind: FileType,
}

/// How many endings are named.
const N_ENDINGS: usize = 6;

impl Listing {
    /// What was passed over, a phrase for each kind.
    pub fn passed_over(&self) -> Vec<String> {
        let mut phrases = Vec::new();
        let n_other: u64 = self.other_endings.values().sum();
        if n_other > 0 {
            let mut endings: Vec<_> = self.other_endings.iter().collect();
            endings.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
            let mut named: Vec<String> = (endings.iter().take(N_ENDINGS))
                .map(|(ending, n)| if **n > 1 { format!("{ending} ({n})") } else { (*ending).clone() })
                .collect();
            if endings.len() > N_ENDINGS {
                named.push("…".to_owned());
            }
            let files = if n_other == 1 { "file with another ending" } else { "files with other endings" };
            phrases.push(format!("{n_other} {files}: {}", named.join(", ")));
        }
        for (kind, (n, first)) in &self.specials {
            phrases.push(match n {
                1 => format!("{kind} (`{}`)", shown(first)),
                n => format!("{kind} {n} times (such as `{}`)", shown(first)),
            });
        }
        for error in &self.unreadable {
            let text = error.to_string();
            phrases.push(text.lines().next().unwrap_or_default().to_owned());
        }
        if let Some(first) = self.links.first() {
            let links = if self.links.len() == 1 { "link to a folder" } else { "links to folders" };
            phrases.push(format!("{} {links} (such as `{}`)", self.links.len(), shown(first)));
        }
        phrases
    }

    /// Takes `path` if it is a file of a known format, or notes what it is.
    pub(super) fn admit(&mut self, path: &Path) {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(meta) if meta.is_file() => match Format::of(path) {
                Some(_) => self.files.push(path.to_path_buf()),
                None => {
                    let ending = other_ending(path).unwrap_or_else(|| "no ending".to_owned());
                    *self.other_endings.entry(ending).or_default() += 1;
                }
            },
            Ok(meta) => self.special(special(meta.file_type()), path),
            Err(_) => self.special("a link that leads nowhere", path),
        }
    }

    /// Leaves out the files below `folder`, a path without links.
    pub(crate) fn leave_out(&mut self, folder: &Path) {
        let is_in = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path.starts_with(folder));
        let own: Vec<PathBuf> = self.files.extract_if(.., |path| is_in(path)).collect();
        own.iter().for_each(|path| self.special("a file of this run", path));
    }

    pub(super) fn link_to_folder(&mut self, path: &Path) {
        self.links.insert(path.to_path_buf());
    }

    fn special(&mut self, kind: &'static str, path: &Path) {
        self.specials.entry(kind).or_insert_with(|| (0, path.to_path_buf())).0 += 1;
    }

    /// The listing, or in brackets what was passed over, when there is no file.
    pub(super) fn finish(mut self) -> Result<Self, String> {
        self.files.sort();
        if !self.files.is_empty() || !self.unreadable.is_empty() {
            return Ok(self);
        }
        let passed = self.passed_over();
        Err(if passed.is_empty() { String::new() } else { format!(" (passed over: {})", passed.join("; ")) })
    }
}

/// Adds the files of a known format below `folder`. Links to folders are not followed: they may form rings.
pub(super) fn folder(folder: &Path, listing: &mut Listing) {
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in entries(&folder, listing) {
            match entry.kind {
                kind if kind.is_dir() => todo.push(entry.path),
                kind if kind.is_symlink() && entry.path.is_dir() => listing.link_to_folder(&entry.path),
                _ => listing.admit(&entry.path),
            }
        }
    }
}

/// The entries of a folder whose names do not begin with a dot, by name; none, and a note, if it cannot be read.
pub(super) fn entries(folder: &Path, listing: &mut Listing) -> Vec<Entry> {
    // The empty path of a relative pattern is the present folder.
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let read = || -> std::io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(here)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                let path = folder.join(&name);
                entries.push(Entry { name, path, kind: entry.file_type()? });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    };
    read().unwrap_or_else(|error| {
        listing.unreadable.push(DataError::io("read", here)(error));
        Vec::new()
    })
}

/// What is neither file nor folder.
pub(super) fn special(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a named pipe, which ends when it is read once";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    let _ = kind;
    "something that is no file"
}
