//! A run's folder stands for its newest checkpoint, wherever one is asked for.

use std::fs;

use crate::scene::{CHECKPOINT, Scene};

const NEWEST: &str = "checkpoint: run/pretrain/checkpoints/step-24 (newest)\n";

#[test]
fn every_command_takes_a_run_for_its_newest_checkpoint() {
    let scene = Scene::trained();
    let ids = ["--ids", "0,95,126", "--logits"];
    let commands: [(&str, &[&str]); 6] = [
        ("generate", &["--prompt", "Once", "--max-tokens", "8", "--temperature", "0"]),
        ("eval", &["--limit", "1", "--tasks", "copy"]),
        ("inspect", &[]),
        ("inspect", &[ids[0], ids[1], ids[2], "logits.safetensors"]),
        ("export", &["--quant", "f32", "--out", "model.gguf"]),
        ("import", &["--out", "imported"]),
    ];
    for (command, more) in commands {
        let by_itself = scene.ok(&[&[command, CHECKPOINT], more].concat());
        assert!(!by_itself.stderr.contains("checkpoint: "), "{command}: {}", by_itself.stderr);
        for folder in ["run", "run/", "run/pretrain", "run/pretrain/checkpoints"] {
            let said = scene.ok(&[&[command, folder], more].concat());
            assert!(said.stderr.starts_with(NEWEST), "{command} {folder}: {}", said.stderr);
            assert_eq!(said.stdout, by_itself.stdout, "{command} {folder}");
        }
    }
    let said = scene.ok(&["bench", "decode", "run", "--prompt-tokens", "4", "--new-tokens", "2", "--json"]);
    assert_eq!((said.stderr.as_str(), &said.json()["prompt_tokens"]), (NEWEST, &4.into()));
    assert_eq!(scene.ok(&["chat", "run"]).stderr, NEWEST);
    let lines = scene.write("lines.txt", b"one\ntwo");
    let encode = |folder| scene.ok(&["tokenizer", "encode", folder, lines.to_str().unwrap()]).stdout;
    assert_eq!(encode("run"), encode(CHECKPOINT));
}

#[test]
fn of_damaged_checkpoints_the_newest_whole_one_is_taken() {
    let scene = Scene::trained();
    let weights = scene.path(CHECKPOINT).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    let older = "run/pretrain/checkpoints/step-16";
    let expected = scene.ok(&["generate", older, "--max-tokens", "8"]).stdout;
    let said = scene.ok(&["generate", "run", "--max-tokens", "8"]);
    assert_eq!(said.stdout, expected);
    assert!(
        said.stderr.starts_with(&format!(
            "checkpoint: {older} (the newest intact one: `{CHECKPOINT}/model.safetensors` is damaged"
        )),
        "{}",
        said.stderr
    );
    let said = scene.ok(&["export", "run", "--out", "model.gguf"]);
    assert!(said.stderr.starts_with(&format!("checkpoint: {older} (")), "{}", said.stderr);
    // What was named is what is opened: no other is taken in its place.
    let error = scene.fails(&["generate", CHECKPOINT]);
    assert!(error.contains("is damaged: expected SHA-256"), "{error}");

    fs::remove_file(scene.path(older).join("tokenizer.json")).unwrap();
    let error = scene.fails(&["generate", "run"]);
    assert!(
        error.starts_with("error: no checkpoint in `run/pretrain/checkpoints` can be read: `run/pretrain/checkpoints/step-24/"),
        "{error}"
    );
}

#[test]
fn a_folder_that_is_being_written_is_not_taken() {
    let scene = Scene::trained();
    scene.write("run/pretrain/checkpoints/step-99.tmp-1/config.json", b"{}");
    let said = scene.ok(&["generate", "run", "--max-tokens", "1"]);
    assert_eq!(said.stderr, NEWEST);
}

