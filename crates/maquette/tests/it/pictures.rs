//! Models that read images, from the recipe to an answer.

use std::{fs, io::Write as _, process::Stdio};

use data::image::RgbImage;

use crate::scene::{Said, Scene};

const RECIPE: &str = r#"name = "seeing"
[data]
sources = [{ path = "corpus.txt" }]
validation = { by = "tail", fraction = 0.2 }
[data.pictures]
draw = ["scenes", "words"]
max_level = 1
per_step = 2
n_held_out = 4
[tokenizer]
kind = "bytes"
[model]
n_layers = 1
d_model = 16
n_heads = 1
max_seq_len = 200
[model.vision]
image_size = 32
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

/// With a model that reads images in `seeing/`, and pictures in `drawn/`.
pub(crate) fn seeing() -> Scene {
    let scene = Scene::new();
    scene.write("seeing.toml", RECIPE.as_bytes());
    scene.ok(&["run", "seeing.toml", "--out", "seeing"]);
    scene.ok(&["data", "pictures", "--kind", "scenes,words", "--n", "16", "--size", "96", "--out", "drawn"]);
    scene
}

#[test]
fn a_model_is_trained_on_pictures_and_asked_about_them() {
    let scene = seeing();
    let checkpoint = "seeing/pretrain/checkpoints/step-2";
    let config: serde_json::Value =
        serde_json::from_str(&scene.read(&format!("{checkpoint}/config.json"))).unwrap();
    assert_eq!(config["architectures"][0], "LlavaForConditionalGeneration");
    assert_eq!(config["image_token_index"], 3);
    let processor = scene.read(&format!("{checkpoint}/processor_config.json"));
    let processor: serde_json::Value = serde_json::from_str(&processor).unwrap();
    assert_eq!((&processor["image_token"], &processor["patch_size"]), (&"<|image|>".into(), &8.into()));
    let metrics = scene.read("seeing/pretrain/metrics.jsonl");
    assert!(
        metrics.contains("\"answers_loss_nats\"") && metrics.contains("\"words_loss_nats\""),
        "{metrics}"
    );
    // The same recipe is kept; other pictures are another training.
    assert!(scene.ok(&["run", "seeing.toml", "--out", "seeing"]).stderr.contains("kept"));

    let image = "drawn/images/train-scenes-000000.png";
    let ask = |more: &[&str]| {
        let args = ["generate", "seeing", "--json", "--temperature", "0", "--max-tokens", "3"];
        scene.ok(&[&args[..], more].concat()).json()
    };
    let one = ask(&["--image", image, "--prompt", "What is there?"]);
    let ids: Vec<u64> = one["prompt_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(ids[..18], [vec![0], vec![3; 16], vec![u64::from(b'\n') + 16]].concat());
    assert_eq!(ids.iter().filter(|id| **id == 3).count(), 16);
    let written = ask(&["--image", image, "--prompt", "<|endoftext|><|image|>\nWhat is there?\n"]);
    assert_eq!((&written["ids"], &written["logprobs"]), (&one["ids"], &one["logprobs"]));
    let other = ask(&["--image", "drawn/images/train-words-000000.png", "--prompt", "What is there?"]);
    assert_ne!(other["logprobs"], one["logprobs"]);

    // A chat, with the picture from the command line and one more.
    let mut chat =
        scene.command(&["chat", "seeing", "--image", image, "--temperature", "0", "--max-tokens", "3"]);
    let mut child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = format!("What is there?\n/image {image}\nAnd there?\n");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    assert!(said.status.success(), "{}", said.stderr);
    assert!(said.stdout.starts_with(one["text"].as_str().unwrap()), "{}\n{one}", said.stdout);

    for tasks in ["scenes,words", "drawn/test.jsonl"] {
        let args = ["eval", "seeing", "--tasks", tasks, "--limit", "2", "--json", "--out", "scores"];
        let rows = scene.ok(&args).json();
        let shown: Vec<&str> =
            rows["pictures"].as_array().unwrap().iter().map(|row| row["shown"].as_str().unwrap()).collect();
        // The file has one question of each kind, so none to exchange its picture with.
        let controls = if tasks == "drawn/test.jsonl" { 2 } else { 3 };
        for (i, control) in ["own", "nothing", "another"].iter().enumerate() {
            assert_eq!(shown.contains(control), i < controls, "{tasks}: {shown:?}");
        }
        assert!(scene.read("scores/pictures.jsonl").lines().count() >= 2 * controls);
    }
    // Questions of one's own: two pictures, several answers, a metric.
    let quiz = [
        r#"{"image": "drawn/images/train-scenes-000000.png", "question": "What is there?", "answer": "a circle"}"#,
        r#"{"images": ["drawn/images/train-scenes-000000.png", "drawn/images/train-words-000000.png"],
            "question": "Are <image> and <image> alike?", "answers": ["no", "they differ"], "metric": "anls"}"#,
    ];
    scene.write("own.jsonl", quiz.map(|row| row.replace('\n', " ")).join("\n").as_bytes());
    let own = ["eval", "seeing", "--tasks", "own.jsonl", "--json", "--out", "own"];
    let rows = scene.ok(&own).json();
    assert_eq!((&rows["pictures"][0]["kind"], &rows["pictures"][0]["n"]), (&"own".into(), &2.into()));
    assert!(scene.read("own/pictures.jsonl").contains("\"metric\":\"anls\""));
    for (field, wrong) in [("\"metric\": \"best\"", "found `best`"), ("\"image\": \"gone.png\"", "gone.png")]
    {
        let row = "{\"image\": \"drawn/images/train-scenes-000000.png\", \"question\": \"?\", \"answer\": 1}";
        let row = row
            .replace("{", &format!("{{{field}, "))
            .replace("gone.png\", \"image\": \"drawn/images/train-scenes-000000.png", "gone.png");
        scene.write("wrong.jsonl", row.as_bytes());
        let error = scene.fails(&["eval", "seeing", "--tasks", "wrong.jsonl"]);
        assert!(error.contains(wrong) && error.contains("wrong.jsonl:line 1"), "{error}");
    }
    let table = scene.ok(&["eval", "seeing", "--tasks", "words", "--limit", "2"]).stdout;
    assert!(table.contains("no picture") && table.contains("ANLS"), "{table}");
}

