//! Tokenizers of other models.

use std::path::Path;

use data::{Tokenizer, TokenizerConfig, TokenizerParts};
use proptest::prelude::*;

use crate::scene::{Scene, go_on};

/// GPT-2's characters of the bytes, in the order of its vocabulary.
fn byte_tokens() -> Vec<String> {
    let printable: Vec<u32> = (0x21..=0x7e).chain(0xa1..=0xac).chain(0xae..=0xff).collect();
    let moved = (0u32..).take(256 - printable.len()).map(|i| 0x100 + i);
    printable.iter().copied().chain(moved).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

/// Specials first and last, bytes between, a few merges, a token that is recognised in text.
fn parts(pre: &str) -> TokenizerParts {
    let mut tokens = vec!["<|endoftext|>".to_owned(), "<|im_start|>".to_owned()];
    tokens.extend(byte_tokens());
    let merges = ["t h", "th e", "Ġ the", "1 2", "12 3"];
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    tokens.extend(["<think>".to_owned(), "<|im_end|>".to_owned()]);
    let n = tokens.len() as u32;
    TokenizerParts {
        pre: pre.into(),
        control: vec![0, 1, n - 1],
        added: vec![n - 2],
        merges: merges.iter().map(|merge| (*merge).to_owned()).collect(),
        bos: Some(1),
        eos: Some(n - 1),
        ends: vec![0],
        pad: None,
        adds_bos: false,
        tokens,
    }
}

fn tokenizer(pre: &str) -> Tokenizer {
    Tokenizer::from_parts(Path::new("model.gguf"), &parts(pre)).unwrap()
}

fn shown(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    tokenizer.encode(text).into_iter().map(|id| tokenizer.show(id)).collect()
}

#[test]
fn digits_are_cut_as_each_model_cuts_them() {
    for (pre, expected) in [
        ("gpt-2", &["123", "4", " the"][..]),
        ("smollm", &["1", "2", "3", "4", " the"]),
        ("llama-bpe", &["123", "4", " the"]),
        ("dbrx", &["123", "4", " the"]),
        ("qwen2", &["1", "2", "3", "4", " the"]),
    ] {
        assert_eq!(shown(&tokenizer(pre), "1234 the"), expected, "{pre}");
    }
}

#[test]
fn parts_are_those_that_it_was_made_of() {
    for pre in ["gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2"] {
        let tokenizer = tokenizer(pre);
        assert_eq!(tokenizer.parts(), parts(pre));
        assert!(tokenizer.has_exact_parts());
    }
}

/// A tokenizer trained here becomes parts from which one is made that gives the same ids, as long as llama.cpp has its
/// groups of digits.
#[test]
fn a_native_tokenizer_survives_as_parts() {
    let text = "In 1066 and 1492, and 10661492: the others' 'LL\r\n\t  they are 12345 tokens ſ é 東京. ";
    for (digits, pre) in [(1, "qwen2"), (2, "dbrx"), (3, "dbrx")] {
        let scene = Scene::new();
        scene.write("a.txt", text.repeat(40).as_bytes());
        let config = TokenizerConfig { digits, ..TokenizerConfig::bpe(300) };
        let native = Tokenizer::train(&config, &scene.config(&["a.txt"]), &mut go_on).unwrap();
        let parts = native.parts();
        assert_eq!((&parts.pre[..], native.has_exact_parts()), (pre, digits != 2));
        assert_eq!(
            (parts.bos, parts.eos, parts.adds_bos, parts.control.len()),
            (Some(0), Some(0), false, 16)
        );
        let made = Tokenizer::from_parts(Path::new("m.gguf"), &parts).unwrap();
        let text = text.replace("10661492", "9");
        if digits != 2 {
            assert_eq!(made.encode(&text), native.encode(&text), "{digits}");
        }
        assert_eq!(native.decode(&native.encode(&text)), text);
        let longest = native.encode("12345").len();
        assert!(longest >= 5usize.div_ceil(digits.into()), "{digits}: {longest}");
        native.save(&scene.path("t")).unwrap();
        assert_eq!(Tokenizer::load(&scene.path("t")).unwrap().fingerprint(), native.fingerprint());
    }
    assert!(Tokenizer::bytes().has_exact_parts());
}

#[test]
fn specials_are_read_only_where_they_are_asked_for() {
    let tokenizer = tokenizer("smollm");
    let (text, last) = ("a<|im_end|>", tokenizer.vocab_size() as u32 - 1);
    assert_eq!(tokenizer.encode(text).len(), text.len());
    assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text);
    assert_eq!(tokenizer.encode_with_specials(text)[1..], [last]);
    assert_eq!(tokenizer.decode(&[last]), "", "structure has no text");
    assert_eq!((tokenizer.end_of_text(), tokenizer.end_of_turn(), tokenizer.bos()), (last, Some(last), None));
    assert_eq!(tokenizer.stops(), [last, 0], "the declared end comes first");
    assert_eq!((tokenizer.special("<|im_start|>"), tokenizer.special("the")), (Some(1), None));
    // Recognised, yet text.
    assert_eq!(shown(&tokenizer, "<think>"), ["<think>"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("<think>")), "<think>");
    let native = Tokenizer::bytes();
    assert_eq!(native.encode_with_specials("<|im_end|>a<|x|>").len(), 1 + 1 + 5);
}

