//! What a terminal would obey is shown, never sent, wherever it came from.

use crate::scene::{CHECKPOINT, Said, Scene};

/// Renames the window, fills the clipboard, and hides what follows.
const HOSTILE: &str = "\x1b]0;PWNED\x07\x1b]52;c;cm0gLXJm\x07\x1b[8m\u{9b}2J\u{202e}\x7f";
const SHOWN: &str = "\\x1b]0;PWNED\\x07\\x1b]52;c;cm0gLXJm\\x07\\x1b[8m\\u{9b}2J\\u{202e}\\x7f";
/// The same in JSON and TOML.
const ESCAPED: &str = "\\u001b]0;PWNED\\u0007\\u001b]52;c;cm0gLXJm\\u0007\\u001b[8m\\u009b2J\\u202e\\u007f";

#[track_caller]
fn assert_harmless(text: &str) {
    let is_obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || c == '\u{202e}';
    assert!(!text.contains(is_obeyed), "{text:?}");
}

#[track_caller]
fn assert_shown(said: &Said) {
    assert_harmless(&said.stderr);
    assert_harmless(&said.stdout);
    let shown = format!("{}{}", said.stdout, said.stderr);
    assert!(shown.contains("PWNED"), "the test reaches nothing: {shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn names_of_files() {
    let scene = Scene::new();
    scene.write(&format!("src/{HOSTILE}.txt"), b"abc\xff\xfe");
    let said = scene.run(&["run", "tiny.toml", "--out", "o", "--set", "data.sources=[{path=\"src\"}]"]);
    assert_shown(&said);
    assert!(said.stderr.contains(SHOWN), "{}", said.stderr);
    let hostile = format!("{HOSTILE}.toml");
    assert_shown(&scene.run(&["run", &hostile]));
    assert_shown(&scene.run(&["report", &hostile]));
    // What the command line itself cannot read is quoted too.
    let said = scene.run(&["run", "tiny.toml", &format!("--{HOSTILE}")]);
    assert_harmless(&said.stderr);
    assert!(said.status.code() == Some(2) && said.stderr.contains("unexpected argument"), "{}", said.stderr);
    // On the way to a finished run, not in errors alone.
    scene.write(&format!("good-{HOSTILE}/a.txt"), crate::scene::text(6000).as_bytes());
    let source = format!("data.sources=[{{path=\"good-{ESCAPED}\"}}]");
    let out = format!("out-{HOSTILE}");
    assert_shown(&scene.ok(&["run", "tiny.toml", "--out", &out, "--set", &source]));
}

#[test]
fn recipes() {
    let scene = Scene::new();
    assert_shown(&scene.run(&["run", "tiny.toml", "--set", &format!("name=\"{ESCAPED}\"")]));
    assert_shown(&scene.run(&["run", "tiny.toml", "--set", &format!("\"{ESCAPED}\"=1")]));
    scene.write("bad.toml", format!("name = \"{HOSTILE}\"\n").as_bytes());
    assert_shown(&scene.run(&["run", "bad.toml"]));
}

/// What a finished run shows, and what the report of its samples holds.
#[test]
fn texts_of_a_model() {
    let scene = Scene::new();
    let prompts = format!("samples.prompts=[\"{ESCAPED}\"]");
    let mut args = vec!["run", "tiny.toml", "--out", "run", "--set", &prompts, "--set", "train.seq_len=64"];
    let said = scene.ok(&args);
    assert!(said.stdout.contains(&format!("--- {SHOWN}\n")), "{}", said.stdout);
    assert_shown(&said);
    args.push("--json");
    let said = scene.ok(&args);
    assert_shown(&said);
    assert_eq!(said.json()["samples"][0]["prompt"], HOSTILE, "JSON says the same to a program");
    let generated = ["generate", CHECKPOINT, "--prompt", HOSTILE, "--max-tokens", "4", "--json"];
    assert_eq!(scene.ok(&generated).json()["prompt"], HOSTILE);
    assert_harmless(&scene.ok(&generated).stdout);
}

#[test]
fn files_of_a_checkpoint() {
    let scene = Scene::new();
    scene.write("m/model.safetensors", b"{}");
    scene.write("m/config.json", b"{}");
    scene.write("m/maquette.json", format!("{{\"format\":9,\"maquette_version\":\"{ESCAPED}\"}}").as_bytes());
    assert_shown(&scene.run(&["inspect", "m"]));
    scene.write("n/config.json", format!("{{\"architectures\":[\"{ESCAPED}\"]}}").as_bytes());
    assert_shown(&scene.run(&["import", "n", "--out", "x"]));
}

/// A table of another program, and a seal.
#[test]
fn tables_and_forecasts() {
    let scene = Scene::new();
    scene.write("t.csv", format!("run,flops,{HOSTILE}\na,1e10,2\n").as_bytes());
    assert_shown(&scene.run(&["forecast", "fit", "t.csv", "--at-flops", "1e12"]));
    scene.write("t.csv", format!("run,flops,loss\n{HOSTILE},1e10,oops\n{HOSTILE},1e10,-3\n").as_bytes());
    let said = scene.run(&["forecast", "fit", "t.csv", "--at-flops", "1e12"]);
    assert_harmless(&said.stderr);
    let json = format!("{{\"format\":7,\"seal\":\"\",\"maquette_version\":\"{ESCAPED}\"}}");
    scene.write("f.json", json.as_bytes());
    assert_shown(&scene.run(&["forecast", "verify", "f.json"]));
}

/// A chat template that refuses with a message of its own.
#[test]
fn messages_of_templates() {
    let scene = Scene::trained();
    let template = format!("{{{{ raise_exception('{HOSTILE}') }}}}");
    scene.write(&format!("{CHECKPOINT}/chat_template.jinja"), template.as_bytes());
    let mut command = scene.command(&["chat", CHECKPOINT]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hello\n").unwrap();
    assert_shown(&Said::from(child.wait_with_output().unwrap()));
}
