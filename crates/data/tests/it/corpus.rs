//! Reading, filtering, de-duplicating and splitting.

use data::{DataError, Documents, Dropped, InvalidUtf8, Split, ValidationConfig};
use proptest::prelude::*;

use crate::scene::{Scene, documents, gzip, line, parquet, texts};

/// Everything in training: the smallest fraction that is allowed.
const NOTHING_HELD_OUT: ValidationConfig = ValidationConfig::Hash { fraction: 1e-18 };

#[test]
fn every_format_gives_the_same_documents() {
    let scene = Scene::new();
    let (first, second) = ("one\r\ntwo\n\n", "größe \u{feff}東京");
    let lines = format!("{}\n  \n{}", line(first), line(second));
    let half = lines.len() / 2;
    scene.write("jsonl/a.jsonl", lines.as_bytes());
    scene.write("gz/a.jsonl.gz", &gzip(lines.as_bytes()));
    // Two members, as `cat a.gz b.gz` makes them.
    let members = [gzip(&lines.as_bytes()[..half]), gzip(&lines.as_bytes()[half..])].concat();
    scene.write("members/a.jsonl.gz", &members);
    scene.write("zst/a.jsonl.zst", &zstd::encode_all(lines.as_bytes(), 1).unwrap());
    scene.write("parquet/a.parquet", &parquet(&[Some(first), Some(second)], 1));
    scene.write("text/a.txt", first.as_bytes());
    scene.write("text/b/b.md.gz", &gzip(second.as_bytes()));
    for folder in ["jsonl", "gz", "members", "zst", "parquet", "text"] {
        let mut config = scene.config(&[folder]);
        config.validation = NOTHING_HELD_OUT;
        assert_eq!(texts(&config, Split::Train), [first, second], "{folder}");
    }
}

#[test]
fn parquet_rows_may_be_null_and_many() {
    let scene = Scene::new();
    let numbers: Vec<String> = (0..1000).map(|i| format!("row {i}")).collect();
    let rows: Vec<Option<&str>> =
        numbers.iter().enumerate().map(|(i, text)| (i % 7 != 0).then_some(text.as_str())).collect();
    scene.write("a.parquet", &parquet(&rows, 300));
    let mut config = scene.config(&["a.parquet"]);
    config.validation = NOTHING_HELD_OUT;
    let expected: Vec<&str> = rows.iter().flatten().copied().collect();
    assert_eq!(texts(&config, Split::Train), expected);
}

#[test]
fn filters_count_what_they_drop() {
    let scene = Scene::with(&[("a.jsonl", &["", "ab", "äö", "abc", "äöü", "abc"].map(line).concat())]);
    let mut config = scene.config(&["a.jsonl"]);
    config.validation = NOTHING_HELD_OUT;
    config.filter.min_chars = 3;
    let mut stream = Documents::open(&config).unwrap();
    let mut kept = Vec::new();
    while let Some(document) = stream.next_document().unwrap() {
        kept.push(document.text);
    }
    assert_eq!(kept, ["abc", "äöü"]);
    let file = &stream.files()[0];
    assert_eq!(file.n_documents, 2);
    assert_eq!(file.dropped, Dropped { too_short: 3, duplicate: 1, ..Dropped::default() });
    assert_eq!(stream.n_bytes_read(), stream.n_bytes_total());
    config.filter.dedup = false;
    assert_eq!(texts(&config, Split::Train), ["abc", "äöü", "abc"]);
}

#[test]
fn held_out_sources_win_over_training() {
    for dedup in [true, false] {
        let scene = Scene::with(&[
            ("train.jsonl", &["a", "b", "c", "b"].map(line).concat()),
            ("val.jsonl", &["b", "d"].map(line).concat()),
        ]);
        let mut config = scene.config(&["train.jsonl"]);
        config.filter.dedup = dedup;
        config.validation = ValidationConfig::Source { sources: vec![scene.source("val.jsonl")] };
        assert_eq!(texts(&config, Split::Train), ["a", "c"]);
        assert_eq!(texts(&config, Split::Validation), ["b", "d"]);
    }
}

