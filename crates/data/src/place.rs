//! Where a file lies, as seen from a folder.

use std::path::{Component, Path, PathBuf};

/// How `path` is named from inside of `folder`: what is moved or copied together keeps that name.
///
/// Names alone are compared, no link is followed. A path without a common beginning (another drive) stays absolute.
///
/// ```
/// use std::path::Path;
/// let name = data::relative_to(Path::new("/home/a/text.txt"), Path::new("/home/a/runs/one"));
/// assert_eq!(name, Path::new("../../text.txt"));
/// ```
pub fn relative_to(path: &Path, folder: &Path) -> PathBuf {
    relative_by(path, folder, |a, b| a == b)
}

/// As [`relative_to`]; `is_same` says whether a part of `path` names the folder that a part of `folder` names.
pub(crate) fn relative_by(
    path: &Path,
    folder: &Path,
    is_same: impl Fn(Component<'_>, Component<'_>) -> bool,
) -> PathBuf {
    let absolute =
        |path: &Path| without_detours(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let (path, folder) = (absolute(path), absolute(folder));
    let n_common = path.components().zip(folder.components()).take_while(|(a, b)| is_same(*a, *b)).count();
    if n_common == 0 {
        return path;
    }
    let up = folder.components().skip(n_common).map(|_| Component::ParentDir);
    let name: PathBuf = up.chain(path.components().skip(n_common)).collect();
    if name.as_os_str().is_empty() { PathBuf::from(".") } else { name }
}

/// The same path without `name/..` and `.`, which make paths of a neighbour hard to read.
pub fn without_detours(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut short, part| {
        if part == Component::ParentDir
            && matches!(short.components().next_back(), Some(Component::Normal(_)))
        {
            short.pop();
        } else {
            short.push(part);
        }
        short
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_path() {
        for (path, folder, name) in [
            ("/a/b/c.txt", "/a/b", "c.txt"),
            ("/a/b/c.txt", "/a/runs/x", "../../b/c.txt"),
            ("/a/b/*.txt", "/a/runs/x/data", "../../../b/*.txt"),
            ("/z", "/a/b", "../../z"),
            ("/a/b", "/a/b", "."),
            ("/a/b/../c", "/a/./b", "../c"),
        ] {
            let found = relative_to(Path::new(path), Path::new(folder));
            assert_eq!(found, Path::new(name), "{path} from {folder}");
            let again = without_detours(&Path::new(folder).join(found));
            assert_eq!(again, without_detours(Path::new(path)));
        }
    }
}
