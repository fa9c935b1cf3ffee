//! `maquette eval` on translated questions, translations and CORE.

use serde_json::{Value, json};

use crate::scene::{CHECKPOINT, Scene};

fn lines(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().map(|row| format!("{row}\n")).collect()
}

fn eval<'a>(tasks: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common =
        ["eval", CHECKPOINT, "--data", "data", "--dtype", "f32", "--out", out, "--tasks", tasks, "--json"];
    [&common[..], more].concat()
}

/// What an item was asked; bytes are tokens here, from id 16 on.
fn asked(item: &Value) -> String {
    let ids = item["context_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
    String::from_utf8(ids.filter(|id| *id >= 16).map(|id| (id - 16) as u8).collect()).unwrap()
}

fn items(scene: &Scene, path: &str) -> Vec<Value> {
    scene.read(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts other texts in the place of what the model wrote.
fn overwrite(scene: &Scene, path: &str, text_of: impl Fn(usize, &Value) -> String) {
    let mut all = items(scene, path);
    for (i, item) in all.iter_mut().enumerate() {
        let text = text_of(i, item);
        item["outputs"][0]["text"] = text.into();
    }
    scene.write(path, lines(all).as_bytes());
}

#[test]
fn translated_questions_are_reported_by_subject() {
    let scene = Scene::trained();
    let row = |i: usize| {
        let subject = ["anatomy", "virology"][i / 4];
        format!(
            "{i},\"Frage {i}, die wievielte? \",eins,zwei,drei,vier,{},{subject}\n",
            ["A", "B", "C", "D"][i % 4]
        )
    };
    let table = format!(",Question,A,B,C,D,Answer,Subject\n{}", (0..8).map(row).collect::<String>());
    scene.write("data/openai/MMMLU/test/mmlu_DE-DE.csv", table.as_bytes());
    let tasks = "mmmlu_de_de_anatomy,mmmlu_de_de_virology";
    let said = scene.ok(&eval(tasks, "m", &["--shots", "1"])).json();
    let names: Vec<&str> =
        said["results"].as_array().unwrap().iter().map(|row| row["task"].as_str().unwrap()).collect();
    assert_eq!(names, ["mmmlu_de_de_anatomy", "mmmlu_de_de_virology", "mmmlu_de_de"]);
    let all = items(&scene, "m/eval/mmmlu_de_de_virology-1shot.jsonl");
    let question =
        |i: usize| format!("Frage {i}, die wievielte?\nA. eins\nB. zwei\nC. drei\nD. vier\nAnswer:");
    let front = "The following are multiple choice questions (with answers) about virology (German).\n\n";
    // The first of the others is the example.
    assert_eq!(asked(&all[0]), format!("{front}{} B\n\n{}", question(5), question(4)));
    assert_eq!(asked(&all[3]), format!("{front}{} A\n\n{}", question(4), question(7)));
    assert_eq!(all[3]["target"], 3);
    let page = scene.ok(&["scores", "report", "m", "--json"]).json()["report"].as_str().unwrap().to_owned();
    let page = scene.read(&page);
    for subject in ["anatomy", "virology"] {
        assert!(
            page.contains(&format!("exam questions about {subject}, translated by people: German")),
            "{page}"
        );
    }
    assert!(page.contains("4 items") || page.contains("8 items"), "{page}");
    let error = scene.fails(&eval("mmmlu_de_de", "n", &[]));
    assert!(
        error.contains("expected rows of `mmmlu_de_de_abstract_algebra`") && error.contains("mmlu_DE-DE.csv"),
        "{error}"
    );
}

#[test]
fn answers_in_other_languages_are_compared_word_by_word() {
    let scene = Scene::trained();
    let qa = |q: &str, a: &str| json!({ "id": q, "question": q, "answers": [a] });
    let rows = [
        json!({ "lang": "de", "context": "Der Rhein ist 1233 km lang.", "qas": [qa("Wie lang?", "1233 km"), qa("Wer?", "Der Rhein")] }),
        json!({ "lang": "en", "context": "It rains.", "qas": [qa("What?", "rain")] }),
    ];
    scene.write("data/mt-xquad/xquad.jsonl", lines(rows).as_bytes());
    scene.ok(&eval("xquad_de", "x", &["--max-tokens", "4"]));
    let path = "x/eval/xquad_de-0shot.jsonl";
    let all = items(&scene, path);
    assert_eq!(all.len(), 2);
    assert_eq!(asked(&all[1]), "Kontext: Der Rhein ist 1233 km lang.\n\nFrage: Wer?\n\nAntwort:");
    overwrite(&scene, path, |i, _| [" 1233 KM.", "rhein, der Fluss"][i].to_owned());
    let said = scene.ok(&["eval", "--rescore", "--out", "x", "--json"]).json();
    let metrics = &said["results"][0]["metrics"];
    assert_eq!(metrics["exact_match"]["value"], 0.5);
    // Two of three words of the answer, two of two of the target.
    let f1 = metrics["f1"]["value"].as_f64().unwrap();
    assert!((f1 - (1.0 + 0.8) / 2.0).abs() < 1e-12, "{f1}");
}

#[test]
fn translations_are_scored_as_one_corpus() {
    let scene = Scene::trained();
    let english = ["The house is red.\n", "It rained, all day.\n", "We go home now.\n"];
    let german = ["Das Haus ist rot.\n", "Es regnete den ganzen Tag.\n", "Wir gehen jetzt heim.\n"];
    for (language, texts) in [("eng_Latn", english), ("deu_Latn", german)] {
        for split in ["dev", "devtest"] {
            scene.write(
                &format!("data/flores200_dataset/{split}/{language}.{split}"),
                texts.concat().as_bytes(),
            );
        }
    }
    scene.ok(&eval("flores_eng_Latn-deu_Latn", "f", &["--max-tokens", "4", "--shots", "1"]));
    let path = "f/eval/flores_eng_Latn-deu_Latn-1shot.jsonl";
    let all = items(&scene, path);
    assert!(asked(&all[1]).ends_with("\n\nEnglish sentence: It rained, all day.\nGerman sentence:"));
    assert_eq!(all[1]["target"], "Es regnete den ganzen Tag.");
    overwrite(&scene, path, |_, item| item["target"].as_str().unwrap().to_owned());
    let said = scene.ok(&["eval", "--rescore", "--out", "f", "--json"]).json();
    for metric in ["chrf", "bleu"] {
        let value = said["results"][0]["metrics"][metric]["value"].as_f64().unwrap();
        assert!((value - 100.0).abs() < 1e-9, "{metric} {value}");
    }
    scene.ok(&["scores", "report", "f"]);
    // A line is missing on one side.
    scene.write("data/flores200_dataset/devtest/deu_Latn.devtest", german[..2].concat().as_bytes());
    let error = scene.fails(&eval("flores_eng_Latn-deu_Latn", "g", &[]));
    assert!(
        error.contains("expected 3 lines") && error.contains("deu_Latn.devtest") && error.contains("found 2"),
        "{error}"
    );
}

#[test]
fn core_is_centred_on_what_guessing_reaches() {
    let scene = Scene::trained();
    let copa = |i: usize| json!({ "query": format!("Event {i}, so"), "choices": ["this", "that one"], "gold": i % 2 });
    scene.write(
        "data/eval_bundle/eval_data/commonsense_reasoning/copa.jsonl",
        lines((0..12).map(copa)).as_bytes(),
    );
    let schema = |i: usize| json!({ "context_options": [format!("{i} a cat because a cat"), format!("{i} a cat because the dog")], "continuation": "sat.", "gold": i % 2 });
    scene.write(
        "data/exam-core-bundle/language_understanding__winograd_wsc.jsonl",
        lines((0..9).map(schema)).as_bytes(),
    );
    let operators = |i: usize| json!({ "context": format!("op {i} = "), "continuation": i.to_string() });
    scene.write(
        "data/exam-core-bundle/symbolic_problem_solving__bigbench_operators.jsonl",
        lines((0..14).map(operators)).as_bytes(),
    );
    let said = scene.ok(&eval("core_copa,core_winograd,core_bigbench_operators", "c", &[])).json();
    let results = said["results"].as_array().unwrap();
    let acc = |i: usize| results[i]["metrics"]["acc"]["value"].as_f64().unwrap();
    let names: Vec<&str> = results.iter().map(|row| row["task"].as_str().unwrap()).collect();
    assert_eq!(names, ["core_copa", "core_winograd", "core_bigbench_operators", "core"]);
    let expected = ((acc(0) - 0.5) / 0.5 + (acc(1) - 0.5) / 0.5 + acc(2)) / 3.0;
    let row = &results[3];
    assert!((row["metrics"]["centred"]["value"].as_f64().unwrap() - expected).abs() < 1e-12, "{row}");
    assert!(row["notes"][0].as_str().unwrap().starts_with("3 of its 22 tasks were scored"), "{row}");
    // random.Random(1337).shuffle(list(range(12)))[:3], and of 14
    let all = items(&scene, "c/eval/core_copa-0shot.jsonl");
    let orders: Vec<String> = all[..3].iter().map(asked).collect();
    assert_eq!(orders, [6, 0, 1].map(|i| format!("Event {i}, so th")));
    assert_eq!(all[0]["choices"][0]["n_continuation"], 2);
    // What the contexts end with in common is scored too.
    let all = items(&scene, "c/eval/core_winograd-0shot.jsonl");
    assert_eq!(all[0]["choices"][1]["n_continuation"], " sat.".len());
    let all = items(&scene, "c/eval/core_bigbench_operators-10shot.jsonl");
    // random.Random(1234 + 0).sample([i for i in range(14) if i != 0], 10) of the shuffled rows
    assert_eq!(
        asked(&all[0]),
        "op 9 = 9\n\nop 2 = 2\n\nop 1 = 1\n\nop 0 = 0\n\nop 11 = 11\n\nop 5 = 5\n\nop 3 = 3\n\nop 10 = 10\n\nop 8 = 8\n\nop 7 = 7\n\nop 6 ="
    );
}
