//! Whatever is wrong with what is given, the binary says what it expected, what it found and what to do, and ends
//! with 1: never a panic, and never a damaged run.

use std::{fs, sync::Arc};

use crate::scene::{CHECKPOINT, Scene};

const FORMATS: &str = "hint: give a file, a folder or a glob with .txt, .md, .jsonl or .parquet files \
                       (the first three also as .gz or .zst)";
const IN_DATA: &str = "hint: correct the recipe's `data` table";
const IN_MODEL: &str = "hint: set it in the recipe's [model] table";
const IN_TRAIN: &str = "hint: set it in the recipe's [train] table";

/// Runs the tiny recipe with changes, in a new folder.
#[track_caller]
fn refuses(scene: &Scene, changes: &[&str], message: &str) {
    let _ = fs::remove_dir_all(scene.path("out"));
    let changes: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
    scene.refuses(&[&["run", "tiny.toml", "--out", "out"], &changes[..]].concat(), message);
}

#[test]
fn a_recipe_that_cannot_be_read() {
    let scene = Scene::new();
    scene.refuses(
        &["run", "none.toml"],
        "error: expected a recipe, or a text to train on, at `none.toml`: No such file or directory (os error 2)\n\
         hint: recipes ship in the folder `recipes/`; a file or folder of text does too",
    );
    let tiny = scene.read("tiny.toml");
    scene.write("tiny.toml", tiny.replace("n_layers", "n_layer").as_bytes());
    let error = scene.fails(&["run", "tiny.toml", "--out", "out"]);
    assert!(error.starts_with("error: in `tiny.toml`: TOML parse error at line 12, column 1\n"), "{error}");
    assert!(
        error.contains("unknown field `n_layer`") && error.ends_with("hint: did you mean `n_layers`?"),
        "{error}"
    );
    scene.write("tiny.toml", b"name = \"tiny");
    let error = scene.fails(&["run", "tiny.toml", "--out", "out"]);
    assert!(error.ends_with("hint: recipes/quickstart.toml is a complete example"), "{error}");
    assert!(!scene.path("out").exists(), "a recipe is read before anything is made");
}

#[test]
fn changes_that_are_no_changes() {
    let scene = Scene::new();
    let prefix = "error: in `tiny.toml`: ";
    refuses(
        &scene,
        &["nothing"],
        &format!("{prefix}`--set` wants key=value, found `nothing`\nhint: such as --set train.steps=500"),
    );
    refuses(
        &scene,
        &["name.x=1"],
        &format!(
            "{prefix}`--set name.x`: `name` is a value, expected a table\nhint: check the key in the recipe"
        ),
    );
    refuses(
        &scene,
        &["name=../up"],
        &format!(
            "{prefix}`name` must be letters, digits, `-`, `_` and `.`, found `../up`\nhint: it names the run's folder"
        ),
    );
    for (change, told, hint) in [
        ("train.stepz=3", "unknown field `stepz`", "did you mean `steps`?"),
        ("modle.d_model=3", "unknown field `modle`", "did you mean `model`?"),
        ("=3", "unknown field ``", "remove it, or choose one of the names above"),
        ("a=b=c", "unknown field `a`", "remove it, or choose one of the names above"),
        ("tokenizer.kind=bits", "unknown variant `bits`", "did you mean `bytes`?"),
        (
            "train.steps=",
            "invalid type: string \"\", expected u64",
            "recipes/quickstart.toml is a complete example",
        ),
        (
            "train.steps=-1",
            "invalid value: integer `-1`, expected u64",
            "recipes/quickstart.toml is a complete example",
        ),
        (
            "model.d_model=nan",
            "invalid type: floating point `NaN`, expected usize",
            "recipes/quickstart.toml is a complete example",
        ),
    ] {
        let error = scene.fails(&["run", "tiny.toml", "--out", "out", "--set", change]);
        assert!(error.contains(told) && error.ends_with(&format!("\nhint: {hint}")), "{error}");
    }
}

