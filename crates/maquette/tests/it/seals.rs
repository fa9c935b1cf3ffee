//! A forecast counts for one run: what was changed and sealed again, or sealed for another run, is named wherever it is read.

use std::fs;

use serde_json::{Value, json};

use crate::{scene::Scene, sealing::scene};

const RUN: [&str; 4] = ["run", "small.toml", "--out", "out"];

fn only(stages: &str) -> Vec<&str> {
    [&RUN[..], &["--only", stages]].concat()
}

/// Changes a sealed forecast, and seals it again as whoever wants to deceive would.
fn reseal(scene: &Scene, path: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut seal: Value = serde_json::from_str(&scene.read(path)).unwrap();
    change(&mut seal);
    seal["seal"] = forecast::content_hash(&seal, "seal").into();
    scene.write(path, seal.to_string().as_bytes());
    seal["seal"].as_str().unwrap().to_owned()
}

fn flatter(seal: &mut Value) {
    seal["forecast"]["prediction"]["median"] = json!(2.5794);
}

/// Every reader of the forecast refuses and names both files; `in_both` stands in each message.
#[track_caller]
fn assert_refused(scene: &Scene, in_both: &[&str]) {
    for args in [
        RUN.to_vec(),
        only("pretrain"),
        only("report"),
        vec!["report", "out"],
        vec!["forecast", "verify", "out/forecast.json", "--run", "out"],
        vec!["forecast", "verdict", "out/forecast.json", "--run", "out"],
        vec!["forecast", "watch", "out"],
    ] {
        let error = scene.fails(&args);
        for part in in_both.iter().chain(&["out/forecast.json", "\nhint: "]) {
            assert!(error.contains(part), "{args:?} does not say {part}: {error}");
        }
    }
}

/// The files that a test changes, to be put back.
fn keep(scene: &Scene) -> Vec<(&'static str, String)> {
    ["out/forecast.json", "out/verdict.json", "out/pretrain/watch.json"]
        .map(|file| (file, scene.read(file)))
        .into()
}

