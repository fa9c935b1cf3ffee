//! Documents to shards and a manifest.

use std::ops::ControlFlow;

use data::{
    DataError, Dropped, Manifest, Prepared, Split, Tokenizer, TokenizerConfig, ValidationConfig, prepare,
};

use crate::scene::{Scene, go_on, gzip, line, shipped};

/// Two sources, one of them held out in part.
fn two_sources() -> (Scene, data::DataConfig) {
    let lines: String = (0..400).map(|i| line(&format!("document {i} of the first source"))).collect();
    let scene = Scene::with(&[("notes/a.txt", "one note"), ("notes/b.md", "another note")]);
    scene.write("a.jsonl.gz", &gzip(lines.as_bytes()));
    let mut config = scene.config(&["a.jsonl.gz", "notes"]);
    config.validation = ValidationConfig::Hash { fraction: 0.1 };
    config.sources[0].name = Some("first".to_owned());
    config.sources[0].licence = Some("CC0-1.0".to_owned());
    config.sources[0].weight = 3.0;
    (scene, config)
}

/// The files of prepared data, by name.
fn outputs(scene: &Scene) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(scene.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn the_manifest_accounts_for_everything() {
    let (scene, config) = two_sources();
    let prepared = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let manifest = prepared.manifest();
    assert_eq!(*manifest, Manifest::read(&scene.path("out/manifest.jsonl")).unwrap());
    assert_eq!(manifest.dropped(), Dropped::default());
    let first = &manifest.files[0];
    assert_eq!((first.source.as_str(), first.licence.as_deref()), ("first", Some("CC0-1.0")));
    assert_eq!((first.documents, &first.split[..]), (400, &[Split::Train, Split::Validation][..]));
    assert_eq!(first.bytes, std::fs::metadata(scene.path("a.jsonl.gz")).unwrap().len());
    // `printf 'one note' | sha256sum`
    assert_eq!(manifest.files[1].sha256, "18c28d57ebc422e529316d1bf9db37af3b18e5ce6f44c9733a04dc70fa05d4ea");
    let of_files = |tokens: fn(&data::FileEntry) -> u64| manifest.files.iter().map(tokens).sum::<u64>();
    let of_shards = |split| manifest.shards_of(split).map(|shard| shard.tokens).sum::<u64>();
    assert_eq!(of_files(|file| file.train_tokens), of_shards(Split::Train));
    assert_eq!(of_files(|file| file.validation_tokens), of_shards(Split::Validation));
    assert_eq!(prepared.n_train_tokens(), of_shards(Split::Train));
    assert_eq!(prepared.n_validation_tokens(), of_shards(Split::Validation));
    // A byte is a token, and every document has one target more: its end.
    let n_documents: u64 = manifest.shards.iter().map(|shard| shard.documents).sum();
    assert_eq!(n_documents, 402);
    let n_bytes = prepared.n_train_bytes() + prepared.n_validation_bytes();
    assert_eq!(n_bytes + n_documents, prepared.n_train_tokens() + prepared.n_validation_tokens());
}

#[test]
fn same_inputs_same_bytes_for_any_number_of_threads() {
    let (scene, config) = two_sources();
    let all = [1, 2, 5].map(|n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| scene.prepare(&config, &Tokenizer::bytes()).unwrap());
        outputs(&scene)
    });
    assert!(all[0].len() > 2 && all.iter().all(|one| *one == all[0]));
}

#[test]
fn shards_are_closed_in_time_and_old_ones_removed() {
    let (scene, mut config) = two_sources();
    config.shard_tokens = 1000;
    let many = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    assert!(many.manifest().shards.len() > 10);
    assert!(many.manifest().shards.iter().all(|shard| shard.tokens <= 1000));
    scene.write("out/notes.txt", b"not ours");
    config.shard_tokens = 1 << 20;
    let few = scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    assert_eq!(few.n_train_tokens(), many.n_train_tokens());
    let names: Vec<_> = outputs(&scene).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"notes.txt".to_owned()));
    assert_eq!(names.iter().filter(|name| name.ends_with(".tokens")).count(), few.manifest().shards.len());
}