#[test]
fn text_that_is_not_there_or_not_text() {
    let scene = Scene::new();
    refuses(
        &scene,
        &["data.sources=[{path=\"none.txt\"}]"],
        &format!("error: expected documents at `none.txt`, found nothing\n{FORMATS}"),
    );
    scene.write("picture.png", b"png");
    refuses(
        &scene,
        &["data.sources=[{path=\"picture.png\"}]"],
        &format!("error: expected documents at `picture.png`, found a file with another ending\n{FORMATS}"),
    );
    fs::create_dir(scene.path("folder")).unwrap();
    refuses(
        &scene,
        &["data.sources=[{path=\"folder\"}]"],
        &format!("error: expected documents at `folder`, found a folder with none\n{FORMATS}"),
    );

    scene.write("empty.txt", b"");
    refuses(
        &scene,
        &["data.sources=[{path=\"empty.txt\"}]"],
        "error: expected at least one training document in `empty.txt`, found none \
         (1 as too short, 0 as duplicates, 0 as not UTF-8)\nhint: check the paths and the filters",
    );
    scene.write("latin1.txt", b"gr\xf6\xdfe");
    refuses(
        &scene,
        &["data.sources=[{path=\"latin1.txt\"}]"],
        "error: expected UTF-8 in `latin1.txt`, found an invalid byte at offset 2\n\
         hint: re-encode the file as UTF-8, or set `invalid_utf8` to \"replace\" or \"skip\"",
    );
    scene.write("lines.jsonl", b"{\"text\": \"one\"}\n{\"title\": \"two\", \"body\": \"2\"}\n");
    refuses(
        &scene,
        &["data.sources=[{path=\"lines.jsonl\"}]"],
        "error: expected a column `text` in `lines.jsonl:2`, found `title`, `body`\n\
         hint: name the column that holds the text, as in `text = \"title\"`",
    );
    scene.write("broken.jsonl", b"{\"text\": \"one\"}\n{\"text\": \n");
    let error = scene.fails(&[
        "run",
        "tiny.toml",
        "--out",
        "broken",
        "--set",
        "data.sources=[{path=\"broken.jsonl\"}]",
    ]);
    assert!(
        error.starts_with("error: expected a JSON object a line in `broken.jsonl`, found an error at line 2"),
        "{error}"
    );
    scene.write("rows.parquet", &parquet("body", &["one", "two"]));
    refuses(
        &scene,
        &["data.sources=[{path=\"rows.parquet\"}]"],
        "error: expected a column `text` in `rows.parquet`, found `body`\n\
         hint: name the column that holds the text, as in `text = \"body\"`",
    );
    scene.write("rows.parquet", b"PAR1 and no more");
    let error = scene.fails(&[
        "run",
        "tiny.toml",
        "--out",
        "rows",
        "--set",
        "data.sources=[{path=\"rows.parquet\"}]",
    ]);
    assert!(error.contains("in `rows.parquet`, found an error at"), "{error}");
    refuses(
        &scene,
        &["data.validation={by=\"hash\",fraction=0.0001}"],
        "error: expected at least 1 validation tokens, found 0 (a fraction of 0.0001 by hash)\n\
         hint: add text, hold out more of it (data.validation), or set a smaller train.seq_len",
    );
}

