//! An evaluation that is killed ends with the same files as one that was not.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use base::Rng;
use serde_json::json;

use crate::scene::{CHECKPOINT, Said, Scene};

const N_KILLS: usize = 30;

fn write_data(scene: &Scene) {
    let stem = |i: usize| format!("What is {i}? ").repeat(1 + i % 3);
    let row = |i: usize| {
        let choices: Vec<_> = (0..4)
            .map(|c| json!({ "text": "x".repeat(c + i % 7 + 1), "label": (c + 1).to_string() }))
            .collect();
        let row = json!({ "id": i.to_string(), "answerKey": (i % 4 + 1).to_string(), "question": {
            "stem": stem(i), "choices": choices } });
        format!("{row}\n")
    };
    let folder = "data/ARC-V1-Feb2018-2/ARC-Easy";
    scene.write(&format!("{folder}/ARC-Easy-Test.jsonl"), (0..1500).map(row).collect::<String>().as_bytes());
    scene.write(&format!("{folder}/ARC-Easy-Train.jsonl"), (0..40).map(row).collect::<String>().as_bytes());
    let question = |i: usize| {
        format!("{}\n", json!({ "question": format!("{i} and 1"), "answer": format!("#### {i}") }))
    };
    scene.write(
        "data/grade_school_math/data/test.jsonl",
        (0..160).map(question).collect::<String>().as_bytes(),
    );
    scene.write(
        "data/grade_school_math/data/train.jsonl",
        (0..9).map(question).collect::<String>().as_bytes(),
    );
}

#[test]
fn an_evaluation_survives_thirty_kills_to_the_byte() {
    let scene = Scene::trained();
    write_data(&scene);
    let args = |out: &'static str, threads: &'static str, batch: &'static str| {
        let tasks = ["eval", CHECKPOINT, "--data", "data", "--tasks", "arc_easy,gsm8k", "--shots", "0"];
        let how = ["--max-tokens", "12", "--out", out, "--threads", threads, "--batch", batch];
        [&tasks[..], &how].concat()
    };
    let start = Instant::now();
    scene.ok(&args("whole", "2", "8"));
    let whole = scene.files("whole");
    let longest_ms = start.elapsed().as_millis() as u64;
    let mut rng = Rng::named(30, "moments to kill an evaluation at");
    let (mut n_killed, mut sizes) = (0, Vec::new());
    for i in 0..N_KILLS {
        let (threads, batch) = if i % 2 == 0 { ("1", "3") } else { ("2", "8") };
        let mut command = scene.command(&args("killed", threads, batch));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Shorter than the whole, so that the end is not reached too early: what is there is not scored again.
        thread::sleep(Duration::from_millis(rng.below(longest_ms / 6 + 20)));
        child.kill().unwrap();
        let said = Said::from(child.wait_with_output().unwrap());
        assert!(!said.stderr.contains("panicked") && !said.stderr.contains("error: "), "{}", said.stderr);
        n_killed += usize::from(said.status.code().is_none());
        let path = scene.path("killed/eval/arc_easy-0shot.jsonl");
        sizes.push(fs::metadata(path).map_or(0, |meta| meta.len()));
    }
    let seen = format!("{n_killed} killed, bytes of the first task {sizes:?}");
    assert!(n_killed >= N_KILLS / 2, "{seen}");
    // A line that a kill tore is taken away by the next call, nothing else.
    let is_kept = sizes.windows(2).all(|two| two[1] + 4096 >= two[0]);
    assert!(is_kept, "what was scored is kept: {seen}");
    let n_items = |out: &str| scene.read(&format!("{out}/eval/arc_easy-0shot.jsonl")).lines().count();
    scene.ok(&args("killed", "2", "64"));
    assert_eq!((n_items("whole"), n_items("killed")), (1500, 1500));
    assert!(scene.files("killed") == whole, "the files are the same bytes, and no other is there: {seen}");
    eprintln!("{seen}");
}