#[test]
fn a_folder_with_eyes_is_imported_and_begins_another_training() {
    let scene = seeing();
    scene.ok(&["import", "seeing", "--out", "imported"]);
    for file in ["processor_config.json", "preprocessor_config.json", "chat_template.jinja"] {
        let path = format!("seeing/pretrain/checkpoints/step-2/{file}");
        assert_eq!(scene.read(&path), scene.read(&format!("imported/{file}")));
    }
    let refused = scene.fails(&["export", "imported", "--out", "model.gguf"]);
    assert!(refused.contains("one that reads images") && refused.contains("by transformers"), "{refused}");
    // LLaVA's first stage: a text model gets eyes, of which only the projector is trained.
    let short = ["--set", "train.steps=2", "--set", "train.seq_len=96", "--set", "train.batch_rows=1"];
    scene.ok(&[&["run", "tiny.toml", "--out", "run"][..], &short].concat());
    let data = RECIPE.split("[tokenizer]").next().unwrap();
    let stage = format!(
        "{data}[model]\nfrom = \"run\"\n[model.vision]\nimage_size = 32\npatch_size = 16\nn_layers = 1\n[tuning]\n\
         frozen = [\"language_model.\", \"vision_tower.\"]\n[train]\nsteps = 1\nbatch_rows = 1\nseq_len = 96\n\
         eval_tokens = 96\nfinal_eval_tokens = 96\n[samples]\nprompts = []\n"
    );
    scene.write("stage.toml", stage.as_bytes());
    scene.ok(&["run", "stage.toml", "--out", "stage"]);
    let image = "drawn/images/train-scenes-000000.png";
    scene.ok(&["generate", "stage", "--image", image, "--prompt", "What is there?", "--max-tokens", "2"]);
}

