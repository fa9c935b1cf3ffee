//! Text as people have it: read, or named for what it is.

use std::sync::Arc;

use data::{DataConfig, Documents, Dropped, InvalidUtf8, Manifest, Tokenizer, ValidationConfig};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use proptest::{collection::vec, prelude::*};

use crate::scene::{Scene, documents, gzip};

const TEXT: &str = "größe 東京 \u{1f600}\nsecond line\n";

fn all_in_training(scene: &Scene, names: &[&str]) -> DataConfig {
    let mut config = scene.config(names);
    config.validation = ValidationConfig::Hash { fraction: 1e-18 };
    config
}

/// The texts of one file.
#[track_caller]
fn texts_of(name: &str, content: &[u8]) -> Vec<String> {
    let scene = Scene::new();
    scene.write(name, content);
    match documents(&all_in_training(&scene, &[name])) {
        Ok(documents) => documents.into_iter().map(|document| document.text).collect(),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// The message about a file that is refused.
#[track_caller]
fn refusal_of(name: &str, content: &[u8]) -> String {
    let scene = Scene::new();
    scene.write(name, content);
    let error = documents(&all_in_training(&scene, &[name])).expect_err(name).to_string();
    assert!(error.contains("expected ") && error.contains("found ") && error.contains("\nhint: "), "{error}");
    error.replace(&format!("{}/", scene.path("").display()), "")
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

/// The same content in every compression that the ending may name.
fn packed(name: &str, content: &[u8]) -> [(String, Vec<u8>); 3] {
    [
        (name.to_owned(), content.to_vec()),
        (format!("{name}.gz"), gzip(content)),
        (format!("{name}.ZST"), zstd(content)),
    ]
}

fn utf16(text: &str, is_big_endian: bool) -> Vec<u8> {
    let bytes = |unit: u16| if is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn every_encoding_gives_the_same_text() {
    let ascii = "plain words, and one größe\n";
    for (text, marks) in [(TEXT, &["\u{feff}"][..]), (ascii, &["\u{feff}", ""])] {
        let lines = format!("{}\n", serde_json::json!({ "id": 1, "text": text }));
        for ending in ["txt", "md", "jsonl"] {
            let content = if ending == "jsonl" { lines.as_str() } else { text };
            let name = format!("a.{ending}");
            let mut variants = vec![content.as_bytes().to_vec(), format!("\u{feff}{content}").into_bytes()];
            for mark in marks {
                let marked = format!("{mark}{content}");
                variants.extend([utf16(&marked, false), utf16(&marked, true)]);
            }
            for variant in variants {
                for (name, content) in packed(&name, &variant) {
                    assert_eq!(texts_of(&name, &content), [text], "{name} {:x?}", &variant[..8]);
                }
            }
            let wide: Vec<u8> =
                format!("\u{feff}{content}").chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
            for (name, content) in packed(&name, &wide) {
                assert!(refusal_of(&name, &content).contains("iconv -f UTF-32 -t UTF-8"), "{name}");
            }
        }
    }
}

#[test]
fn a_mark_hides_no_duplicate() {
    let scene = Scene::new();
    scene.write("a.txt", "\u{feff}one".as_bytes());
    scene.write("b.txt", b"one");
    scene.write("c.jsonl", "\u{feff}{\"text\": \"one\"}\r\n\u{feff}{\"text\": \"two\"}\n".as_bytes());
    scene.write("d.md", &utf16("\u{feff}one", true));
    let config = all_in_training(&scene, &["[a-d].*"]);
    let texts: Vec<String> = documents(&config).unwrap().into_iter().map(|d| d.text).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn utf16_and_nuls_are_noted() {
    let scene = Scene::new();
    scene.write("a.txt", &utf16(&format!("\u{feff}{}", "some words\n".repeat(9)), false));
    scene.write("b.jsonl", b"{\"text\": \"nul \\u0000 within\"}\n{\"text\": \"and more\"}\n");
    scene.write("c.txt", format!("{}\0", "a long text with one NUL. ".repeat(40)).as_bytes());
    scene.write("d.md", b"<!DOCTYPE html>\n<html><p>words</p></html>");
    scene.write("e.txt", b"");
    scene.write("f.jsonl.gz", b"");
    let mut config = scene.config(&["*.*"]);
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let manifest = Manifest::read(&scene.path("out/manifest.jsonl")).unwrap();
    let notices = manifest.notices().join("\n");
    for part in [
        "a.txt` decoded from UTF-16LE",
        "2 files, such as",
        "b.jsonl`: each holds NUL characters",
        "d.md` looks like a web page (HTML)",
        "e.txt`: each is empty (0 bytes)",
    ] {
        assert!(notices.contains(part), "no {part:?} in: {notices}");
    }
}

#[test]
fn rows_as_python_writes_them_are_read() {
    let content = "\r\n{\"text\": \"a\", \"loss\": NaN, \"m\": [Infinity, -Infinity]}\r\n   \n\
                   {\"meta\": {\"x\": \"\\udc00\"}, \"text\": \"b\"}\n{\"text\": null}\n{\"text\": \"c\"}";
    for (name, content) in packed("a.jsonl", content.as_bytes()) {
        assert_eq!(texts_of(&name, &content), ["a", "b", "c"], "{name}");
    }
    let scene = Scene::with(&[("a.jsonl", "{\"a\": {\"b\": \"x\"}}\n")]);
    let mut config = all_in_training(&scene, &["a.jsonl"]);
    config.sources[0].text = "a.b".to_owned();
    assert_eq!(documents(&config).unwrap()[0].text, "x");
    config.sources[0].text = "a.c".to_owned();
    let error = documents(&config).unwrap_err().to_string();
    assert!(
        error.contains("column `a.c`") && error.contains("a.jsonl:1") && error.contains("`a.b`"),
        "{error}"
    );
}

#[test]
fn halves_of_characters_follow_the_policy() {
    let rows =
        "{\"text\":\"fine\"}\n{\"text\":\"cut \\ud83d\"}\n{\"text\":\"\\ude00 and \\ud83d\\ud83d\\ude00\"}\n";
    let scene = Scene::with(&[("a.jsonl", rows)]);
    // The same in UTF-16: a high half before a letter, a low one alone, and half a unit at the end.
    scene.write("b.txt", &[&utf16("\u{feff}cut ", false)[..], b"\x3d\xd8x\0\x00\xdcy\0z"].concat());
    let mut config = all_in_training(&scene, &["a.jsonl", "b.txt"]);
    let error = documents(&config).unwrap_err().to_string();
    assert!(error.contains("a.jsonl:2`, found half of a surrogate pair"), "{error}");
    for (policy, expected, dropped) in [
        (
            InvalidUtf8::Replace,
            vec!["fine", "cut \u{fffd}", "\u{fffd} and \u{fffd}\u{1f600}", "cut \u{fffd}x\u{fffd}y\u{fffd}"],
            [
                Dropped { replaced_utf8: 2, ..Dropped::default() },
                Dropped { replaced_utf8: 1, ..Dropped::default() },
            ],
        ),
        (
            InvalidUtf8::Skip,
            vec!["fine"],
            [
                Dropped { invalid_utf8: 2, ..Dropped::default() },
                Dropped { invalid_utf8: 1, ..Dropped::default() },
            ],
        ),
    ] {
        config.invalid_utf8 = policy;
        let mut stream = Documents::open(&config).unwrap();
        let mut texts = Vec::new();
        while let Some(document) = stream.next_document().unwrap() {
            texts.push(document.text);
        }
        assert_eq!(texts, expected);
        assert_eq!([stream.files()[0].dropped, stream.files()[1].dropped], dropped);
    }
}

#[test]
fn bad_rows_are_named_with_file_and_line() {
    let good = "{\"text\": \"good\"}\n";
    for (row, parts) in [
        ("{\"text\": 3}\n", &["a.jsonl:2", "found a number"][..]),
        ("{\"text\": NaN}\n", &["a.jsonl:2", "found a number"]),
        ("{\"text\": [\"a\"]}\n", &["a.jsonl:2", "found a list"]),
        ("{\"text\": {\"a\": 1}}\n", &["a.jsonl:2", "found an object"]),
        ("{\"text\": true}\n", &["a.jsonl:2", "found true or false"]),
        ("{\"txt\": \"a\"}\n", &["a.jsonl:2", "found `txt`"]),
        ("{}\n", &["a.jsonl:2", "found no columns"]),
        ("{\"text\": \"a\", \"text\": \"b\"}\n", &["a.jsonl:2", "more than once"]),
        ("[\"a\"]\n", &["line 2", "a list, expected an object", "on_error"]),
        ("text\n", &["line 2, column", "on_error"]),
        ("{\"text\": \"a\"\n", &["line 2, column", "on_error"]),
        ("{\"text\": \"a", &["line 2, column", "the file is cut off"]),
        ("\0\0\0\0\n", &["line 2", "NUL bytes"]),
    ] {
        let more = if row.ends_with('\n') { good } else { "" };
        for (name, content) in packed("a.jsonl", format!("{good}{row}{more}").as_bytes()) {
            let error = refusal_of(&name, &content).replace(&name, "a.jsonl");
            assert!(parts.iter().all(|part| error.contains(part)), "{row}: {error}");
            assert_eq!(error.contains("cut off"), !row.ends_with('\n'), "{row}: {error}");
        }
    }
}

#[test]
fn files_that_hold_something_else_are_named() {
    let tar = [&[b'a'; 257][..], b"ustar\x0000", &[0; 248]].concat();
    let zeros = [&b"words"[..], &[0; 4096]].concat();
    let kinds: [(&[u8], &str); 18] = [
        (&gzip(b"words"), "gzip data"),
        (&zstd(b"words"), "zstd data"),
        (b"\x52\x2a\x4d\x18\0\0\0\0", "zstd data"),
        (b"BZh91AY&SY\x01", "bzip2 data"),
        (b"\xfd7zXZ\0\0", "xz data"),
        (b"7z\xbc\xaf\x27\x1c\0", "7z archive"),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office document"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (b"{\\rtf1\\ansi words}", "RTF"),
        (b"\x89PNG\r\n\x1a\n\0", "a picture"),
        (b"\xff\xd8\xff\xe0\0", "a picture"),
        (b"SQLite format 3\0", "SQLite"),
        (b"PAR1\x15\x04", "a parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS"),
        (&tar, "a tar archive"),
        (&zeros, "NUL bytes"),
        (b"\x7fELF\x02", "a program"),
    ];
    for (content, kind) in kinds {
        for name in ["a.txt", "a.md", "a.jsonl"] {
            if kind == "NUL bytes" && name == "a.jsonl" {
                continue;
            }
            let error = refusal_of(name, content);
            assert!(error.contains(kind) && !error.contains("cut off"), "{name}: {error}");
            // The same within a compression.
            let error = refusal_of(&format!("{name}.gz"), &gzip(content));
            assert!(error.contains(kind), "{name}.gz: {error}");
        }
        if kind != "a parquet file" {
            assert!(refusal_of("a.parquet", content).contains("expected a parquet file"));
        }
    }
    for (name, content, kind) in [
        ("a.jsonl", &b"[\n{\"text\": \"a\"},\n{\"text\": \"b\"}\n]\n"[..], "one JSON array"),
        ("b.jsonl", b"[{\"text\": \"a\"}, {\"text\": \"b\"}]", "jq -c '.[]'"),
        ("c.jsonl", b"{\n  \"text\": \"a\"\n}\n", "over several lines"),
        ("d.jsonl", b"<html><body>404</body></html>", "a web page"),
        ("a.parquet", b"{\"text\": 1}", "found JSON"),
        ("b.parquet", b"", "found nothing"),
        ("c.parquet", b"PAR1\x15\x00\x00\x00PARE", "an encrypted parquet file"),
        ("d.parquet", b"<!doctype html>", "a web page"),
        ("a.txt.gz", b"plain words", "found plain text"),
        ("b.txt.gz", &zstd(b"words"), "found zstd data"),
        ("c.jsonl.zst", &gzip(b"words"), "found gzip data"),
        ("d.jsonl.zst", b"{\"text\": \"a\"}", "found JSON"),
    ] {
        let error = refusal_of(name, content);
        assert!(error.contains(kind), "{name}: {error}");
    }
}

#[test]
fn gzip_is_read_as_gzip_reads_it() {
    let whole = gzip(b"one two");
    let two = [gzip(b"one "), gzip(b"two")].concat();
    let padded = [&two[..], &[0; 1000]].concat();
    let padded_between = [&gzip(b"one ")[..], &[0; 512], &gzip(b"two")].concat();
    for content in [&whole, &two, &padded, &padded_between] {
        assert_eq!(texts_of("a.txt.gz", content), ["one two"]);
    }
    let scene = Scene::new();
    scene.write("a.txt.gz", &[&two[..], b"\0\0garbage"].concat());
    scene.write("b.txt", b"another text");
    let mut config = scene.config(&["*"]);
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    assert_eq!(prepared.n_train_bytes() + prepared.n_validation_bytes(), 7 + 12);
    let notices = prepared.manifest().notices().join("\n");
    assert!(notices.contains("a.txt.gz` bytes after the compressed content were ignored"), "{notices}");

    for n_bytes in [11, whole.len() - 9, whole.len() - 1] {
        assert!(refusal_of("a.txt.gz", &whole[..n_bytes]).contains("the file is cut off"), "{n_bytes}");
    }
    let mut bad_sum = whole.clone();
    *bad_sum.iter_mut().nth_back(6).unwrap() ^= 1;
    assert!(refusal_of("a.txt.gz", &bad_sum).contains("the file is damaged"));
    let second_is_cut = [&gzip(b"one ")[..], &whole[..whole.len() - 3]].concat();
    assert!(refusal_of("a.txt.gz", &second_is_cut).contains("the file is cut off"));
}

/// Frames with windows of every size that the format has, several of them, frames to be skipped, dictionaries.
#[test]
fn zstd_is_read_as_zstd_reads_it() {
    // A header without single segment, the window's exponent above 10, an empty last block of raw bytes.
    let frame = |window_log: u8, text: &[u8]| {
        let block = ((text.len() as u32) << 3 | 1).to_le_bytes();
        [&b"\x28\xb5\x2f\xfd\x00"[..], &[(window_log - 10) << 3], &block[..3], text].concat()
    };
    for window_log in [10, 20, 27, 28, 30, 31] {
        assert_eq!(texts_of("a.txt.zst", &frame(window_log, b"words")), ["words"], "{window_log}");
    }
    assert!(refusal_of("a.txt.zst", &frame(33, b"words")).contains("window"));
    let skippable = b"\x5f\x2a\x4d\x18\x03\0\0\0abc";
    let several = [&skippable[..], &zstd(b"one "), skippable, &frame(29, b"two"), skippable].concat();
    assert_eq!(texts_of("a.txt.zst", &several), ["one two"]);
    let whole = zstd(b"one two one two one two");
    for n_bytes in [5, whole.len() - 1] {
        assert!(refusal_of("a.txt.zst", &whole[..n_bytes]).contains("the file is cut off"), "{n_bytes}");
    }
    let trailing = [&whole[..], b"garbage and more"].concat();
    let error = refusal_of("a.txt.zst", &trailing);
    assert!(error.contains("not a frame") && !error.contains("cut off"), "{error}");

    let samples: Vec<Vec<u8>> = (0..1000).map(|i| format!("sample {i} of {}", i * 7).into_bytes()).collect();
    let dictionary = zstd::dict::from_samples(&samples, 1 << 12).unwrap();
    let mut encoder = zstd::bulk::Compressor::with_dictionary(1, &dictionary).unwrap();
    let content = encoder.compress(&samples[7]).unwrap();
    let error = refusal_of("a.txt.zst", &content);
    assert!(error.contains("made with a dictionary") && error.contains("zstd -d -D"), "{error}");
}

/// One column of texts in a compression.
fn parquet_of(schema: &str, compression: Compression, texts: &[&str]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema.clone(), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = texts.iter().map(|&text| text.into()).collect();
    let level = |level: i16| (level > 0).then(|| vec![level; texts.len()]);
    let descriptor = parquet::schema::types::SchemaDescriptor::new(schema);
    let (definition, repetition) =
        (level(descriptor.column(0).max_def_level()), level(descriptor.column(0).max_rep_level()));
    let repetition = repetition.map(|levels| vec![0; levels.len()]);
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, definition.as_deref(), repetition.as_deref())
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn parquet_is_read_in_every_compression_and_kind_of_text() {
    let texts = [TEXT, "words words words words words words", ""];
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ] {
        let content = parquet_of("REQUIRED BYTE_ARRAY text (UTF8);", compression, &texts);
        assert_eq!(texts_of("a.PARQUET", &content), texts[..2], "{compression}");
    }
    for (schema, column) in [
        ("REQUIRED BYTE_ARRAY text (STRING);", "text"),
        ("REQUIRED BYTE_ARRAY text;", "text"),
        ("OPTIONAL BYTE_ARRAY text (UTF8);", "text"),
        ("OPTIONAL GROUP a { OPTIONAL BYTE_ARRAY b (UTF8); }", "a.b"),
    ] {
        let scene = Scene::new();
        scene.write("a.parquet", &parquet_of(schema, Compression::SNAPPY, &texts));
        let mut config = all_in_training(&scene, &["a.parquet"]);
        config.sources[0].text = column.to_owned();
        let found: Vec<String> = documents(&config).unwrap().into_iter().map(|d| d.text).collect();
        assert_eq!(found, texts[..2], "{schema}");
    }
    for (schema, part) in [
        ("REPEATED BYTE_ARRAY text (UTF8);", "a list of UTF8"),
        ("REQUIRED GROUP text { REQUIRED BYTE_ARRAY b (UTF8); }", "found `text.b`"),
        ("REQUIRED BYTE_ARRAY text (DECIMAL(9,2));", "found DECIMAL"),
    ] {
        let error = refusal_of("a.parquet", &parquet_of(schema, Compression::SNAPPY, &["1"]));
        assert!(error.contains(part), "{schema}: {error}");
    }
    let whole = parquet_of("REQUIRED BYTE_ARRAY text (UTF8);", Compression::SNAPPY, &texts);
    for n_bytes in [5, 100, whole.len() - 1] {
        assert!(refusal_of("a.parquet", &whole[..n_bytes]).contains("the file is cut off"), "{n_bytes}");
    }
}

#[test]
fn the_same_file_twice_is_noted() {
    let scene = Scene::with(&[("a/a.txt", "one and another"), ("b.txt", "two and others")]);
    let mut config = scene.config(&["a", "*.txt", "b.txt", "a/a.txt"]);
    config.filter.dedup = false;
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let notices = prepared.manifest().notices().join("\n");
    assert!(notices.contains("2 files") && notices.contains("read a second time"), "{notices}");
}

/// What a run writes into its folder is no document, wherever the source begins.
#[test]
fn the_own_folder_is_passed_over() {
    let scene = Scene::with(&[("a.txt", "words and words"), ("run/metrics.jsonl", "{\"loss\": 1}\n")]);
    let mut config = scene.config(&["."]);
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    config.own_folder = Some(scene.path("run"));
    let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    assert_eq!(prepared.manifest().files.len(), 1);
    let notices = prepared.manifest().notices().join("\n");
    assert!(notices.contains("a file of this run") && notices.contains("metrics.jsonl"), "{notices}");
    for path in ["run", "run/*", "run/metrics.jsonl"] {
        let mut config = scene.config(&[path]);
        config.own_folder = Some(scene.path("run"));
        let error = documents(&config).unwrap_err().to_string();
        assert!(error.contains("a file of this run"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_stand_in_the_manifest() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.md");
    std::fs::write(scene.path("").join(name), "words and words").unwrap();
    let mut config = scene.config(&["*.md"]);
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let path = &prepared.manifest().files[0].path;
    assert!(path.ends_with(r"caf\xe9.md"), "{path}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// UTF-16 of any text, with a mark, is that text.
    #[test]
    fn any_text_survives_utf16(text in "\\PC{1,300}", is_big_endian: bool) {
        let content = utf16(&format!("\u{feff}{text}"), is_big_endian);
        // More than one NUL in a hundred bytes is no text.
        prop_assume!(!text.contains('\0'));
        prop_assert_eq!(texts_of("a.txt", &content), [text.as_str()]);
    }

    /// Random bytes behind each magic number end, without a panic.
    #[test]
    fn random_files_of_every_kind_end(bytes in vec(any::<u8>(), 0..300), at in 0usize..8) {
        let magic = [&b""[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"PAR1", b"\xff\xfe", b"{\"text\":\"", b"[", b"\xef\xbb\xbf"];
        let content = [magic[at], &bytes].concat();
        let scene = Scene::new();
        for name in ["a.txt", "a.jsonl", "a.jsonl.gz", "a.txt.zst", "a.parquet"] {
            scene.write(name, &content);
            scene.write(&format!("packed-{name}.gz"), &gzip(&content));
            for policy in [InvalidUtf8::Refuse, InvalidUtf8::Replace, InvalidUtf8::Skip] {
                for name in [name.to_owned(), format!("packed-{name}.gz")] {
                    let mut config = all_in_training(&scene, &[&name]);
                    config.invalid_utf8 = policy;
                    let _ = documents(&config);
                    config.on_error = data::OnError::Skip;
                    if let Err(error) = documents(&config) {
                        prop_assert!(matches!(error, data::DataError::NoFiles { .. }), "{}", error);
                    }
                }
            }
        }
    }
}
