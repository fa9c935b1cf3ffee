//! How a path is written where only text may stand.

use std::path::Path;

/// A path as text, from which its bytes can be had again: where it is not UTF-8, a bad byte is written as `\xe9`; a
/// backslash that is part of a Unix name is doubled.
pub fn shown(path: &Path) -> String {
    if cfg!(not(unix)) {
        return path.display().to_string();
    }
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!(r"\x{byte:02x}")));
    }
    text
}

#[cfg(all(test, unix))]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    #[test]
    fn different_paths_are_shown_differently() {
        let of = |bytes: &[u8]| shown(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(of("größe/a.txt".as_bytes()), "größe/a.txt");
        assert_eq!(of(b"caf\xe9.txt"), r"caf\xe9.txt");
        assert_eq!(of(br"caf\xe9.txt"), r"caf\\xe9.txt");
        assert_eq!(of(b"\xff\xfe"), r"\xff\xfe");
    }
}