fn put_back(scene: &Scene, kept: &[(&'static str, String)]) {
    for (file, content) in kept {
        scene.write(file, content.as_bytes());
    }
}

#[test]
fn a_forecast_that_was_changed_and_sealed_again_after_the_run() {
    let scene = scene("");
    scene.ok(&RUN);
    let kept = keep(&scene);
    let true_seal: Value = serde_json::from_str(&kept[0].1).unwrap();
    let true_seal = true_seal["seal"].as_str().unwrap();
    let verified = scene.ok(&["forecast", "verify", "out/forecast.json", "--run", "out"]);
    for file in
        ["metrics.jsonl", "watch.json", "verdict.json", "summary.json", "recipe.toml", "files of ladder/"]
    {
        assert!(verified.stdout.contains(file), "{file}: {}", verified.stdout);
    }

    let verified = scene.ok(&["forecast", "verify", "out/forecast.json"]);
    assert!(verified.stdout.contains("run       not compared: --run DIR"), "{}", verified.stdout);

    let new_seal = reseal(&scene, "out/forecast.json", flatter);
    assert_refused(&scene, &[true_seal, &new_seal, "was changed, or is not this run's"]);
    // Its points alone tell, where the same version sealed it.
    let refused = scene.fails(&["forecast", "verify", "out/forecast.json"]);
    assert!(refused.contains("expected the forecast that its points give"), "{refused}");
    // Under another name it is the same forecast.
    fs::copy(scene.path("out/forecast.json"), scene.path("copy.json")).unwrap();
    assert!(scene.fails(&["forecast", "verify", "copy.json", "--run", "out"]).contains(true_seal));
    // One file that tells is enough.
    for file in ["out/verdict.json", "out/pretrain/watch.json"] {
        fs::remove_file(scene.path(file)).unwrap();
        assert!(scene.fails(&only("pretrain")).contains("metrics.jsonl` was written with the seal"));
    }
    put_back(&scene, &kept);
    let metrics = scene.read("out/pretrain/metrics.jsonl");
    let (_, without_beginning) = metrics.split_once('\n').unwrap();
    scene.write("out/pretrain/metrics.jsonl", without_beginning.as_bytes());
    reseal(&scene, "out/forecast.json", flatter);
    assert_refused(&scene, &[true_seal, "watch.json"]);
    scene.write("out/pretrain/metrics.jsonl", metrics.as_bytes());

    // A run that says it had no forecast gets none afterwards, however it is dated.
    put_back(&scene, &kept);
    let (first, rest) = metrics.split_once('\n').unwrap();
    let mut first: Value = serde_json::from_str(first).unwrap();
    first["seal"] = json!("");
    scene.write("out/pretrain/metrics.jsonl", format!("{first}\n{rest}").as_bytes());
    assert_refused(&scene, &["no forecast was there when", "metrics.jsonl"]);
    scene.write("out/pretrain/metrics.jsonl", metrics.as_bytes());

    // A rung that was changed after the seal.
    let rung = rungs(&scene).remove(0);
    let true_rung = scene.read(&rung);
    edit(&scene, &rung, |rung| rung["loss_nats"] = json!(2.0));
    assert_refused(&scene, &[&rung, "was changed"]);
    edit(&scene, &rung, |changed| {
        *changed = serde_json::from_str(&true_rung).unwrap();
        changed["train_loss"][0] = json!(1.0);
    });
    assert_refused(&scene, &[&rung, "was changed"]);
    // The forecast holds its points: a file that is gone costs nothing.
    fs::remove_file(scene.path(&rung)).unwrap();
    scene.ok(&RUN);
    assert_eq!(scene.read("out/forecast.json"), kept[0].1);
}

/// The ladder's files, sorted.
fn rungs(scene: &Scene) -> Vec<String> {
    let entries = fs::read_dir(scene.path("out/ladder")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    names.into_iter().map(|name| format!("out/ladder/{name}")).collect()
}

fn edit(scene: &Scene, path: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&scene.read(path)).unwrap();
    change(&mut value);
    scene.write(path, value.to_string().as_bytes());
}

#[test]
fn what_is_changed_before_the_run_begins() {
    let scene = scene("");
    scene.ok(&only("tokenizer,data,ladder,forecast"));
    let text = scene.read("out/forecast.json");
    let files = rungs(&scene);

    // A rung that was edited before the seal is trained again, and what is sealed is the same.
    fs::remove_file(scene.path("out/forecast.json")).unwrap();
    edit(&scene, &files[0], |rung| rung["loss_nats"] = json!(2.0));
    edit(&scene, &files[1], |rung| {
        rung.as_object_mut().unwrap().remove("checksum");
    });
    let said = scene.ok(&only("ladder,forecast"));
    for (file, why) in [(&files[0], "was changed after it was written"), (&files[1], "holds no hash")] {
        assert!(said.stderr.contains(&format!("`{file}` {why}")), "{}", said.stderr);
    }
    let again: Value = serde_json::from_str(&scene.read("out/forecast.json")).unwrap();
    let before: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&again["points"], &again["forecast"]), (&before["points"], &before["forecast"]));

    // A forecast that its points do not give.
    scene.write("out/forecast.json", text.as_bytes());
    reseal(&scene, "out/forecast.json", flatter);
    let error = scene.fails(&RUN);
    assert!(
        error.contains("out/forecast.json` forecasts 2.5794") && error.contains("sealed again"),
        "{error}"
    );

    // The forecast of another run: of other size, other text, other settings, with and without its name.
    type Change = fn(&mut Value);
    let others: [(&str, Change); 6] = [
        ("FLOPs", |seal| seal["forecast"]["target"]["flops"] = json!(5e10)),
        ("parameters", |seal| seal["forecast"]["target"]["n_params"] = json!(12345.0)),
        ("tokens", |seal| {
            seal["forecast"]["target"]["n_tokens"] = json!(1e5);
            seal["extra"].as_object_mut().unwrap().remove("run");
        }),
        ("tokenizer", |seal| seal["extra"]["run"]["tokenizer"] = json!("0123")),
        ("data", |seal| seal["extra"]["run"]["data"] = json!("0123")),
        ("settings", |seal| seal["extra"]["run"]["inputs"] = json!("0123")),
    ];
    for (what, change) in others {
        scene.write("out/forecast.json", text.as_bytes());
        reseal(&scene, "out/forecast.json", change);
        let error = scene.fails(&only("pretrain"));
        for part in ["out/forecast.json", "another run", what] {
            assert!(error.contains(part), "{what}: {error}");
        }
        assert!(!scene.path("out/pretrain").exists(), "{what}: nothing has begun");
    }
    scene.write("out/forecast.json", text.as_bytes());
    scene.ok(&only("pretrain"));

    // Another run's, copied over the own one of a run that has ended.
    let flops = ["--set", "budget.train_flops=1.2e11"];
    scene.ok(&[&["run", "small.toml", "--out", "b", "--only", "tokenizer,data,ladder,forecast"], &flops[..]]
        .concat());
    fs::copy(scene.path("b/forecast.json"), scene.path("out/forecast.json")).unwrap();
    fs::remove_dir_all(scene.path("out/pretrain")).unwrap();
    fs::remove_file(scene.path("out/verdict.json")).unwrap();
    let error = scene.fails(&only("pretrain"));
    assert!(error.contains("out/forecast.json` forecasts a run of") && error.contains("FLOPs"), "{error}");
    // All stages seal a forecast of their own.
    let said = scene.ok(&RUN);
    assert!(said.stderr.contains("set aside") && said.stderr.contains("; sealed"), "{}", said.stderr);
}

/// A run with other settings in the same folder is another run: nothing of the first one stands in its way.
#[test]
fn a_changed_recipe_is_forecast_and_judged_again() {
    let scene = scene("");
    scene.ok(&RUN);
    let first: Value = serde_json::from_str(&scene.read("out/verdict.json")).unwrap();
    let changed = [&RUN[..], &["--set", "budget.train_flops=1.2e11"]].concat();
    assert!(scene.fails(&[&changed[..], &["--only", "pretrain"]].concat()).contains("another run"));
    scene.ok(&changed);
    let second: Value = serde_json::from_str(&scene.read("out/verdict.json")).unwrap();
    assert_ne!(first["seal"], second["seal"]);
    scene.ok(&["forecast", "verify", "out/forecast.json", "--run", "out"]);
    assert!(scene.path("out/verdict.json-replaced-1").exists());
    // Too small for a ladder: it has no forecast, that of the run before least of all.
    let said = scene.ok(&[&RUN[..], &["--set", "budget.train_flops=5e10"]].concat());
    assert!(said.stderr.contains("forecast none: "), "{}", said.stderr);
    assert!(!scene.path("out/forecast.json").exists() && !scene.path("out/verdict.json").exists());
}
