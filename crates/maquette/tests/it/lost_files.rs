//! Any file of a run may get lost or cut: the same command goes on from what is whole, says what is lost, and never sends anyone
//! round in circles.

use std::{fs, path::Path};

use crate::{
    scene::{CHECKPOINT, Said, Scene},
    sealing,
};

const RUN: [&str; 4] = ["run", "tiny.toml", "--out", "run"];

/// Removes a file, or leaves the first half of it.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Lost,
    Cut,
}

fn damage(path: &Path, how: Damage) {
    match how {
        Damage::Lost => fs::remove_file(path).unwrap(),
        Damage::Cut => {
            let content = fs::read(path).unwrap();
            fs::write(path, &content[..content.len() / 2]).unwrap();
        }
    }
}

fn restore(scene: &Scene, files: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
    fs::remove_dir_all(scene.path("run")).unwrap();
    for (name, content) in files {
        scene.write(&format!("run/{}", name.display()), content);
    }
}

#[track_caller]
fn assert_no_circle(said: &Said, what: &str) {
    for advice in ["give the same command again to finish", "remove `run/pretrain/stage.json`", "panicked"] {
        assert!(!said.stderr.contains(advice), "{what}: {}", said.stderr);
    }
}

/// Every file in turn: the run ends well at once, with the same weights, and the time after that all is kept.
fn check_every_file(scene: &Scene, is_finished: bool) {
    let whole = scene.files("run");
    let weights = fs::read(scene.path(CHECKPOINT).join("model.safetensors"));
    let weights = weights.unwrap_or_else(|_| fs::read(scene.path("weights")).unwrap());
    let newest = if is_finished { "step-24" } else { "step-16" };
    let is_of_older =
        |name: &Path| name.starts_with("pretrain/checkpoints") && !name.to_string_lossy().contains(newest);
    for name in whole.keys().filter(|name| !is_of_older(name) && !name.ends_with(".lock")) {
        for how in [Damage::Lost, Damage::Cut] {
            restore(scene, &whole);
            damage(&scene.path("run").join(name), how);
            let what = format!("{how:?} {}", name.display());
            let said = scene.run(&RUN);
            assert!(said.status.success(), "{what}: {}", said.stderr);
            assert_no_circle(&said, &what);
            let is_other = said.stderr.contains("was made from other inputs");
            assert!(!is_other, "{what} is no other input: {}", said.stderr);
            let again = fs::read(scene.path(CHECKPOINT).join("model.safetensors")).unwrap();
            assert!(again == weights, "{what}: other weights");
            assert!(scene.path("run/report.html").is_file(), "{what}");
            let said = scene.ok(&RUN);
            assert!(said.stderr.contains("pretrain kept"), "{what}: {}", said.stderr);
            assert!(
                !said.stderr.contains("LOST") && !said.stderr.contains("starts over"),
                "{what}: {}",
                said.stderr
            );
        }
    }
}

#[test]
fn of_a_finished_run() {
    let scene = Scene::trained();
    check_every_file(&scene, true);
    // The page says that its curves have a gap; what it is built from it names.
    fs::remove_file(scene.path("run/pretrain/metrics.jsonl")).unwrap();
    let refused = scene.fails(&["report", "run"]);
    assert!(refused.contains("pretrain/metrics.jsonl") && refused.contains("goes on"), "{refused}");
    let said = scene.ok(&RUN);
    assert!(said.stderr.contains("run/pretrain/metrics.jsonl` is lost or damaged"), "{}", said.stderr);
    assert!(said.stderr.contains("LOST: `run/pretrain/metrics.jsonl` has a gap"), "{}", said.stderr);
    assert!(scene.read("run/report.html").contains("Lost record"));
}

#[test]
fn of_a_run_that_was_killed() {
    let scene = Scene::trained();
    fs::copy(scene.path(CHECKPOINT).join("model.safetensors"), scene.path("weights")).unwrap();
    fs::remove_dir_all(scene.path(CHECKPOINT)).unwrap();
    for file in ["pretrain/stage.json", "pretrain/summary.json", "pretrain/samples.jsonl", "report.html"] {
        fs::remove_file(scene.path("run").join(file)).unwrap();
    }
    check_every_file(&scene, false);
}

/// The budget in minutes was measured once: without the recipe that says what it came to, the training's own copy does.
#[test]
fn of_a_recipe_in_minutes() {
    let scene = Scene::new();
    let args = [&RUN[..], &["--set", "budget.minutes=0.005", "--set", "train.steps=24"]].concat();
    scene.ok(&args);
    for file in ["run/recipe.toml", "run/pretrain/recipe.toml", "run/pretrain/inputs"] {
        for how in [Damage::Lost, Damage::Cut] {
            damage(&scene.path(file), how);
            let said = scene.ok(&args);
            assert!(said.stderr.contains("pretrain kept"), "{how:?} {file}: {}", said.stderr);
            assert!(!said.stderr.contains("other inputs"), "{how:?} {file}: {}", said.stderr);
        }
    }
}

#[test]
fn of_a_run_with_a_forecast() {
    let scene = sealing::scene("");
    let args = ["run", "small.toml", "--out", "run"];
    scene.ok(&args);
    let whole = scene.files("run");
    let text = |file: &str| String::from_utf8(whole[Path::new(file)].clone()).unwrap();
    let rung = whole.keys().find(|name| name.starts_with("ladder")).unwrap().display().to_string();
    let files = ["forecast.json", "verdict.json", "pretrain/watch.json", "pretrain/metrics.jsonl", &rung];
    for file in files {
        for how in [Damage::Lost, Damage::Cut] {
            restore(&scene, &whole);
            damage(&scene.path("run").join(file), how);
            let said = scene.run(&args);
            assert!(said.status.success(), "{how:?} {file}: {}", said.stderr);
            assert_no_circle(&said, file);
            for same in ["forecast.json", "verdict.json", "pretrain/watch.json"] {
                assert_eq!(scene.read(&format!("run/{same}")), text(same), "{how:?} {file}: {same}");
            }
        }
    }

    // Without the ladder no forecast can be made that is known to be the old one.
    restore(&scene, &whole);
    for file in ["forecast.json", &rung] {
        damage(&scene.path("run").join(file), Damage::Lost);
    }
    for _ in 0..2 {
        let refused = scene.fails(&args);
        let said = scene.run(&args).stderr;
        assert!(said.contains("LOST: `run/forecast.json` is not there"), "{said}");
        assert!(refused.contains("built from `forecast.json`"), "{refused}");
        assert!(
            refused.contains("\nhint: `verdict.json` names the seal")
                && refused.contains("put that file back")
        );
    }
    fs::rename(scene.path("run/verdict.json"), scene.path("verdict.json")).unwrap();
    scene.ok(&args);

    // Half way it goes on to the end without.
    restore(&scene, &whole);
    for file in ["forecast.json", &rung, "pretrain/stage.json", "verdict.json"] {
        damage(&scene.path("run").join(file), Damage::Lost);
    }
    let said = scene.ok(&args);
    assert!(said.stderr.contains("LOST: `run/forecast.json` is not there"), "{}", said.stderr);
    // Put back, it is judged after all.
    scene.write("run/forecast.json", text("forecast.json").as_bytes());
    scene.ok(&args);
    assert!(scene.path("run/verdict.json").exists());
}
