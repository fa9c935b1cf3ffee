//! Fine-tuning from the command line: conversations and preferences to a model that can be opened.

use std::fs;

use crate::scene::{Said, Scene};

/// Forty conversations in two forms.
fn chats(scene: &Scene) {
    let row = |i: usize| match i % 2 {
        0 => {
            serde_json::json!({"messages": [{"role": "user", "content": format!("{i}?")}, {"role": "assistant", "content": "yes"}]})
        }
        _ => serde_json::json!({"instruction": format!("{i}?"), "output": "no"}),
    };
    let rows: String = (0..40).map(|i| format!("{}\n", row(i))).collect();
    scene.write("chats.jsonl", rows.as_bytes());
    let pair = |i: usize| serde_json::json!({"prompt": format!("{i}?"), "chosen": "yes", "rejected": "no"});
    let rows: String = (0..40).map(|i| format!("{}\n", pair(i))).collect();
    scene.write("pairs.jsonl", rows.as_bytes());
}

const SFT: [&str; 11] =
    ["sft", "run", "--data", "chats.jsonl", "--batch", "8", "--epochs", "2", "--lr", "0.003", "--json"];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

#[test]
fn a_model_is_taught_to_answer_and_then_to_prefer() {
    let scene = Scene::trained();
    chats(&scene);
    let said = scene.ok(&with(&SFT, &["--out", "sft"]));
    assert!(said.stderr.contains("conversations, "), "{}", said.stderr);
    let finished = said.json();
    assert!(finished["summary"]["validation"]["loss_nats"].as_f64().unwrap() > 0.0);
    let model = finished["model"].as_str().unwrap();
    assert!(model.starts_with("sft/checkpoints/step-"), "{model}");
    // The folder stands for its newest checkpoint, and the model chats.
    scene.ok(&["generate", "sft", "--max-tokens", "4"]);
    assert!(scene.path(model).join("chat_template.jinja").is_file());
    // The same command changes nothing.
    let before = scene.files("sft/checkpoints");
    scene.ok(&with(&SFT, &["--out", "sft"]));
    assert_eq!(scene.files("sft/checkpoints"), before);

    let dpo = [
        "dpo",
        "sft",
        "--data",
        "pairs.jsonl",
        "--out",
        "dpo",
        "--batch",
        "8",
        "--epochs",
        "4",
        "--rank",
        "4",
    ];
    let said = scene.ok(&with(&dpo, &["--lr", "0.01", "--json"]));
    let loss = said.json()["summary"]["validation"]["loss_nats"].as_f64().unwrap();
    assert!(loss < std::f64::consts::LN_2 - 0.05, "{loss}");
    assert_eq!(said.json()["model"], "dpo/merged");
    scene.ok(&["generate", "dpo/merged", "--max-tokens", "4"]);
    let metrics = scene.read("dpo/metrics.jsonl");
    assert!(
        metrics
            .lines()
            .filter(|line| line.contains("\"kind\":\"train\""))
            .all(|line| line.contains("\"margin\":"))
    );
}

#[test]
fn what_cannot_be_learned_from_is_named_and_nothing_foreign_changes() {
    let scene = Scene::trained();
    chats(&scene);
    scene.write("bad.jsonl", b"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n{\"text\":\"b\"}\n");
    let bad = ["sft", "run", "--data", "bad.jsonl", "--out", "bad"];
    let error = scene.fails(&bad);
    assert!(error.contains("row 1: expected an answer of the assistant"), "{error}");
    let error = scene.fails(&with(&bad, &["--skip-bad-rows"]));
    assert!(error.contains("found none in 0 rows"), "{error}");
    let error = scene.fails(&["sft", "run", "--data", "missing.jsonl", "--out", "bad"]);
    assert!(error.contains("missing.jsonl"), "{error}");
    for (option, value) in
        [("--epochs", "0"), ("--lr", "2"), ("--batch", "0"), ("--held-out", "0.9"), ("--seq-len", "999999")]
    {
        let error =
            scene.fails(&with(&["sft", "run", "--data", "chats.jsonl", "--out", "bad"], &[option, value]));
        assert!(error.contains(option) && error.contains("found") && error.contains("hint:"), "{error}");
    }
    assert!(!scene.path("bad").exists());

    fs::create_dir(scene.path("mine")).unwrap();
    scene.write("mine/thesis.txt", b"precious");
    let error = scene.fails(&with(&SFT, &["--out", "mine"]));
    assert!(error.contains("no fine-tuning wrote"), "{error}");
    assert_eq!(scene.read("mine/thesis.txt"), "precious");
    assert_eq!(fs::read_dir(scene.path("mine")).unwrap().count(), 1);

    scene.ok(&with(&SFT, &["--out", "sft"]));
    let error = scene.fails(&with(&SFT, &["--out", "sft", "--seed", "2"]));
    assert!(error.contains("found one with") && error.contains("--out"), "{error}");
}

/// Killed after some steps, the same command ends with the same bits.
#[test]
fn a_killed_tuning_goes_on_to_the_same_bits() {
    let scene = Scene::trained();
    chats(&scene);
    let args = |out: &'static str| with(&SFT, &["--rank", "2", "--threads", "1", "--out", out]);
    scene.ok(&args("whole"));
    let log = scene.path("operations");
    let logged =
        Said::by(scene.command(&args("logged")).env("MAQUETTE_FAULT", format!("log:{}", log.display())));
    assert!(logged.status.success(), "{}", logged.stderr);
    let n = fs::read_to_string(&log).unwrap().lines().count();
    for at in [1, n / 3, n / 2, 2 * n / 3, n - 2] {
        let _ = fs::remove_dir_all(scene.path("killed"));
        let killed = Said::by(scene.command(&args("killed")).env("MAQUETTE_FAULT", format!("kill:{at}")));
        assert!(!killed.status.success(), "operation {at} of {n}");
        scene.ok(&args("killed"));
        for file in ["merged/model.safetensors", "tuning.json"] {
            let read = |folder: &str| fs::read(scene.path(folder).join(file)).unwrap();
            assert!(read("killed") == read("whole"), "{file} after a kill at operation {at} of {n}");
        }
    }
}
