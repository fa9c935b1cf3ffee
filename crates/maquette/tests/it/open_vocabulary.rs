//! A recipe that leaves its vocabulary, its ladder's size or its whole tokenizer open.

use crate::scene::{Scene, repository};

const RECIPE: &str = r#"
name = "open"
[budget]
train_flops = 2e10
[data]
sources = [{ path = "TEXT" }]
validation = { by = "tail", fraction = 0.1 }
[train]
seq_len = 64
final_eval_tokens = 4096
[samples]
prompts = []
"#;

fn scene(extra: &str) -> Scene {
    let scene = Scene::new();
    let text = repository().join("data/tinyshakespeare/input.txt.gz");
    let recipe = format!("{RECIPE}{extra}").replace("TEXT", text.to_str().unwrap());
    scene.write("open.toml", recipe.as_bytes());
    scene
}

fn resolved(scene: &Scene, run: &str) -> toml::Table {
    scene.read(&format!("{run}/recipe.toml")).parse().unwrap()
}

/// The size is in the run's own recipe, stays when the command is given again, and that recipe learns the same
/// vocabulary.
#[test]
fn an_open_vocabulary_follows_from_the_budget_and_is_kept() {
    let scene = scene("");
    scene.ok(&["run", "open.toml", "--out", "out", "--only", "tokenizer,data,pretrain"]);
    let first = resolved(&scene, "out");
    let size = first["tokenizer"]["vocab_size"].as_integer().unwrap();
    assert!((272..=2048).contains(&size), "{size}");
    assert_eq!(first["tokenizer"]["kind"].as_str(), Some("bpe"));
    let again = scene.ok(&["run", "open.toml", "--out", "out", "--only", "tokenizer,data,pretrain"]);
    assert!(again.stderr.contains(&format!("{size} tokens, kept")), "{}", again.stderr);

    scene.ok(&["run", "out/recipe.toml", "--out", "copy", "--only", "tokenizer,data,pretrain"]);
    let copy = resolved(&scene, "copy");
    assert_eq!(copy["hashes"]["tokenizer"], first["hashes"]["tokenizer"]);
    assert_eq!(copy["model"], first["model"]);
}

#[test]
fn a_small_text_gets_a_small_vocabulary() {
    let scene = scene("");
    let text: String = (0..200).map(|i| format!("line {i} of a text with few words\n")).collect();
    scene.write("small.txt", text.as_bytes());
    let source = "data.sources=[{path=\"small.txt\"}]";
    scene.ok(&["run", "open.toml", "--set", source, "--out", "out", "--only", "tokenizer,data,pretrain"]);
    let size = resolved(&scene, "out")["tokenizer"]["vocab_size"].as_integer().unwrap();
    assert!((272..400).contains(&size), "{size}");
}

#[test]
fn a_vocabulary_too_large_for_its_budget_and_a_text_read_often_are_said_before_training() {
    let scene = scene("");
    // Every word twice: enough for a merge of its own.
    let letter = |n: u32| char::from(b'a' + (n % 26) as u8);
    let word = |n: u32| [letter(n), letter(n / 26), letter(n / 676), letter(n * 7), letter(n * 31)];
    let text: String = (0..6000).flat_map(|n| word(n % 3000).into_iter().chain(['\n'])).collect();
    scene.write("small.txt", text.as_bytes());
    let said = scene.ok(&[
        "run",
        "open.toml",
        "--set",
        "data.sources=[{path=\"small.txt\"}]",
        "--set",
        "tokenizer={kind=\"bpe\",vocab_size=2000}",
        "--out",
        "out",
        "--only",
        "tokenizer,data,pretrain",
    ]);
    assert!(said.stderr.contains("are embedding and head: a vocabulary of 2000"), "{}", said.stderr);
    assert!(said.stderr.contains("the training text is read"), "{}", said.stderr);
    let (warned, trained) = (said.stderr.find("is read").unwrap(), said.stderr.find("pretrain").unwrap());
    assert!(warned < trained, "{}", said.stderr);
}

#[test]
fn a_recipe_without_any_budget_is_told_so_before_its_text_is_read() {
    let scene = scene("");
    let text = scene.read("open.toml").replace("[budget]\ntrain_flops = 2e10\n", "");
    scene.write("none.toml", text.as_bytes());
    let refused = scene.fails(&["run", "none.toml", "--out", "out"]);
    assert!(refused.contains("`budget` must be `minutes` or `train_flops`"), "{refused}");
    assert!(!scene.path("out/tokenizer/tokenizer.json").exists());
}
