//! A ladder of a recipe with pictures: the losses of answers are sealed beside the text's, and judged with it.

use serde_json::Value;

use crate::scene::{Scene, repository};

/// One model of a few thousand parameters, in 100 to 1,600 steps of a row of text and a picture.
const RECIPE: &str = r#"name = "seeing"
[data]
sources = [{ path = "TEXT" }]
validation = { by = "tail", fraction = 0.1 }
[data.pictures]
draw = ["scenes", "words"]
max_level = 1
per_step = 1
n_held_out = 8
[tokenizer]
kind = "bytes"
[model]
n_layers = 1
d_model = 16
n_heads = 1
max_seq_len = 128
[model.vision]
image_size = 32
patch_size = 8
n_layers = 1
[train]
steps = 1600
batch_rows = 1
seq_len = 128
eval_every_steps = 1600
final_eval_tokens = 1024
[ladder]
max_fraction = 0.5
n_budgets = 4
[samples]
prompts = []
"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn names(parts: &Value) -> Vec<&str> {
    parts.as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect()
}

#[test]
fn losses_of_answers_are_sealed_by_kind_and_judged() {
    let scene = Scene::new();
    let text = repository().join("data/tinyshakespeare/input.txt.gz");
    scene.write("seeing.toml", RECIPE.replace("TEXT", text.to_str().unwrap()).as_bytes());
    let run = ["run", "seeing.toml", "--out", "out"];
    let sealed = scene.ok(&[&run[..], &["--only", "tokenizer,data,ladder,forecast"]].concat());
    assert!(sealed.stderr.contains("loss of answers about pictures, answers"), "{}", sealed.stderr);
    assert!(!scene.path("out/pretrain").exists());

    let text = scene.read("out/forecast.json");
    let seal = json(&text);
    let parts = &seal["extra"]["answers"];
    assert_eq!(names(parts), ["answers", "scenes", "words"]);
    let points = seal["points"].as_array().unwrap();
    assert_eq!(points.len(), 4, "{points:?}");
    for (part, name) in parts.as_array().unwrap().iter().zip(names(parts)) {
        // The final losses of the rungs, as their own files have them.
        for loss in part["losses"].as_array().unwrap() {
            let rung = json(&scene.read(&format!("out/ladder/{}.json", loss["run"].as_str().unwrap())));
            assert_eq!(loss["loss"], rung["parts"][name]["loss_nats"]);
            assert_eq!(loss["stderr"], rung["parts"][name]["loss_stderr"]);
            assert!(loss["stderr"].as_f64().unwrap() > 0.0);
        }
        assert_eq!(part["losses"].as_array().unwrap().len(), 4);
        assert_eq!(part["prediction"].is_null(), part["refused"].is_string(), "{part}");
    }
    // Compute is that of the text, of which the largest rung has half.
    let flops = |of: &Value| of["flops"].as_f64().unwrap();
    let ratio = flops(&points[3]) / flops(&seal["forecast"]["target"]);
    assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");

    // A loss of answers that was changed stops the run before its first step.
    let start = text.find("\"losses\"").unwrap();
    let changed = format!("{}{}", &text[..start], text[start..].replacen("\"loss\": ", "\"loss\": 1", 1));
    assert_ne!(changed, text);
    scene.write("out/forecast.json", changed.as_bytes());
    let refused = scene.fails(&[&run[..], &["--only", "pretrain"]].concat());
    assert!(refused.contains("changed after sealing\nhint: "), "{refused}");
    assert!(!scene.path("out/pretrain/metrics.jsonl").exists());
    // And one that was sealed again is not what the ladder gives.
    let mut answers = parts.clone();
    let bounds = ["median", "lo50", "hi50", "lo80", "hi80", "lo95", "hi95"];
    answers[0]["prediction"] = bounds.iter().map(|name| ((*name).to_owned(), Value::from(9.5))).collect();
    answers[0]["refused"] = Value::Null;
    let again = ::forecast::Seal::read(text.as_bytes()).unwrap().with_extra("answers", answers);
    scene.write("out/forecast.json", again.to_json().as_bytes());
    let refused = scene.fails(&[&run[..], &["--only", "forecast"]].concat());
    assert!(refused.contains("changed and sealed again\nhint: "), "{refused}");
    let refused = scene.fails(&["forecast", "verify", "out/forecast.json"]);
    assert!(refused.contains("answers 9.5000") && refused.contains("changed and sealed again"), "{refused}");
    scene.write("out/forecast.json", text.as_bytes());

    let said = scene.ok(&run);
    assert!(said.stderr.contains("verdict answers about pictures, answers"), "{}", said.stderr);
    let verdict = json(&scene.read("out/verdict.json"));
    assert_eq!(names(&verdict["parts"]), ["answers", "scenes", "words"]);
    let metrics = scene.read("out/pretrain/metrics.jsonl");
    let last = json(metrics.lines().rfind(|line| line.contains("\"kind\":\"validation\"")).unwrap());
    for (part, outcome) in parts.as_array().unwrap().iter().zip(verdict["parts"].as_array().unwrap()) {
        let name = outcome["name"].as_str().unwrap();
        assert_eq!(outcome["actual"], last[format!("{name}_loss_nats")], "{outcome}");
        assert_eq!(outcome["stderr"], last[format!("{name}_loss_stderr")], "{outcome}");
        assert_eq!((&outcome["predicted"], &outcome["refused"]), (&part["prediction"], &part["refused"]));
        let bound = |name: &str| part["prediction"][name].as_f64();
        let actual = outcome["actual"].as_f64().unwrap();
        let inside = bound("lo80").zip(bound("hi80")).map(|(low, high)| (low..=high).contains(&actual));
        assert_eq!(outcome["inside"]["80"].as_bool(), inside, "{outcome}");
    }
    // What was spent is compared without the pictures, too.
    let ratio = flops(&seal["forecast"]["target"]) / verdict["actual_flops"].as_f64().unwrap();
    assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");

    let page = scene.read("out/report.html");
    assert!(
        page.contains("Answers about pictures") && page.contains("aria-label=\"Answers about pictures\"")
    );
    let verified = scene.ok(&["forecast", "verify", "out/forecast.json", "--run", "out"]).stdout;
    assert!(verified.contains("answers   scenes "), "{verified}");
    the_finished_run_is_a_reference_for_another(&scene);
    let judged = scene.ok(&["forecast", "verdict", "out/forecast.json", "--run", "out"]).stdout;
    assert!(judged.contains("answers about pictures: words "), "{judged}");
}

