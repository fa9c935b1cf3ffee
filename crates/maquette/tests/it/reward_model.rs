//! A reward model from the command line: pairs to a folder, and answers to scores.

use std::fs;

use crate::scene::{Said, Scene};

/// Pairs of which the better answer says `yes`, whatever its length.
fn pairs(scene: &Scene) {
    let pair = |i: usize| {
        let (yes, no) = if i.is_multiple_of(2) { ("yes", "no") } else { ("yes", "nothing") };
        serde_json::json!({"prompt": format!("{i}?"), "chosen": yes, "rejected": no})
    };
    let rows: String = (0..60).map(|i| format!("{}\n", pair(i))).collect();
    scene.write("pairs.jsonl", rows.as_bytes());
    let said = |answer: &str| serde_json::json!({"messages": [{"role": "user", "content": "7?"}, {"role": "assistant", "content": answer}]});
    scene.write("said.jsonl", format!("{}\n{}\n", said("yes"), said("no")).as_bytes());
}

const REWARD: [&str; 12] = [
    "reward",
    "run",
    "--data",
    "pairs.jsonl",
    "--batch",
    "8",
    "--epochs",
    "6",
    "--held-out",
    "0.2",
    "--lr",
    "0.003",
];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

#[test]
fn pairs_become_a_model_that_scores() {
    let scene = Scene::trained();
    pairs(&scene);
    let said = scene.ok(&with(&REWARD, &["--out", "rm", "--json"]));
    let statistics = &said.json()["statistics"];
    let held_out = &statistics["held_out"];
    let rate = |name: &str| held_out[name]["rate"].as_f64().unwrap();
    assert!(rate("accuracy") > 0.9, "{statistics}");
    assert!((rate("longer_answer") + rate("shorter_answer") - 1.0).abs() < 1e-9, "{statistics}");
    assert!(held_out["accuracy"]["lo95"].as_f64().unwrap() < rate("accuracy"), "{statistics}");
    assert!(statistics["std"].as_f64().unwrap() > 0.0);

    let lines: Vec<serde_json::Value> = scene
        .ok(&["score", "rm/model", "--data", "said.jsonl"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let score = |i: usize| lines[i]["score"].as_f64().unwrap();
    assert!(score(0) > score(1), "{lines:?}");
    assert_eq!(lines[1]["row"], 2);
    let normalised = (score(0) - statistics["mean"].as_f64().unwrap()) / statistics["std"].as_f64().unwrap();
    assert_eq!(lines[0]["normalised"].as_f64().unwrap(), normalised);

    // With adapters, and in words.
    let said = scene.ok(&with(&REWARD, &["--out", "lora", "--rank", "4"]));
    assert!(said.stdout.contains("reward model") && said.stdout.contains("longer answer"), "{}", said.stdout);
    scene.ok(&["score", "lora/model", "--data", "said.jsonl"]);
    // It is no language model.
    let error = scene.fails(&["generate", "rm/model", "--max-tokens", "4"]);
    assert!(error.contains("ForSequenceClassification") && error.contains("hint:"), "{error}");
    let error = scene.fails(&["score", "run", "--data", "said.jsonl"]);
    assert!(error.contains("hint:"), "{error}");
}

#[test]
fn a_killed_training_goes_on_to_the_same_bits() {
    let scene = Scene::trained();
    pairs(&scene);
    let args = |out: &'static str| with(&REWARD, &["--threads", "1", "--out", out]);
    scene.ok(&args("whole"));
    let log = scene.path("operations");
    let logged =
        Said::by(scene.command(&args("logged")).env("MAQUETTE_FAULT", format!("log:{}", log.display())));
    assert!(logged.status.success(), "{}", logged.stderr);
    let n = fs::read_to_string(&log).unwrap().lines().count();
    for at in [1, n / 2, 2 * n / 3, n - 2] {
        let _ = fs::remove_dir_all(scene.path("killed"));
        let killed = Said::by(scene.command(&args("killed")).env("MAQUETTE_FAULT", format!("kill:{at}")));
        assert!(!killed.status.success(), "operation {at} of {n}");
        scene.ok(&args("killed"));
        for file in ["model/model.safetensors", "model/reward.json", "tuning.json"] {
            let read = |folder: &str| fs::read(scene.path(folder).join(file)).unwrap();
            assert!(read("killed") == read("whole"), "{file} after a kill at operation {at} of {n}");
        }
    }
}
