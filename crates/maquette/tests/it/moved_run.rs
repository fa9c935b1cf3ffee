//! A run that was moved or copied goes on: nothing that it is kept by says where it lies or when it was copied.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::scene::{Scene, text};

/// Budgets in minutes are measured: what they came to must be found again, or the training starts over.
const MINUTES: &str = r#"
name = "moved"
[budget]
minutes = 0.03
[data]
sources = [{ path = "text" }]
validation = { by = "tail", fraction = 0.1 }
[tokenizer]
kind = "bpe"
vocab_size = 300
[train]
seq_len = 32
checkpoint_every_steps = 5
eval_tokens = 256
final_eval_tokens = 256
[samples]
prompts = []
"#;

/// Copies files one by one, each with the time of its copying.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Half a run of [`MINUTES`] in `one/run`, killed.
fn half_done(scene: &Scene) {
    scene.write("one/text/a.txt", text(20_000).as_bytes());
    scene.write("one/text/b.txt", text(9_000).to_uppercase().as_bytes());
    scene.write("one/r.toml", MINUTES.as_bytes());
    let mut child = scene.command(&["run", "one/r.toml", "--out", "one/run"]).spawn().unwrap();
    let start = Instant::now();
    let checkpoints = scene.path("one/run/pretrain/checkpoints");
    let is_saved = || {
        fs::read_dir(&checkpoints).is_ok_and(|mut entries| {
            entries.any(|entry| !entry.unwrap().file_name().to_string_lossy().contains('.'))
        })
    };
    while !is_saved() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_copied_run_and_a_moved_one_go_on_to_the_same_bits() {
    let scene = Scene::new();
    half_done(&scene);
    copy(&scene.path("one"), &scene.path("far/two"));
    fs::rename(scene.path("one"), scene.path("three")).unwrap();
    // The run alone: its recipe and text stay where they are.
    copy(&scene.path("three/run"), &scene.path("alone"));
    let places =
        [("far/two/r.toml", "far/two/run"), ("three/r.toml", "three/run"), ("three/r.toml", "alone")];
    for (recipe, out) in places {
        let said = scene.ok(&["run", recipe, "--out", out]);
        assert!(said.stderr.contains("continues after step "), "{out}: {}", said.stderr);
        assert!(!said.stderr.contains("set aside"), "{out}: {}", said.stderr);
        for kept in ["tokens, kept", "kept\n"] {
            assert!(said.stderr.contains(kept), "{out}: {}", said.stderr);
        }
    }
    let weights = |out: &str| {
        let files = scene.files(&format!("{out}/pretrain/checkpoints"));
        files.into_iter().filter(|(name, _)| name.ends_with("model.safetensors")).collect::<Vec<_>>()
    };
    assert!(!weights("alone").is_empty());
    assert!(weights("far/two/run") == weights("three/run") && weights("alone") == weights("three/run"));
}

#[test]
fn a_run_says_nowhere_where_it_lies() {
    let scene = Scene::new();
    scene.write("texts/en/a.txt", text(5000).as_bytes());
    scene.write("held-out/b.txt", text(900).to_uppercase().as_bytes());
    let sources =
        "data.sources=[{path=\"corpus.txt\"},{path=\"texts\"},{path=\"texts/*/*.txt\",name=\"again\"}]";
    let change =
        [sources, "data.filter.dedup=false", "data.validation={by=\"source\",sources=[{path=\"held-out\"}]}"];
    let mut args = vec!["run", "tiny.toml", "--out", "runs/here"];
    args.extend(change.iter().flat_map(|change| ["--set", change]));
    scene.ok(&args);
    let place = scene.path("");
    let place = place.to_str().unwrap().trim_end_matches('/').as_bytes();
    for (name, content) in scene.files("runs/here") {
        let found = content.windows(place.len()).any(|window| window == place);
        assert!(!found, "`{}` names {}", name.display(), scene.path("").display());
    }
    let recipe = scene.read("runs/here/recipe.toml");
    for path in ["\"../../corpus.txt\"", "\"../../texts\"", "\"../../texts/*/*.txt\"", "\"../../held-out\""] {
        assert!(recipe.contains(path), "{path}: {recipe}");
    }
}

#[test]
fn the_run_s_own_recipe_works_from_any_folder_and_after_a_move() {
    let scene = Scene::new();
    scene.write("a/corpus.txt", text(6000).as_bytes());
    scene.write("a/tiny.toml", scene.read("tiny.toml").as_bytes());
    scene.ok(&[
        "run",
        "a/tiny.toml",
        "--out",
        "a/runs/x",
        "--set",
        "budget.minutes=0.005",
        "--set",
        "train.steps=24",
    ]);
    let is_kept = |recipe: &str, out: &str| {
        let said = scene.ok(&["run", recipe, "--out", out]);
        let all_kept = ["tokens, kept", "pretrain kept"].iter().all(|kept| said.stderr.contains(kept));
        assert!(all_kept && !said.stderr.contains("set aside"), "{recipe}: {}", said.stderr);
        said
    };
    is_kept("a/runs/x/recipe.toml", "a/runs/x");
    fs::rename(scene.path("a"), scene.path("b")).unwrap();
    is_kept("b/runs/x/recipe.toml", "b/runs/x");
    // Made elsewhere from the run's own recipe: the same run.
    scene.ok(&["run", "b/runs/x/recipe.toml", "--out", "c"]);
    let weights =
        |out: &str| fs::read(scene.path(out).join("pretrain/checkpoints/step-24/model.safetensors")).unwrap();
    assert!(weights("b/runs/x") == weights("c"));
    // Its folder alone, far from its text: what it holds is enough to go on.
    fs::rename(scene.path("b/runs/x"), scene.path("alone")).unwrap();
    fs::remove_file(scene.path("alone/pretrain/stage.json")).unwrap();
    fs::remove_dir_all(scene.path("alone/pretrain/checkpoints/step-24")).unwrap();
    let said = scene.ok(&["run", "alone/recipe.toml", "--out", "alone"]);
    assert!(said.stderr.contains("continues after step 16 of 24"), "{}", said.stderr);
    assert!(said.stderr.contains("text is not there to compare"), "{}", said.stderr);
    assert!(weights("alone") == weights("c"));
    // Changed settings are another matter: they need the text.
    let changed = ["run", "alone/recipe.toml", "--out", "alone", "--set", "data.filter.min_chars=3"];
    let refused = scene.fails(&changed);
    assert!(refused.contains("corpus.txt") && refused.contains("\nhint: "), "{refused}");
}

#[test]
fn other_text_is_noticed_however_it_is_dated() {
    let scene = Scene::trained();
    let path = scene.path("corpus.txt");
    let date = fs::metadata(&path).unwrap().modified().unwrap();
    let other = scene.read("corpus.txt").replacen("man", "cow", 1);
    scene.write("corpus.txt", other.as_bytes());
    fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("set aside") && !said.stderr.contains("pretrain kept"), "{}", said.stderr);
    // A new date alone is no other text.
    scene.write("corpus.txt", other.as_bytes());
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("pretrain kept") && !said.stderr.contains("set aside"), "{}", said.stderr);
}