#[test]
fn what_was_saved_is_loaded_with_the_same_bytes_and_fingerprint() {
    let scene = Scene::new();
    let tokenizer = tokenizer("llama-bpe");
    tokenizer.save(&scene.path("a")).unwrap();
    let loaded = Tokenizer::load(&scene.path("a")).unwrap();
    assert_eq!(loaded.fingerprint(), tokenizer.fingerprint());
    loaded.save(&scene.path("b")).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let read = |folder: &str| std::fs::read(scene.path(folder).join(name)).unwrap();
        assert_eq!(read("a"), read("b"), "{name}");
    }
}

/// Some ways to say nothing; `tokenizers` itself would stop at the last.
#[test]
fn a_normalizer_of_nothing_is_none() {
    use serde_json::json;
    let scene = Scene::new();
    tokenizer("gpt-2").save(&scene.path("t")).unwrap();
    let path = scene.path("t/tokenizer.json");
    let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let nothing = json!({ "type": "Sequence", "normalizers": [] });
    let prepend = json!({ "type": "Prepend", "prepend": "" });
    for (normalizer, kept) in [
        (json!(null), json!(null)),
        (nothing.clone(), json!(null)),
        (
            json!({ "type": "Sequence", "normalizers": [nothing, { "type": "NFC" }] }),
            json!({ "type": "NFC" }),
        ),
        (json!({ "type": "Sequence", "normalizers": [prepend] }), json!(null)),
    ] {
        document["normalizer"] = normalizer;
        std::fs::write(&path, document.to_string()).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        let composed = if kept.is_null() { "e\u{301}" } else { "é" };
        assert_eq!(loaded.decode(&loaded.encode("e\u{301} the")), format!("{composed} the"));
        loaded.save(&scene.path("again")).unwrap();
        let saved = std::fs::read(scene.path("again/tokenizer.json")).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&saved).unwrap()["normalizer"], kept);
    }
}

/// Tokens without an id get theirs in the order of the file, which no sorted map may lose.
#[test]
fn new_tokens_get_their_ids_in_the_order_of_the_files() {
    let scene = Scene::new();
    tokenizer("llama-bpe").save(&scene.path("t")).unwrap();
    let first = tokenizer("llama-bpe").vocab_size() as u32;
    let write = |name: &str, text: &str| std::fs::write(scene.path("t").join(name), text).unwrap();
    let loaded = || Tokenizer::load(&scene.path("t")).unwrap();
    let eos = r#""tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>""#;
    write(
        "tokenizer_config.json",
        &format!(
            r#"{{ {eos}, "z_token": "<z>", "extra_special_tokens": {{ "y_token": "<y>", "a_token": "<a>" }}, "b_token": "<b>" }}"#
        ),
    );
    let merged = loaded();
    let names: Vec<String> = (first..first + 4).map(|id| merged.show(id)).collect();
    assert_eq!(names, ["<z>", "<b>", "<y>", "<a>"]);
    assert_eq!(merged.encode_with_specials("<y>"), [first + 2]);
    assert_eq!(merged.encode("<y>").len(), 3, "special, and so text where a user writes it");

    // What was merged stands in the tokenizer's own file, which needs its neighbours no more.
    write("tokenizer_config.json", &format!("{{ {eos} }}"));
    write(
        "special_tokens_map.json",
        r#"{ "eos_token": { "content": "<|endoftext|>" }, "pad_token": "<pad>" }"#,
    );
    write("added_tokens.json", &format!("\u{feff}{{ \"<x>\": {first} }}"));
    let merged = loaded();
    assert_eq!((merged.end_of_text(), merged.pad()), (0, Some(first + 1)));
    merged.save(&scene.path("saved")).unwrap();
    let saved = Tokenizer::load(&scene.path("saved")).unwrap();
    assert_eq!(saved.fingerprint(), merged.fingerprint());
    assert_eq!((saved.stops(), saved.pad()), (merged.stops(), merged.pad()));
    assert_eq!(saved.decode(&[first, first + 1]), "<x>", "one is text, one structure");

    write("added_tokens.json", &format!("{{ \"<x>\": {} }}", first + 1));
    let message = Tokenizer::load(&scene.path("t")).unwrap_err().to_string();
    assert!(message.contains("`<x>`") && message.contains("added_tokens.json"), "{message}");
    write("added_tokens.json", "[1]");
    let message = Tokenizer::load(&scene.path("t")).unwrap_err().to_string();
    assert!(message.contains("a JSON object in `added_tokens.json`"), "{message}");
}

