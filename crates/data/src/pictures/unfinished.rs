//! What a kill left of an [`super::Export`].

use std::{fs, path::Path};

use base::{disk, temporary};

use super::{PictureKind, Side};
use crate::DataError;

/// Whether all that lies in a folder was left by an export that was killed; then it is taken away, and the number of its pictures
/// is given back. A folder with anything else in it is left as it is, and so is one in which another process is writing.
///
/// # Errors
/// If the folder cannot be read, or something in it cannot be removed.
pub fn clear_unfinished(out: &Path) -> Result<Option<usize>, DataError> {
    let lists = [Side::Train, Side::Test].map(|side| format!("{}.jsonl", side.name()));
    // The second is finished behind the first: without it, nothing was told to be whole.
    let (mut temporaries, mut has_last) = (Vec::new(), false);
    for name in names(out)? {
        match name.as_deref() {
            Some("images") => {}
            Some(name) if name == lists[0] => {}
            Some(name) if name == lists[1] => has_last = true,
            Some(name) if lists.iter().any(|list| is_temporary_of(name, |of| of == list)) => {
                temporaries.push(name.to_owned());
            }
            _ => return Ok(None),
        }
    }
    let images = out.join("images");
    let pictures = if images.is_dir() { names(&images)? } else { Vec::new() };
    let is_ours = |name: &Option<String>| {
        name.as_deref().is_some_and(|name| is_picture(name) || is_temporary_of(name, is_picture))
    };
    let is_free = |name: &String| temporary::hold(&out.join(name)).is_some();
    // Whoever is killed before a list is begun has drawn no picture.
    let has_begun = !temporaries.is_empty() || pictures.is_empty();
    if has_last || !has_begun || !pictures.iter().all(is_ours) || !temporaries.iter().all(is_free) {
        return Ok(None);
    }
    if images.is_dir() {
        disk::remove_dir_all(&images).map_err(DataError::io("remove", &images))?;
    }
    for name in temporaries.iter().chain([&lists[0]]) {
        temporary::remove(&out.join(name))?;
    }
    Ok(Some(pictures.iter().flatten().filter(|name| is_picture(name)).count()))
}

/// Names in a folder; none of what is no text.
fn names(folder: &Path) -> Result<Vec<Option<String>>, DataError> {
    let entries = fs::read_dir(folder).map_err(DataError::io("list", folder))?;
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
    entries.map(name).collect::<std::io::Result<_>>().map_err(DataError::io("list", folder))
}

/// Whether it is the temporary name of a file whose own name is such.
fn is_temporary_of(name: &str, is_such: impl Fn(&str) -> bool) -> bool {
    temporary::is_temporary(name)
        && name
            .strip_prefix('.')
            .and_then(|name| name.rsplit_once(".maquette-"))
            .is_some_and(|(of, _)| is_such(of))
}

/// Whether an export calls a picture so: `train-words-000017.png`, and a frame of a clip `test-clips-000003-2.png`.
fn is_picture(name: &str) -> bool {
    let parts: Option<Vec<&str>> = name.strip_suffix(".png").map(|name| name.split('-').collect());
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (side, kind, index) = match parts.as_deref() {
        Some([side, kind, index]) => (side, kind, index),
        Some([side, kind, index, frame]) if is_number(frame) => (side, kind, index),
        _ => return false,
    };
    [Side::Train, Side::Test].iter().any(|known| known.name() == *side)
        && PictureKind::ALL.iter().any(|known| known.name() == *kind)
        && index.len() >= 6
        && is_number(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_is_told_from_what_a_person_has() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let write = |name: &str| {
            let path = out.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        let list = ".train.jsonl.maquette-123-0123456789abcdef.tmp";
        let picture = ".train-words-000002.png.maquette-123-0123456789abcdef.tmp";
        let left = || {
            for name in [list, ".test.jsonl.maquette-123-0123456789abcdee.tmp"] {
                write(name);
            }
            for name in ["train-words-000001.png", "test-clips-000001-2.png", picture] {
                write(&format!("images/{name}"));
            }
        };
        left();
        assert_eq!(clear_unfinished(out).unwrap(), Some(2));
        assert_eq!(fs::read_dir(out).unwrap().count(), 0);
        fs::create_dir(out.join("images")).unwrap();
        assert_eq!(clear_unfinished(out).unwrap(), Some(0));

        for other in ["notes.txt", "images/mine.png", "images/train-cats-000001.png", "test.jsonl"] {
            left();
            write(other);
            assert_eq!(clear_unfinished(out).unwrap(), None, "{other}");
            assert!(out.join("images/train-words-000001.png").exists(), "{other}");
            fs::remove_file(out.join(other)).unwrap();
        }
        // Pictures alone may be somebody's whole set.
        left();
        fs::remove_file(out.join(list)).unwrap();
        fs::remove_file(out.join(".test.jsonl.maquette-123-0123456789abcdee.tmp")).unwrap();
        assert_eq!(clear_unfinished(out).unwrap(), None);
        // What another process is writing stays.
        left();
        let held = fs::File::open(out.join(list)).unwrap();
        held.try_lock().unwrap();
        assert_eq!(clear_unfinished(out).unwrap(), None);
        drop(held);
        assert_eq!(clear_unfinished(out).unwrap(), Some(2));
    }
}
