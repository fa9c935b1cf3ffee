//! From a recipe with a ladder to a verdict: forecast sealed, run watched, outcome judged.

use serde_json::Value;

use crate::scene::{Scene, repository};

/// A budget whose ladder takes seconds: bytes, short rows, few rungs.
const RECIPE: &str = r#"
name = "small"
[budget]
train_flops = 1e11
[data]
sources = [{ path = "TEXT" }]
validation = { by = "tail", fraction = 0.1 }
[tokenizer]
kind = "bytes"
[model]
n_layers = 2
[train]
seq_len = 64
tokens_per_param = 20.0
final_eval_tokens = 4096
[ladder]
max_fraction = 0.25
n_budgets = 4
seeds = 1
sweep = false
[samples]
max_tokens = 8
"#;

pub(crate) fn scene(extra: &str) -> Scene {
    let scene = Scene::new();
    let text = repository().join("data/tinyshakespeare/input.txt.gz");
    let recipe = format!("{RECIPE}{extra}").replace("TEXT", text.to_str().unwrap());
    scene.write("small.toml", recipe.as_bytes());
    scene
}

fn json(scene: &Scene, path: &str) -> Value {
    serde_json::from_str(&scene.read(path)).unwrap()
}

#[test]
fn a_run_is_forecast_watched_and_judged() {
    let scene = scene("");
    let args = ["run", "small.toml", "--out", "out"];
    let sealed = scene.ok(&["run", "small.toml", "--out", "out", "--only", "tokenizer,data,ladder,forecast"]);
    assert!(
        sealed.stderr.contains("runs of at most") && sealed.stderr.contains("; sealed"),
        "{}",
        sealed.stderr
    );

    // A forecast that was changed stops the run before its first step.
    let text = scene.read("out/forecast.json");
    let changed = text.replacen("\"median\": ", "\"median\": 9", 1);
    assert_ne!(changed, text);
    scene.write("out/forecast.json", changed.as_bytes());
    let refused = scene.fails(&["run", "small.toml", "--out", "out", "--only", "pretrain"]);
    assert!(refused.contains("forecast.json") && refused.contains("hint: "), "{refused}");
    assert!(!scene.path("out/pretrain/metrics.jsonl").exists());
    scene.write("out/forecast.json", text.as_bytes());

    let said = scene.ok(&args);
    assert!(said.stderr.contains("verdict forecast"), "{}", said.stderr);
    let (seal, verdict) = (json(&scene, "out/forecast.json"), json(&scene, "out/verdict.json"));
    assert_eq!(verdict["seal"], seal["seal"]);
    assert_eq!(verdict["timing"], "in_time");
    let target = seal["forecast"]["target"]["flops"].as_f64().unwrap();
    let largest = seal["points"].as_array().unwrap().iter().map(|p| p["flops"].as_f64().unwrap());
    assert!(largest.fold(0.0, f64::max) <= 0.25 * target * 1.05);
    let summary = json(&scene, "out/pretrain/summary.json");
    assert_eq!(verdict["actual"], summary["validation"]["loss_nats"]);
    let page = scene.read("out/report.html");
    assert!(page.contains("Forecast of the loss") && page.contains("Cost of the forecast"));

    // Everything is kept when the same command is given again.
    let again = scene.ok(&args);
    assert!(
        again.stderr.contains("pretrain kept") && !again.stderr.contains("to train, about"),
        "{}",
        again.stderr
    );
    assert_eq!(json(&scene, "out/forecast.json"), seal);

    let verified = scene.ok(&["forecast", "verify", "out/forecast.json", "--run", "out"]);
    assert!(verified.status.success());
    watched_afterwards_as_it_was_while_it_trained(&scene);

    // The page is built from the verdict as well: without it there is none.
    std::fs::remove_file(scene.path("out/verdict.json")).unwrap();
    let refused = scene.fails(&["report", "out"]);
    assert!(refused.contains("verdict.json"), "{refused}");
}

