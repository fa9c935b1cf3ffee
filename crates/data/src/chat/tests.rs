//! What becomes of messages.

use proptest::prelude::*;

use super::*;

fn render(source: &str, messages: &[Message]) -> Result<String, DataError> {
    ChatTemplate::parse(source, "<s>", "</s>").and_then(|template| template.render(messages, true))
}

#[test]
fn templates_mean_what_they_mean_in_python() {
    let messages = [Message::new("system", " be nice "), Message::new("user", "hi there")];
    for (source, expected) in [
        (
            "{{ bos_token }}{% for m in messages %}{{ m.content.strip().split(' ')[-1].upper() }}{% endfor %}",
            "<s>NICETHERE",
        ),
        ("{% if tools is not none %}T{% endif %}{{ foo }}{{ 'x' * 3 }}", "xxx"),
        ("{{ {'a': [1, 2], 'b': 'é<'} | tojson }}", "{\"a\": [1, 2], \"b\": \"é<\"}"),
        (
            "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% break %}{% endfor %}",
            " be nice ",
        ),
        (
            "{{ (messages | selectattr('role', 'equalto', 'user') | list) | length }}{{ none }}{{ true }}",
            "1NoneTrue",
        ),
        ("  {% if true %}\na\n  {% endif %}\nb", "a\nb"),
        ("{{ messages[0] | tojson }}", r#"{"role": "system", "content": " be nice "}"#),
        (
            "{% if tools is iterable and tools | length > 0 %}T{% endif %}{{ messages[1].content }}",
            "hi there",
        ),
        (
            "{% for m in messages %}\n{% generation %}\n{{ m.content }}\n{% endgeneration %}\n{% endfor %}",
            " be nice \nhi there\n",
        ),
        ("\u{feff}a\r\nb", "a\nb"),
    ] {
        assert_eq!(render(source, &messages).unwrap(), expected, "{source}");
    }
    let refusal = render("{{ raise_exception('roles must alternate') }}", &messages).unwrap_err().to_string();
    assert!(refusal.contains("roles must alternate"), "{refusal}");
    let refusal = render("a\n{{ 'x' | wordwrap }}", &messages).unwrap_err().to_string();
    assert!(refusal.contains("`wordwrap`") && refusal.contains("line 2"), "{refusal}");
}

#[test]
fn a_template_may_look_into_messages() {
    let tokenizer = Tokenizer::bytes();
    let encode = |source: &str, text: &str| {
        let template = ChatTemplate::parse(source, "", "").unwrap();
        template.encode(&tokenizer, &[Message::new("user", text)], false).unwrap()
    };
    let end = tokenizer.special("<|im_end|>").unwrap();
    let replacing = "{% for m in messages %}{{ m.content.replace('<|im_end|>', '!') }}{% endfor %}";
    assert_eq!(encode(replacing, "a<|im_end|>b"), tokenizer.encode("a!b"));
    let splitting = "{% for m in messages %}{{ m.content.split('|')[1] }}<|im_end|>{% endfor %}";
    assert_eq!(encode(splitting, "<|im_end|>"), [tokenizer.encode("im_end"), vec![end]].concat());
    let joining = "{% for c in messages[0].content %}{{ c | upper | lower }}{% endfor %}{{ messages[0].content | length }}";
    assert_eq!(encode(joining, "<|im_end|>"), tokenizer.encode("<|im_end|>10"));
    let comparing =
        "{% if messages[0].content == '<|im_end|>' %}<|im_end|>{% endif %}{{ messages[0]|tojson }}";
    let expected = [vec![end], tokenizer.encode(r#"{"role": "user", "content": "<|im_end|>"}"#)].concat();
    assert_eq!(encode(comparing, "<|im_end|>"), expected);
}

#[test]
fn roles_may_spell_special_tokens() {
    let tokenizer = Tokenizer::bytes();
    let source = "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'im_start' %}x{% endif %}{% endfor %}";
    let template = ChatTemplate::parse(source, "", "").unwrap();
    let ids = |role: &str| template.encode(&tokenizer, &[Message::new(role, "")], false).unwrap();
    assert_eq!(ids("im_start"), [vec![1], tokenizer.encode("x")].concat());
    // A role that is more than a word is text.
    assert_eq!(ids("x|><|im_start"), tokenizer.encode("<|x|><|im_start|>"));
}

proptest! {
    /// Whatever a user writes, there are as many control tokens as the template wrote, and the text is all there.
    #[test]
    fn text_never_becomes_structure(
        pieces in prop::collection::vec(prop_oneof![
            Just("<|im_end|>"), Just("<|im_start|>"), Just("<|endoftext|>"), Just("<|im_"), Just("end|>"), Just("<"),
            Just("|"), Just(">"), Just(" "), Just("\n"), Just("a"), Just("\u{fdd0}"), Just("é"),
        ], 0..12),
        way in 0..4usize,
    ) {
        let source = [
            CHATML,
            "{% for m in messages %}<|im_{{ m.content.strip() }}end|>{% endfor %}<|im_end|>",
            "{% for m in messages %}{{ '%s<|im_%s' | format('', m.content | trim) }}{{ '{}'.format('end|>') }}{% endfor %}<|im_end|>",
            "{% for m in messages %}<|im_{{ m.content.strip() | list | join | indent(0) | replace('€', '') }}end|>{% endfor %}<|im_end|>",
        ][way];
        let (template, tokenizer) = (ChatTemplate::parse(source, "", "").unwrap(), Tokenizer::bytes());
        let text = pieces.concat();
        let count = |text: &str| -> usize {
            let ids = template.encode(&tokenizer, &[Message::new("user", text)], true).unwrap();
            ids.iter().filter(|id| **id < crate::Special::COUNT).count()
        };
        if !text.trim().is_empty() {
            prop_assert_eq!(count(&text), count("harmless"));
        }
        let ids = template.encode(&tokenizer, &[Message::new("user", text.clone())], true).unwrap();
        let shown: String = ids.iter().map(|&id| if id < 16 { tokenizer.show(id) } else { String::new() }).collect();
        prop_assert!(shown.len() <= 40);
        prop_assert!(tokenizer.decode(&ids).contains(text.trim()));
    }
}

#[test]
fn texts_of_json_are_typed_and_plain_roles_are_not() {
    let tokenizer = Tokenizer::bytes();
    let source =
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{{ m.content }}{{ m.extra | tojson }}{% endfor %}";
    let template = ChatTemplate::parse(source, "", "").unwrap();
    let ids = |json: &str| template.encode_json(&tokenizer, json).unwrap();
    let found = ids(
        r#"{"messages": [{"role": "im_start", "content": "<|im_end|>", "extra": {"<|im_end|>": ["<|im_end|>"]}}]}"#,
    );
    let text = r#"<|im_end|>{"<|im_end|>": ["<|im_end|>"]}"#;
    assert_eq!(found, [vec![1], tokenizer.encode(text)].concat());
    let found = ids(r#"{"messages": [{"role": "x|><|im_start", "content": "", "extra": 1}]}"#);
    assert_eq!(found, tokenizer.encode("<|x|><|im_start|>1"));
}
