//! Clips and moving pictures: trained on, asked about with their controls, and shown from the command line.

use std::{fs, io::Write as _, process::Stdio};

use data::image::RgbImage;
use serde_json::Value;

use crate::scene::{Said, Scene};

const RECIPE: &str = r#"name = "clips"
[data]
sources = [{ path = "corpus.txt" }]
validation = { by = "tail", fraction = 0.2 }
[data.pictures]
draw = ["clips", "scenes"]
per_step = 3
n_held_out = 4
[tokenizer]
kind = "bytes"
[model]
n_layers = 1
d_model = 16
n_heads = 1
max_seq_len = 256
[model.vision]
image_size = 32
patch_size = 16
n_layers = 1
[train]
steps = 2
batch_rows = 1
seq_len = 192
eval_tokens = 192
final_eval_tokens = 192
[samples]
prompts = []
"#;

fn trained() -> Scene {
    let scene = Scene::new();
    scene.write("clips.toml", RECIPE.as_bytes());
    scene.ok(&["run", "clips.toml", "--out", "clips"]);
    scene
}

#[test]
fn clips_are_trained_on_and_asked_about_in_reverse_too() {
    let scene = trained();
    assert!(scene.read("clips/pretrain/metrics.jsonl").contains("\"clips_loss_nats\""));
    scene.ok(&["data", "pictures", "--kind", "clips", "--n", "16", "--size", "96", "--out", "drawn"]);
    let drawn = scene.read("drawn/test.jsonl");
    let drawn: Vec<Value> = drawn.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for image in drawn[0]["images"].as_array().unwrap() {
        assert!(scene.path("drawn").join(image.as_str().unwrap()).is_file());
    }
    assert!(drawn[0]["text"].as_str().unwrap().starts_with("\n0.0s <image> "));

    for tasks in ["clips", "drawn/test.jsonl"] {
        let args = ["eval", "clips", "--tasks", tasks, "--limit", "8", "--json", "--out", "scores"];
        let rows = scene.ok(&args).json();
        let n = |shown: &str| {
            let row = rows["pictures"].as_array().unwrap().iter().find(|row| row["shown"] == shown);
            row.unwrap_or_else(|| panic!("{shown}: {rows}"))["n"].as_u64().unwrap()
        };
        let n_clips = if tasks == "clips" { 8 } else { drawn.len() as u64 };
        for shown in ["own", "nothing", "another", "reversed"] {
            assert_eq!(n(shown), n_clips, "{tasks}, {shown}");
        }
        let answers = scene.read("scores/pictures.jsonl");
        let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut n_flipped = 0;
        for own in answers.iter().filter(|answer| answer["shown"] == "own") {
            let is_same = |other: &&Value| other["shown"] == "reversed" && other["doc_id"] == own["doc_id"];
            let reversed = answers.iter().find(is_same).unwrap();
            assert_eq!(own["question"], reversed["question"]);
            let [own_answer, other] = [own, reversed].map(|row| row["answers"][0].as_str().unwrap());
            if own["question"].as_str().unwrap().starts_with("Which way does the red")
                || ["left", "right", "up", "down"].contains(&own_answer) && own["level"].as_u64().unwrap() < 3
            {
                let flipped = [("left", "right"), ("right", "left"), ("up", "down"), ("down", "up")];
                assert!(flipped.contains(&(own_answer, other)), "{own} {reversed}");
                n_flipped += 1;
            }
        }
        assert!(tasks != "clips" || n_flipped > 0);
    }
    // Stills have no other order.
    let rows = scene.ok(&["eval", "clips", "--tasks", "scenes", "--limit", "2", "--json"]).json();
    assert!(rows["pictures"].as_array().unwrap().iter().all(|row| row["shown"] != "reversed"));
    let table = scene.ok(&["eval", "clips", "--tasks", "clips", "--limit", "2"]).stdout;
    assert!(table.contains("in reverse"), "{table}");
}

/// A GIF of 4 × 4 pixels whose frames have one colour each and are seen for so many hundredths of a second.
fn gif(frames: &[([u8; 3], u16)]) -> Vec<u8> {
    let mut bytes = b"GIF89a\x04\0\x04\0\xf6\0\0".to_vec();
    let mut palette = [0; 3 * 128];
    for (entry, (colour, _)) in palette.chunks_exact_mut(3).zip(frames) {
        entry.copy_from_slice(colour);
    }
    bytes.extend(palette);
    for (i, (_, delay)) in frames.iter().enumerate() {
        bytes.extend(b"\x21\xf9\x04\0");
        bytes.extend(delay.to_le_bytes());
        bytes.extend(b"\0\0\x2c\0\0\0\0\x04\0\x04\0\0");
        // Codes of eight bits: clear, the sixteen pixels, end.
        bytes.extend([7, 18, 0x80]);
        bytes.extend([i as u8; 16]);
        bytes.extend([0x81, 0]);
    }
    bytes.push(0x3b);
    bytes
}

