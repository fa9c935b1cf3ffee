//! Damaged files of every kind end in an error or in documents, never in a panic.

use data::{DataError, InvalidUtf8, Manifest, Prepared, Tokenizer, ValidationConfig};
use proptest::{collection::vec, prelude::*};

use crate::scene::{Scene, documents, gzip, line, parquet};

const NAMES: [&str; 7] =
    ["a.txt", "a.md.gz", "a.txt.zst", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"];

/// A sound file of the kind that the name says.
fn sound(name: &str) -> Vec<u8> {
    let lines: String = (0..40).map(|i| line(&format!("größe {i} \"quoted\"\n"))).collect();
    match name.rsplit_once('.').unwrap().1 {
        "gz" => gzip(lines.as_bytes()),
        "zst" => zstd::encode_all(lines.as_bytes(), 1).unwrap(),
        "parquet" => {
            let texts: Vec<String> = (0..40).map(|i| format!("größe {i}")).collect();
            let rows: Vec<_> = texts.iter().map(|text| (text.len() > 8).then_some(text.as_str())).collect();
            parquet(&rows, 15)
        }
        _ => lines.into_bytes(),
    }
}

/// Reads all documents under every policy; only whether it returns matters.
fn read(name: &str, content: &[u8]) {
    let scene = Scene::new();
    scene.write(name, content);
    for policy in [InvalidUtf8::Refuse, InvalidUtf8::Replace, InvalidUtf8::Skip] {
        let mut config = scene.config(&[name]);
        config.invalid_utf8 = policy;
        config.validation = ValidationConfig::Tail { fraction: 0.5 };
        let _ = documents(&config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_files_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        NAMES.iter().for_each(|name| read(name, &bytes));
    }

    #[test]
    fn damaged_files_never_panic(flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut: prop::sample::Index) {
        for name in NAMES {
            let mut bytes = sound(name);
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            read(name, &bytes);
            bytes.truncate(cut.index(bytes.len()));
            read(name, &bytes);
        }
    }

    #[test]
    fn damaged_tokenizers_never_panic(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), numbers in vec(0u32..400, 4), swap: bool,
    ) {
        let scene = Scene::new();
        let tokenizer = Tokenizer::train_on(&["low lower lowest newest widest"], 277).unwrap();
        tokenizer.save(&scene.path("t")).unwrap();
        let path = scene.path("t/tokenizer.json");
        let sound = std::fs::read_to_string(&path).unwrap();
        let mut bytes = sound.clone().into_bytes();
        for (at, byte) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        let _ = Tokenizer::load(&path).map(|tokenizer| tokenizer.encode("lowest"));

        // Sound JSON, other numbers.
        let mut document: serde_json::Value = serde_json::from_str(&sound).unwrap();
        let model = &mut document["model"];
        model["vocab"]["lo"] = numbers[0].into();
        if swap {
            model["merges"].as_array_mut().unwrap().swap(numbers[1] as usize % 5, numbers[2] as usize % 5);
        }
        std::fs::write(&path, document.to_string()).unwrap();
        let loaded = Tokenizer::load(&path).map(|tokenizer| tokenizer.fingerprint().to_owned());
        prop_assert!(loaded.is_err() || loaded.unwrap() == tokenizer.fingerprint());
    }
}

#[test]
fn tokenizers_of_others_are_refused_by_what_differs() {
    let scene = Scene::new();
    Tokenizer::bytes().save(&scene.path("t")).unwrap();
    let path = scene.path("t/tokenizer.json");
    let sound: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let check = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut document = sound.clone();
        change(&mut document);
        std::fs::write(&path, document.to_string()).unwrap();
        let error = Tokenizer::load(&path).unwrap_err();
        assert!(matches!(error, DataError::TokenizerFile { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&|t| t["model"]["type"] = "Unigram".into(), "expected a model of type \"BPE\"");
    check(&|t| t["normalizer"] = serde_json::json!({"type": "NFC"}), "`normalizer`");
    check(&|t| t["pre_tokenizer"] = serde_json::Value::Null, "`pre_tokenizer`");
    check(&|t| t["added_tokens"][0]["content"] = "<s>".into(), "`added_tokens`");
    check(&|t| drop(t["model"]["vocab"].as_object_mut().unwrap().remove("Ġ")), "expected `Ġ` with id 48");
    check(&|t| t["model"]["vocab"]["more"] = 272.into(), "expected 272 tokens");
    check(&|t| t["model"]["merges"] = serde_json::json!([["a", "b"]]), "merge 0");
    // A merge must not spell a special token.
    check(&|t| t["model"]["merges"] = serde_json::json!([["<|endoftext|", ">"]]), "merge 0");
    check(&|t| *t = serde_json::json!([1]), "expected a model of type");
}

#[test]
fn damaged_manifests_are_refused() {
    let scene = Scene::with(&[("a.txt", "some text and then another one")]);
    let mut config = scene.config(&["a.txt"]);
    config.validation = ValidationConfig::Tail { fraction: 0.5 };
    scene.prepare(&config, &Tokenizer::bytes()).unwrap();
    let path = scene.path("out/manifest.jsonl");
    let sound = std::fs::read_to_string(&path).unwrap();
    let check = |from: &str, to: &str| {
        assert!(sound.contains(from), "{sound}");
        std::fs::write(&path, sound.replace(from, to)).unwrap();
        let error = Prepared::open(&scene.path("out"), &Tokenizer::bytes()).unwrap_err();
        assert!(matches!(error, DataError::Manifest { .. } | DataError::Io { .. }), "{error}");
    };
    check("\"kind\":\"source\"", "\"kind\":\"sauce\"");
    check("train-00000.tokens", "../out/train-00000.tokens");
    check("train-00000.tokens", "validation-00000.tokens");
    check("train-00000.tokens", "train-00001.tokens");
    check("\"source_idx\":0", "\"source_idx\":7");
    check("\"weight\":1.0", "\"weight\":-1.0");
    check("\"split\":\"train\"", "\"split\":\"validation\"");
    std::fs::write(&path, "").unwrap();
    assert!(Prepared::open(&scene.path("out"), &Tokenizer::bytes()).is_err());
    std::fs::write(&path, b"\xff\n").unwrap();
    assert!(Manifest::read(&path).is_err());
}
