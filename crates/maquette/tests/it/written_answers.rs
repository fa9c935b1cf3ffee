//! `maquette eval` on benchmarks whose answers a model writes.

use std::fs;

use serde_json::{Value, json};

use crate::scene::{CHECKPOINT, Scene};

/// Questions in the forms of the authors and of the hub: few, made for this test.
fn write_data(scene: &Scene) {
    let lines = |rows: Vec<Value>| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let question = |i: usize| {
        let answer = format!("{i} + 2 = {}.\n#### {}", i + 2, i + 2);
        json!({ "question": format!("Add 2 to {i}."), "answer": answer })
    };
    for (split, n) in [("test", 19), ("train", 12)] {
        let rows = lines((0..n).map(question).collect());
        scene.write(&format!("data/grade_school_math/data/{split}.jsonl"), rows.as_bytes());
    }
    // A table without names of columns, in which quotes have no meaning.
    scene.write("data/mgsm/mgsm_de.tsv", "Wie viel ist \"2 + 2\"?\t4\nUnd 1.000 + 1?\t1,001\n".as_bytes());
    let words = json!({ "task": "word_sorting", "input": "Sort. List: b a", "target": "a b" });
    scene.write("data/exam-bbh/bbh.jsonl", lines(vec![words]).as_bytes());
}

const TASKS: &str = "gsm8k,mgsm_direct_de,bbh_zeroshot_word_sorting";

fn eval<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common =
        ["eval", CHECKPOINT, "--data", "data", "--dtype", "f32", "--shots", "0", "--max-tokens", "8"];
    [&common[..], &["--out", out, "--tasks"], more].concat()
}

#[test]
fn answers_are_the_same_bytes_however_they_are_written() {
    let scene = Scene::trained();
    write_data(&scene);
    let said = scene.ok(&eval("a", &[TASKS, "--json"]));
    let results = said.json()["results"].as_array().unwrap().clone();
    let metrics = results[0]["metrics"].as_object().unwrap();
    let names: Vec<&String> = metrics.keys().collect();
    assert_eq!(names, ["exact_match,flexible-extract", "exact_match,strict-match"]);
    let item = |path: &str, i: usize| -> Value {
        serde_json::from_str(scene.read(path).lines().nth(i).unwrap()).unwrap()
    };
    let gsm8k = item("a/eval/gsm8k-0shot.jsonl", 3);
    assert_eq!(gsm8k["target"], "3 + 2 = 5.\n#### 5");
    assert!(gsm8k["outputs"][0]["n_tokens"].as_u64().unwrap() <= 8, "{gsm8k}");
    assert_eq!(item("a/eval/mgsm_direct_de-0shot.jsonl", 1)["target"], "1001");
    let sorted = item("a/eval/bbh_zeroshot_word_sorting-0shot.jsonl", 0);
    assert_eq!(sorted["reference"]["input"], "Sort. List: b a");

    let files = scene.files("a");
    scene.ok(&eval("b", &[TASKS, "--batch", "1", "--threads", "1"]));
    // Begun with fewer items, cut within a line as by a kill, and continued.
    scene.ok(&eval("c", &[TASKS, "--limit", "9", "--batch", "64"]));
    let path = scene.path("c/eval/gsm8k-0shot.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    scene.ok(&eval("c", &[TASKS]));
    for other in ["b", "c"] {
        for (name, bytes) in scene.files(other) {
            let is_items = name.to_string_lossy().ends_with("shot.jsonl");
            assert!(!is_items || bytes == files[&name], "{other}/{}", name.display());
        }
    }
    fs::remove_dir_all(scene.path("data")).unwrap();
    let again = scene.ok(&["eval", "--rescore", "--out", "a", "--tasks", "gsm8k", "--json"]).json();
    assert_eq!(again["results"][0], results[0]);
}

#[test]
fn several_samples_are_drawn_by_seed() {
    let scene = Scene::trained();
    write_data(&scene);
    let drawn = |out: &str, seed: &str| {
        let more = ["mgsm_direct_de", "--samples", "5", "--temperature", "1", "--seed", seed];
        scene.ok(&eval(out, &more));
        scene.read(&format!("{out}/eval/mgsm_direct_de-0shot.jsonl"))
    };
    let (first, again, other) = (drawn("a", "1"), drawn("b", "1"), drawn("c", "2"));
    assert!(first == again && first != other);
    let item: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(item["outputs"].as_array().unwrap().len(), 5);
    assert!(item["pass@5,flexible-extract"].is_number() && item["pass@1,flexible-extract"].is_number());
    let refused = |args: &[&str], part: &str| {
        let message = scene.fails(args);
        assert!(message.contains(part) && message.contains("hint: "), "{args:?}: {message}");
    };
    let more = ["mgsm_direct_de", "--samples", "5", "--temperature", "1", "--seed", "3"];
    refused(&eval("a", &more), "answers that were drawn in another way");
    refused(&eval("x", &["gsm8k", "--samples", "2", "--temperature", "0"]), "`--temperature`");
    refused(&eval("x", &["bbh_zeroshot_navigate"]), "rows of `bbh_zeroshot_navigate`");
    scene.write("data/mgsm/mgsm_de.tsv", b"no tab\n");
    refused(&eval("x", &["mgsm_direct_de"]), "mgsm_de.tsv:1`");
    let long = ["eval", CHECKPOINT, "--data", "data", "--tasks", "gsm8k", "--shots", "0"];
    refused(&long, "`--max-tokens` must be below the model's context");
}
