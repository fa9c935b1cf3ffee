//! The first minutes of somebody new: a text and no recipe, slips on the command line, what is decided for them.

use std::fs;

use crate::scene::{Said, Scene, maquette, repository, text};

/// The first try of many: one file, nothing else.
#[test]
fn a_single_text_file_trains() {
    let scene = Scene::new();
    let said = scene.ok(&["run", "corpus.txt", "--minutes", "0.004", "--out", "run"]);
    assert!(said.stdout.starts_with("validation: "), "{}", said.stdout);
    for part in [
        "made for `corpus.txt`",
        "1 document: the last 10 % of each is held out for validation",
        "generate text:\n",
        "report:\n  run/report.html\n",
    ] {
        assert!(said.stderr.contains(part), "no `{part}` in {}", said.stderr);
    }
    // The recipe that was shown can be saved and says the same.
    let (_, shown) = said.stderr.split_once("\nname = \"corpus\"").unwrap();
    let (shown, _) = shown.split_once("}]\n").unwrap();
    scene.write("corpus.toml", format!("name = \"corpus\"{shown}}}]\n").as_bytes());
    let minutes = "budget.minutes=0.004";
    scene.ok(&["run", "corpus.toml", "--out", "again", "--set", minutes]);
    let resolved =
        |run: &str| -> toml::Table { toml::from_str(&scene.read(&format!("{run}/recipe.toml"))).unwrap() };
    let (first, again) = (resolved("run"), resolved("again"));
    assert_eq!(first["data"], again["data"]);
    assert_eq!(first["data"]["validation"]["by"].as_str(), Some("tail"), "nothing is left open");
    assert_eq!(first["name"], again["name"]);
}

#[test]
fn a_folder_of_texts_or_a_file_with_one_row_trains() {
    let scene = Scene::new();
    scene.write("my texts/a.md", text(3000).as_bytes());
    scene.write("my texts/b.txt", text(5000).to_uppercase().as_bytes());
    let said = scene.ok(&["run", "my texts", "--minutes", "0.004"]);
    assert!(said.stderr.contains("2 documents: the last 10 % of each is held out"), "{}", said.stderr);
    assert!(scene.path("runs/my-texts/report.html").is_file());
    let row = serde_json::json!({ "text": text(9000) });
    scene.write("one.jsonl", format!("{row}\n").as_bytes());
    let open = scene.read("tiny.toml").replace("validation = { by = \"tail\", fraction = 0.2 }\n", "");
    scene.write("open.toml", open.replace("corpus.txt", "one.jsonl").as_bytes());
    let said = scene.ok(&["run", "open.toml", "--out", "open"]);
    assert!(said.stderr.contains("1 document: the last 10 % of each is held out"), "{}", said.stderr);
    // Once decided, it is kept, and nothing is read again for it.
    let said = scene.ok(&["run", "open.toml", "--out", "open"]);
    assert!(!said.stderr.contains("held out") && said.stderr.contains("pretrain kept"), "{}", said.stderr);
}

#[test]
fn many_documents_are_split_by_hash_as_ever() {
    let scene = Scene::new();
    let rows: String = (0..2000)
        .map(|i| format!("{}\n", serde_json::json!({ "text": format!("row {i}: {}", text(60)) })))
        .collect();
    scene.write("rows.jsonl", rows.as_bytes());
    let open = scene.read("tiny.toml").replace("validation = { by = \"tail\", fraction = 0.2 }\n", "");
    scene.write("open.toml", open.replace("corpus.txt", "rows.jsonl").as_bytes());
    let said = scene.ok(&["run", "open.toml", "--out", "open"]);
    assert!(!said.stderr.contains("held out"), "nothing has to be said: {}", said.stderr);
    let resolved: toml::Table = toml::from_str(&scene.read("open/recipe.toml")).unwrap();
    let validation = &resolved["data"]["validation"];
    assert_eq!((validation["by"].as_str(), validation["fraction"].as_float()), (Some("hash"), Some(0.01)));
}

#[test]
fn too_little_text_is_told_what_to_do() {
    let scene = Scene::new();
    scene.write("little.txt", b"A line of text, and no more.\n");
    let error = scene.fails(&["run", "little.txt", "--minutes", "0.004", "--out", "run"]);
    assert!(
        error.starts_with("error: expected at least 256 validation tokens, found ")
            && error.ends_with(
                "hint: add text, hold out more of it (data.validation), or set a smaller train.seq_len"
            ),
        "{error}"
    );
}

/// Ends with 2, as clap does, and says what was probably meant.
#[track_caller]
fn slips(scene: &Scene, args: &[&str], hint: &str) {
    let said = scene.run(args);
    assert_eq!(said.status.code(), Some(2), "{args:?}: {}", said.stderr);
    assert!(said.stderr.contains("error: ") && said.stdout.is_empty(), "{args:?}: {}", said.stderr);
    let last = said.stderr.trim_end().lines().last().unwrap().to_owned();
    assert_eq!(last, format!("hint: {hint}"), "{args:?}: {}", said.stderr);
}