#[test]
fn what_is_no_model_is_named_for_what_it_is() {
    let scene = Scene::new();
    let nothing = |name: &str| {
        format!(
            "error: expected a checkpoint or the folder of a run at `{name}`, found nothing there\nhint: "
        )
    };
    let make_one = "give a folder such as runs/NAME, which `maquette run` or `maquette quickstart` makes";
    scene.refuses(&["generate", "nowhere"], &format!("{}{make_one}", nothing("nowhere")));
    for (name, folder) in [("gpt2", "gpt2"), ("HuggingFaceTB/SmolLM2-135M", "SmolLM2-135M")] {
        for command in ["generate", "chat", "eval", "inspect"] {
            scene.refuses(
                &[command, name],
                &format!(
                    "{}names of the Hugging Face hub are not looked up: `hf download {name} --local-dir {folder}` \
                     fetches a model, `maquette import {folder} --out {folder}-imported` makes a checkpoint of it",
                    nothing(name)
                ),
            );
        }
    }
    scene.write("small.gguf", b"GGUF");
    let error = scene.fails(&["generate", "small.gguf"]);
    assert!(
        error.contains("is a file of llama.cpp\nhint: `maquette import small.gguf --out FOLDER`"),
        "{error}"
    );
    let error = scene.fails(&["generate", "tiny.toml"]);
    assert!(error.contains("`tiny.toml` is a recipe\nhint: `maquette run tiny.toml`"), "{error}");
    let error = scene.fails(&["generate", "corpus.txt"]);
    assert!(error.contains("`corpus.txt` is a file\nhint: give the folder"), "{error}");

    // Prepared, and nothing trained so far.
    scene.ok(&["data", "prepare", "tiny.toml", "--out", "run"]);
    let error = scene.fails(&["generate", "run"]);
    assert!(error.starts_with("error: the run in `run` has no checkpoint yet\nhint: wait until"), "{error}");
    fs::create_dir_all(scene.path("run/pretrain/checkpoints")).unwrap();
    let error = scene.fails(&["generate", "run"]);
    assert!(error.starts_with("error: the run in `run` has no checkpoint yet\nhint: wait until"), "{error}");

    // A slip in a run's name shows the runs that there are.
    scene.ok(&["run", "tiny.toml"]);
    scene.refuses(
        &["generate", "runs/tinny"],
        &format!("{}runs with a model here: runs/tiny", nothing("runs/tinny")),
    );
    let error = scene.fails(&["generate", "runs"]);
    assert!(error.ends_with("hint: runs with a model here: runs/tiny"), "{error}");

    // Weights in several files, as large models of the hub have them.
    scene.write("sharded/config.json", br#"{"architectures": ["LlamaForCausalLM"]}"#);
    scene.write("sharded/model.safetensors.index.json", b"{}");
    let error = scene.fails(&["generate", "sharded"]);
    assert!(
        error.starts_with("error: `sharded` is a folder of another program: ")
            && error.contains("\nhint: `maquette import sharded --out FOLDER` makes a checkpoint of it"),
        "{error}"
    );
}

/// What a run prints last can be pasted into a shell.
#[test]
fn a_run_ends_with_commands_that_work() {
    let scene = Scene::new();
    let said = scene.ok(&["run", "tiny.toml", "--out", "my run's"]);
    let word = r"'my run'\''s'";
    let (_, next) = said.stderr.split_once("\ngenerate text:\n").unwrap();
    let lines: Vec<&str> = next.lines().collect();
    let program = env!("CARGO_BIN_EXE_maquette");
    assert_eq!(
        lines,
        [
            format!("  {program} generate {word} --prompt Once").as_str(),
            "report:",
            format!("  {}", r"'my run'\''s/report.html'").as_str(),
            "a GGUF file for llama.cpp:",
            format!("  {program} export {word} --out {}", r"'my run'\''s.gguf'").as_str(),
        ]
    );
    for command in [lines[0], lines[4]] {
        let status = std::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(scene.path(""))
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "{command}");
    }
    assert!(scene.path("my run's.gguf").is_file());

    // Programs are told nothing of it.
    let said = scene.ok(&["run", "tiny.toml", "--out", "my run's", "--json"]);
    assert!(!said.stderr.contains("generate text"), "{}", said.stderr);

    let import =
        |out: &str| scene.ok(&["import", "my run's/pretrain/checkpoints/step-24", "--out", out]).stderr;
    let said = import("imported");
    let command = format!("\ngenerate text:\n  {program} generate imported --prompt 'Once upon a time'\n");
    assert!(said.contains(&command) && !said.contains("chat with it"), "{said}");
    let template = b"{% for m in messages %}{{ m.content }}{% endfor %}";
    scene.write("my run's/pretrain/checkpoints/step-24/chat_template.jinja", template);
    let said = import("talking");
    assert!(said.contains(&format!("\nchat with it:\n  {program} chat talking\n")), "{said}");
}

/// `model.from` names a run: its newest checkpoint is continued, and stays the one that was continued.
#[test]
fn a_run_is_continued_from_another() {
    let scene = Scene::trained();
    let more = scene.read("tiny.toml").replace("[tokenizer]\nkind = \"bytes\"\n", "");
    let (head, tail) = more.split_once("[model]\nn_layers = 2\nd_model = 32\nn_heads = 2\n").unwrap();
    scene.write("more.toml", format!("{head}[model]\nfrom = \"run\"\n{tail}").as_bytes());
    let said = scene.ok(&["run", "more.toml", "--out", "more"]);
    assert!(said.stderr.contains(NEWEST.trim_start_matches("checkpoint: ")), "{}", said.stderr);
    let resolved: toml::Table = toml::from_str(&scene.read("more/recipe.toml")).unwrap();
    let from = resolved["model"]["from"].as_str().unwrap();
    assert!(from.ends_with(CHECKPOINT), "{from}");

    // The other run has another checkpoint since, and still every stage is kept.
    let newer = scene.path("run/pretrain/checkpoints/step-30");
    fs::create_dir(&newer).unwrap();
    for entry in fs::read_dir(scene.path("run/pretrain/checkpoints/step-16")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), newer.join(entry.file_name())).unwrap();
        }
    }
    let said = scene.ok(&["run", "more.toml", "--out", "more"]);
    assert!(said.stderr.contains("pretrain kept") && !said.stderr.contains("set aside"), "{}", said.stderr);
}
