//! Any bytes as a file of the corpus, under each ending: documents, bad rows or a refusal.
#![no_main]

use data::{DataConfig, Documents, OnError, SourceConfig};

const NAMES: [&str; 6] = ["a.txt", "a.md.gz", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"];

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(NAMES[usize::from(which) % NAMES.len()]);
    std::fs::write(&path, bytes).expect("a small file");
    let mut config = DataConfig::new(vec![SourceConfig::new(path.to_string_lossy())]);
    config.on_error = OnError::Skip;
    let Ok(mut documents) = Documents::open(&config) else { return };
    while let Ok(Some(_)) = documents.next_document() {}
});
