//! Checkpoints out to other programs and back, and on.

use crate::scene::{CHECKPOINT, Scene};

const ON: &str = r#"name = "on"
[data]
sources = [{ path = "corpus.txt", licence = "none" }]
validation = { by = "tail", fraction = 0.2 }
[model]
from = "run/pretrain/checkpoints/step-24"
[train]
steps = 8
batch_rows = 4
seq_len = 32
eval_every_steps = 8
eval_tokens = 512
final_eval_tokens = 512
checkpoint_every_steps = 8
"#;

fn greedy(scene: &Scene, checkpoint: &str) -> String {
    scene.ok(&["generate", checkpoint, "--prompt", "Once", "--temperature", "0", "--dtype", "f32"]).stdout
}

#[test]
fn a_checkpoint_goes_to_gguf_and_comes_back() {
    let scene = Scene::trained();
    for quant in ["f32", "f16", "bf16", "q8_0", "q4_0"] {
        let file = format!("{quant}.gguf");
        scene.ok(&["export", CHECKPOINT, "--quant", quant, "--out", &file]);
        scene.ok(&["import", &file, "--out", quant]);
    }
    assert_eq!(greedy(&scene, "f32"), greedy(&scene, CHECKPOINT));
    scene.ok(&["export", "f32", "--quant", "f32", "--out", "again.gguf"]);
    scene.ok(&["import", "again.gguf", "--out", "again"]);
    let weights = |folder: &str| std::fs::read(scene.path(folder).join("model.safetensors")).unwrap();
    assert!(weights("again") == weights("f32") && weights("f32") == weights(CHECKPOINT));
    let message = scene.fails(&["export", CHECKPOINT, "--out", "run"]);
    assert!(message.contains("expected a file as --out") && message.contains("hint: "), "{message}");
    let message = scene.fails(&["import", "corpus.txt", "--out", "x"]);
    assert!(message.contains("the letters GGUF") && message.contains("hint: "), "{message}");
    // Nobody types anything: the talk is over at once, in good order.
    scene.ok(&["chat", "f32"]);
}

#[test]
fn a_training_goes_on_from_a_checkpoint() {
    let scene = Scene::trained();
    scene.write("on.toml", ON.as_bytes());
    let said = scene.ok(&["run", "on.toml", "--out", "on"]);
    let losses: Vec<f64> = said
        .stderr
        .split("validation loss ")
        .skip(1)
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let [before, after] = losses[..] else { panic!("{}", said.stderr) };
    assert!(after < before, "{before} {after}");
    let first = scene.read("run/pretrain/summary.json");
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    let ended = first["validation"]["loss_nats"].as_f64().unwrap();
    assert!((before - ended).abs() < 0.02, "begins at {before}, the checkpoint ended at {ended}");
    // The resolved recipe says the same again.
    scene.ok(&["run", "on/recipe.toml", "--out", "on"]);

    for (more, expected) in [
        ("[ladder]\n", "no [ladder] beside `model.from`"),
        ("[tokenizer]\nkind = \"bytes\"\n", "no [tokenizer] beside `model.from`"),
    ] {
        scene.write("bad.toml", format!("{ON}{more}").as_bytes());
        let message = scene.fails(&["run", "bad.toml", "--out", "bad"]);
        assert!(message.contains(expected) && message.contains("hint: "), "{message}");
    }
    let message = scene.fails(&["run", "on.toml", "--out", "bad", "--set", "model.n_layers=5"]);
    assert!(message.contains("no sizes in [model] beside `from`"), "{message}");
    let message = scene.fails(&["run", "on.toml", "--out", "none", "--set", "model.from=\"nowhere\""]);
    assert!(message.contains("nowhere") && message.contains("hint: "), "{message}");
}

#[test]
fn a_file_of_prompts_is_continued_line_by_line() {
    let scene = Scene::trained();
    scene.write(
        "prompts.jsonl",
        b"{\"prompt\": \"Once\"}\n{\"prompt\": \"The \"}\n\n{\"prompt\": \"A\\nb\"}\n",
    );
    let args = ["generate", CHECKPOINT, "--prompts", "prompts.jsonl", "--temperature", "0", "--dtype", "f32"];
    let lines: Vec<serde_json::Value> =
        scene.ok(&args).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(format!("{}\n", lines[0]["text"].as_str().unwrap()), greedy(&scene, CHECKPOINT));
    assert_eq!(lines[2]["prompt"], "A\nb");
    scene.write("bad.jsonl", b"{\"prompt\": \"Once\"}\n{\"text\": 1}\n");
    let message = scene.fails(&["generate", CHECKPOINT, "--prompts", "bad.jsonl"]);
    assert!(message.contains("line 2") && message.contains("hint: "), "{message}");
}