/// GGUF files have places for further ends and for a begin.
#[test]
fn ends_and_begin_of_parts_are_kept() {
    let parts = TokenizerParts { ends: vec![0, 1], pad: Some(1), adds_bos: true, ..parts("llama-bpe") };
    let tokenizer = Tokenizer::from_parts(Path::new("model.gguf"), &parts).unwrap();
    let last = tokenizer.vocab_size() as u32 - 1;
    assert_eq!(tokenizer.stops(), [last, 0, 1]);
    assert_eq!((tokenizer.bos(), tokenizer.begin_of_text(), tokenizer.pad()), (Some(1), 1, Some(1)));
    assert_eq!(tokenizer.parts(), parts);
    let refusal = |parts: &TokenizerParts| {
        Tokenizer::from_parts(Path::new("model.gguf"), parts).unwrap_err().to_string()
    };
    let beyond = refusal(&TokenizerParts { ends: vec![0, 1 << 20], ..parts.clone() });
    assert!(beyond.contains("expected ids below"), "{beyond}");
    let nothing = refusal(&TokenizerParts { bos: None, ..parts });
    assert!(nothing.contains("the token that every text begins with"), "{nothing}");
}

#[test]
fn contradictions_and_unknown_parts_are_refused_in_words() {
    let refusal = |change: fn(&mut TokenizerParts)| {
        let mut parts = parts("gpt-2");
        change(&mut parts);
        Tokenizer::from_parts(Path::new("model.gguf"), &parts).unwrap_err().to_string()
    };
    assert!(refusal(|p| p.pre = "deepseek-r1".into()).contains("found `deepseek-r1`"));
    assert!(refusal(|p| p.tokens[9] = p.tokens[8].clone()).contains("every token once"));
    assert!(refusal(|p| p.control = vec![1 << 20]).contains("expected ids below"));
    assert!(refusal(|p| p.merges.push("q zz".into())).contains("expected a tokenizer that `tokenizers`"));
    assert!(refusal(|p| p.tokens[250] = "東".into()).contains("found `東`"));

    let scene = Scene::new();
    tokenizer("gpt-2").save(&scene.path("t")).unwrap();
    let path = scene.path("t/tokenizer.json");
    let sound: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let check = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut document = sound.clone();
        change(&mut document);
        std::fs::write(&path, document.to_string()).unwrap();
        let message = Tokenizer::load(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(&|t| t["model"]["type"] = "Unigram".into(), "expected a model of type \"BPE\"");
    check(&|t| t["model"]["byte_fallback"] = true.into(), "a model without `byte_fallback`");
    check(&|t| t["normalizer"] = serde_json::json!({ "type": "Prepend" }), "the normalizer NFC or none");
    check(
        &|t| t["pre_tokenizer"]["pretokenizers"][0]["type"] = "Metaspace".into(),
        "expected the pre-tokenizer of GPT-2",
    );
    check(&|t| t["added_tokens"][0]["lstrip"] = true.into(), "that take no white space with them");
    check(&|t| t["model"]["vocab"]["the"] = (1u64 << 40).into(), "a tokenizer that `tokenizers`");
    check(&|t| t["model"]["vocab"]["the"] = 4_000_000_000u64.into(), "expected ids from 0 to 16777216");
}

proptest! {
    #[test]
    fn every_text_decodes_to_itself(text in prop_oneof![".{0,60}", "[ab'sLl 1２\u{a0}\t\r\n.,<|>é東]{0,40}"]) {
        for pre in ["gpt-2", "smollm", "llama-bpe"] {
            let tokenizer = tokenizer(pre);
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text.clone());
        }
    }

    #[test]
    fn damaged_files_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let scene = Scene::new();
        tokenizer("smollm").save(&scene.path("t")).unwrap();
        let path = scene.path("t/tokenizer.json");
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, byte) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        let _ = Tokenizer::load(&path).map(|tokenizer| tokenizer.encode("the 123 <|im_end|>"));
    }
}