/// A folder of another program keeps its way of preparing images, through an import, a training and a fine-tuning.
#[test]
fn images_are_prepared_as_the_model_that_is_continued_had_them() {
    let scene = seeing();
    let step = "seeing/pretrain/checkpoints/step-2";
    fs::create_dir(scene.path("foreign")).unwrap();
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        fs::copy(scene.path(&format!("{step}/{file}")), scene.path(&format!("foreign/{file}"))).unwrap();
    }
    // Squashed to a square, with bilinear weights.
    let processor = r#"{"image_processor_type": "SiglipImageProcessor", "resample": 2, "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.3, 0.3, 0.3], "size": {"height": 32, "width": 32}}"#;
    scene.write("foreign/preprocessor_config.json", processor.as_bytes());
    scene.ok(&["import", "foreign", "--out", "imported"]);
    let chat = |i: usize| {
        serde_json::json!({ "messages": [
            { "role": "user", "content": format!("a{i}") }, { "role": "assistant", "content": format!("b{i}") },
        ] })
    };
    let chats: String = (0..20).map(|i| format!("{}\n", chat(i))).collect();
    scene.write("chats.jsonl", chats.as_bytes());
    scene.ok(&["sft", "imported", "--data", "chats.jsonl", "--out", "tuned", "--rank", "2", "--epochs", "1"]);
    let data = RECIPE.split("[tokenizer]").next().unwrap();
    let more = format!(
        "{data}[model]\nfrom = \"imported\"\n[train]\nsteps = 1\nbatch_rows = 1\nseq_len = 128\neval_tokens = 128\n\
         final_eval_tokens = 128\n[samples]\nprompts = []\n"
    );
    scene.write("more.toml", more.as_bytes());
    scene.ok(&["run", "more.toml", "--out", "more"]);
    for folder in ["imported", "tuned/merged", "more/pretrain/checkpoints/step-1"] {
        assert_eq!(scene.read(&format!("{folder}/preprocessor_config.json")), processor, "{folder}");
        assert!(!scene.path(&format!("{folder}/processor_config.json")).exists(), "{folder}");
    }
    let image = "drawn/images/train-scenes-000000.png";
    let logprobs = |model: &str| {
        let args = [
            "generate",
            model,
            "--image",
            image,
            "--prompt",
            "x",
            "--max-tokens",
            "1",
            "--json",
            "--dtype",
            "f32",
        ];
        scene.ok(&args).json()["logprobs"].clone()
    };
    assert_ne!(logprobs("imported"), logprobs("seeing"), "other means and deviations");
}

/// Pictures of other questions are other pictures, or none.
#[test]
fn one_picture_is_exchanged_with_no_other() {
    let scene = seeing();
    let row = |image: &str, question: &str| {
        format!(
            "{{\"image\":\"drawn/images/train-{image}-000000.png\",\"question\":\"{question}\",\"answer\":\"a\"}}\n"
        )
    };
    scene.write("one.jsonl", (row("scenes", "A?") + &row("scenes", "B?")).as_bytes());
    scene.write("two.jsonl", (row("scenes", "A?") + &row("scenes", "B?") + &row("words", "C?")).as_bytes());
    let shown = |file: &str| -> Vec<String> {
        let said = scene.ok(&["eval", "seeing", "--tasks", file, "--json"]);
        assert_eq!(
            said.stderr.contains("2 of 2 questions are left out of `another one`"),
            file == "one.jsonl"
        );
        let rows = said.json()["pictures"].as_array().unwrap().clone();
        rows.iter().map(|row| format!("{} {}", row["shown"].as_str().unwrap(), row["n"])).collect()
    };
    assert_eq!(shown("one.jsonl"), ["own 2", "nothing 2"]);
    assert_eq!(shown("two.jsonl"), ["own 3", "nothing 3", "another 3"]);
}

/// What a kill left is drawn again, and nothing that somebody else has.
#[test]
fn pictures_that_were_left_unfinished_are_drawn_again() {
    let scene = Scene::new();
    let draw = |out: &'static str| {
        ["data", "pictures", "--kind", "words", "--n", "16", "--size", "96", "--out", out]
    };
    scene.ok(&draw("whole"));
    let none = scene.run(&["data", "pictures", "--n", "0", "--out", "none"]);
    assert!(!none.status.success() && none.stderr.contains("--n") && !scene.path("none").exists());
    scene.write("left/images/train-words-000003.png", b"x");
    scene.write("left/.train.jsonl.maquette-123-0123456789abcdef.tmp", b"x");
    let said = scene.ok(&draw("left"));
    assert!(said.stderr.contains("left 1 pictures and no list of them in left"), "{}", said.stderr);
    assert!(scene.files("left") == scene.files("whole"));
    scene.write("mine/images/train-words-000003.png", b"x");
    scene.write("mine/.train.jsonl.maquette-123-0123456789abcdef.tmp", b"x");
    scene.write("mine/notes.txt", b"x");
    assert!(scene.fails(&draw("mine")).contains("found files in it"));
    assert_eq!(scene.files("mine").len(), 3);
    assert!(scene.fails(&draw("whole")).contains("found files in it"));
}

