//! Rows and files that cannot be read: they stop the work, or are left out, counted and said.

use data::{DataConfig, Documents, OnError, Skipped, Tokenizer, ValidationConfig};

use crate::scene::{Scene, documents, gzip, line, parquet};

fn skipping(scene: &Scene, names: &[&str]) -> DataConfig {
    let mut config = scene.config(names);
    config.validation = ValidationConfig::Hash { fraction: 1e-18 };
    config.on_error = OnError::Skip;
    config
}

/// The texts that are left, and what was left out in all.
fn read(config: &DataConfig) -> (Vec<String>, Skipped) {
    let mut stream = Documents::open(config).unwrap();
    let mut texts = Vec::new();
    while let Some(document) = stream.next_document().unwrap() {
        texts.push(document.text);
    }
    let skipped = stream.files().iter().fold(Skipped::default(), |mut sum, file| {
        sum += &file.skipped;
        sum
    });
    (texts, skipped)
}

fn kinds(skipped: &Skipped) -> String {
    skipped.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn bad_rows_are_left_out_and_the_others_read() {
    let rows = [
        "{\"text\": \"first\"}\n",
        "{\"text\": \"broken\n",
        "{\"text\": 3}\n",
        "{\"body\": \"b\"}\n",
        "{\"text\": \"x\", \"text\": \"y\"}\n",
        "{\"text\": \"half \\ud800\"}\n",
        "[1]\n",
        "{\"text\": \"last\"}\n",
        "{\"text\": \"cut",
    ];
    let scene = Scene::with(&[("a.jsonl", &rows.concat())]);
    scene.write("b.jsonl", b"{\"text\": \"b\xffd\"}\n{\"text\": \"good\"}\n");
    let mut config = skipping(&scene, &["a.jsonl", "b.jsonl"]);
    let (texts, skipped) = read(&config);
    assert_eq!(texts, ["first", "last", "good"]);
    assert_eq!((skipped.n_errors, skipped.n_files), (8, 0));
    assert_eq!(
        kinds(&skipped),
        "1 cut off, 1 field repeated, 1 half of a surrogate pair, 2 malformed, 1 no text field, 1 not UTF-8, 1 not a text"
    );
    assert!(
        skipped.examples[0].contains("a.jsonl`, found an error at line 2, column"),
        "{:?}",
        skipped.examples
    );
    assert_eq!(skipped.examples.len(), 3);
    config.on_error = OnError::Stop;
    assert!(documents(&config).is_err());
}

#[test]
fn damaged_content_is_left_out_from_there_on() {
    let scene = Scene::new();
    let rows: String = (0..20_000).map(|i| line(&format!("row {i} of many"))).collect();
    let whole = gzip(rows.as_bytes());
    scene.write("cut.jsonl.gz", &whole[..whole.len() / 2]);
    let whole = zstd::encode_all(rows.as_bytes(), 1).unwrap();
    scene.write("cut.jsonl.zst", &whole[..whole.len() / 2]);
    let texts: Vec<String> = (0..3000).map(|i| format!("row {i}")).collect();
    let texts: Vec<_> = texts.iter().map(|text| Some(text.as_str())).collect();
    let mut pages = parquet(&texts, 1000);
    // The second group's first texts, stored as they are: its page no longer unpacks.
    let at = pages.windows(8).position(|bytes| bytes == b"row 1000").unwrap() - 16;
    pages[at..at + 12].fill(0xff);
    scene.write("page.parquet", &pages);
    for (name, n_before, kind) in [
        ("cut.jsonl.gz", 100, "1 cut off"),
        ("cut.jsonl.zst", 100, "1 cut off"),
        ("page.parquet", 2000, "1 damaged"),
    ] {
        let (texts, skipped) = read(&skipping(&scene, &[name]));
        assert!(texts.len() >= n_before, "{name}: {}", texts.len());
        assert_eq!(kinds(&skipped), kind, "{name}: {:?}", skipped.examples);
    }
}

#[test]
fn whole_files_are_left_out_and_said_loudly() {
    let scene =
        Scene::with(&[("a.txt", "good words"), ("b.txt", "%PDF-1.4\n"), ("c.jsonl", "[{\"text\": \"a\"}]")]);
    scene.write("d.parquet", b"no parquet");
    let mut config = skipping(&scene, &["*"]);
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let skipped = prepared.manifest().skipped();
    assert_eq!((skipped.n_files, skipped.n_errors), (3, 0));
    let notices = prepared.manifest().notices().join("\n");
    assert!(
        notices.contains("WARNING: 3 whole files left out") && notices.contains("another format"),
        "{notices}"
    );
    // The manifest says of each file what became of it.
    let of =
        |name: &str| prepared.manifest().files.iter().find(|file| file.path.ends_with(name)).unwrap().clone();
    assert!(of("a.txt").skipped.is_empty() && of("b.txt").skipped.examples[0].contains("a PDF"));
}

#[test]
fn nothing_left_is_an_error_that_says_why() {
    let scene = Scene::with(&[("a.jsonl", "{\"body\": \"a\"}\n".repeat(7).as_str())]);
    let config = skipping(&scene, &["a.jsonl"]);
    let error = scene.prepare(&config, &Tokenizer::bytes()).unwrap_err().to_string();
    assert!(
        error.contains("7 bad rows left out (7 no text field); first: expected a column `text`"),
        "{error}"
    );
}

#[test]
fn many_bad_rows_are_said_loudly_and_few_quietly() {
    let notice = |n_bad: usize| {
        let bad = "{\"text\": 1}\n".repeat(n_bad);
        let rows: String = (0..1000).map(|i| line(&format!("row {i}"))).collect();
        let scene = Scene::with(&[("a.jsonl", &(bad + &rows))]);
        let mut config = skipping(&scene, &["a.jsonl"]);
        config.validation = ValidationConfig::Hash { fraction: 0.1 };
        let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
        prepared.manifest().notices().join("\n")
    };
    assert!(notice(2).starts_with("2 bad rows left out, 0.20 % of the rows (2 not a text); first: "));
    assert!(notice(30).starts_with("WARNING: 30 bad rows left out, 2.91 % of the rows"));
    assert_eq!(notice(0), "");
}

/// A recipe that stops at errors is written as before the setting was there: finished stages stay.
#[test]
fn the_default_is_not_written() {
    let config: DataConfig = serde_json::from_str(r#"{"sources": [{"path": "a.txt"}]}"#).unwrap();
    assert_eq!(config.on_error, OnError::Stop);
    assert!(!serde_json::to_string(&config).unwrap().contains("on_error"));
    let text = r#"{"sources": [{"path": "a.txt"}], "on_error": "skip"}"#;
    let config: DataConfig = serde_json::from_str(text).unwrap();
    assert!(serde_json::to_string(&config).unwrap().contains("\"on_error\":\"skip\""));
    assert!(serde_json::from_str::<DataConfig>(&text.replace("skip", "ignore")).is_err());
}
