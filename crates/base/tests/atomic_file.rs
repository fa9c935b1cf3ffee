//! Whatever stands at the target: the whole new file, or all that was there before.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use base::{AtomicFile, write, write_new};
use tempfile::TempDir;

fn folder() -> (TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, move |name| path.join(name))
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn neighbours_with_likely_names_are_not_touched() {
    let (folder, at) = folder();
    let neighbours = ["a.tmp", ".a.txt.tmp", "a.txt.partial", "a.txt.tmp", "a.txt.tmp-1"];
    neighbours.iter().for_each(|name| fs::write(at(name), "precious").unwrap());
    for content in ["first", "second"] {
        write(&at("a.txt"), content.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(at("a.txt")).unwrap(), content);
    }
    assert!(neighbours.iter().all(|name| fs::read_to_string(at(name)).unwrap() == "precious"));
    assert_eq!(names(folder.path()).len(), neighbours.len() + 1);
}

#[test]
fn a_file_that_is_dropped_leaves_nothing() {
    let (folder, at) = folder();
    let mut file = AtomicFile::create(&at("new/folders/a")).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert!(names(folder.path()).is_empty());
    let mut file = AtomicFile::create(&at("new/folders/a")).unwrap();
    file.write_all(b"whole").unwrap();
    file.finish().unwrap();
    assert_eq!(names(&at("new/folders")), ["a"]);
}

#[test]
fn a_new_file_does_not_replace_another() {
    let (folder, at) = folder();
    let mut file = AtomicFile::create(&at("a")).unwrap();
    file.write_all(b"mine").unwrap();
    fs::write(at("a"), "came first").unwrap();
    let error = file.finish_new().unwrap_err().to_string();
    assert!(error.contains("hint: move it away, or choose another name"), "{error}");
    assert!(write_new(&at("a"), b"mine").is_err());
    assert_eq!(fs::read_to_string(at("a")).unwrap(), "came first");
    write_new(&at("b"), b"mine").unwrap();
    assert_eq!(names(folder.path()), ["a", "b"]);
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let (folder, at) = folder();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("file"), "x").unwrap();
    let (slash, below) = (at("file").join(""), at("file/below"));
    for path in [&at("folder"), &slash, &below, Path::new(""), Path::new("/"), Path::new("..")] {
        let error = write(path, b"x").unwrap_err().to_string();
        assert!(error.contains(&format!("cannot write `{}`: ", path.display())), "{error}");
    }
    assert_eq!(names(folder.path()), ["file", "folder"]);
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "x");
}

#[cfg(unix)]
mod on_unix {
    use std::{
        os::unix::{
            fs::{FileTypeExt as _, PermissionsExt as _, symlink},
            net::UnixListener,
        },
        process::Command,
    };

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn modes_are_those_of_any_file() {
        let (_folder, at) = folder();
        fs::File::create(at("usual")).unwrap();
        write(&at("new"), b"x").unwrap();
        assert_eq!(mode(&at("new")), mode(&at("usual")));
        fs::set_permissions(at("new"), fs::Permissions::from_mode(0o640)).unwrap();
        write(&at("new"), b"y").unwrap();
        assert_eq!(mode(&at("new")), 0o640, "that of the file that was replaced");
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_replaced() {
        let (folder, at) = folder();
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/real"), "old").unwrap();
        symlink("elsewhere/real", at("link")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        write(&at("link"), b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(fs::read_to_string(at("elsewhere/real")).unwrap(), "new");
        assert_eq!(names(&at("elsewhere")), ["real"]);
        let error = write(&at("broken"), b"new").unwrap_err().to_string();
        assert!(error.contains("it is a link that leads nowhere"), "{error}");
        assert_eq!(names(folder.path()), ["broken", "elsewhere", "link"]);
    }

    #[test]
    fn pipes_and_sockets_stay_and_nothing_waits_for_them() {
        let (folder, at) = folder();
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, what) in [("pipe", "it is a named pipe"), ("socket", "it is a socket")] {
            let error = write(&at(name), b"x").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["pipe", "socket"]);
    }

    #[test]
    fn devices_are_written_to() {
        write(Path::new("/dev/null"), b"x").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let (_folder, at) = folder();
        symlink("/dev/null", at("link")).unwrap();
        write(&at("link"), b"x").unwrap();
        if cfg!(target_os = "linux") {
            let error = write(Path::new("/dev/full"), b"x").unwrap_err().to_string();
            assert!(error.contains("hint: free some space"), "{error}");
        }
    }
}
