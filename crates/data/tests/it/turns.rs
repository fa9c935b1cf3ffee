//! Conversations as ids and what the assistant says in them, against transformers: `fixtures/turns.json`, written by
//! `tools/reference/turns.py`.

use std::{collections::BTreeMap, path::PathBuf};

use data::{ChatTemplate, Message, Said, Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    /// Of a tokenizer of bytes with special tokens.
    files: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    conversations: BTreeMap<String, Vec<Message>>,
    cases: Vec<Case>,
}

/// Template, conversation, ids, and 1 where the assistant says the token; nothing where the template refuses.
type Case = (String, String, Option<Vec<u32>>, Option<Vec<u8>>);

#[test]
fn ids_and_masks_are_those_of_transformers() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/turns.json");
    let fixture: Fixture = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in &fixture.files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let (mut n_same, mut n_refused) = (0, 0);
    for (name, conversation, ids, mask) in &fixture.cases {
        let template = ChatTemplate::parse(&fixture.templates[name], "<s>", "</s>").unwrap();
        let messages = &fixture.conversations[conversation];
        let found = template.encode_turns(&tokenizer, messages, Said::All);
        let (Some(ids), Some(mask)) = (ids, mask) else {
            assert!(found.is_err(), "{name}, {conversation}: {found:?}");
            n_refused += 1;
            continue;
        };
        let found = found.unwrap_or_else(|error| panic!("{name}, {conversation}: {error}"));
        assert_eq!(&found.ids, ids, "{name}, {conversation}");
        let found: Vec<u8> = found.is_said.iter().map(|is_said| u8::from(*is_said)).collect();
        assert_eq!(&found, mask, "{name}, {conversation}");
        n_same += 1;
    }
    assert_eq!((fixture.templates.len(), n_same, n_refused), (8, 60, 4));
}