/// Stopped anywhere, the folder is refused until the work is done again, and then is as if nothing had happened.
#[test]
fn interrupted_work_is_not_taken_for_done() {
    let (scene, config) = two_sources();
    let tokenizer = Tokenizer::bytes();
    scene.prepare(&config, &tokenizer).unwrap();
    let whole = outputs(&scene);
    for n_allowed in [0, 1, 200, 402] {
        let mut n = 0;
        let mut stop = |_| {
            n += 1;
            if n > n_allowed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = prepare(&config, &tokenizer, &scene.path("out"), &mut stop).unwrap_err();
        assert!(matches!(error, DataError::Interrupted), "{error}");
        let error = Prepared::open(&scene.path("out"), &tokenizer).unwrap_err();
        assert!(matches!(error, DataError::Manifest { .. }), "{error}");
    }
    scene.prepare(&config, &tokenizer).unwrap();
    assert_eq!(outputs(&scene), whole);
}

#[test]
fn progress_reaches_the_end() {
    let (scene, config) = two_sources();
    let mut last = data::Progress::default();
    let mut keep = |now: data::Progress| {
        assert!(now.n_bytes_read >= last.n_bytes_read && now.n_bytes_read <= now.n_bytes_total);
        last = now;
        ControlFlow::Continue(())
    };
    let prepared = prepare(&config, &Tokenizer::bytes(), &scene.path("out"), &mut keep).unwrap();
    assert_eq!((last.n_bytes_read, last.n_documents), (last.n_bytes_total, 402));
    assert_eq!(last.n_tokens, prepared.n_train_tokens() + prepared.n_validation_tokens());
}

#[test]
fn an_empty_side_is_an_error() {
    let scene = Scene::with(&[("a.txt", "a lonely document"), ("b.txt", "a lonely document")]);
    let mut config = scene.config(&["a.txt"]);
    config.validation = ValidationConfig::Hash { fraction: 1e-9 };
    let error = scene.prepare(&config, &Tokenizer::bytes()).unwrap_err();
    assert!(matches!(error, DataError::EmptyValidation { wanted: 1, found: 0, .. }), "{error}");
    // Everything that this source has was held out elsewhere.
    config.validation = ValidationConfig::Source { sources: vec![scene.source("b.txt")] };
    let error = scene.prepare(&config, &Tokenizer::bytes()).unwrap_err().to_string();
    assert!(error.contains("a.txt") && error.contains("1 as duplicates"), "{error}");
}

#[test]
fn another_tokenizer_is_refused() {
    let (scene, config) = two_sources();
    scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let other = Tokenizer::train_on(&["abab abab"], 273).unwrap();
    let error = Prepared::open(&scene.path("out"), &other).unwrap_err();
    assert!(matches!(error, DataError::TokenizerMismatch { .. }), "{error}");
}

/// Tiny Shakespeare is one document: its end is held out, and long documents are encoded on every core.
#[test]
fn shakespeare_is_prepared_by_tail() {
    let scene = Scene::new();
    let path = shipped("tinyshakespeare/input.txt.gz");
    let mut config = data::DataConfig::new(vec![data::SourceConfig::new(path.display().to_string())]);
    config.validation = ValidationConfig::Tail { fraction: 0.1 };
    let tokenizer = Tokenizer::train(&TokenizerConfig::bpe(1024), &config, &mut go_on).unwrap();
    let prepared = scene.prepare(&config, &tokenizer).unwrap();
    assert_eq!(prepared.n_train_bytes() + prepared.n_validation_bytes(), 1_115_394);
    assert_eq!(prepared.n_validation_bytes(), 111_540);
    assert!((380_000..440_000).contains(&prepared.n_train_tokens()), "{}", prepared.n_train_tokens());
}
