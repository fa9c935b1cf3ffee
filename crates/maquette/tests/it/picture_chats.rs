//! Pictures in conversations that are learned, and in files of prompts.

use std::{fs, io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::{
    pictures::seeing,
    scene::{Said, Scene},
};

/// Questions about the pictures of `drawn/`, in both forms.
fn rows(scene: &Scene) -> Vec<Value> {
    let lines = scene.read("drawn/train.jsonl");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .enumerate()
        .map(|(i, line)| {
            let name = line["images"][0].as_str().unwrap();
            let (question, answer) = (line["question"].as_str().unwrap(), line["answer"].as_str().unwrap());
            match i % 3 {
                0 => json!({ "image": name, "conversations": [
                    { "from": "human", "value": format!("<image>\n{question}") }, { "from": "gpt", "value": answer },
                ] }),
                1 => {
                    let url = json!({ "url": name });
                    json!({ "messages": [
                        { "role": "user", "content": [
                            { "type": "image_url", "image_url": url }, { "type": "text", "text": question },
                        ] },
                        { "role": "assistant", "content": answer },
                    ] })
                }
                _ => {
                    let png = fs::read(scene.path(&format!("drawn/{name}"))).unwrap();
                    let url = format!("data:image/png;base64,{}", base::base64::encode(&png));
                    json!({ "messages": [
                        { "role": "user", "content": [{ "type": "image", "image": url }, { "type": "text", "text": question }] },
                        { "role": "assistant", "content": answer },
                    ] })
                }
            }
        })
        .collect()
}

fn write(scene: &Scene, name: &str, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    scene.write(name, lines.as_bytes());
}

const SFT: [&str; 8] = ["sft", "seeing", "--data", "drawn/chats.jsonl", "--held-out", "0.2", "--batch", "4"];

#[test]
fn conversations_about_pictures_are_learned() {
    let scene = seeing();
    let rows = rows(&scene);
    assert!(rows.len() >= 12);
    write(&scene, "drawn/chats.jsonl", &rows);
    let chat = |model: &str, image: &str| {
        let args = ["chat", model, "--image", image, "--temperature", "0", "--max-tokens", "4"];
        let mut command = scene.command(&args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"What is there?\n").unwrap();
        let said = Said::from(child.wait_with_output().unwrap());
        assert!(said.status.success(), "{}", said.stderr);
    };
    let image = "drawn/images/train-scenes-000000.png";
    let losses = |out: &str| -> Vec<f64> {
        let metrics = scene.read(&format!("{out}/metrics.jsonl"));
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "train").map(|line| line["loss_nats"].as_f64().unwrap()).collect()
    };
    for (out, more, model) in [
        ("whole", &["--epochs", "12", "--lr", "0.01"][..], "whole"),
        ("adapted", &["--epochs", "12", "--lr", "0.02", "--rank", "4"], "adapted/merged"),
    ] {
        let said = scene.ok(&[&SFT[..], &["--out", out], more].concat());
        assert!(said.stderr.contains("conversations, "), "{}", said.stderr);
        let losses = losses(out);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..3]), mean(&losses[losses.len() - 3..]));
        assert!(last < first - 0.3, "{out}: {first} to {last}");
        chat(model, image);
        let again = scene.ok(&[&SFT[..], &["--out", out], more].concat());
        assert!(again.status.success());
    }
    // Micro-batches and threads change the losses by rounding alone; other pictures are other data.
    let short = ["--epochs", "1", "--out", "a", "--threads", "1", "--micro-batch", "1"];
    scene.ok(&[&SFT[..], &short].concat());
    scene.ok(&[&SFT[..], &["--epochs", "1", "--out", "b", "--threads", "2", "--micro-batch", "4"]].concat());
    for (a, b) in losses("a").iter().zip(losses("b")) {
        assert!((a - b).abs() < 2e-2, "{a} {b}");
    }
    let mut exchanged = rows.clone();
    exchanged[0]["image"] = "images/train-words-000001.png".into();
    write(&scene, "drawn/chats.jsonl", &exchanged);
    let other = scene.fails(&[&SFT[..], &short].concat());
    assert!(other.contains("found one with other examples"), "{other}");
}

/// Rows that differ in their pictures alone are different conversations.
#[test]
fn pictures_tell_conversations_apart() {
    let scene = seeing();
    let row = |i: usize| {
        json!({ "image": format!("images/train-scenes-{i:06}.png"), "conversations": [
            { "from": "human", "value": "<image>\nWhat?" }, { "from": "gpt", "value": "this" },
        ] })
    };
    write(&scene, "drawn/chats.jsonl", &(0..4).map(row).collect::<Vec<_>>());
    scene.ok(&[&SFT[..], &["--out", "tuned", "--epochs", "1"]].concat());
}

