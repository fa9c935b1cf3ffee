//! Text to ids and back.

use std::sync::LazyLock;

use data::{DataError, Tokenizer, TokenizerConfig};
use proptest::prelude::*;

use crate::scene::{Scene, english, go_on, line, shipped};

/// A few hundred merges of English.
fn small() -> Tokenizer {
    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::train_on(&[english()], 700).unwrap());
    TOKENIZER.clone()
}

/// Texts in which pieces, bytes and special tokens meet.
fn hostile_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        ".{0,12}",
        "[a-zA-Z' 0-9]{0,12}",
        "[ \t\r\n\u{a0}\u{3000}]{0,5}",
        "<\\|(endoftext|im_start|im_end|image|reserved_1)\\|>",
        Just("self.".to_owned()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

#[test]
fn merges_are_learned_by_frequency() {
    let tokenizer = Tokenizer::train_on(&["low low low low lower lower newest newest newest"], 280).unwrap();
    let learned: Vec<String> = (272..280).map(|id| tokenizer.show(id)).collect();
    assert_eq!(learned, ["lo", "low", " low", " n", "es", "ew", " new", "est"]);
    let shown: Vec<String> = tokenizer.encode("lowest new").iter().map(|&id| tokenizer.show(id)).collect();
    assert_eq!(shown, ["low", "est", " new"]);
}

#[test]
fn a_vocabulary_beyond_the_text_is_refused_with_what_it_supports() {
    let text = ["abab abab"];
    let error = Tokenizer::train_on(&text, 1000).unwrap_err();
    let DataError::VocabTooLarge { wanted: 1000, found } = error else { panic!("{error}") };
    assert_eq!(Tokenizer::train_on(&text, found).unwrap().vocab_size(), found);
}

#[test]
fn special_tokens_have_their_ids_and_no_bytes() {
    let tokenizer = small();
    assert_eq!(tokenizer.special("<|endoftext|>"), Some(0));
    assert_eq!(tokenizer.special("<|image|>"), Some(3));
    assert_eq!(tokenizer.show(2), "<|im_end|>");
    assert_eq!(tokenizer.decode(&[0, 16 + 65, 3, 99_999]), "A");
    let bytes = tokenizer.token_bytes();
    assert_eq!(bytes.len(), 700);
    assert!(bytes[..16].iter().all(|&n| n == 0) && bytes[16..272].iter().all(|&n| n == 1));
    assert!(bytes[272..].iter().all(|&n| n > 1));
}

proptest! {
    #[test]
    fn every_text_comes_back(text in hostile_text()) {
        for tokenizer in [Tokenizer::bytes(), small()] {
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(tokenizer.decode(&ids), text.clone());
            prop_assert!(ids.iter().all(|&id| (16..tokenizer.vocab_size() as u32).contains(&id)));
            let n_bytes: u32 = ids.iter().map(|&id| tokenizer.token_bytes()[id as usize]).sum();
            prop_assert_eq!(n_bytes as usize, text.len());
        }
    }

    #[test]
    fn any_ids_decode(ids in prop::collection::vec(any::<u32>().prop_map(|id| id % 800), 0..20)) {
        let _ = small().decode(&ids);
    }

    /// The file that we write makes the Hugging Face library give our ids.
    #[test]
    fn hugging_face_gives_the_same_ids(text in hostile_text()) {
        let mut theirs = huggingface(&small());
        theirs.set_encode_special_tokens(true);
        let encoding = theirs.encode(text.as_str(), false).unwrap();
        prop_assert_eq!(encoding.get_ids(), small().encode(&text));
        prop_assert_eq!(theirs.decode(encoding.get_ids(), false).unwrap(), text);
    }
}

fn huggingface(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    let scene = Scene::new();
    tokenizer.save(&scene.path("t")).unwrap();
    tokenizers::Tokenizer::from_file(scene.path("t/tokenizer.json")).unwrap()
}

#[test]
fn hugging_face_recognises_the_special_tokens() {
    let theirs = huggingface(&small());
    let ids = theirs.encode("<|im_start|>a<|im_end|><|endoftext|>", false).unwrap().get_ids().to_vec();
    assert_eq!([ids[0], ids[2], ids[3]], [1, 2, 0]);
    assert_eq!(theirs.get_vocab_size(true), 700);
}

#[test]
fn a_saved_tokenizer_is_the_same() {
    let scene = Scene::new();
    for tokenizer in [small(), Tokenizer::bytes()] {
        tokenizer.save(&scene.path("t")).unwrap();
        for path in ["t", "t/tokenizer.json"] {
            let loaded = Tokenizer::load(&scene.path(path)).unwrap();
            assert_eq!(loaded.fingerprint(), tokenizer.fingerprint());
            assert_eq!(loaded.encode("the same"), tokenizer.encode("the same"));
        }
        let names = std::fs::read_dir(scene.path("t")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !base::temporary::is_temporary(name.to_str().unwrap())));
    }
}

