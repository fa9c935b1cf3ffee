//! `generate --prompts`, and what ends a continuation or a chat from outside.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use crate::scene::{CHECKPOINT, Said, Scene};

#[test]
fn lines_that_are_no_prompts_are_named() {
    let scene = Scene::trained();
    let error = |content: &[u8]| {
        scene.write("prompts.jsonl", content);
        scene.fails(&["generate", CHECKPOINT, "--prompts", "prompts.jsonl"])
    };
    for (content, want) in [
        (&b""[..], "expected a prompt on each line of `prompts.jsonl`, found no line"),
        (b"\n \n", "expected a prompt on each line of `prompts.jsonl`, found no line"),
        (b"{\"prompt\": \"A\"}\n[1]\n", "in line 2 of `prompts.jsonl`, found `[1]`"),
        (
            b"{\"text\": \"A\"}\n",
            "expected a text \"prompt\" in line 1 of `prompts.jsonl`, found the fields `text`",
        ),
        (b"{}\n", "in line 1 of `prompts.jsonl`, found no field"),
        (b"{\"prompt\": 7}\n", "in line 1 of `prompts.jsonl`, found `7`"),
        (br#"{"prompt": "\ud800"}"#, "(unexpected end of hex escape at column 19)"),
    ] {
        let error = error(content);
        assert!(error.contains(want) && error.contains("\nhint: "), "{error}");
    }
}

#[test]
fn fields_that_are_not_used_are_named_once() {
    let scene = Scene::trained();
    let lines = b"{\"prompt\": \"A\", \"max_tokens\": 3, \"id\": 1}\n{\"prompt\": \"B\", \"id\": 2}\n";
    scene.write("prompts.jsonl", lines);
    let said = scene.ok(&["generate", CHECKPOINT, "--prompts", "prompts.jsonl", "--max-tokens", "2"]);
    assert_eq!(said.stdout.lines().count(), 2);
    let want =
        "not used of the lines of `prompts.jsonl`: `id`, `max_tokens`; settings are options of the command\n";
    assert_eq!(said.stderr, want);
}

#[test]
fn an_empty_stop_text_is_refused() {
    let scene = Scene::trained();
    let error = scene.fails(&["generate", CHECKPOINT, "--stop", "x", "--stop", ""]);
    assert!(error.contains("--stop must be a text, found an empty one\nhint: "), "{error}");
}

/// Interrupts a command after the first byte of its output.
#[cfg(unix)]
fn interrupted(scene: &Scene, args: &[&str]) -> Said {
    let mut command = scene.command(args);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Said::from(child.wait_with_output().unwrap())
}

#[cfg(unix)]
#[test]
fn what_is_interrupted_says_so_by_its_status() {
    let scene = Scene::trained();
    let line = "{\"prompt\": \"Once\"}\n";
    scene.write("prompts.jsonl", line.repeat(20_000).as_bytes());
    let said =
        interrupted(&scene, &["generate", CHECKPOINT, "--prompts", "prompts.jsonl", "--max-tokens", "20"]);
    assert_eq!(said.status.code(), Some(130), "{}", said.stderr);
    assert!(
        said.stderr.contains(" of 20000 prompts\nhint: the same command begins from the start"),
        "{}",
        said.stderr
    );
    let rest = said.stdout.split_once('\n').unwrap().1;
    assert!(rest.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[cfg(unix)]
#[test]
fn a_chat_that_waits_on_a_pipe_ends_at_once() {
    let scene = Scene::trained();
    let mut command = scene.command(&["chat", CHECKPOINT, "--max-tokens", "4"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its input stays open: it does not end for want of that.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Hello\n").unwrap();
    // Answered, so that it waits for the next line.
    let mut answer = Vec::new();
    let stdout = child.stdout.as_mut().unwrap();
    while answer.last() != Some(&b'\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
}

#[cfg(target_os = "linux")]
#[test]
fn a_chat_into_a_full_disk_fails() {
    let scene = Scene::trained();
    let mut shell = Command::new("sh");
    let line = format!("printf 'Hello\\nAgain\\n' | \"$0\" chat {CHECKPOINT} --max-tokens 4 >/dev/full");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_maquette")]).current_dir(scene.path(""));
    let error = Said::by(&mut shell).error(1);
    let want = "error: cannot write to stdout: No space left on device (os error 28)\nhint: free some space where it leads";
    assert!(error.ends_with(want), "{error}");
}