/// Its ladder and its end show the loss of each part to a run of the same recipe; the rungs are those that are there.
fn the_finished_run_is_a_reference_for_another(scene: &Scene) {
    for (path, bytes) in scene.files("out") {
        let kept = ["ladder", "tokenizer", "data", ".lock"];
        if kept.iter().any(|name| path.starts_with(name)) {
            scene.write(&format!("second/{}", path.display()), &bytes);
        }
    }
    let stages = ["--only", "tokenizer,data,ladder,forecast"];
    let reference = ["--set", "ladder.reference_runs=[\"out\"]"];
    let args = [&["run", "seeing.toml", "--out", "second"][..], &stages, &reference].concat();
    let said = scene.ok(&args);
    assert!(!said.stderr.contains("to train, about"), "{}", said.stderr);
    let summary = json(&scene.read("out/pretrain/summary.json"));
    let seal = json(&scene.read("second/forecast.json"));
    for part in seal["extra"]["answers"].as_array().unwrap() {
        let runs = &part["reference_runs"][0];
        let losses: Vec<&Value> = runs["points"].as_array().unwrap().iter().map(|p| &p["loss"]).collect();
        assert_eq!((&runs["name"], losses.len()), (&"out".into(), 5), "{part}");
        let name = part["name"].as_str().unwrap();
        assert_eq!(losses[4], &summary["parts"][name]["loss_nats"], "{part}");
    }
    scene.ok(&["forecast", "verify", "second/forecast.json"]);
}
