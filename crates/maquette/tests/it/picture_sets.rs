//! Data sets about pictures, in the layout in which they are stored: named in recipes, and asked about by name.

use data::image::RgbImage;
use serde_json::{Value, json};

use crate::scene::Scene;

const RECIPE: &str = r#"name = "sets"
[data]
sources = [{ path = "corpus.txt" }]
validation = { by = "tail", fraction = 0.2 }
[data.pictures]
draw = []
files = ["data/vision-emoji-noto/emoji.jsonl"]
split = { share = 0.1 }
per_step = 2
text_share = 0.0
n_held_out = 4
[tokenizer]
kind = "bytes"
[model]
n_layers = 1
d_model = 16
n_heads = 1
max_seq_len = 200
[model.vision]
image_size = 16
patch_size = 8
n_layers = 1
[train]
steps = 2
batch_rows = 1
seq_len = 128
eval_tokens = 128
final_eval_tokens = 128
[samples]
prompts = []
"#;

/// Pictures of each set, and the rows that belong to them.
fn with_sets() -> Scene {
    let scene = Scene::new();
    let write = |folder: &str, file: &str, n: u8, row: &dyn Fn(u8) -> Value| {
        let mut rows = String::new();
        for i in 0..n {
            let name = format!("{i}.png");
            scene.write(&format!("data/{folder}/{name}"), &RgbImage::filled(3, 2, [i, 9, 99]).to_png());
            let mut row = row(i);
            row["image"] = name.into();
            rows += &format!("{row}\n");
        }
        scene.write(&format!("data/{folder}/{file}"), rows.as_bytes());
    };
    write("vision-easy-vqa", "test.jsonl", 60, &|i| {
        let answer = if i % 2 == 0 { "yes" } else { "no" };
        json!({ "question": "is there a red shape?", "answer": answer })
    });
    write(
        "vision-emoji-noto",
        "emoji.jsonl",
        60,
        &|i| json!({ "name": format!("emoji {i}"), "short_names": ["x"], "category": "Symbols", "char": "x" }),
    );
    write("vision-storybook", "pages.jsonl", 200, &|i| {
        let (story, text) = (format!("{:04}", i / 2), format!("Page {i} of a book."));
        json!({ "story": story, "page": i % 2, "w": 3, "h": 2, "text": text, "translations": { "fr": "Oui." } })
    });
    write("vision-nlvr", "nlvr.jsonl", 60, &|i| {
        let split = if i < 40 { "dev" } else { "test" };
        json!({ "split": split, "sentence": "There is a tower.", "label": "true" })
    });
    scene.write("sets.toml", RECIPE.as_bytes());
    scene.ok(&["run", "sets.toml", "--out", "sets"]);
    scene
}

#[test]
fn sets_are_asked_about_by_name() {
    let scene = with_sets();
    let eval = |tasks: &str, more: &[&str]| {
        let args = ["eval", "sets", "--tasks", tasks, "--data", "data", "--json"];
        scene.ok(&[&args[..], more].concat()).json()
    };
    let row = |rows: &Value, shown: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["shown"] == shown);
        row.unwrap_or_else(|| panic!("{shown}: {rows}")).clone()
    };
    let easy = eval("easy_vqa", &[]);
    assert_eq!(row(&easy["pictures"], "own")["n"], 60, "all of them where nobody limits them");
    assert!(easy.get("picks").is_none() && easy.get("pages").is_none());
    assert_eq!(row(&eval("nlvr", &[])["pictures"], "nothing")["n"], 20, "those of the test alone");

    let emoji = eval("emoji", &["--out", "out"]);
    let n = row(&emoji["pictures"], "own")["n"].as_u64().unwrap();
    assert!((4..15).contains(&n), "{n} of 60 held out");
    let picks = emoji["picks"].as_array().unwrap();
    assert_eq!(picks.len(), 5, "by likelihood thrice, by gain with a picture: {picks:?}");
    for pick in picks {
        assert!(pick["n"] == n && pick["n_names"] == 4 && pick["lo95"].as_f64() < pick["hi95"].as_f64());
    }
    assert_eq!(scene.read("out/picks.jsonl").lines().count() as u64, 3 * n);
    // What was written may be replaced, what another program wrote may not.
    eval("emoji", &["--out", "out"]);
    scene.write("out/pages.jsonl", b"{\"mine\": 1}\n");
    let error = scene.fails(&["eval", "sets", "--tasks", "storybook", "--data", "data", "--out", "out"]);
    assert!(error.contains("pages.jsonl") && error.contains("a list of losses of pages"), "{error}");

    let books = eval("storybook", &["--out", "books"]);
    let pages = &books["pages"];
    let (n, n_stories) = (pages["n"].as_u64().unwrap(), pages["n_stories"].as_u64().unwrap());
    assert_eq!(n, 2 * n_stories, "both pages of a book: {pages}");
    assert!(n >= 2 && pages["own_nats_per_token"].as_f64().unwrap() > 0.0);
    assert!(pages["lo95"].as_f64().unwrap() <= pages["difference_nats"].as_f64().unwrap());
    assert_eq!(scene.read("books/pages.jsonl").lines().count() as u64, n);

    // Several at once, in words.
    let words = scene
        .ok(&["eval", "sets", "--tasks", "easy_vqa,emoji,storybook", "--data", "data", "--limit", "5"])
        .stdout;
    for part in ["easy_vqa", "their own", "gain", "behind those of other books", "nats more than its own"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let list = scene.ok(&["eval", "--list", "--data", "data", "--tasks", "nlvr,storybook"]).stdout;
    assert!(list.contains("items: vision-nlvr/nlvr.jsonl") && list.contains("CC-BY"), "{list}");
}

#[test]
fn sets_that_are_not_there_and_rows_that_are_no_questions_are_named() {
    let scene = with_sets();
    let missing = scene.fails(&["eval", "sets", "--tasks", "emoji"]);
    assert!(missing.contains("no --data") && missing.contains("vision-emoji-noto/emoji.jsonl"), "{missing}");
    let missing = scene.fails(&["eval", "sets", "--tasks", "storybook", "--data", "sets"]);
    assert!(missing.contains("github.com/global-asp"), "{missing}");
    let few = scene.fails(&["eval", "sets", "--tasks", "emoji", "--data", "data", "--limit", "2"]);
    assert!(few.contains("expected 4 names to choose from, found 2"), "{few}");
    let page = "{\"image\": \"../vision-nlvr/1.png\", \"sentence\": \"x\"}\n";
    scene.write("data/vision-nlvr/nlvr.jsonl", page.as_bytes());
    let error = scene.fails(&["eval", "sets", "--tasks", "nlvr", "--data", "data"]);
    assert!(error.contains("nlvr.jsonl") && error.contains("hint:"), "{error}");
    // A split that names no field, or leaves a side empty.
    for (split, found) in [
        ("{by=\"book\",share=0.1}", "without a short field `book`"),
        ("{by=\"category\",values=[\"Flags\"]}", "60 to train on, 0 held out"),
        ("{by=\"category\"}", "a `share`, or `by` with `values`"),
    ] {
        let change = format!("data.pictures.split={split}");
        let error = scene.fails(&["run", "sets.toml", "--out", "other", "--set", &change]);
        assert!(error.contains(found), "{split}: {error}");
    }
}
