//! From a pretrained model to a table of what alignment did, on synthetic requests.

use std::fs;

use crate::scene::Scene;

/// Every step once, on a model too small to learn much: files, order, and that a second call does nothing again.
#[test]
fn a_pretrained_model_is_aligned_and_judged() {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.seq_len=192"]);
    let args = [
        "align",
        "run",
        "--out",
        "aligned",
        "--rows",
        "40",
        "--iterations",
        "1",
        "--asked",
        "24",
        "--threads",
        "1",
    ];
    let said = scene.ok(&args);
    assert!(said.stdout.contains("synthetic"), "{}", said.stdout);
    let table: serde_json::Value = serde_json::from_str(&scene.read("aligned/safety.json")).unwrap();
    assert_eq!(table["synthetic"], true);
    for stage in ["base", "sft", "ppo", "ppo_rbrm"] {
        for measure in ["disallowed", "over_refusal", "helpful", "steered", "ended"] {
            let share = &table["stages"][stage][measure];
            let [n, rate, lo, hi] = ["n", "rate", "lo95", "hi95"].map(|name| share[name].as_f64().unwrap());
            assert!(n > 0.0 && lo <= rate && rate <= hi, "{stage} {measure}: {share}");
        }
    }
    scene.ok(&["generate", "aligned/ppo_rbrm", "--max-tokens", "4"]);
    let before = scene.files("aligned/ppo/checkpoints");
    scene.ok(&args);
    assert_eq!(scene.files("aligned/ppo/checkpoints"), before);
}

#[test]
fn a_grader_is_validated_and_one_that_was_not_is_refused() {
    let scene = Scene::trained();
    scene.ok(&["standin", "--out", "data", "--rows", "40"]);
    let rows = scene.read("data/sft.jsonl");
    assert!(rows.lines().all(|row| row.contains("\"synthetic\":true")));
    let rbrm = [
        "rbrm",
        "data/classes.yaml",
        "--gold",
        "data/gold-test.jsonl",
        "--fit",
        "data/gold-fit.jsonl",
        "--out",
        "rbrm.json",
    ];
    let said = scene.ok(&rbrm);
    assert!(
        said.stdout.contains("inability_to_comply") && said.stdout.contains("95 % interval"),
        "{}",
        said.stdout
    );
    let ppo = [
        "ppo",
        "run",
        "--prompts",
        "data/prompts.jsonl",
        "--rule",
        "rbrm",
        "--iterations",
        "1",
        "--rollouts",
        "16",
        "--out",
        "ppo",
    ];
    let with = |more: &[&'static str]| [&ppo[..], more].concat();
    let error = scene.fails(&ppo);
    assert!(error.contains("expected a grader for --rule rbrm"), "{error}");
    let grader: serde_json::Value = serde_json::from_str(&scene.read("rbrm.json")).unwrap();
    let f1 = grader["validation"]["inability_to_comply"]["f1"].as_f64().unwrap();
    assert!(f1 > 0.95, "{f1}");
    let mut unvalidated = grader.clone();
    unvalidated["validation"] = serde_json::json!({});
    scene.write("bad.json", unvalidated.to_string().as_bytes());
    let error = scene.fails(&with(&["--rbrm", "bad.json"]));
    assert!(error.contains("no F1 of") && error.contains("hint:"), "{error}");
    // Prompts of which nobody says what they ask for.
    scene.write("prompts.jsonl", b"{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n");
    let args =
        ["ppo", "run", "--prompts", "prompts.jsonl", "--rule", "rbrm", "--rbrm", "rbrm.json", "--out", "ppo"];
    let error = scene.fails(&args);
    assert!(error.contains("row 1: expected a `label`"), "{error}");

    // Files of others are not replaced.
    scene.write("mine.json", b"{\"a\": 1}");
    let error = scene.fails(&[&rbrm[..7], &["mine.json"]].concat());
    assert!(error.contains("found another file"), "{error}");
    fs::create_dir(scene.path("mine")).unwrap();
    scene.write("mine/thesis.txt", b"precious");
    let error = scene.fails(&["standin", "--out", "mine"]);
    assert!(error.contains("found other files"), "{error}");
}

/// Adapters go out as peft keeps them, and come in again to the bits of the merged model.
#[test]
fn adapters_go_out_and_come_in() {
    let scene = Scene::trained();
    let row = |i: usize| serde_json::json!({"prompt": format!("{i}?"), "completion": "yes"});
    let rows: String = (0..20).map(|i| format!("{}\n", row(i))).collect();
    scene.write("chats.jsonl", rows.as_bytes());
    let sft = ["sft", "run", "--data", "chats.jsonl", "--rank", "4", "--out", "sft", "--epochs", "4"];
    scene.ok(&sft);
    scene.ok(&["merge", "run", "--adapter", "sft/adapter", "--out", "again"]);
    let read = |name: &str| fs::read(scene.path(name).join("model.safetensors")).unwrap();
    assert!(read("again") == read("sft/merged") && read("again") != read(crate::scene::CHECKPOINT));
    // The same command again replaces its own.
    scene.ok(&sft);
    let config =
        scene.read("sft/adapter/adapter_config.json").replace("\"use_dora\": false", "\"use_dora\": true");
    scene.write("sft/adapter/adapter_config.json", config.as_bytes());
    let error = scene.fails(&["merge", "run", "--adapter", "sft/adapter", "--out", "dora"]);
    assert!(error.contains("use_dora") && error.contains("hint:"), "{error}");
    let error = scene.fails(&["merge", "run", "--adapter", "run", "--out", "none"]);
    assert!(error.contains("adapter_config.json"), "{error}");
}
