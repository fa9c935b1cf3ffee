//! Chat templates and special tokens on the command line.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::scene::{CHECKPOINT, Said, Scene, maquette};

/// A trained scene with a copy of its checkpoint in `m` that has this template.
fn with_template(scene: &Scene, template: &str) {
    let _ = std::fs::remove_dir_all(scene.path("m"));
    for (name, content) in scene.files(CHECKPOINT) {
        // The sums would say that the folder was changed.
        if name.to_str() != Some("SHA256SUMS") {
            scene.write(&format!("m/{}", name.display()), &content);
        }
    }
    scene.write("m/chat_template.jinja", template.as_bytes());
}

/// Pipes messages into a command.
fn pipe(mut command: Command, messages: &str) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(messages.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn messages_without_an_answer_are_told_by_the_status() {
    let scene = Scene::trained();
    let chat = |messages: &str| pipe(scene.command(&["chat", "m", "--max-tokens", "2"]), messages);
    with_template(&scene, "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}");
    let said = chat("hi\n");
    assert!(said.status.success(), "{}", said.stderr);
    with_template(
        &scene,
        "{% if messages[-1].content == 'no' %}{{ raise_exception('not this') }}{% endif %}a",
    );
    let said = chat("hi\nno\nhi\n");
    assert_eq!(said.status.code(), Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("not this") && said.stderr.contains("1 of the lines"), "{}", said.stderr);
    // The other two were answered.
    assert_eq!(said.stdout.lines().count(), 2, "{}", said.stdout);
}

#[test]
fn roles_may_name_special_tokens() {
    let scene = Scene::trained();
    with_template(
        &scene,
        "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{% else %}<|image|>{% endif %}{{ m.content }}{% endfor %}",
    );
    let said = pipe(scene.command(&["chat", "m", "--max-tokens", "2"]), "<|im_start|>hello\n/retry\n");
    assert!(said.status.success(), "{}", said.stderr);
}

#[test]
fn hostile_templates_end_the_talk_and_nothing_else() {
    let scene = Scene::trained();
    let sum = format!("{{{{ 1{} }}}}", "+1".repeat(20_000));
    let minus = format!("{{{{ {}1 }}}}", "-".repeat(20_000));
    let lists = format!("{{{{ {}{} }}}}", "[".repeat(20_000), "]".repeat(20_000));
    for template in [
        "{% set ns=namespace() %}{% set ns.a=ns %}{{ ns|tojson }}",
        &sum,
        &minus,
        &lists,
        "{{ \"{:2000000000}\".format(1) }}",
        "{{ ('x' * 100000).join(['a'] * 100000) }}",
        "{% set ns=namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l=ns.l+ns.l %}{% endfor %}",
        "{% set ns=namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l=[ns.l] %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ] {
        with_template(&scene, template);
        let mut command = Command::new("sh");
        let program = maquette().get_program().to_owned();
        // Of addresses, for everything: the program, its threads and the model among it.
        command.args(["-c", "ulimit -v 1500000; exec \"$@\"", "sh"]).arg(program);
        command.args(["chat", "m", "--max-tokens", "1", "--threads", "1"]).current_dir(scene.path(""));
        let started = Instant::now();
        let said = pipe(command, "hi\n");
        assert_eq!(said.status.code(), Some(1), "{template:.60}: {}", said.stderr);
        assert!(said.stderr.contains("hint:"), "{template:.60}: {}", said.stderr);
        assert!(started.elapsed() < Duration::from_secs(20), "{template:.60}: {:?}", started.elapsed());
    }
}

#[test]
fn names_of_special_tokens_in_prompts_are_a_switch() {
    let scene = Scene::trained();
    let generate = |more: &[&str]| {
        let said = scene.ok(&[&["generate", CHECKPOINT, "--max-tokens", "1", "--json"], more].concat());
        (said.json()["prompt_ids"].clone(), said.stderr)
    };
    let (ids, told) = generate(&["--prompt", "<|im_start|>"]);
    assert_eq!(ids, serde_json::json!([1]));
    assert!(told.contains("`<|im_start|>` in the prompt was read as"), "{told}");
    let (ids, told) = generate(&["--prompt", "<|im_start|>", "--special-tokens", "text"]);
    assert_eq!(ids.as_array().unwrap()[0], 16 + u32::from(b'<'));
    assert!(told.contains("read as plain text"), "{told}");
    let (_, told) = generate(&["--prompt", "<|im_start"]);
    assert!(!told.contains("taken for"), "{told}");
    // A byte-order mark is no part of the first line.
    scene.write("p.jsonl", "\u{feff}{\"prompt\":\"<|im_end|>\"}\n{\"prompt\":\"a<|image|>\"}\n".as_bytes());
    let said = scene.ok(&["generate", CHECKPOINT, "--prompts", "p.jsonl", "--max-tokens", "1"]);
    let first: serde_json::Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["prompt_ids"], serde_json::json!([2]));
    assert!(said.stderr.contains("2 names of special tokens in the prompts"), "{}", said.stderr);
}

const CHATS: &str = r#"name = "chats"
[data]
sources = [{ path = "chats.txt", licence = "none" }]
validation = { by = "tail", fraction = 0.2 }
[tokenizer]
kind = "bytes"
[model]
d_model = 16
n_layers = 1
[train]
steps = 2
batch_rows = 2
seq_len = 32
"#;

#[test]
fn names_in_training_texts_are_counted_or_parsed() {
    let scene = Scene::new();
    scene.write("chats.txt", "<|im_start|>user\nHi<|im_end|>\n".repeat(400).as_bytes());
    scene.write("chats.toml", CHATS.as_bytes());
    let said = scene.ok(&["run", "chats.toml", "--out", "text"]);
    assert!(said.stderr.contains("800 names of special tokens"), "{}", said.stderr);
    assert!(said.stderr.contains("special_tokens = \"parse\""), "{}", said.stderr);
    let parsed = CHATS.replace("licence", "special_tokens = \"parse\", licence");
    scene.write("parsed.toml", parsed.as_bytes());
    let said = scene.ok(&["run", "parsed.toml", "--out", "parsed"]);
    assert!(!said.stderr.contains("names of special tokens"), "{}", said.stderr);
    let tokens =
        |run: &str| std::fs::metadata(scene.path(&format!("{run}/data/train-00000.tokens"))).unwrap().len();
    assert!(tokens("parsed") * 2 < tokens("text"), "{} {}", tokens("parsed"), tokens("text"));
}
