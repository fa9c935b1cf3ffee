//! Globs: `*`, `?`, `[…]` within a name, `**` for any number of folders.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Component, Path, PathBuf},
};

use super::walk::{self, Listing};

/// A glob, part by part.
pub(super) struct Pattern {
    /// `/`, a drive, or nothing.
    root: PathBuf,
    parts: Vec<Part>,
}

enum Part {
    /// A name.
    Name(String),
    /// What a name must look like.
    Like(glob::Pattern),
    /// `**`
    Any,
}

/// Makes a pattern that matches `text` alone.
pub(super) fn escape(text: &str) -> String {
    glob::Pattern::escape(text)
}

/// The one text that a pattern matches, if it has signs only as [`escape`] writes them.
pub(super) fn unescape(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let n_bytes = match c {
            '*' | '?' => return None,
            '[' => {
                let escaped = rest.get(..3).filter(|sign| ["[[]", "[]]", "[*]", "[?]"].contains(sign))?;
                text.push_str(&escaped[1..2]);
                3
            }
            c => {
                text.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[n_bytes..];
    }
    Some(text)
}

/// The folders with which a pattern begins, before the first part with signs.
pub(super) fn literal_begin(pattern: &str) -> PathBuf {
    let name = |part: Component<'_>| match part {
        Component::Normal(part) => part.to_str().and_then(unescape).map(PathBuf::from),
        part => Some(Path::new(&part).to_path_buf()),
    };
    Path::new(pattern).components().map_while(name).collect()
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, glob::PatternError> {
        let mut root = PathBuf::new();
        let mut parts = Vec::new();
        for component in Path::new(text).components() {
            let Component::Normal(name) = component else {
                match parts.is_empty() {
                    true => root.push(component),
                    false => parts.push(Part::Name("..".to_owned())),
                }
                continue;
            };
            let name = name.to_str().unwrap_or_default();
            parts.push(match (name, unescape(name)) {
                ("**", _) => Part::Any,
                (_, Some(name)) => Part::Name(name),
                (name, None) => Part::Like(glob::Pattern::new(name)?),
            });
        }
        Ok(Self { root, parts })
    }

    /// Adds the files that match. Hidden names match only where they are spelled out.
    pub(super) fn find(&self, listing: &mut Listing) {
        let mut found = BTreeSet::new();
        let (links, seen) = (BTreeSet::new(), HashSet::new());
        let mut search = Search { todo: vec![(self.root.clone(), 0)], links, seen, found: &mut found };
        while let Some((folder, part_idx)) = search.next() {
            self.step(&folder, part_idx, &mut search, listing);
        }
        found.iter().for_each(|path| listing.admit(path));
    }

    /// Holds the entries of `folder` against the part at `part_idx`.
    fn step(&self, folder: &Path, part_idx: usize, search: &mut Search<'_>, listing: &mut Listing) {
        let is_last = part_idx + 1 == self.parts.len();
        let mut matched = |path: PathBuf| match is_last {
            true => drop(search.found.insert(path)),
            false if path.is_dir() => search.todo.push((path, part_idx + 1)),
            false => {}
        };
        match &self.parts[part_idx] {
            Part::Name(name) => {
                let path = folder.join(name);
                if std::fs::symlink_metadata(&path).is_ok() {
                    matched(path);
                }
            }
            Part::Like(pattern) => {
                for entry in walk::entries(folder, listing) {
                    // A bad byte of a name that is not UTF-8 counts as one character.
                    if pattern.matches(&entry.name.to_string_lossy()) {
                        matched(entry.path);
                    }
                }
            }
            Part::Any => {
                if !is_last {
                    search.todo.push((folder.to_path_buf(), part_idx + 1));
                }
                for entry in walk::entries(folder, listing) {
                    match entry.kind {
                        kind if kind.is_dir() => search.todo.push((entry.path, part_idx)),
                        kind if kind.is_symlink() && entry.path.is_dir() => {
                            search.links.insert((entry.path, part_idx));
                        }
                        _ if is_last => drop(search.found.insert(entry.path)),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Folders still to be matched with a part. None is searched twice for the same part: links may form rings.
struct Search<'a> {
    todo: Vec<(PathBuf, usize)>,
    /// Links to folders below `**`, after all that is reached without them: a file keeps its own name where it has one.
    links: BTreeSet<(PathBuf, usize)>,
    seen: HashSet<(PathBuf, usize)>,
    found: &'a mut BTreeSet<PathBuf>,
}

impl Search<'_> {
    fn next(&mut self) -> Option<(PathBuf, usize)> {
        while let Some((folder, part_idx)) = self.todo.pop().or_else(|| self.links.pop_first()) {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let real = here.canonicalize().unwrap_or_else(|_| folder.clone());
            if self.seen.insert((real, part_idx)) {
                return Some((folder, part_idx));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        for text in ["", "a", "v[12]", "[", "]]", "*?", "größe[ä]", "[[]"] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
        for pattern in ["*", "a?", "[ab]", "[a]", "[[", "[]", "[ä]"] {
            assert_eq!(unescape(pattern), None, "{pattern}");
        }
    }
}
