//! Names of special tokens in training texts: letters, or tokens where a source says so.

use std::ops::ControlFlow;

use data::{DataConfig, Prepared, SourceConfig, Special, SpecialTokens, Tokenizer, ValidationConfig};

const TURN: &str = "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n";

fn prepared(special_tokens: SpecialTokens, tokenizer: &Tokenizer) -> Prepared {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chats.jsonl");
    let lines: Vec<String> = (0..40)
        .map(|i| serde_json::json!({ "text": format!("{TURN}{i}<|endoftext|>more") }).to_string())
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let mut config = DataConfig::new(vec![SourceConfig {
        special_tokens,
        ..SourceConfig::new(path.display().to_string())
    }]);
    config.validation = ValidationConfig::Hash { fraction: 0.2 };
    data::prepare(&config, tokenizer, &dir.path().join("out"), &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn names_become_tokens_where_a_source_says_so() {
    let tokenizer = Tokenizer::bytes();
    let (text, parsed) =
        (prepared(SpecialTokens::Text, &tokenizer), prepared(SpecialTokens::Parse, &tokenizer));
    let counts = |prepared: &Prepared| -> Vec<u64> {
        prepared.manifest().files.iter().map(|file| file.special_names).collect()
    };
    assert_eq!((counts(&text), counts(&parsed)), (vec![40 * 5], vec![0]));
    let sum = |prepared: &Prepared, of: fn(&data::ShardEntry) -> u64| -> u64 {
        prepared.manifest().shards.iter().map(of).sum()
    };
    let name_bytes = 40 * (2 * "<|im_start|>".len() + 2 * "<|im_end|>".len() + "<|endoftext|>".len()) as u64;
    // A name of n letters is one token, and none of its bytes counts as text.
    assert_eq!(sum(&text, |s| s.tokens) - sum(&parsed, |s| s.tokens), name_bytes - 40 * 5);
    assert_eq!(sum(&text, |s| s.text_bytes) - sum(&parsed, |s| s.text_bytes), name_bytes);
    // A token that ends texts does not end a document in the middle of it.
    assert_eq!(sum(&text, |s| s.documents), sum(&parsed, |s| s.documents));
    assert_eq!(sum(&parsed, |s| s.documents), 40);
}

#[test]
fn names_are_found_from_left_to_right() {
    let tokenizer = Tokenizer::bytes();
    let ids = tokenizer.encode_as("a<|im_end|><|im_start|", SpecialTokens::Parse);
    assert_eq!(
        ids,
        [tokenizer.encode("a"), vec![Special::ImEnd.id()], tokenizer.encode("<|im_start|")].concat()
    );
    assert_eq!(tokenizer.encode_as("<|im_end|>", SpecialTokens::Text), tokenizer.encode("<|im_end|>"));
    let names = data::SpecialNames::of(&tokenizer);
    assert_eq!(names.find("<|<|image|>é<|reserved_1|><|reserved_11|>").count(), 3);
}

#[test]
fn no_merge_is_spent_on_names_that_become_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chats.txt");
    std::fs::write(&path, TURN.repeat(50)).unwrap();
    let vocabulary = |special_tokens| {
        let mut config = DataConfig::new(vec![SourceConfig {
            special_tokens,
            ..SourceConfig::new(path.display().to_string())
        }]);
        config.validation = ValidationConfig::Tail { fraction: 0.1 };
        let settings = data::TokenizerConfig::bpe(280);
        let tokenizer = Tokenizer::train(&settings, &config, &mut |_| ControlFlow::Continue(())).unwrap();
        (272..280).map(|id| tokenizer.show(id)).collect::<Vec<_>>().concat()
    };
    assert!(vocabulary(SpecialTokens::Text).contains("im"), "{}", vocabulary(SpecialTokens::Text));
    assert!(!vocabulary(SpecialTokens::Parse).contains("im"), "{}", vocabulary(SpecialTokens::Parse));
}
