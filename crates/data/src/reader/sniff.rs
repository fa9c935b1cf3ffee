//! What a file holds, by its first bytes: for files that do not hold what their ending says.

/// Bytes that are looked at.
pub(super) const HEAD_BYTES: usize = 4096;

/// A format, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) hint: &'static str,
}

const UNPACK: &str = "unpack it first";
const EXTRACT: &str = "extract its text first";
const REMOVE: &str = "take it out of the source";

const fn kind(name: &'static str, hint: &'static str) -> Kind {
    Kind { name, hint }
}

pub(super) const GZIP: Kind = kind("gzip data", "give it a name that ends in .gz, such as a.txt.gz");
pub(super) const ZSTD: Kind = kind("zstd data", "give it a name that ends in .zst, such as a.jsonl.zst");
pub(super) const PARQUET: Kind = kind("a parquet file", "give it a name that ends in .parquet");
pub(super) const ENCRYPTED: Kind = kind("an encrypted parquet file", "write it again without encryption");
pub(super) const ARRAY: Kind =
    kind("one JSON array", "write one object a line, as `jq -c '.[]' in.json > out.jsonl` does");
pub(super) const SPREAD: Kind =
    kind("JSON objects over several lines", "write one object a line, as `jq -c . in.json > out.jsonl` does");
pub(super) const UTF32: Kind =
    kind("text in UTF-32", "convert it with `iconv -f UTF-32 -t UTF-8 in.txt > out.txt`");
pub(super) const ZEROS: Kind = kind("binary data (many NUL bytes)", REMOVE);
const HTML: Kind = kind("a web page (HTML)", EXTRACT);
const LFS: Kind =
    kind("a pointer of Git LFS instead of the file", "fetch the file itself with `git lfs pull`");

/// Where, which bytes, and what they mean. These hold bytes that no text begins with.
const BINARY: [(usize, &[u8], Kind); 15] = [
    (0, b"\x1f\x8b", GZIP),
    (0, b"\x28\xb5\x2f\xfd", ZSTD),
    (0, b"\xfd7zXZ\0", kind("xz data", UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", kind("a 7z archive", UNPACK)),
    (0, b"Rar!\x1a\x07", kind("a rar archive", UNPACK)),
    (0, b"\x04\x22\x4d\x18", kind("lz4 data", UNPACK)),
    (0, b"PK\x03\x04", kind("a zip archive (as .docx, .odt and .epub are too)", UNPACK)),
    (0, b"PK\x05\x06", kind("an empty zip archive", REMOVE)),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", kind("an old Office document", EXTRACT)),
    (0, b"SQLite format 3\0", kind("an SQLite database", "export its texts as .jsonl")),
    (0, b"ARROW1\0\0", kind("an Arrow file", "write it again as parquet")),
    (0, b"\x89PNG\r\n\x1a\n", kind("a picture", REMOVE)),
    (0, b"\xff\xd8\xff", kind("a picture", REMOVE)),
    (0, b"\x7fELF", kind("a program", REMOVE)),
    (257, b"ustar", kind("a tar archive", UNPACK)),
];

/// What `head` begins, if it is known to be something else than text or JSON lines.
pub(super) fn other_than_text(head: &[u8]) -> Option<Kind> {
    for (at, magic, kind) in BINARY {
        if head.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
            return Some(kind);
        }
    }
    match head {
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if rest.starts_with(b"1AY&SY") => {
            Some(kind("bzip2 data", UNPACK))
        }
        [level, 0x2a, 0x4d, 0x18, ..] if level & 0xf0 == 0x50 => Some(ZSTD),
        // Text may well begin with these letters; the bytes after them are no text.
        [b'P', b'A', b'R', b'1', 0..=0x1f, ..] => Some(PARQUET),
        [b'P', b'A', b'R', b'E', 0..=0x1f, ..] => Some(ENCRYPTED),
        [b'%', b'P', b'D', b'F', b'-', b'0'..=b'9', b'.', ..] => Some(kind("a PDF", EXTRACT)),
        _ if head.starts_with(b"{\\rtf1") => Some(kind("a document in RTF", EXTRACT)),
        _ if head.starts_with(b"version https://git-lfs.github.com/spec/") => Some(LFS),
        _ => None,
    }
}

/// Whether a text is a web page. That is text too; but few want its tags.
pub(super) fn is_html(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let begins = |tag: &[u8]| head.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    begins(b"<!doctype html") || begins(b"<html")
}

/// What `head` begins, in every case, for files that should be binary.
pub(super) fn any(head: &[u8]) -> Kind {
    const RENAME: &str = "give it the ending of what it holds";
    let is_text = || match std::str::from_utf8(head) {
        Ok(text) => !text.contains('\0'),
        // A character may be cut at the end.
        Err(error) => error.error_len().is_none() && !head.contains(&0),
    };
    match other_than_text(head) {
        Some(kind) => kind,
        None if head.is_empty() => kind("nothing", "the file is empty: copy or download it again"),
        None if is_html(head) => HTML,
        None if matches!(head.trim_ascii_start().first(), Some(b'{' | b'[')) => kind("JSON", RENAME),
        None if is_text() => kind("plain text", RENAME),
        None => kind("other bytes", REMOVE),
    }
}

/// Whether JSON lines are really one array, or another kind of document.
pub(super) fn other_than_json_lines(head: &[u8]) -> Option<Kind> {
    let begin = head.trim_ascii_start();
    // A row that is a list stands alone on its line; an array of rows goes on, or holds objects.
    if let Some(rest) = begin.strip_prefix(b"[") {
        let rest = rest.trim_ascii_start();
        return matches!(rest.first(), None | Some(b'{')).then_some(ARRAY);
    }
    if begin.strip_prefix(b"{").is_some_and(|rest| {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or(rest);
        line.trim_ascii().is_empty() && rest.contains(&b'\n')
    }) {
        return Some(SPREAD);
    }
    is_html(head).then_some(HTML)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_not_taken_for_something_else() {
        for text in [
            "PAR1 is the magic of parquet",
            "PK is short for something",
            "BZh9 and so on",
            "%PDF- begins a PDF",
            "7z is an archiver",
            "Rar! said the cat",
            "{\\rt",
            "GIF89a",
            "",
            "<p>",
            "version https://example.org",
        ] {
            assert_eq!(other_than_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(any(b"plain text \xc3"), kind("plain text", "give it the ending of what it holds"));
        assert_eq!(any(b"\x01\x02\xff").name, "other bytes");
        assert_eq!(any(b"<!DOCTYPE HTML>"), HTML);
    }

    #[test]
    fn arrays_and_spread_objects_are_known() {
        assert_eq!(other_than_json_lines(b" [\n{\"text\": 1}"), Some(ARRAY));
        assert_eq!(other_than_json_lines(b"[{\"text\": 1}, {}]"), Some(ARRAY));
        assert_eq!(other_than_json_lines(b"{\n  \"text\": 1\n}"), Some(SPREAD));
        assert_eq!(other_than_json_lines(b"{ \r\n  \"text\": 1\n}"), Some(SPREAD));
        for lines in ["[1]\n", "{\"text\": 1}\n", "", "\n", "{", "[1, 2]\n{}"] {
            assert_eq!(other_than_json_lines(lines.as_bytes()), None, "{lines}");
        }
    }
}