/// Both recipes on the real books, with everything that takes time cut short.
#[test]
fn the_quickstart_gets_eyes() {
    let scene = Scene::new();
    let books = "data.sources=[{path=\"../data/classic-books/val.jsonl.gz\"}]";
    let split = "data.validation={by=\"tail\",fraction=0.05}";
    let first = [books, split, "tokenizer.vocab_size=400", "tokenizer.sample_bytes=200000"];
    let second =
        ["data.pictures.n_held_out=3", "data.pictures.per_step=3", "train.steps=1", "train.eval_tokens=320"];
    let mut changes: Vec<String> = first.iter().map(|change| (*change).to_owned()).collect();
    changes.push("train.final_eval_tokens=4096".to_owned());
    changes.extend([books, split, "train.final_eval_tokens=320"].map(|change| format!("eyes.{change}")));
    changes.extend(second.map(|change| format!("eyes.{change}")));
    let mut args = vec!["quickstart", "--eyes", "--out", "out", "--minutes", "0.002"];
    args.extend(changes.iter().flat_map(|change| ["--set", change]));
    let said = scene.ok(&args);
    assert!(said.stdout.contains("another one") && said.stdout.contains("charts"), "{}", said.stdout);
    let config = scene.read("out-eyes/pretrain/checkpoints/step-1/config.json");
    assert!(config.contains("LlavaForConditionalGeneration"));
    // A slip in the second recipe is reported before the first is run.
    let slip = ["quickstart", "--eyes", "--out", "other", "--set", "eyes.train.step=1"];
    assert!(scene.fails(&slip).contains("did you mean `steps`"));
    assert!(!scene.path("other").exists());
}

#[test]
fn what_cannot_be_looked_at_is_refused_by_name() {
    let scene = seeing();
    let ask = |image: &str| scene.fails(&["generate", "seeing", "--image", image, "--prompt", "x"]);
    assert!(ask("nothing.png").contains("cannot read `nothing.png`"));
    assert!(ask("drawn").contains("found a folder"));
    assert!(ask("corpus.txt").contains("expected a PNG, JPEG, WebP or GIF picture in `corpus.txt`"));
    let image = "drawn/images/train-scenes-000000.png";
    let two = scene.fails(&["generate", "seeing", "--image", image, "--prompt", "<|image|><|image|>x"]);
    assert!(two.contains("16 placeholders for each of 1 images, found 32"), "{two}");
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
    let blind = scene.fails(&["generate", "run", "--image", image, "--prompt", "x"]);
    assert!(blind.contains("expected no --image: this model reads text alone"), "{blind}");
    let blind = scene.fails(&["eval", "run", "--tasks", "scenes"]);
    assert!(blind.contains("expected a model that reads images"), "{blind}");
    for (slip, meant) in
        [("chart", "charts"), ("scene", "scenes"), ("easyvqa", "easy_vqa"), ("lookups", "lookup")]
    {
        for tasks in [slip.to_owned(), format!("words,{slip}"), format!("{slip},copy")] {
            let error = scene.fails(&["eval", "seeing", "--tasks", &tasks]);
            assert!(error.contains(&format!("did you mean `{meant}`?")), "{error}");
        }
    }
    // A picture that is too large is no matter of a setting.
    let wide = RgbImage::filled(32_769, 1, [9; 3]).to_png();
    scene.write("wide.png", &wide);
    let error = ask("wide.png");
    assert!(
        error.contains("at most 32768 pixels of width")
            && error.trim_end().ends_with("hint: make the picture smaller"),
        "{error}"
    );

    let folder = scene.path("seeing/pretrain/checkpoints/step-2");
    let processor = folder.join("processor_config.json");
    let text_of = fs::read_to_string(&processor).unwrap();
    let other = text_of.replace("LlavaImageProcessor", "OddProcessor");
    fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    fs::write(&processor, other).unwrap();
    assert!(ask(image).contains("`image_processor_type` is \"OddProcessor\""));

    let without_eyes = RECIPE.replace("[model.vision]\nimage_size = 32\npatch_size = 8\nn_layers = 1\n", "");
    scene.write("blind.toml", without_eyes.as_bytes());
    let refused = scene.fails(&["run", "blind.toml", "--out", "blind"]);
    assert!(refused.contains("expected a table [model.vision] beside [data.pictures]"), "{refused}");
    let continued = without_eyes.replace("[tokenizer]\nkind = \"bytes\"\n", "");
    let (data, rest) = continued.split_once("[model]").unwrap();
    let train = rest.split_once("[train]").unwrap().1.replace("128", "32");
    scene.write("text.toml", format!("{data}[model]\nfrom = \"run\"\n[train]{train}").as_bytes());
    let refused = scene.fails(&["run", "text.toml", "--out", "text"]);
    assert!(refused.contains("a model that reads images beside [data.pictures]"), "{refused}");
    for (change, found) in [
        ("model.vision.patch_size=5", "`vision.patch_size` is 5 and must divide"),
        ("data.pictures.text_share=2", "pictures.text_share"),
        ("data.pictures.files=[\"no.jsonl\"]", "no.jsonl"),
        ("train.seq_len=17", "none fits in 17 tokens"),
        ("tuning.frozen=[\"\"]", "`frozen` must be some of the parameters"),
    ] {
        let refused = scene.fails(&["run", "seeing.toml", "--out", "other", "--set", change]);
        assert!(refused.contains(found), "{change}: {refused}");
    }
}
