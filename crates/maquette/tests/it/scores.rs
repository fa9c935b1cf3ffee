//! `maquette scores` on the items of an evaluation.

use serde_json::{Value, json};

use crate::scene::{CHECKPOINT, Scene};

const STEMS: [&str; 4] = [
    "Which of these animals lays eggs, breathes with gills and lives in rivers all its life?",
    "A stone is dropped from a bridge into the water below; which force makes it fall?",
    "Plants take in light with their leaves. What do they make of water and carbon dioxide?",
    "Short one?",
];

fn evaluated() -> Scene {
    let scene = Scene::trained();
    let row = |(i, stem): (usize, &str)| {
        let choice = |(label, text): (&str, &str)| json!({ "label": label, "text": text });
        let choices: Vec<Value> = [("A", "this"), ("B", "that"), ("C", "nothing")].map(choice).to_vec();
        json!({ "id": i.to_string(), "answerKey": "ABC"[i % 3..i % 3 + 1], "question": { "stem": stem, "choices": choices } })
    };
    let rows: String = (0..20).map(|i| format!("{}\n", row((i, STEMS[i % 4])))).collect();
    scene.write("data/ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl", rows.as_bytes());
    for (out, dtype) in [("a", "f32"), ("b", "bf16")] {
        scene.ok(&[
            "eval", CHECKPOINT, "--data", "data", "--tasks", "arc_easy", "--dtype", dtype, "--out", out,
        ]);
    }
    scene
}

#[test]
fn calibration_and_comparison_need_no_model() {
    let scene = evaluated();
    let found = scene.ok(&["scores", "calibration", "a", "--json"]).json();
    let row = &found["results"][0];
    assert_eq!((&row["task"], &row["n_items"]), (&json!("arc_easy"), &json!(20)));
    let n_in_bins: u64 =
        row["all_choices"]["bins"].as_array().unwrap().iter().map(|bin| bin["n"].as_u64().unwrap()).sum();
    assert_eq!(n_in_bins, 60);
    assert!(scene.ok(&["scores", "calibration", "a"]).stdout.contains("ECE, every choice"));

    let found = scene.ok(&["scores", "abstention", "a", "--json"]).json();
    assert_eq!((&found["results"][0]["n_answered"], &found["results"][0]["n"]), (&json!(20), &json!(20)));
    assert!(scene.ok(&["scores", "abstention", "a"]).stdout.contains("100.0 %"));

    let found = scene.ok(&["scores", "compare", "a", "a", "--json"]).json();
    for row in found["results"].as_array().unwrap() {
        assert_eq!((&row["n"], &row["difference"]), (&json!(20), &json!(0.0)), "{row}");
    }
    let table = scene.ok(&["scores", "compare", "a", "b"]).stdout;
    assert!(table.contains("arc_easy") && table.contains("detectable"), "{table}");
    let refused = scene.fails(&["scores", "compare", "a", "data"]);
    assert!(
        refused.contains("expected scores of benchmarks in `data`") && refused.contains("hint: "),
        "{refused}"
    );
    let refused = scene.fails(&["scores", "calibration", "a", "--tasks", "mmlu_anatomy"]);
    assert!(refused.contains("expected scores of `mmlu_anatomy`"), "{refused}");
}

#[test]
fn contaminated_items_are_found_in_a_training_text_and_reported() {
    let scene = evaluated();
    // One question stands in the text with other spaces, another in part; the short one is not looked for.
    let text = format!("Once upon a time.\n{}\nand on\n{}", STEMS[1].replace(' ', "\n "), &STEMS[2][..30]);
    scene.write("corpus.txt", text.as_bytes());
    let ask = ["scores", "contamination", "a", "--data", "data", "--text", "corpus.txt"];
    let found = scene.ok(&[&ask[..], &["--json"]].concat()).json();
    let row = &found["results"][0];
    assert_eq!((&row["n_contaminated"], &row["n_not_checked"]), (&json!(5), &json!(5)), "{row}");
    assert!(
        row["reported"].as_f64() <= row["all"].as_f64() && row["reported"].as_f64() <= row["clean"].as_f64()
    );
    let file: Value = serde_json::from_str(&scene.read("a/eval/arc_easy-contamination.json")).unwrap();
    assert_eq!(file["found"], json!([1, 5, 9, 13, 17]));
    // Again, and over what is not ours.
    scene.ok(&ask);
    scene.write("a/eval/arc_easy-contamination.json", b"notes");
    assert!(scene.fails(&ask).contains("found another file"));
    assert_eq!(scene.read("a/eval/arc_easy-contamination.json"), "notes");
    assert!(scene.fails(&["scores", "contamination", "a", "--text", "corpus.txt"]).contains("--data"));
    assert!(scene.fails(&[&ask[..6], &["nothing.txt"]].concat()).contains("hint: "));

    scene.write("a/eval/arc_easy-contamination.json", file.to_string().as_bytes());
    scene.ok(&["scores", "report", "a"]);
    let page = scene.read("a/report.html");
    for expected in
        ["arc_easy", "Contaminated", "25.0\u{a0}%", "Every choice of every question", "arc_easy-0shot.jsonl"]
    {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("<script") && !page.contains("http://"));
    scene.ok(&["scores", "report", "a", "--title", "<b>&amp;", "--out", "page.html"]);
    assert!(scene.read("page.html").contains("&lt;b&gt;&amp;amp;"));
    scene.write("page.html", b"<html>mine");
    assert!(scene.fails(&["scores", "report", "a", "--out", "page.html"]).contains("found another file"));
}

#[test]
fn a_score_has_a_percentile_for_each_population() {
    let scene = Scene::new();
    let found = scene.ok(&["scores", "exam", "--score", "ube=298", "--score", "lsat=163", "--json"]).json();
    let percentiles = |row: usize| -> Vec<String> {
        let rows = found["results"][row]["percentiles"].as_array().unwrap();
        rows.iter().map(|row| row["percentile"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (percentiles(0), percentiles(1)),
        (["about 88", "68", "62", "48"].map(str::to_owned).to_vec(), vec!["87.1".to_owned()])
    );
    assert!(scene.ok(&["scores", "exam", "--list"]).stdout.contains("takers in July"));
    for (asked, expected) in [
        ("ube=401", "from 0 to 400"),
        ("ubi=3", "expected an exam"),
        ("ube", "EXAM=SCORE"),
        ("ube=NaN", "from 0"),
    ] {
        let refused = scene.fails(&["scores", "exam", "--score", asked]);
        assert!(refused.contains(expected) && refused.contains("hint: "), "{refused}");
    }
}
