//! What the binary does when all is well.

use std::{collections::BTreeMap, fs, path::PathBuf, time::SystemTime};

use serde_json::Value;

use crate::scene::{CHECKPOINT, Said, Scene, maquette, repository};

#[test]
fn a_run_leaves_every_file_and_says_all_in_json() {
    let scene = Scene::new();
    let said = scene.ok(&["run", "tiny.toml", "--out", "run", "--json"]);
    let result = said.json();
    assert_eq!(result["out"], "run");
    assert_eq!(result["checkpoint"], CHECKPOINT);
    assert_eq!(result["summary"]["steps"], 24);
    assert_eq!(result["summary"]["tokens"], 24 * 4 * 32);
    let validation = &result["summary"]["validation"];
    assert_eq!(validation["n_tokens"], 512);
    let (loss, stderr) =
        (validation["loss_nats"].as_f64().unwrap(), validation["loss_stderr"].as_f64().unwrap());
    // ln 272 = 5.61 is what an untrained model has.
    assert!((1.0..5.0).contains(&loss) && stderr > 0.0, "{validation}");
    let samples = result["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 2);
    assert_eq!((&samples[0]["prompt"], &samples[1]["prompt"]), (&"Once".into(), &"".into()));

    for file in [
        "recipe.toml",
        "report.html",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "data/manifest.jsonl",
        "data/train-00000.tokens",
        "data/validation-00000.tokens",
        "pretrain/metrics.jsonl",
        "pretrain/summary.json",
        "pretrain/samples.jsonl",
    ] {
        assert!(scene.path("run").join(file).is_file(), "no {file}");
    }
    for step in [16, 24] {
        for file in [
            "config.json",
            "generation_config.json",
            "maquette.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "SHA256SUMS",
            "state/trainer.json",
            "state/optimizer.safetensors",
        ] {
            let path = scene.path(&format!("run/pretrain/checkpoints/step-{step}")).join(file);
            assert!(path.is_file(), "no {}", path.display());
        }
    }
    assert!(!scene.path("run/pretrain/checkpoints/step-8").exists(), "two checkpoints are kept, no more");
    let litter: Vec<PathBuf> =
        scene.files("run").into_keys().filter(|p| p.to_string_lossy().contains("tmp")).collect();
    assert!(litter.is_empty(), "{litter:?}");

    // The run's own recipe leaves nothing open: it gives the same model with nothing else.
    let resolved: toml::Table = toml::from_str(&scene.read("run/recipe.toml")).unwrap();
    assert_eq!(resolved["model"]["d_ff"].as_integer(), Some(96));
    for hash in ["recipe", "tokenizer", "data"] {
        assert_eq!(resolved["hashes"][hash].as_str().unwrap().len(), 32, "{hash}");
    }
    let metrics: Vec<Value> = scene
        .read("run/pretrain/metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let steps = |kind: &str| -> Vec<u64> {
        metrics
            .iter()
            .filter(|line| line["kind"] == kind)
            .map(|line| line["step"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(steps("train"), (1..=24).collect::<Vec<_>>());
    assert_eq!(steps("validation"), [8, 16, 24]);
    let page = scene.read("run/report.html");
    assert!(
        page.contains("<svg") && page.contains("tiny") && !page.contains("<script"),
        "the page is whole and still"
    );
}

#[test]
fn without_json_the_result_is_for_people() {
    let scene = Scene::new();
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stdout.starts_with("validation: "), "{}", said.stdout);
    assert!(
        said.stdout.contains("bits per byte") && said.stdout.contains("n = 512 tokens"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("\n--- Once\nOnce") && said.stdout.contains("\n--- (empty prompt)\n"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.ends_with(&format!("\ncheckpoint: {CHECKPOINT}\n")), "{}", said.stdout);
    for line in [
        "   tokenizer 272 tokens",
        "parameters: 2 layers, width 32, 2 heads of 16",
        "24 steps of 4 × 32 tokens",
        "step 8: validation loss",
        "report run/report.html",
    ] {
        assert!(said.stderr.contains(line), "no `{line}` in {}", said.stderr);
    }
}

#[test]
fn a_second_run_keeps_every_stage() {
    let scene = Scene::trained();
    let (before, times) = (scene.files("run"), times(&scene));
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    for line in ["tokenizer 272 tokens, kept", "validation tokens; kept", "pretrain kept"] {
        assert!(said.stderr.contains(line), "no `{line}` in {}", said.stderr);
    }
    let after = scene.files("run");
    let changed: Vec<_> = after.iter().filter(|(name, content)| before.get(*name) != Some(content)).collect();
    assert!(
        changed.is_empty() && before.len() == after.len(),
        "{:?}",
        changed.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    assert_eq!(self::times(&scene), times, "checkpoints and shards were not even written again");
}

/// When the files that take work to make were written.
fn times(scene: &Scene) -> BTreeMap<PathBuf, SystemTime> {
    let names = scene.files("run").into_keys();
    let dear = names.filter(|name| {
        ["tokenizer", "data", "pretrain/checkpoints"].iter().any(|part| name.starts_with(part))
    });
    dear.map(|name| (name.clone(), fs::metadata(scene.path("run").join(name)).unwrap().modified().unwrap()))
        .collect()
}

#[test]
fn a_changed_value_runs_again_what_depends_on_it() {
    let scene = Scene::trained();
    let old = scene.files("run/pretrain");
    let said = scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.steps=16"]);
    assert!(
        said.stderr.contains("tokenizer 272 tokens, kept") && said.stderr.contains("validation tokens; kept"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr
            .contains("set aside run/pretrain was made from other inputs, now run/pretrain-replaced-1"),
        "{}",
        said.stderr
    );
    assert!(old == scene.files("run/pretrain-replaced-1"), "what is set aside stays as it was");
    assert!(scene.path("run/pretrain/checkpoints/step-16").is_dir());
    assert!(!scene.path("run/pretrain/checkpoints/step-24").exists());

    // Back again: another training, and the same bits.
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(scene.path("run/pretrain-replaced-2").is_dir());
    let weights =
        |run: &str| fs::read(scene.path(run).join("checkpoints/step-24/model.safetensors")).unwrap();
    assert!(weights("run/pretrain") == weights("run/pretrain-replaced-1"));

    // Other text: everything.
    scene.write("corpus.txt", crate::scene::text(5000).as_bytes());
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(!said.stderr.contains("kept"), "{}", said.stderr);
}

#[test]
fn stages_can_run_alone() {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--only", "tokenizer"]);
    assert!(scene.path("run/tokenizer/tokenizer.json").is_file() && !scene.path("run/data").exists());
    scene.ok(&["run", "tiny.toml", "--out", "run", "--only", "data"]);
    assert!(scene.path("run/data/manifest.jsonl").is_file() && !scene.path("run/pretrain").exists());
    let said = scene.ok(&["pretrain", "tiny.toml", "--out", "run", "--json"]);
    assert_eq!(said.json()["summary"]["steps"], 24);
    assert!(!scene.path("run/report.html").exists());
    let said = scene.ok(&["run", "tiny.toml", "--out", "run", "--only", "report"]);
    assert!(scene.path("run/report.html").is_file() && said.stdout.is_empty());

    // The stages alone and the stages together are the same run.
    let together = Scene::trained();
    let weights = |scene: &Scene| fs::read(scene.path(CHECKPOINT).join("model.safetensors")).unwrap();
    assert!(weights(&scene) == weights(&together));
    let scene = Scene::new();
    scene.ok(&["tokenizer", "train", "tiny.toml", "--out", "run"]);
    assert!(scene.path("run/tokenizer/tokenizer.json").is_file() && !scene.path("run/data").exists());
    scene.ok(&["data", "prepare", "tiny.toml", "--out", "run"]);
    assert!(scene.path("run/data/manifest.jsonl").is_file() && !scene.path("run/pretrain").exists());
}

#[test]
fn the_report_is_rebuilt_from_the_files_and_from_nothing_else() {
    let scene = Scene::trained();
    let page = scene.read("run/report.html");
    fs::remove_file(scene.path("run/report.html")).unwrap();
    let said = scene.ok(&["report", "run"]);
    assert_eq!(said.stdout, "run/report.html\n");
    assert!(scene.read("run/report.html") == page, "same files, same page");
    for file in [
        "pretrain/samples.jsonl",
        "pretrain/summary.json",
        "pretrain/metrics.jsonl",
        "data/manifest.jsonl",
        "recipe.toml",
    ] {
        let (here, away) = (scene.path("run").join(file), scene.path("away"));
        fs::rename(&here, &away).unwrap();
        let error = scene.fails(&["report", "run"]);
        assert!(error.contains(&format!("`{file}`")), "{error}");
        fs::rename(&away, &here).unwrap();
    }
}

#[test]
fn a_seed_decides_what_is_generated() {
    let scene = Scene::trained();
    let generate = |more: &[&str]| {
        scene.ok(&[&["generate", CHECKPOINT, "--prompt", "Once", "--max-tokens", "20"], more].concat())
    };
    let first = generate(&["--seed", "7"]);
    assert_eq!(first.stdout, generate(&["--seed", "7", "--threads", "1"]).stdout);
    assert_ne!(first.stdout, generate(&["--seed", "8"]).stdout);
    assert_eq!(first.stderr, "");

    let all = generate(&["--seed", "7", "--json"]).json();
    assert_eq!(
        first.stdout,
        format!("{}\n", all["text"].as_str().unwrap()),
        "the continuation alone, without the prompt"
    );
    assert_eq!(all["prompt"], "Once");
    assert_eq!(all["prompt_ids"], serde_json::json!([95, 126, 115, 117])); // bytes, after 16 special tokens
    let n_ids = all["ids"].as_array().unwrap().len();
    assert_eq!(all["logprobs"].as_array().unwrap().len(), n_ids);
    match all["finish"].as_str().unwrap() {
        "length" => assert_eq!(n_ids, 20),
        "stop" => assert!(n_ids < 20),
        other => panic!("20 tokens fit the context, yet it ended by {other}"),
    }

    let greedy = |threads| generate(&["--temperature", "0", "--threads", threads]).stdout;
    assert_eq!(greedy("1"), greedy("2"));
    let nothing = scene.ok(&["generate", CHECKPOINT, "--max-tokens", "5", "--json"]).json();
    assert_eq!((&nothing["prompt"], &nothing["prompt_ids"]), (&"".into(), &serde_json::json!([0])));
    let none = scene.ok(&["generate", CHECKPOINT, "--prompt", "Once", "--max-tokens", "0"]);
    assert_eq!(none.stdout, "\n");

    // The context holds 32 tokens; what is asked beyond is said.
    let full = scene.ok(&[
        "generate",
        CHECKPOINT,
        "--prompt",
        "Once",
        "--max-tokens",
        "18446744073709551615",
        "--temperature",
        "0",
    ]);
    assert_eq!(full.stderr, "stopped at 32 tokens: the longest sequence that this model was made for\n");
}

#[test]
fn tokens_and_shapes_can_be_looked_at() {
    let scene = Scene::trained();
    scene.write("lines.txt", "hé\r\n\n<|endoftext|>".as_bytes());
    let said = scene.ok(&["tokenizer", "encode", "run/tokenizer", "lines.txt", "--json"]);
    let lines: Vec<Vec<u32>> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[..2], [vec![120, 211, 185, 29], vec![]]);
    assert_eq!(lines[2].len(), 13, "special tokens are not recognised in text");
    let said = scene.ok(&["tokenizer", "encode", "run/tokenizer/tokenizer.json", "lines.txt"]);
    assert!(said.stdout.starts_with("120 211 185 29\n\n"), "{}", said.stdout);

    let shown = scene.ok(&["inspect", CHECKPOINT]).json();
    assert_eq!((&shown["config"]["n_layers"], &shown["config"]["vocab_size"]), (&2.into(), &272.into()));
    assert_eq!(shown["about"]["format"], 1);
    let summary: Value = serde_json::from_str(&scene.read("run/pretrain/summary.json")).unwrap();
    assert_eq!(shown["n_params"], summary["n_params"]);

    let said = scene.ok(&["inspect", CHECKPOINT, "--ids", "0,95,126", "--logits", "logits.safetensors"]);
    assert_eq!(said.stdout, "");
    let bytes = fs::read(scene.path("logits.safetensors")).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    assert_eq!(header["logits"]["shape"], serde_json::json!([3, 272]));
}

#[test]
fn the_doctor_answers() {
    let findings = Said::by(maquette().args(["doctor", "--json"])).json();
    assert!(findings["peak_gflops_one_thread"].as_f64().unwrap() > 0.0);
    assert!(findings["machine"]["n_cores"].as_u64().unwrap() > 0);
    assert!(findings["warnings"].is_array());
    let said = Said::by(maquette().arg("doctor"));
    assert!(said.status.success() && said.stdout.contains("instruction sets"), "{}", said.stdout);
}

/// The real recipe on the real books, with everything that takes time cut short.
#[test]
fn the_quickstart_comes_to_its_end() {
    let scene = Scene::new();
    let quickstart = |more: &[&str]| {
        let fixed = ["quickstart", "--out", "out", "--json", "--minutes", "0.002"];
        let books = "data.sources=[{path=\"../data/classic-books/val.jsonl.gz\"}]";
        let split = "data.validation={by=\"tail\",fraction=0.05}";
        let changes = [
            books,
            split,
            "tokenizer.vocab_size=400",
            "tokenizer.sample_bytes=200000",
            "train.final_eval_tokens=4096",
        ];
        let changes = changes.iter().flat_map(|change| ["--set", change]);
        Said::by(maquette().args(fixed).args(changes).args(more).current_dir(scene.path("")))
    };
    let said = quickstart(&[]);
    assert!(said.status.success(), "{}", said.stderr);
    let result = said.json();
    assert_eq!(result["samples"].as_array().unwrap().len(), 4);
    assert!(scene.path("out/report.html").is_file());
    assert!(repository().join("recipes/quickstart.toml").is_file());

    // Minutes were turned into FLOPs once; a second run does not measure again, however fast it is now.
    let again = quickstart(&[]);
    assert!(again.stderr.contains("pretrain kept"), "{}", again.stderr);
    assert_eq!(again.json()["summary"], result["summary"]);
}

/// What a run resolved, minutes of this machine included, is a recipe that gives the same model anywhere.
#[test]
fn a_runs_own_recipe_gives_the_same_model() {
    let scene = Scene::new();
    let budget = ["--set", "budget.minutes=0.002", "--set", "train.batch_rows=2"];
    scene.ok(&[&["run", "tiny.toml", "--out", "run"][..], &budget].concat());
    scene.ok(&["run", "run/recipe.toml", "--out", "again"]);
    let weights =
        |run: &str| fs::read(scene.path(&format!("{run}/pretrain/checkpoints/step-24/model.safetensors")));
    assert_eq!(weights("run").unwrap(), weights("again").unwrap());
}

#[test]
fn other_validation_text_is_not_passed_off_as_the_old() {
    let scene = Scene::new();
    scene.write("held-out.txt", "One fine day they met a fox. ".repeat(60).as_bytes());
    let run = ["run", "tiny.toml", "--out", "run", "--json", "--set"];
    let split = "data.validation={by=\"source\",sources=[{path=\"held-out.txt\"}]}";
    let loss = || {
        let said = scene.ok(&[&run[..], &[split]].concat());
        said.json()["summary"]["validation"]["loss_nats"].as_f64().unwrap()
    };
    let first = loss();
    scene.write("held-out.txt", "ZQXJ 0123456789 #$%& KWVY. ".repeat(60).as_bytes());
    assert!(loss() > first + 0.5, "the loss is that of the new text");
}

#[test]
fn a_training_without_its_checkpoint_is_not_kept() {
    let scene = Scene::trained();
    fs::remove_dir_all(scene.path("run/pretrain/checkpoints")).unwrap();
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(scene.path(CHECKPOINT).join("model.safetensors").is_file());
}

#[test]
fn a_folder_belongs_to_one_program_at_a_time() {
    let scene = Scene::new();
    fs::create_dir(scene.path("run")).unwrap();
    let lock = fs::File::create(scene.path("run/.lock")).unwrap();
    lock.lock().unwrap();
    scene.refuses(
        &["run", "tiny.toml", "--out", "run"],
        "error: expected `run` to be free, found that another maquette is using it\nhint: wait for it, or give another --out",
    );
    drop(lock);
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
}

/// Instruction sets differ in speed alone.
#[test]
fn every_instruction_set_gives_the_same_bits() {
    let scene = Scene::new();
    let machine = scene.ok(&["doctor", "--json"]).json();
    let sets = machine["machine"]["instruction_sets"].as_array().unwrap();
    for dtype in ["f32", "bf16"] {
        let weights: Vec<Vec<u8>> = sets
            .iter()
            .map(|set| {
                let set = set.as_str().unwrap();
                let (out, change) = (format!("{set}-{dtype}"), format!("train.dtype={dtype}"));
                let mut command = scene.command(&["run", "tiny.toml", "--out", &out, "--set", &change]);
                let said = Said::by(command.env("MAQUETTE_ISA", set));
                assert!(said.status.success(), "{set}: {}", said.stderr);
                fs::read(scene.path(&format!("{out}/pretrain/checkpoints/step-24/model.safetensors")))
                    .unwrap()
            })
            .collect();
        assert!(weights.windows(2).all(|pair| pair[0] == pair[1]), "{dtype}: {sets:?}");
    }
}
