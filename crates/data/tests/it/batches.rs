//! From files to batches.

use data::{BatchStream, Tokenizer, ValidationConfig, ValidationSet};

use crate::scene::{Scene, line};

/// What is served, decoded, is what was written.
#[test]
fn the_text_comes_through() {
    let texts: Vec<String> = (0..50).map(|i| format!("number {i} is {}", "x".repeat(i))).collect();
    let scene = Scene::with(&[("a.jsonl", &texts.iter().map(|text| line(text)).collect::<String>())]);
    let mut config = scene.config(&["a.jsonl"]);
    config.validation = ValidationConfig::Hash { fraction: 0.3 };
    let tokenizer = Tokenizer::train_on(&texts, 290).unwrap();
    let prepared = scene.prepare(&config, &tokenizer).unwrap();

    // Rows longer than any document: a segment that is not cut by a row is a whole document.
    let mut stream = BatchStream::new(prepared.clone(), 200, 7).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while stream.epoch() < 2.0 {
        let batch = stream.next_batch(1);
        for segment in &batch.segments {
            let targets = &batch.targets[segment.start..segment.start + segment.len];
            if batch.ids[segment.start] == 0 && targets.last() == Some(&0) {
                let text = tokenizer.decode(targets);
                assert!(texts.contains(&text), "{text}");
                seen.insert(text);
            }
        }
    }
    let held_out = ValidationSet::new(prepared.clone(), 1, u64::MAX).unwrap();
    let targets: Vec<u32> = held_out.batches(64).flat_map(|batch| batch.targets).collect();
    let held_out: Vec<String> = targets
        .split(|&id| id == 0)
        .map(|ids| tokenizer.decode(ids))
        .filter(|text| !text.is_empty())
        .collect();
    assert!(held_out.len() > 5 && held_out.iter().all(|text| texts.contains(text) && !seen.contains(text)));
    let n_train: u64 = prepared.manifest().files[0].documents - held_out.len() as u64;
    assert!(seen.len() as u64 > n_train / 2, "{} of {n_train} seen whole", seen.len());
}