/// `forecast watch` decides from the record as `pretrain` did.
fn watched_afterwards_as_it_was_while_it_trained(scene: &Scene) {
    let state = scene.ok(&["forecast", "watch", "out", "--follow", "--json"]).json();
    let (seal, kept) = (json(scene, "out/forecast.json"), json(scene, "out/pretrain/watch.json"));
    assert_eq!((&state["seal"], &state["alarms"]), (&seal["seal"], &kept["alarms"]));
    assert_eq!((&state["step"], &state["n_steps"]), (&kept["n_steps"], &kept["n_steps"]));
    assert_eq!(state["sealed"]["median"], seal["forecast"]["prediction"]["median"]);
    assert!(state["revised"]["lo80"].as_f64() < state["revised"]["hi80"].as_f64());

    // A record that is being written at this moment ends in half a line.
    let record = scene.read("out/pretrain/metrics.jsonl");
    let cut = record.len() * 2 / 3;
    let whole = record[..cut].matches("\"kind\":\"train\"").count() as u64;
    scene.write("out/pretrain/metrics.jsonl", &record.as_bytes()[..cut]);
    let step = scene.ok(&["forecast", "watch", "out", "--json"]).json()["step"].as_u64().unwrap();
    assert!(step == whole || step + 1 == whole, "{step} of {whole} lines, the last of them perhaps cut");
    let said = scene.ok(&["forecast", "watch", "out"]);
    assert!(said.stdout.contains("the sealed forecast stays"), "{}", said.stdout);
    scene.write("out/pretrain/metrics.jsonl", format!("{{}}\n{record}").as_bytes());
    let refused = scene.fails(&["forecast", "watch", "out"]);
    assert!(refused.contains("is damaged in line 1") && refused.contains("\nhint: "), "{refused}");

    // A run whose loss doubles half way raises an alarm, and its record alone tells so.
    let lines = record.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let is_late = line["step"].as_u64() > kept["n_steps"].as_u64().map(|n| n / 2);
        if let Some(loss) = line["loss_nats"].as_f64().filter(|_| is_late && line["kind"] == "train") {
            line["loss_nats"] = (2.0 * loss).into();
        }
        format!("{line}\n")
    });
    scene.write("out/pretrain/metrics.jsonl", lines.collect::<String>().as_bytes());
    let said = scene.ok(&["forecast", "watch", "out"]);
    assert!(said.stdout.contains("ALARM at step") && !said.stdout.contains("no alarm"), "{}", said.stdout);
    scene.write("out/pretrain/metrics.jsonl", record.as_bytes());
}

#[test]
fn only_a_run_with_a_sealed_forecast_is_watched() {
    let scene = Scene::trained();
    let refused = scene.fails(&["forecast", "watch", "run"]);
    assert!(refused.contains("found no `forecast.json` there\nhint: "), "{refused}");
    let refused = scene.fails(&["forecast", "watch", "nowhere"]);
    assert!(refused.contains("expected the folder of a run at `nowhere`"), "{refused}");
}

#[test]
fn a_run_that_has_begun_is_not_forecast() {
    let scene = scene("");
    scene.ok(&["run", "small.toml", "--out", "out", "--only", "tokenizer,data,pretrain"]);
    let said = scene.ok(&["run", "small.toml", "--out", "out", "--only", "ladder,forecast"]);
    assert!(said.stderr.contains("the run has begun"), "{}", said.stderr);
    assert!(!scene.path("out/forecast.json").exists());
}

#[test]
fn tasks_that_are_mixed_in_are_forecast_and_examined() {
    let scene = scene("[data.tasks]\nweight = 0.5\nbytes = 200000\n");
    let said = scene.ok(&["run", "small.toml", "--out", "out", "--set", "ladder.problems=4"]);
    assert!(scene.path("out/eval/copy.jsonl").is_file(), "{}", said.stderr);
    let score: Value =
        serde_json::from_str(scene.read("out/eval/copy.jsonl").lines().next().unwrap()).unwrap();
    assert!(score["log_prob"].as_f64().unwrap() < 0.0);
    let page = scene.read("out/report.html");
    assert_eq!(
        page.contains("id=\"capability\""),
        scene.path("out/capability.json").exists(),
        "{}",
        said.stderr
    );
    let scored = scene.ok(&["eval", &checkpoint(&scene), "--tasks", "copy", "--limit", "4", "--json"]);
    assert_eq!(scored.json()["levels"].as_array().unwrap().len(), 6);
    let refused = scene.fails(&["eval", &checkpoint(&scene), "--tasks", "chess"]);
    assert!(refused.contains("found `chess`") && refused.contains("hint: "), "{refused}");
}

fn checkpoint(scene: &Scene) -> String {
    let folder = scene.path("out/pretrain/checkpoints");
    let last = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    last.display().to_string()
}
