//! `maquette eval` on benchmarks and quizzes.

use std::fs;

use serde_json::{Value, json};

use crate::scene::{CHECKPOINT, Scene};

/// Questions in the forms of the hub: few, made for this test.
fn write_data(scene: &Scene) {
    let lines = |rows: Vec<Value>| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let arc = |n: usize, offset: usize| {
        let row = |i: usize| {
            json!({ "id": i.to_string(), "answerKey": (i % 3 + 1).to_string(), "question": {
                "stem": format!("What is {i} and {offset}?"),
                "choices": [
                    { "text": format!("{}", i + offset), "label": "1" },
                    { "text": "a number", "label": "2" },
                    { "text": "nothing at all", "label": "3" },
                ],
            } })
        };
        lines((0..n).map(row).collect())
    };
    let arc_folder = "data/ARC-V1-Feb2018-2/ARC-Easy";
    scene.write(&format!("{arc_folder}/ARC-Easy-Test.jsonl"), arc(70, 1).as_bytes());
    scene.write(&format!("{arc_folder}/ARC-Easy-Train.jsonl"), arc(30, 2).as_bytes());
    let sentence = |i: usize| {
        json!({ "sentence": format!("Once {i} birds met cats, and _ flew away. "), "option1": "birds",
            "option2": "cats", "answer": (i % 2 + 1).to_string() })
    };
    let winogrande = lines((0..12).map(sentence).collect());
    scene.write("data/winogrande_1.1/dev.jsonl", winogrande.as_bytes());
    scene.write("data/winogrande_1.1/train_xl.jsonl", winogrande.as_bytes());
    let quiz = "{\"question\": \"How many?\", \"choices\": [\"one\", \"two\"], \"answer\": \"B\"}\n\
        {\"question\": \"Which?\", \"choices\": [\"this\", \"that\"], \"answer\": 0}\n\
        {\"question\": \"Who?\", \"choices\": [\"he\", \"she\", \"they\"], \"answer\": \"they\"}\n";
    scene.write("quiz.jsonl", quiz.as_bytes());
}

const TASKS: &str = "arc_easy,winogrande,quiz.jsonl";

fn eval<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = ["eval", CHECKPOINT, "--data", "data", "--dtype", "f32", "--out", out, "--tasks"];
    [&common[..], more].concat()
}

