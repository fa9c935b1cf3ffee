//! Ctrl-C and SIGTERM to commands that ask models: they end in good order, and say how to go on.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    pictures,
    scene::{CHECKPOINT, Said, Scene},
};

/// Waits until something is so, a minute at most.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what} after a minute");
        thread::sleep(Duration::from_millis(2));
    }
}

fn start(scene: &Scene, args: &[&str]) -> Child {
    let mut command = scene.command(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Before it listens, a signal ends it as any program.
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 << 14 != 0))
    };
    wait_for("listener", listens);
    child
}

fn stopped(child: Child, signals: &[&str]) -> Said {
    for signal in signals {
        assert!(Command::new("kill").args([signal, &*child.id().to_string()]).status().unwrap().success());
    }
    let begun = Instant::now();
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.status.code(), Some(130), "{signals:?}: {}", said.stderr);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(said.stderr.contains("stopping after the work at hand"), "{}", said.stderr);
    said
}

/// A moment of work.
fn work() {
    thread::sleep(Duration::from_millis(300));
}

const FROM_THE_START: &str = "\nhint: the same command begins from the start\n";

#[test]
fn a_benchmark_that_is_stopped_goes_on_where_it_was() {
    let scene = Scene::trained();
    let row = |i: usize| {
        let choices: Vec<_> = (0..4)
            .map(|c| json!({ "text": "x".repeat(c + i % 7 + 1), "label": (c + 1).to_string() }))
            .collect();
        format!(
            "{}\n",
            json!({ "id": i.to_string(), "answerKey": (i % 4 + 1).to_string(), "question": {
                "stem": format!("What is {i}?"), "choices": choices } })
        )
    };
    let folder = "data/ARC-V1-Feb2018-2/ARC-Easy";
    for (name, n) in [("Test", 4000), ("Train", 4)] {
        let rows = (0..n).map(row).collect::<String>();
        scene.write(&format!("{folder}/ARC-Easy-{name}.jsonl"), rows.as_bytes());
    }
    let args = |out: &'static [&'static str]| {
        let asked =
            ["eval", CHECKPOINT, "--data", "data", "--tasks", "arc_easy", "--shots", "0", "--threads", "1"];
        [&asked[..], out].concat()
    };
    let n_items = |out: &str| {
        let path = scene.path(&format!("{out}/eval/arc_easy-0shot.jsonl"));
        fs::read_to_string(path).map_or(0, |text| text.lines().count())
    };
    let child = start(&scene, &args(&["--out", "out"]));
    wait_for("item", || n_items("out") > 0);
    let said = stopped(child, &["-TERM"]);
    let n = n_items("out");
    assert!((1..4000).contains(&n), "{n}");
    let end =
        format!("stopped after {n} of 4000 items of arc_easy\nhint: give the same command again to go on\n");
    assert!(said.stderr.ends_with(&end), "{}", said.stderr);
    assert!(said.stdout.is_empty() && !scene.path("out/eval/summary.json").exists());
    let said = scene.ok(&args(&["--out", "out"]));
    assert!(said.stderr.contains(&format!("{n} items are there already")), "{}", said.stderr);
    assert_eq!(n_items("out"), 4000);
    // Without a folder nothing is kept.
    let child = start(&scene, &args(&[]));
    work();
    let said = stopped(child, &["-INT"]);
    assert!(said.stderr.ends_with(FROM_THE_START) && said.stdout.is_empty(), "{}", said.stderr);
}

#[test]
fn what_is_written_at_its_end_alone_is_abandoned() {
    let scene = Scene::trained();
    scene.write(&format!("{CHECKPOINT}/chat_template.jinja"), b"{{ messages[0]['content'] }}");
    let row = |i: u32| {
        format!("{{\"prompt\":[{{\"role\":\"user\",\"content\":\"{i}\"}}],\"label\":\"allowed\"}}\n")
    };
    scene.write("prompts.jsonl", (0..20_000).map(row).collect::<String>().as_bytes());
    let stage = format!("a={CHECKPOINT}");
    let safety = ["safety", &stage, "--prompts", "prompts.jsonl", "--out", "table.json", "--threads", "1"];
    let child = start(&scene, &safety);
    work();
    let said = stopped(child, &["-TERM"]);
    // Before its answers or among them.
    let end = format!("stage `a`; nothing was written{FROM_THE_START}");
    assert!(said.stderr.ends_with(&end), "{}", said.stderr);
    assert!(!scene.path("table.json").exists());
}

#[test]
fn questions_about_pictures_and_their_maps_are_abandoned() {
    let scene = pictures::seeing();
    let image = "drawn/images/train-scenes-000000.png";
    let explain = [
        "explain",
        "seeing",
        "--image",
        image,
        "--prompt",
        "What is there?",
        "--answer",
        "circle",
        "--draws",
        "10000",
        "--threads",
        "1",
        "--out",
        "map.png",
    ];
    let child = start(&scene, &explain);
    work();
    let said = stopped(child, &["-TERM"]);
    assert!(
        said.stderr.ends_with(&format!("stopped{FROM_THE_START}")) && said.stdout.is_empty(),
        "{}",
        said.stderr
    );
    assert!(!scene.path("map.png").exists());
    let eval = ["eval", "seeing", "--tasks", "scenes", "--limit", "3000", "--threads", "1", "--out", "asked"];
    let child = start(&scene, &eval);
    work();
    let said = stopped(child, &["-INT"]);
    assert!(
        said.stderr.ends_with(&format!("stopped{FROM_THE_START}")) && said.stdout.is_empty(),
        "{}",
        said.stderr
    );
    assert!(!scene.path("asked/pictures.jsonl").exists());
    // Whoever asks twice waits for nothing.
    let child = start(&scene, &explain);
    work();
    stopped(child, &["-INT", "-INT"]);
}
