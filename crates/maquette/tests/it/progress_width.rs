//! What is seen of the progress in terminals of several widths.

use std::process::{Command, Stdio};

use crate::scene::{Said, Scene};

/// Runs the binary in a terminal of so many columns and returns what it shows: each state of each line by itself.
fn in_terminal(scene: &Scene, columns: usize, args: &str) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_maquette");
    let inside = format!("stty cols {columns} rows 24 && exec {program} {args}");
    let mut command = Command::new("script");
    command.args(["-qefc", &inside, "/dev/null"]).current_dir(scene.path("")).env("TERM", "xterm");
    let said = Said::by(command.stdin(Stdio::null()));
    assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
    let plain = without_escapes(&said.stdout);
    plain.split(['\r', '\n']).filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The text without the sequences that move the cursor and clear lines.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                rest.by_ref().skip_while(|c| *c == '[').find(|c| c.is_ascii_alphabetic());
                plain.push('\r');
            }
            c => plain.push(c),
        }
    }
    plain
}

const STEPS: &str = "--set train.steps=120 --set train.eval_every_steps=60";

#[test]
fn the_progress_of_a_run_fits_its_terminal() {
    for columns in [60, 80, 132] {
        let scene = Scene::new();
        let lines = in_terminal(&scene, columns, &format!("run tiny.toml --out run {STEPS}"));
        // What a run says ends with paths and texts that are to be copied as they are.
        let end = lines.iter().position(|line| line.starts_with("validation: ")).unwrap();
        for line in &lines[..end] {
            // Lines that stay are padded to whole rows: no row but the first may begin within a text.
            let row = |i: usize| line.chars().nth(i * columns);
            let is_broken = (1..).map_while(row).any(|c| c != ' ');
            assert!(!is_broken, "{columns}: {line}");
        }
        let training: Vec<&String> = lines.iter().filter(|line| line.contains("loss 5.")).collect();
        let whole = |line: &&&String| {
            ["pretrain", "%", "loss ", "/s", " left"].iter().all(|part| line.contains(part))
        };
        assert!(training.iter().filter(whole).count() > 0, "{columns}: {training:#?}");
    }
}

#[test]
fn a_line_every_few_seconds_is_not_written_of_what_takes_less() {
    let scene = Scene::new();
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(!said.stderr.contains("% "), "{}", said.stderr);
    assert!(!said.stderr.contains('\u{1b}') && !said.stderr.contains('\r'), "{}", said.stderr);
}