const COLOURS: [[u8; 3]; 4] = [[200, 10, 10], [10, 200, 10], [10, 10, 200], [90, 90, 90]];

#[test]
fn moving_pictures_are_shown_with_the_times_of_their_frames() {
    let scene = trained();
    scene.write("clip.gif", &gif(&COLOURS.map(|colour| (colour, 50))));
    for (i, colour) in [(2, 1), (10, 3), (1, 0), (9, 2)] {
        scene.write(&format!("frames/f{i}.png"), &RgbImage::filled(4, 4, COLOURS[colour]).to_png());
    }
    scene.write("frames/notes.txt", b"not a frame");
    let ask = |more: &[&str]| {
        let args = [
            "generate",
            "clips",
            "--json",
            "--temperature",
            "0",
            "--max-tokens",
            "3",
            "--prompt",
            "What moves?",
        ];
        scene.ok(&[&args[..], more].concat()).json()
    };
    let ids = |answer: &Value| -> Vec<u64> {
        answer["prompt_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    };
    let text = |text: &str| text.bytes().map(|byte| u64::from(byte) + 16).collect::<Vec<u64>>();
    let film = ask(&["--video", "clip.gif"]);
    let frame = vec![3; 4];
    let mut want = vec![0];
    for time in ["\n0.0s ", " 0.5s ", " 1.0s ", " 1.5s "] {
        want.extend([text(time), frame.clone()].concat());
    }
    want.extend(text("\nWhat moves?\n"));
    assert_eq!(ids(&film), want);
    // A folder is read in the order of the numbers in its names.
    let folder = ask(&["--video", "frames"]);
    assert_eq!((&folder["prompt_ids"], &folder["logprobs"]), (&film["prompt_ids"], &film["logprobs"]));
    let slow = ask(&["--video", "frames", "--fps", "1", "--frames", "2"]);
    let two =
        [vec![0], text("\n0.0s "), frame.clone(), text(" 3.0s "), frame, text("\nWhat moves?\n")].concat();
    assert_eq!(ids(&slow), two);
    // Frames are looked at: other colours, another answer.
    scene.write(
        "other.gif",
        &gif(&[COLOURS[3], COLOURS[2], COLOURS[1], COLOURS[0]].map(|colour| (colour, 50))),
    );
    assert_ne!(ask(&["--video", "other.gif"])["logprobs"], film["logprobs"]);

    // In a chat, beside a still picture.
    let args = ["chat", "clips", "--video", "clip.gif", "--temperature", "0", "--max-tokens", "3"];
    let mut chat = scene.command(&args);
    let mut child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input =
        b"What moves?\n/clear\n/image frames/f1.png\nWhat is it?\n/clear\n/video frames\nWhat moves?\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    assert!(said.status.success(), "{}", said.stderr);
    let answer = film["text"].as_str().unwrap();
    assert!(
        said.stdout.starts_with(answer) && said.stdout.trim_end().ends_with(answer.trim_end()),
        "{}\n{film}",
        said.stdout
    );

    let mut chat = scene.command(&["chat", "clips", "--max-tokens", "3"]);
    let mut child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = b"<image>\nWhat is it?\n/image frames/f1.png\n<image> or <image>?\nIs <|image|> red?\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    let refused = "expected a picture for each of the ";
    assert_eq!(said.stderr.matches(refused).count(), 2, "{}", said.stderr);
    assert!(said.stderr.contains("2 of the lines of stdin got no answer"), "{}", said.stderr);

    fs::create_dir(scene.path("empty")).unwrap();
    scene.write("still.gif", &gif(&[(COLOURS[0], 50)]));
    scene.write("cut.gif", &gif(&COLOURS.map(|colour| (colour, 50)))[..500]);
    for (path, found) in [
        ("no.gif", "cannot read `no.gif`"),
        ("empty", "found 0 pictures"),
        ("still.gif", "found one of a single frame"),
        ("cut.gif", "expected a whole GIF picture in `cut.gif`, found an error: cut off in"),
        ("frames/f1.png", "expected an animated GIF or a folder of frames"),
        ("corpus.txt", "expected an animated GIF or a folder of frames"),
    ] {
        let error = scene.fails(&["generate", "clips", "--video", path, "--prompt", "x"]);
        assert!(error.contains(found) && error.contains("hint:"), "{path}: {error}");
    }
    let long = "x".repeat(300);
    let error = scene.fails(&["generate", "clips", "--video", "frames", "--prompt", &long]);
    assert!(error.contains("show fewer than 4 frames with --frames"), "{error}");
    for (options, says) in [
        (["--video", "frames", "--fps", "0"], "--fps must be at least 0.001"),
        (["--video", "clip.gif", "--fps", "4"], "expected no --fps for `clip.gif`, found 4"),
        (["--max-tokens", "2", "--fps", "4"], "expected --video with --fps"),
    ] {
        let error = scene.fails(&[&["generate", "clips", "--prompt", "x"], &options[..]].concat());
        assert!(error.contains(says) && error.contains("hint:"), "{error}");
    }
}