#[test]
fn fingerprints_tell_equal_sizes_apart() {
    let text = "low low low lower lower newest newest";
    let (a, b) = (
        Tokenizer::train_on(&[text], 275).unwrap(),
        Tokenizer::train_on(&["xyz xyz xyzw xyzw wxyz"], 275).unwrap(),
    );
    assert_eq!(a.vocab_size(), b.vocab_size());
    assert_ne!(a.fingerprint(), b.fingerprint());
    assert_eq!(a.fingerprint(), Tokenizer::train_on(&[text], 275).unwrap().fingerprint());
}

#[test]
fn training_depends_on_the_texts_alone() {
    let lines: Vec<&str> = english().lines().collect();
    let prints = [1, 2, 3].map(|n_threads: usize| {
        let scene = Scene::new();
        let mut order = lines.clone();
        order.rotate_left(100 * n_threads);
        scene.write("a.jsonl", order.iter().map(|text| line(text)).collect::<String>().as_bytes());
        let mut config = TokenizerConfig::bpe(400);
        config.sample_bytes = 40_000;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let train = || Tokenizer::train(&config, &scene.config(&["a.jsonl"]), &mut go_on).unwrap();
        pool.install(train).fingerprint().to_owned()
    });
    assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
}

#[test]
fn held_out_text_is_not_learned_from() {
    let scene = Scene::with(&[("a.txt", &"ab".repeat(50)), ("val.txt", &"xyz".repeat(50))]);
    let mut config = scene.config(&["a.txt"]);
    config.validation = data::ValidationConfig::Source { sources: vec![scene.source("val.txt")] };
    let tokenizer = Tokenizer::train(&TokenizerConfig::bpe(274), &config, &mut go_on).unwrap();
    assert_eq!([tokenizer.show(272), tokenizer.show(273)], ["ab", "abab"]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let scene = Scene::with(&[("a.txt", "a")]);
    let mut bytes = TokenizerConfig::bytes();
    bytes.vocab_size = Some(300);
    let mut unsampled = TokenizerConfig::bpe(300);
    unsampled.sample_bytes = 0;
    for config in [TokenizerConfig::bpe(271), bytes, unsampled] {
        let error = Tokenizer::train(&config, &scene.config(&["a.txt"]), &mut go_on).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
    }
}

#[test]
fn a_book_compresses() {
    let mut config = data::DataConfig::new(vec![data::SourceConfig::new(
        shipped("classic-books/val.jsonl.gz").display().to_string(),
    )]);
    config.validation = data::ValidationConfig::Tail { fraction: 0.1 };
    let tokenizer = Tokenizer::train(&TokenizerConfig::bpe(1024), &config, &mut go_on).unwrap();
    let text = "The schoolmaster looked at her, and she said that it was not so.";
    let n = tokenizer.encode(text).len();
    assert!((18..26).contains(&n), "{n} tokens"); // nearly three characters a token
}