#[test]
fn slips_are_told_what_was_meant() {
    let scene = Scene::trained();
    let run = "`maquette run RECIPE` trains a model; a text file can stand in for the recipe";
    slips(&scene, &["train"], run);
    slips(&scene, &["train", "corpus.txt", "--epochs", "3"], run);
    slips(&scene, &["sample"], "`maquette generate MODEL --prompt TEXT` continues a text");
    slips(&scene, &["watch", "run"], "it is `maquette forecast watch`");
    slips(&scene, &["corpus.txt"], "`maquette run corpus.txt` trains on it");
    slips(&scene, &["tiny.toml"], "`maquette run tiny.toml` trains on it");
    slips(&scene, &["run/"], "`maquette generate run/ --prompt TEXT` generates text with that model");
    let none = "expected a model: give a folder such as runs/NAME, which `maquette run` or `maquette quickstart` makes";
    for command in ["generate", "chat", "eval", "inspect"] {
        slips(&scene, &[command], none);
    }
    scene.ok(&["run", "tiny.toml"]);
    slips(&scene, &["generate"], "expected a model: runs with a model here: runs/tiny");
    slips(
        &scene,
        &["run"],
        "expected a recipe, such as recipes/shakespeare-char.toml, or a text file or folder of texts to train on",
    );
    // Another slip keeps clap's own advice.
    let said = scene.run(&["generat"]);
    assert!(said.stderr.contains("'generate'") && !said.stderr.contains("hint: "), "{}", said.stderr);

    let error = scene.fails(&["run", "run"]);
    assert_eq!(
        error,
        "error: expected a recipe, `run` is the folder of a run\nhint: give the recipe that made it, and the run goes on"
    );
    let said = Said::by(maquette().args(["run", "quickstart"]).current_dir(repository()));
    assert!(said.error(1).ends_with("hint: did you mean recipes/quickstart.toml?"), "{}", said.stderr);
}

/// When a run saves is no part of what it computes; the resolved recipe says what was chosen.
#[test]
fn checkpoints_change_no_bit() {
    let scene = Scene::new();
    let open = scene.read("tiny.toml").replace("checkpoint_every_steps = 8\n", "");
    scene.write("open.toml", open.as_bytes());
    let run = |out: &str, change: &str| {
        scene.ok(&["run", "open.toml", "--out", out, "--set", change]);
        let resolved: toml::Table = toml::from_str(&scene.read(&format!("{out}/recipe.toml"))).unwrap();
        let weights = scene.path(out).join("pretrain/checkpoints/step-24/model.safetensors");
        (fs::read(weights).unwrap(), resolved["train"].as_table().unwrap().clone())
    };
    let (weights, train) = run("open", "seed=1");
    assert_eq!(train["checkpoint_every_steps"].as_integer(), Some(3));
    assert_eq!(train["checkpoint_every_minutes"].as_float(), Some(10.0));
    let (same, train) = run("fixed", "train.checkpoint_every_steps=1");
    assert_eq!(train.get("checkpoint_every_minutes"), None, "exactly those steps");
    assert!(same == weights);
    let (same, train) = run("often", "train.checkpoint_every_minutes=0.0001");
    assert_eq!(train["checkpoint_every_minutes"].as_float(), Some(0.0001));
    assert!(same == weights);
    let said =
        scene.fails(&["run", "open.toml", "--out", "no", "--set", "train.checkpoint_every_minutes=0.0"]);
    assert!(said.contains("`checkpoint_every_minutes` must be positive, found 0"), "{said}");
}

/// `--json` is JSON and nothing else, wherever it is taken.
#[test]
fn json_is_all_that_stdout_gets() {
    let scene = Scene::trained();
    for args in [
        &["run", "tiny.toml", "--out", "run"][..],
        &["report", "run"],
        &["inspect", "run"],
        &["inspect", "run", "--ids", "0,95", "--logits", "logits.safetensors", "--threads", "1"],
        &["generate", "run", "--max-tokens", "2"],
        &["eval", "run", "--limit", "1", "--tasks", "copy"],
        &["export", "run", "--out", "model.gguf"],
        &["import", "run", "--out", "imported"],
        &["tokenizer", "train", "tiny.toml", "--out", "run"],
        &["data", "prepare", "tiny.toml", "--out", "run"],
    ] {
        let said = scene.ok(&[args, &["--json"]].concat());
        assert!(said.json().is_object(), "{args:?}: {}", said.stdout);
        assert!(!said.stderr.contains("generate text"), "{args:?}: {}", said.stderr);
    }
}

/// A file that is neither a recipe nor a text is refused by its ending, however large, and in few words.
#[test]
fn a_file_of_another_kind_is_refused_by_its_ending() {
    let scene = Scene::new();
    scene.write("table.csv", b"a,b\n1,2\n");
    scene.write("rows.json", format!("[{}{{}}]", "{},".repeat(300_000)).as_bytes());
    scene.write("noending", b"some text\nof two lines\n");
    let huge = std::fs::File::create(scene.path("huge.csv")).unwrap();
    huge.set_len(1 << 40).unwrap();
    for name in ["table.csv", "rows.json", "noending", "huge.csv"] {
        let error = scene.fails(&["run", name]);
        assert!(error.contains("neither by its ending") && error.contains(".jsonl"), "{name}: {error}");
        assert!(error.len() < 3000, "{name}: {} bytes of error", error.len());
    }
}