#[test]
fn a_tail_is_cut_between_characters() {
    let scene = Scene::with(&[("a.txt", "ääääääääää"), ("b.txt", "x")]);
    let mut config = scene.config(&["a.txt", "b.txt"]);
    config.validation = ValidationConfig::Tail { fraction: 0.27 };
    assert_eq!(texts(&config, Split::Train), ["äääääää"]);
    assert_eq!(texts(&config, Split::Validation), ["äää", "x"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The side of a document hangs on its text alone; none is on both.
    #[test]
    fn a_hash_split_does_not_depend_on_the_others(mut texts_in in prop::collection::vec("[a-d]{1,3}", 1..40)) {
        let sides = |texts_in: &[String]| {
            let lines: String = texts_in.iter().map(|text| line(text)).collect();
            let scene = Scene::with(&[("a.jsonl", &lines)]);
            let mut config = scene.config(&["a.jsonl"]);
            config.validation = ValidationConfig::Hash { fraction: 0.4 };
            let mut sides: Vec<_> =
                documents(&config).unwrap().into_iter().map(|d| (d.text, d.split as usize)).collect();
            sides.sort();
            sides
        };
        let all = sides(&texts_in);
        prop_assert!(all.windows(2).all(|pair| pair[0].0 != pair[1].0));
        texts_in.reverse();
        prop_assert_eq!(&sides(&texts_in), &all);
        let half = sides(&texts_in[..texts_in.len().div_ceil(2)]);
        prop_assert!(half.iter().all(|side| all.contains(side)));
    }
}

#[test]
fn the_hash_split_holds_its_fraction() {
    let lines: String = (0..20_000).map(|i| line(&format!("document {i}"))).collect();
    let scene = Scene::with(&[("a.jsonl", &lines)]);
    let mut config = scene.config(&["a.jsonl"]);
    config.validation = ValidationConfig::Hash { fraction: 0.05 };
    let n = texts(&config, Split::Validation).len();
    assert!((850..1150).contains(&n), "{n}"); // sd is 31; these are five of them
}

#[test]
fn bytes_that_are_not_utf8_follow_the_policy() {
    let scene = Scene::new();
    scene.write("a.txt", b"good\xff\xfebad");
    let lines = [line("first").as_bytes(), b"{\"text\": \"b\xffd\"}\n", line("last").as_bytes()].concat();
    scene.write("b.jsonl.gz", &gzip(&lines));
    for (file, offset, rest) in [("a.txt", 4, vec![]), ("b.jsonl.gz", 40, vec!["first", "last"])] {
        let mut config = scene.config(&[file]);
        config.validation = NOTHING_HELD_OUT;
        match documents(&config).unwrap_err() {
            DataError::InvalidUtf8 { path, offset: found } => {
                assert_eq!((path, found), (scene.path(file), offset));
            }
            other => panic!("{other}"),
        }
        config.invalid_utf8 = InvalidUtf8::Skip;
        assert_eq!(texts(&config, Split::Train), rest);
        config.invalid_utf8 = InvalidUtf8::Replace;
        let mut stream = Documents::open(&config).unwrap();
        let mut all = String::new();
        while let Some(document) = stream.next_document().unwrap() {
            all.push_str(&document.text);
        }
        assert!(all.contains('\u{fffd}'));
        assert_eq!(stream.files()[0].dropped, Dropped { replaced_utf8: 1, ..Dropped::default() });
    }
}

#[test]
fn errors_say_what_was_expected_found_and_to_do() {
    let scene = Scene::with(&[
        ("field.jsonl", "{\"text\": \"a\"}\n{\"body\": \"b\", \"id\": 3}\n"),
        ("number.jsonl", "{\"text\": 3}\n"),
        ("broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"\n"),
        ("trailing.jsonl", "{\"text\": \"a\"} x\n"),
        ("list.jsonl", "[1]\n"),
        ("not.parquet", "PAR1 but no"),
        ("not.txt.gz", "not gzip"),
        ("not.jsonl.zst", "not zstd"),
        ("empty.md", ""),
    ]);
    scene.write("rows.parquet", &parquet(&[Some("a")], 1));
    scene.write("cut.txt.gz", &gzip("some words that compress".repeat(50).as_bytes())[..40]);
    let check = |name: &str, column: &str, expected: &[&str]| {
        let mut config = scene.config(&[name]);
        config.sources[0].text = column.to_owned();
        let error = documents(&config).expect_err(name).to_string();
        for part in expected.iter().chain(&["expected ", "found ", "\nhint: "]) {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
        assert!(!error.ends_with('.'), "{error}");
    };
    check("field.jsonl", "text", &["column `text`", "field.jsonl:2", "`body`, `id`", "`text = \"body\"`"]);
    check("number.jsonl", "text", &["found a number"]);
    check("broken.jsonl", "text", &["line 2, column"]);
    check("trailing.jsonl", "text", &["line 1, column 15: trailing characters"]);
    check("list.jsonl", "text", &["an object with a field `text`"]);
    check("rows.parquet", "body", &["column `body`", "`id`, `text`"]);
    check("rows.parquet", "id", &["INT64"]);
    check("not.parquet", "text", &["the footer", "cut off"]);
    check("not.txt.gz", "text", &["gzip data", "plain text", "not.txt.gz"]);
    check("not.jsonl.zst", "text", &["zstd data", "plain text", "not.jsonl.zst"]);
    check("cut.txt.gz", "text", &["whole compressed content", "cut.txt.gz", "the file is cut off"]);
    check("missing.txt", "text", &["found nothing"]);
    check("*.tx", "text", &["found no match"]);
    let tokenizer = data::Tokenizer::bytes();
    let error = scene.prepare(&scene.config(&["empty.md"]), &tokenizer).unwrap_err().to_string();
    assert!(error.contains("expected at least one training document in") && error.contains("1 as too short"));
}

#[test]
fn settings_out_of_range_are_refused() {
    let scene = Scene::with(&[("a.txt", "a")]);
    let good = scene.config(&["a.txt"]);
    let check = |change: &dyn Fn(&mut data::DataConfig), name: &str| {
        let mut config = good.clone();
        change(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{name}` must be")), "{error}");
    };
    assert!(good.validate().is_ok());
    check(&|config| config.sources.clear(), "sources");
    check(&|config| config.sources[0].weight = f64::NAN, "weight");
    check(&|config| config.sources[0].weight = 0.0, "weight");
    check(&|config| config.validation = ValidationConfig::Hash { fraction: 1.0 }, "validation.fraction");
    check(&|config| config.validation = ValidationConfig::Tail { fraction: 0.0 }, "validation.fraction");
    check(&|config| config.validation = ValidationConfig::Source { sources: vec![] }, "validation.sources");
    check(&|config| config.shard_tokens = 0, "shard_tokens");
}

#[test]
fn unknown_settings_are_refused_by_name() {
    let config = r#"{"sources": [{"path": "a.txt", "wieght": 2}]}"#;
    let error = serde_json::from_str::<data::DataConfig>(config).unwrap_err().to_string();
    assert!(error.contains("unknown field `wieght`"), "{error}");
    let config = r#"{"sources": [], "validation": {"by": "tail", "fraction": 0.1, "seed": 1}}"#;
    let error = serde_json::from_str::<data::DataConfig>(config).unwrap_err().to_string();
    assert!(error.contains("unknown field `seed`"), "{error}");
    let config =
        r#"{"sources": [{"path": "a.txt"}], "validation": {"by": "source", "sources": [{"path": "b.txt"}]}}"#;
    let config: data::DataConfig = serde_json::from_str(config).unwrap();
    assert_eq!((config.sources[0].text.as_str(), config.sources[0].weight), ("text", 1.0));
}