#[test]
fn broken_pictures_name_their_row_and_are_counted() {
    let scene = seeing();
    let mut rows = rows(&scene);
    let cut = fs::read(scene.path("drawn/images/train-scenes-000000.png")).unwrap();
    scene.write("drawn/cut.png", &cut[..60]);
    for (at, name) in [(0, "gone.png"), (3, "cut.png"), (6, "train.jsonl")] {
        rows[at]["image"] = name.into();
    }
    write(&scene, "drawn/chats.jsonl", &rows);
    let refused = scene.fails(&[&SFT[..], &["--out", "tuned"]].concat());
    assert!(refused.contains("`gone.png`") && refused.contains("drawn/chats.jsonl, row 1"), "{refused}");
    assert!(refused.contains("--skip-bad-rows") && refused.contains("hint: "), "{refused}");
    assert!(!scene.path("tuned").exists());
    let said = scene.ok(&[&SFT[..], &["--out", "tuned", "--epochs", "1", "--skip-bad-rows"]].concat());
    assert!(said.stderr.contains("left out: 3 with a picture that cannot be read"), "{}", said.stderr);
    for row in ["row 1", "row 4", "row 7"] {
        assert!(said.stderr.contains(row), "{row}: {}", said.stderr);
    }
    // What does not fit together is a bad row as any other.
    let places = json!({ "images": ["cut.png", "cut.png"], "conversations": [
        { "from": "human", "value": "<image>?" }, { "from": "gpt", "value": "a" },
    ] });
    write(&scene, "drawn/chats.jsonl", &[places]);
    let refused = scene.fails(&[&SFT[..], &["--out", "other"]].concat());
    assert!(refused.contains("row 1") && refused.contains("one <image> for each of 2 pictures"), "{refused}");
    for asked in
        [json!("<image>\nWhat?"), json!("<|image|>?"), json!([{ "type": "text", "text": "<image>?" }])]
    {
        let row = json!({ "messages": [
            { "role": "user", "content": asked }, { "role": "assistant", "content": "a" },
        ] });
        write(&scene, "drawn/chats.jsonl", &[row]);
        let refused = scene.fails(&[&SFT[..], &["--out", "other"]].concat());
        assert!(refused.contains("row 1") && refused.contains("a picture for each <image>"), "{refused}");
    }
    // A model that reads text alone says so.
    write(&scene, "drawn/chats.jsonl", &rows[1..3]);
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    let blind = scene.fails(&["sft", "run", "--data", "drawn/chats.jsonl", "--out", "blind"]);
    assert!(blind.contains("row 1") && blind.contains("expected text alone, found a picture"), "{blind}");
}

#[test]
fn prompts_of_a_file_have_pictures() {
    let scene = seeing();
    let (scenes, words) = ("images/train-scenes-000000.png", "images/train-words-000000.png");
    let png = fs::read(scene.path(&format!("drawn/{words}"))).unwrap();
    let url = format!("data:image/png;base64,{}", base::base64::encode(&png));
    let rows = [
        json!({ "prompt": "What is there?", "images": [scenes] }),
        json!({ "prompt": "What is there?", "image": url }),
        json!({ "prompt": "What is there?" }),
        json!({ "prompt": "<|image|> and <|image|>?", "images": [scenes, { "path": words }] }),
        json!({ "prompt": "<image> and <|image|>?", "images": [scenes, words] }),
    ];
    write(&scene, "drawn/prompts.jsonl", &rows);
    let usual = ["--json", "--temperature", "0", "--max-tokens", "3"];
    let ask = |more: &[&str]| scene.ok(&[&["generate", "seeing"][..], more, &usual].concat());
    let lines = ask(&["--prompts", "drawn/prompts.jsonl"]).stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |name: &str| format!("drawn/{name}");
    let (scenes, words) = (at(scenes), at(words));
    let alone = [
        ask(&["--image", &scenes, "--prompt", "What is there?"]).json(),
        ask(&["--image", &words, "--prompt", "What is there?"]).json(),
        ask(&["--prompt", "What is there?"]).json(),
        ask(&["--image", &scenes, "--image", &words, "--prompt", "<|image|> and <|image|>?"]).json(),
        ask(&["--image", &scenes, "--image", &words, "--prompt", "<image> and <image>?"]).json(),
    ];
    for (line, alone) in lines.iter().zip(&alone) {
        for part in ["prompt_ids", "ids", "logprobs"] {
            assert_eq!(line[part], alone[part], "{part}");
        }
    }
    assert_eq!(lines.len(), 5);
    assert_ne!(lines[0]["logprobs"], lines[1]["logprobs"]);
    assert_eq!(lines[3]["logprobs"], lines[4]["logprobs"]);
    for place in ["<image>", "<|image|>"] {
        let error = scene.fails(&["generate", "seeing", "--prompt", &format!("{place} What?")]);
        assert!(error.contains("found 1 placeholders and no image") && error.contains("hint: "), "{error}");
        // As text it is one.
        ask(&["--special-tokens", "text", "--prompt", place]);
    }

    for (row, expected) in [
        (json!({ "prompt": "x", "images": ["gone.png"] }), "`gone.png` of `drawn/wrong.jsonl:line 2`"),
        (json!({ "prompt": "x", "images": [7] }), "found `7`"),
        (json!({ "prompt": "x", "image": "https://example.org/a.png" }), "nothing is fetched"),
        (
            json!({ "prompt": "<|image|><|image|>x", "images": [scenes.replace("drawn/", "")] }),
            "16 placeholders for each of 1 images, found 32",
        ),
        (json!({ "prompt": "<image>x" }), "found 1 placeholders and no image"),
        (json!({ "prompt": "x", "images": ["train.jsonl"] }), "expected a PNG, JPEG, WebP or GIF"),
    ] {
        write(&scene, "drawn/wrong.jsonl", &[rows[2].clone(), row]);
        let error = scene.fails(&["generate", "seeing", "--prompts", "drawn/wrong.jsonl"]);
        assert!(error.contains(expected) && error.contains("line 2"), "{expected}: {error}");
    }
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    let blind = scene.fails(&["generate", "run", "--prompts", "drawn/prompts.jsonl"]);
    assert!(blind.contains("expected no image in line 1") && blind.contains("reads text alone"), "{blind}");
}