#[test]
fn items_are_the_same_bytes_however_they_are_scored() {
    let scene = Scene::trained();
    write_data(&scene);
    let said = scene.ok(&eval("a", &[TASKS, "--json"]));
    let results = said.json()["results"].as_array().unwrap().clone();
    let names: Vec<&str> = results.iter().map(|result| result["task"].as_str().unwrap()).collect();
    assert_eq!(names, ["arc_easy", "winogrande", "quiz"]);
    assert_eq!((&results[0]["n"], &results[1]["n"], &results[2]["n"]), (&json!(70), &json!(12), &json!(3)));
    let acc = &results[0]["metrics"]["acc"];
    assert!(acc["lo95"].as_f64() < acc["value"].as_f64() && acc["value"].as_f64() < acc["hi95"].as_f64());

    let text = scene.read("a/eval/arc_easy-0shot.jsonl");
    let item: Value = serde_json::from_str(text.lines().nth(4).unwrap()).unwrap();
    // Bytes are tokens here, from id 16 on.
    let ids = |text: &str| -> Vec<u64> { text.bytes().map(|byte| u64::from(byte) + 16).collect() };
    let prompt = ids("Question: What is 4 and 1?\nAnswer:");
    // This model reads 32 tokens at most; what is scored is named whole.
    assert_eq!(item["context_ids"], json!(prompt));
    assert_eq!(item["choices"][0]["continuation_ids"], json!(ids(" 5")));
    assert_eq!((&item["target"], &item["choices"][2]["n_chars"]), (&json!(1), &json!(14)));
    let winogrande = scene.read("a/eval/winogrande-0shot.jsonl");
    let item: Value = serde_json::from_str(winogrande.lines().next().unwrap()).unwrap();
    assert_eq!(item["choices"][1]["context_ids"], json!(ids("Once 0 birds met cats, and cats")));
    assert_eq!(item["choices"][0]["continuation_ids"], item["choices"][1]["continuation_ids"]);

    let files = scene.files("a");
    scene.ok(&eval("b", &[TASKS, "--batch", "1", "--threads", "1"]));
    scene.ok(&eval("c", &["quiz.jsonl,winogrande,arc_easy", "--batch", "64", "--threads", "2"]));
    // Begun with fewer items, cut within a line as by a kill, and continued.
    scene.ok(&eval("d", &[TASKS, "--limit", "40"]));
    let path = scene.path("d/eval/arc_easy-0shot.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    scene.ok(&eval("d", &[TASKS]));
    for other in ["b", "c", "d"] {
        for (name, bytes) in scene.files(other) {
            let is_items = name.to_string_lossy().ends_with("shot.jsonl");
            assert!(!is_items || bytes == files[&name], "{other}/{}", name.display());
        }
    }
}

#[test]
fn metrics_are_computed_again_without_a_model() {
    let scene = Scene::trained();
    write_data(&scene);
    let said = scene.ok(&eval("out", &[TASKS, "--shots", "2", "--json"]));
    fs::remove_dir_all(scene.path("run")).unwrap();
    fs::remove_dir_all(scene.path("data")).unwrap();
    let again = scene.ok(&["eval", "--rescore", "--out", "out", "--json"]);
    let by_name = |said: &crate::scene::Said| {
        let mut results = said.json()["results"].as_array().unwrap().clone();
        results.sort_by_key(|result| result["task"].as_str().unwrap().to_owned());
        results
    };
    assert_eq!(by_name(&again), by_name(&said));
}

#[test]
fn what_is_wrong_is_named() {
    let scene = Scene::trained();
    write_data(&scene);
    let refused = |args: &[&str], parts: &[&str]| {
        let message = scene.fails(args);
        for part in parts.iter().chain(&["hint: "]) {
            assert!(message.contains(part), "{args:?}: no `{part}` in\n{message}");
        }
    };
    refused(&eval("x", &["arc_esay"]), &["found `arc_esay`", "did you mean `arc_easy`?"]);
    refused(&eval("x", &["piqa"]), &["`validation` data of `piqa`", "baber/piqa"]);
    refused(&eval("x", &["arc_easy", "--shots", "31"]), &["31 rows", "found 30"]);
    refused(&eval("x", &["copy,arc_easy"]), &["both in --tasks"]);
    refused(&["eval", CHECKPOINT, "--tasks", "arc_easy"], &["no --data"]);
    scene.write("bad.jsonl", b"{\"question\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": \"d\"}\n");
    refused(&eval("x", &["bad.jsonl"]), &["bad.jsonl:1`", "a right answer among 2 choices"]);
    scene.write("bad.jsonl", b"\n{\"question\": \"a\", \"answer\": 0}\n");
    refused(&eval("x", &["bad.jsonl"]), &["bad.jsonl:2`", "a field `choices`"]);
    scene.write(
        "bad.jsonl",
        b"{\"question\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 0}\n{\"question\n",
    );
    refused(&eval("x", &["bad.jsonl"]), &["bad.jsonl:2`"]);
    assert!(!scene.path("x").exists());
    // Items of another data type, of other data, and a file that nobody here wrote.
    scene.ok(&eval("out", &["quiz.jsonl"]));
    let bf16 = ["eval", CHECKPOINT, "--dtype", "bf16", "--out", "out", "--tasks", "quiz.jsonl"];
    refused(&bf16, &["found items in f32", "out/eval/quiz-0shot.jsonl"]);
    fs::write(scene.path("quiz.jsonl"), scene.read("quiz.jsonl").replace("Who", "Whom")).unwrap();
    refused(&eval("out", &["quiz.jsonl"]), &["items of other data"]);
    scene.write("own/eval/winogrande-0shot.jsonl", b"mine");
    refused(&eval("own", &["winogrande"]), &["own/eval/winogrande-0shot.jsonl"]);
    assert_eq!(scene.read("own/eval/winogrande-0shot.jsonl"), "mine");
}

#[test]
fn the_list_says_what_is_there() {
    let scene = Scene::new();
    write_data(&scene);
    let said = scene.ok(&["eval", "--list", "--data", "data", "--json"]).json();
    let tasks = said["tasks"].as_array().unwrap();
    let of = |name: &str| tasks.iter().find(|task| task["task"] == name).unwrap();
    assert_eq!(of("arc_easy")["data"][1]["files"], json!(["ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Train.jsonl"]));
    let items = &of("arc_easy")["data"][0];
    assert_eq!((&items["is"], &items["n_rows"]), (&json!("found"), &json!(70)));
    let text = fs::read(scene.path("data/ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl")).unwrap();
    assert_eq!(items["sha256"], json!([base::hash::sha256(&text)]));
    assert_eq!(of("piqa")["data"], json!([{ "is": "missing" }, { "is": "missing" }]));
    assert_eq!(of("mgsm_direct_de")["data"][1], json!({ "is": "in_task_file" }));
    assert_eq!(tasks.iter().filter(|task| task["task"].as_str().unwrap().starts_with("mmlu_")).count(), 57);
    let words = scene.ok(&["eval", "--list"]).stdout;
    assert!(words.contains("truthfulqa_mc2") && words.contains("CC-BY-SA-4.0"), "{words}");
    assert!(words.contains("mmlu  57 tasks, such as mmlu_abstract_algebra: "), "{words}");
    // Files of the right name with rows of another task, and with a line that is none.
    scene.write(
        "data/exam-mmlu/test.jsonl",
        b"{\"subject\": \"virology\", \"question\": \"\", \"choices\": [], \"answer\": 0}\n",
    );
    scene.write("data/piqa/valid.jsonl", b"{\"goal\": \n");
    let words = scene.ok(&["eval", "--list", "--data", "data", "--tasks", "mmlu"]).stdout;
    let n_found =
        words.lines().filter(|line| line.starts_with("    items: 1 rows in exam-mmlu/test.jsonl")).count();
    let n_damaged =
        words.lines().filter(|line| line.contains("items: damaged: expected rows of `mmlu_")).count();
    assert_eq!((n_found, n_damaged), (1, 56), "{words}");
}