/// One column of texts.
fn parquet(column: &str, rows: &[&str]) -> Vec<u8> {
    use parquet::{
        data_type::ByteArrayType, file::writer::SerializedFileWriter, schema::parser::parse_message_type,
    };
    let schema = format!("message rows {{ REQUIRED BYTE_ARRAY {column} (UTF8); }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut values = group.next_column().unwrap().unwrap();
    let rows: Vec<_> = rows.iter().map(|&row| row.into()).collect();
    values.typed::<ByteArrayType>().write_batch(&rows, None, None).unwrap();
    values.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn numbers_out_of_range() {
    let scene = Scene::new();
    for (change, told, hint) in [
        (
            "data.validation={by=\"tail\",fraction=nan}",
            "in `tiny.toml`: `validation.fraction` must be between 0 and 1, found NaN",
            IN_DATA,
        ),
        ("data.sources=[]", "in `tiny.toml`: `sources` must be one source or more, found none", IN_DATA),
        (
            "data.sources=[{path=\"corpus.txt\",weight=-1.0}]",
            "in `tiny.toml`: `weight` must be a number above 0, found -1 at `corpus.txt`",
            IN_DATA,
        ),
        ("data.shard_tokens=0", "in `tiny.toml`: `shard_tokens` must be at least 1, found 0", IN_DATA),
        (
            "budget.minutes=nan",
            "in `tiny.toml`: `budget.minutes` must be positive, found NaN",
            "hint: 3 is enough to see a model learn",
        ),
        (
            "budget.minutes=-3",
            "in `tiny.toml`: `budget.minutes` must be positive, found -3",
            "hint: 3 is enough to see a model learn",
        ),
        (
            "samples.sampling.temperature=nan",
            "in `tiny.toml`: in [samples.sampling]: `temperature` must be 0 or more, found NaN",
            "hint: 0 takes the most likely token",
        ),
        ("model.n_layers=0", "`n_layers` must be at least 1, found 0", IN_MODEL),
        ("model.n_layers=4000000", "`n_layers` must be at most 65536, found 4000000", IN_MODEL),
        (
            "model.d_model=9000000000000000000",
            "`d_model` must be below 2^32, found 9000000000000000000",
            IN_MODEL,
        ),
        (
            "model.d_model=4000000000",
            "the model would have 3.8e20 parameters, this machine can address 2.9e17",
            "hint: check the sizes in [model] for a slipped digit",
        ),
        (
            "model={d_model=32,n_heads=5,qk_norm=false}",
            "`n_heads` is 5 and must divide `d_model`, which is 32",
            "hint: choose a divisor of 32",
        ),
        (
            "model.n_kv_heads=3",
            "`n_kv_heads` is 3 and must divide `n_heads`, which is 2",
            "hint: choose a divisor of 2",
        ),
        ("model.n_heads=32", "`d_head` must be even (rotary embedding turns pairs), found 1", IN_MODEL),
        ("model.norm_eps=nan", "`norm_eps` must be positive and finite, found NaN", IN_MODEL),
        ("model.max_seq_len=16", "`seq_len` must be at most the model's `max_seq_len`, found 32", IN_TRAIN),
        ("train.steps=0", "`steps` must be at least 1, found 0", IN_TRAIN),
        (
            "train.steps=9000000000000000000",
            "`steps` must be few enough for at most 2^62 tokens in all, found 9000000000000000000",
            IN_TRAIN,
        ),
        (
            "train.batch_rows=9000000000000000000",
            "`batch_rows` must be below 2^32, found 9000000000000000000",
            IN_TRAIN,
        ),
        (
            "train.micro_batch_rows=9000000000000000000",
            "`micro_batch_rows` must be below 2^32, found 9000000000000000000",
            IN_TRAIN,
        ),
        (
            "train.warmup_steps=9223372036854775807",
            "`warmup_steps` must be at most `steps`, together with `decay_steps`, found 9223372036854775816",
            IN_TRAIN,
        ),
        ("train.max_grad_norm=nan", "`max_grad_norm` must be positive, found NaN", IN_TRAIN),
        ("train.learning_rates.matrix=-1.0", "`learning_rates.matrix` must be positive, found -1", IN_TRAIN),
        ("train.beta1=1.0", "`beta1` must be at least 0 and below 1, found 1", IN_TRAIN),
        (
            "budget.train_flops=1e300",
            "`train_flops` must be positive and at most 1e30, found 1e300",
            IN_TRAIN,
        ),
        ("budget.minutes=1e300", "`train_flops` must be positive and at most 1e30, found inf", IN_TRAIN),
        (
            "tokenizer.vocab_size=500",
            "`vocab_size` must be 272 for the kind `bytes`, found 500",
            "hint: leave `vocab_size` out, or set kind `bpe`",
        ),
        (
            "train.eval_tokens=8",
            "expected at least 32 validation tokens, found 8 (limited to 8, rows of 32)",
            "hint: add text, hold out more of it (data.validation), or set a smaller train.seq_len",
        ),
        (
            "samples.prompts=[\"a prompt that does not fit into thirty-two\"]",
            "a prompt of [samples] is 42 tokens, the model reads 32",
            "hint: shorten it",
        ),
    ] {
        refuses(&scene, &[change], &format!("error: {told}\n{hint}"));
    }
    let error = scene.fails(&[
        "run",
        "tiny.toml",
        "--out",
        "out",
        "--set",
        "tokenizer={kind=\"bpe\",vocab_size=5000}",
    ]);
    assert!(
        error
            .starts_with("error: expected 5000 tokens in the vocabulary, found that the text supports only "),
        "{error}"
    );
}

/// Sizes that could be counted but not held: refused before memory is asked for.
#[test]
fn models_that_no_memory_holds() {
    let scene = Scene::new();
    for changes in [
        &["model.d_model=10000000"][..],
        &["budget.train_flops=1e29", "model={}", "train={}"],
        &["train.batch_rows=4000000000", "train.micro_batch_rows=4000000000"],
    ] {
        let changes = changes.iter().flat_map(|change| ["--set", change]).collect::<Vec<_>>();
        let error = scene.fails(&[&["run", "tiny.toml", "--out", "out"], &changes[..]].concat());
        assert!(
            error.starts_with("error: this training takes at least ")
                && error.contains(" GB of memory, this machine has "),
            "{error}"
        );
    }
}

#[test]
fn a_run_that_diverges() {
    let scene = Scene::new();
    let error = scene.fails(&["run", "tiny.toml", "--out", "out", "--set", "train.learning_rates.head=1e38"]);
    assert!(
        error.starts_with("error: step ") && error.contains("expected a finite number; batch at {"),
        "{error}"
    );
    assert!(error.ends_with("hint: lower the learning rates in [train], or look at that batch; the checkpoint before it is kept"), "{error}");
}

#[test]
fn stages_whose_predecessor_is_missing() {
    let scene = Scene::new();
    scene.refuses(
        &["pretrain", "tiny.toml", "--out", "run"],
        "error: expected what the stage `tokenizer` leaves in `run/tokenizer`, found no `tokenizer.json` there\n\
         hint: `maquette run` takes all stages in their order",
    );
    scene.ok(&["tokenizer", "train", "tiny.toml", "--out", "run"]);
    scene.refuses(
        &["pretrain", "tiny.toml", "--out", "run"],
        "error: expected what the stage `data` leaves in `run/data`, found no `manifest.jsonl` there\n\
         hint: `maquette run` takes all stages in their order",
    );
    scene.refuses(
        &["report", "none"],
        "error: the report is built from `recipe.toml`, which cannot be read in `none`: No such file or directory (os error 2)\n\
         hint: `maquette run` with the run's recipe writes it, or says what is lost and goes on",
    );
}

#[test]
fn shards_that_are_cut_are_refused_and_made_again() {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--only", "tokenizer,data"]);
    let shard = scene.path("run/data/train-00000.tokens");
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[..whole.len() - 3]).unwrap();
    let (expected, found) = (whole.len(), whole.len() - 3);
    scene.refuses(
        &["pretrain", "tiny.toml", "--out", "run"],
        &format!(
            "error: expected {expected} bytes in `run/data/train-00000.tokens`, found {found} bytes\n\
             hint: the file is damaged or not from this version; prepare the data again"
        ),
    );
    let said = scene.ok(&["data", "prepare", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("data made again: expected "), "{}", said.stderr);
    assert!(fs::read(&shard).unwrap() == whole);
}

#[test]
fn tokenizers_of_other_runs() {
    let scene = Scene::trained();
    let bpe = "tokenizer={kind=\"bpe\",vocab_size=280}";
    scene.ok(&["run", "tiny.toml", "--out", "other", "--only", "tokenizer,data", "--set", bpe]);
    let theirs = fs::read(scene.path("other/tokenizer/tokenizer.json")).unwrap();

    let ours = fs::read(scene.path(CHECKPOINT).join("tokenizer.json")).unwrap();
    scene.write(&format!("{CHECKPOINT}/tokenizer.json"), &theirs);
    let error = scene.fails(&["generate", CHECKPOINT]);
    assert!(
        error.starts_with(&format!("error: `{CHECKPOINT}/tokenizer.json` is damaged: expected SHA-256 ")),
        "{error}"
    );
    // Without checksums, as a folder from elsewhere has none, the fingerprint speaks.
    fs::rename(scene.path(CHECKPOINT).join("SHA256SUMS"), scene.path("sums")).unwrap();
    let error = scene.fails(&["generate", CHECKPOINT]);
    assert!(error.starts_with(&format!("error: `{CHECKPOINT}` was trained with tokenizer ")), "{error}");
    assert!(error.ends_with("hint: put back the tokenizer.json that the run wrote"), "{error}");
    scene.write(&format!("{CHECKPOINT}/tokenizer.json"), &ours);
    scene.ok(&["generate", CHECKPOINT, "--max-tokens", "1"]);

    scene.write("run/tokenizer/tokenizer.json", &theirs);
    let error = scene.fails(&["pretrain", "tiny.toml", "--out", "run"]);
    assert!(
        error.starts_with("error: expected data made by tokenizer ") && error.contains(" in `run/data/"),
        "{error}"
    );
    assert!(error.ends_with("hint: prepare the data again with this tokenizer"), "{error}");
    scene.write("run/tokenizer/tokenizer.json", b"{}");
    let error = scene.fails(&["pretrain", "tiny.toml", "--out", "run"]);
    assert!(error.contains("in `run/tokenizer/tokenizer.json`, found "), "{error}");
    scene.ok(&["run", "tiny.toml", "--out", "run", "--only", "tokenizer"]);
    assert!(scene.read("run/tokenizer/tokenizer.json").as_bytes() == ours, "the same one was learned again");
}

#[test]
fn checkpoints_that_are_damaged_or_foreign() {
    let scene = Scene::trained();
    scene.refuses(
        &["generate", "nowhere"],
        "error: expected a checkpoint or the folder of a run at `nowhere`, found nothing there\n\
         hint: give a folder such as runs/NAME, which `maquette run` or `maquette quickstart` makes",
    );
    let weights = scene.path(CHECKPOINT).join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    for command in ["generate", "inspect"] {
        let error = scene.fails(&[command, CHECKPOINT]);
        assert!(
            error.starts_with(&format!(
                "error: `{CHECKPOINT}/model.safetensors` is damaged: expected SHA-256 "
            )),
            "{error}"
        );
        assert!(
            error.ends_with(&format!(
                "hint: take an earlier checkpoint, or copy this one again; if you changed it on purpose, delete its line \
                 in `{CHECKPOINT}/SHA256SUMS`"
            )),
            "{error}"
        );
    }
    // A run goes on from the checkpoint before it, to the same bits.
    fs::remove_file(scene.path("run/pretrain/stage.json")).unwrap();
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("model.safetensors` is damaged"), "{}", said.stderr);
    assert!(fs::read(&weights).unwrap() == whole);

    let about = scene.read(&format!("{CHECKPOINT}/maquette.json"));
    scene.write(
        &format!("{CHECKPOINT}/maquette.json"),
        about.replace("\"format\": 1", "\"format\": 99").as_bytes(),
    );
    let version = env!("CARGO_PKG_VERSION");
    scene.refuses(
        &["generate", CHECKPOINT],
        &format!(
            "error: `{CHECKPOINT}/maquette.json` has format 99, this build reads 1\n\
             hint: use the version of maquette that wrote it ({version})"
        ),
    );
    scene.write(&format!("{CHECKPOINT}/maquette.json"), about.as_bytes());

    let config = scene.read(&format!("{CHECKPOINT}/config.json"));
    fs::remove_file(scene.path(CHECKPOINT).join("SHA256SUMS")).unwrap();
    for (from, to, told) in [
        ("Qwen3ForCausalLM", "MambaForCausalLM", "`architectures` is [\"MambaForCausalLM\"]"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4000000000", "`n_layers` must be at most 65536"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "lacks tensor `model.layers.2."),
        ("\"hidden_size\": 32", "\"hidden_size\": 64", "is [272, 32], the config wants [272, 64]"),
    ] {
        assert!(config.contains(from), "{config}");
        scene.write(&format!("{CHECKPOINT}/config.json"), config.replace(from, to).as_bytes());
        let error = scene.fails(&["inspect", CHECKPOINT]);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn requests_that_a_checkpoint_cannot_answer() {
    let scene = Scene::trained();
    let long = "a prompt that does not fit into thirty-two";
    for (args, told, hint) in [
        (
            ["--prompt", long],
            "the prompt is 42 tokens, this model reads 32 with what it adds",
            "shorten the prompt",
        ),
        (
            ["--temperature", "nan"],
            "--temperature must be 0 or more, found NaN",
            "0 takes the most likely token",
        ),
        (["--top-p", "1.5"], "--top-p must be from 0 to 1, found 1.5", "1 switches it off"),
        (["--min-p", "2"], "--min-p must be from 0 to 1, found 2", "0 switches it off"),
        (
            ["--repetition-penalty", "0"],
            "--repetition-penalty must be positive, found 0",
            "1 switches it off",
        ),
    ] {
        scene.refuses(
            &[&["generate", CHECKPOINT], &args[..]].concat(),
            &format!("error: {told}\nhint: {hint}"),
        );
    }
    let too_many = ["1"; 33].join(",");
    let inspect = |ids| ["inspect", CHECKPOINT, "--ids", ids, "--logits", "logits"];
    scene.refuses(
        &inspect("0,272"),
        "error: expected ids below 272, found 272\nhint: that is this model's vocabulary",
    );
    scene.refuses(
        &inspect(&too_many),
        "error: expected at most 32 ids, found 33\nhint: that is the longest sequence of this model",
    );
    scene.refuses(
        &["tokenizer", "encode", "run/tokenizer", "none.txt"],
        "error: cannot read `none.txt`: No such file or directory (os error 2)\nhint: check the path",
    );
    // What clap refuses ends with 2.
    assert_eq!(scene.run(&inspect("0,-1")).status.code(), Some(2));
    assert_eq!(scene.run(&["generate", CHECKPOINT, "--max-tokens", "many"]).status.code(), Some(2));
}

#[test]
fn files_of_a_run_that_are_damaged() {
    let scene = Scene::trained();
    let summary = scene.read("run/pretrain/summary.json");
    scene.write("run/pretrain/summary.json", b"{\n");
    // It is made again, and nothing is trained twice.
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("continues after step 24 of 24"), "{}", said.stderr);
    assert_eq!(scene.read("run/pretrain/summary.json"), summary);

    for stage in ["tokenizer", "data", "pretrain"] {
        scene.write(&format!("run/{stage}/stage.json"), b"garbage");
        let weights = fs::read(scene.path(CHECKPOINT).join("model.safetensors")).unwrap();
        scene.ok(&["run", "tiny.toml", "--out", "run"]);
        assert!(fs::read(scene.path(CHECKPOINT).join("model.safetensors")).unwrap() == weights, "{stage}");
    }
    fs::write(scene.path("run/recipe.toml"), b"name = 3").unwrap();
    scene.ok(&["run", "tiny.toml", "--out", "run"]);
}

#[cfg(unix)]
#[test]
fn folders_that_cannot_be_written() {
    let scene = Scene::new();
    scene.write("taken", b"a file");
    let hint = "hint: choose a folder that you may write to, with --out";
    scene.refuses(
        &["run", "tiny.toml", "--out", "taken"],
        "error: expected a folder as --out, `taken` is a file\nhint: choose another folder with --out",
    );
    let error = scene.fails(&["run", "tiny.toml", "--out", "taken/run"]);
    assert!(error.starts_with("error: expected a folder as --out, `taken` is a file"), "{error}");
    if cfg!(target_os = "linux") {
        // Not even root may.
        let error = scene.fails(&["run", "tiny.toml", "--out", "/proc/maquette-out"]);
        assert!(
            error.starts_with("error: cannot create `/proc/maquette-out`: ") && error.ends_with(hint),
            "{error}"
        );
    }

    let scene = Scene::trained();
    fs::remove_file(scene.path("run/pretrain/samples.jsonl")).unwrap();
    scene.write("run/pretrain/samples.jsonl/in the way", b"");
    scene.refuses(
        &["run", "tiny.toml", "--out", "run"],
        "error: cannot write `run/pretrain/samples.jsonl`: is a directory\n\
         hint: move away what stands there, or choose another --out",
    );
    fs::remove_dir_all(scene.path("run/pretrain/samples.jsonl")).unwrap();
    let said = scene.ok(&["run", "tiny.toml", "--out", "run"]);
    assert!(said.stderr.contains("pretrain kept"), "{}", said.stderr);
}
