//! What an answer about a picture depends on: by a command, and in the report of a run.

use std::fs;

use serde_json::Value;

use crate::{pictures::seeing, scene::Scene};

const IMAGE: &str = "drawn/images/train-scenes-000000.png";
const ASK: [&str; 6] = ["explain", "seeing", "--image", IMAGE, "--prompt", "What is there?"];

fn explain(scene: &Scene, more: &[&str]) -> Value {
    scene.ok(&[&ASK[..], more, &["--json"]].concat()).json()
}

#[test]
fn an_answer_is_explained_by_a_command() {
    let scene = seeing();
    let numbers = explain(&scene, &["--answer", "circle", "--out", "maps/here"]);
    for map in ["gradient_input_nats", "occlusion_nats"] {
        let map = numbers[map].as_array().unwrap();
        assert!(map.len() == 16 && map.iter().all(Value::is_f64), "{numbers}");
    }
    assert_eq!((&numbers["answer"], &numbers["patches_per_side"]), (&"circle".into(), &4.into()));
    assert!((-1.0..=1.0).contains(&numbers["rank_correlation"].as_f64().unwrap()), "{numbers}");
    let deletion = &numbers["deletion"];
    assert_eq!((&deletion["n_hidden"], &deletion["n_draws"]), (&2.into(), &32.into()));
    let by_occlusion = deletion["by_occlusion"].as_object().unwrap();
    assert!(by_occlusion["lo95"].as_f64().unwrap() <= by_occlusion["above_random_nats"].as_f64().unwrap());
    // The log-probability is the one that the engine gives, and each patch alone costs what it is said to.
    let total = numbers["log_prob_nats"].as_f64().unwrap();
    assert!(total < 0.0 && numbers["token_log_probs_nats"].as_array().unwrap().len() == 6);
    // A folder has the same numbers, a picture and a page.
    let written: Value = serde_json::from_str(&scene.read("maps/here/explanation.json")).unwrap();
    assert_eq!(written, numbers);
    let page = scene.read("maps/here/explanation.html");
    for part in
        ["data:image/png;base64,", "What is there?", "rank correlation", "first by occlusion", "16 patches"]
    {
        assert!(page.contains(part), "`{part}` is missing");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    let png = fs::read(scene.path("maps/here/explanation.png")).unwrap();
    // 32 pixels, eight times as large: three in a row.
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((&png[1..4], size(16), size(20)), (&b"PNG"[..], 3 * 256 + 4 * 12, 256 + 2 * 12));

    // The same again replaces its own files and gives the same numbers on any threads; other settings give others.
    let again = explain(&scene, &["--answer", "circle", "--out", "maps/here", "--threads", "1"]);
    assert_eq!(again, numbers);
    let other =
        explain(&scene, &["--answer", "circle", "--hide-with", "model", "--hidden", "5", "--seed", "3"]);
    assert_ne!(other["occlusion_nats"], numbers["occlusion_nats"]);
    assert_eq!(
        (&other["log_prob_nats"], &other["deletion"]["n_hidden"]),
        (&numbers["log_prob_nats"], &5.into())
    );
    // Two pictures, each with its map; the model's own answer; the chat template asks the same here.
    let words = "drawn/images/train-words-000000.png";
    let two = explain(&scene, &["--image", words, "--answer", "circle", "--out", "two.png"]);
    assert_eq!(two["occlusion_nats"].as_array().unwrap().len(), 32);
    let chat = explain(&scene, &["--chat", "--answer", "circle"]);
    assert_eq!(chat["log_prob_nats"], numbers["log_prob_nats"]);
    let table = scene.ok(&[&ASK[..], &["--answer", "circle"]].concat()).stdout;
    assert!(table.contains("answer: circle") && table.contains("at random"), "{table}");
    let own = scene.run(&[&ASK[..], &["--json", "--max-tokens", "4"]].concat());
    match own.status.success() {
        true => assert!(own.json()["answer_ids"].as_array().unwrap().len() <= 4),
        false => assert!(own.stderr.contains("ends its answer at once"), "{}", own.stderr),
    }
}

#[test]
fn what_cannot_be_explained_loses_nothing() {
    let scene = seeing();
    let fails = |more: &[&str]| scene.fails(&[&ASK[..], more].concat());
    for name in ["mine.png", "mine.html", "mine/explanation.json", "mine/explanation.png"] {
        scene.write(name, b"\x89PNG\r\n\x1a\nprecious");
        let out = if name.starts_with("mine/") { "mine" } else { name };
        let error = fails(&["--answer", "x", "--out", out]);
        assert!(error.contains("found another file") && error.contains("hint: "), "{name}: {error}");
        assert_eq!(fs::read(scene.path(name)).unwrap(), b"\x89PNG\r\n\x1a\nprecious");
    }
    assert!(!scene.path("mine/explanation.html").exists());
    assert!(fails(&["--answer", "x", "--out", "map.svg"]).contains("a .png, an .html or a folder"));
    assert!(fails(&["--answer", ""]).contains("an answer to explain"));
    assert!(fails(&["--answer", "x", "--hidden", "17"]).contains("17 of 16 patches"));
    let is_refused = |more: &[&str]| {
        let said = scene.run(&[&ASK[..], more].concat());
        assert!(!said.status.success(), "{more:?}");
        said.stderr
    };
    assert!(is_refused(&["--answer", "x", "--hidden", "0"]).contains("--hidden"));
    for draws in ["0", "1", "10001", "4000000000"] {
        let error = is_refused(&["--answer", "x", "--draws", draws]);
        assert!(error.contains("--draws") && error.contains("2..=10000"), "{error}");
    }
    let long = "x".repeat(300);
    let error = fails(&["--answer", &long]);
    assert!(error.contains("at most 200 tokens") && error.contains("300 of them the answer's"), "{error}");
    let many: Vec<&str> = std::iter::repeat_n(["--image", "gone.png"], 12).flatten().collect();
    let error = fails(&many);
    assert!(error.contains("at most 12 pictures, found 13: each takes 16 of the 200 tokens"), "{error}");
    let three = scene.fails(&[
        "explain",
        "seeing",
        "--image",
        IMAGE,
        "--prompt",
        "<|image|><|image|>?",
        "--answer",
        "x",
    ]);
    assert!(three.contains("16 placeholders for each of 1 images, found 32"), "{three}");
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    let blind = scene.fails(&["explain", "run", "--image", IMAGE, "--prompt", "x", "--out", "new.png"]);
    assert!(blind.contains("expected a model that reads images"), "{blind}");
    assert!(!scene.path("new.png").exists());
}

#[test]
fn the_report_of_a_run_shows_answers_about_pictures() {
    let scene = seeing();
    let lines = scene.read("seeing/pretrain/explained.jsonl");
    let page = scene.read("seeing/report.html");
    assert!(page.contains("id=\"pictures\"") && page.contains("href=\"#pictures\""));
    assert_eq!(page.matches("alt=\"occlusion\"").count(), lines.lines().count());
    for line in lines.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert!(["scenes", "words"].contains(&answer["kind"].as_str().unwrap()));
        assert!(page.contains(answer["pictures"][0]["gradient_input"].as_str().unwrap()));
    }
    // Kept as long as it is what it was made from, and made again where it is damaged.
    scene.ok(&["run", "seeing.toml", "--out", "seeing"]);
    assert_eq!(scene.read("seeing/pretrain/explained.jsonl"), lines);
    scene.write("seeing/pretrain/explained.jsonl", b"{");
    assert!(scene.fails(&["report", "seeing"]).contains("explained.jsonl"));
    scene.ok(&["run", "seeing.toml", "--out", "seeing"]);
    assert_eq!(scene.read("seeing/pretrain/explained.jsonl"), lines);
    // A run of text alone has no such part.
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(!scene.read("run/report.html").contains("id=\"pictures\""));
    assert!(!scene.path("run/pretrain/explained.jsonl").exists());
}
