//! What people give to fine-tuning and evaluation by mistake: options out of range, files that are none, folders of others.

use std::fs;

use serde_json::json;

use crate::scene::{CHECKPOINT, Scene};

/// A run that reads 96 tokens, with chats, pairs and prompts.
fn trained() -> Scene {
    let scene = Scene::new();
    scene.ok(&["run", "tiny.toml", "--out", "run", "--set", "train.seq_len=96"]);
    let chat = |i: usize| json!({"prompt": format!("{i}?"), "completion": "aa"});
    let pair = |i: usize| json!({"prompt": format!("{i}?"), "chosen": "aaaa", "rejected": "zzz"});
    let prompt = |i: usize| json!({"prompt": format!("{i}?"), "answer": "a"});
    let write = |name: &str, row: &dyn Fn(usize) -> serde_json::Value| {
        let rows: String = (0..40).map(|i| format!("{}\n", row(i))).collect();
        scene.write(name, rows.as_bytes());
    };
    write("chats.jsonl", &chat);
    write("pairs.jsonl", &pair);
    write("prompts.jsonl", &prompt);
    scene
}

const POLICY: [&str; 16] = [
    "--rule",
    "contains",
    "--iterations",
    "2",
    "--rollouts",
    "8",
    "--batch",
    "8",
    "--max-tokens",
    "6",
    "--n-held-out",
    "4",
    "--lr",
    "0.003",
    "--threads",
    "1",
];

fn policy<'a>(method: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[method, "run", "--prompts", "prompts.jsonl", "--out", "new"], &POLICY[..], more].concat()
}

/// Commands without a recipe name their options, and speak of no recipe.
#[test]
fn options_out_of_range_are_named_as_they_were_given() {
    let scene = trained();
    let with = |args: &[&'static str], more: &[&'static str]| [args, &["--out", "new"], more].concat();
    let sft = |more: &[&'static str]| with(&["sft", "run", "--data", "chats.jsonl"], more);
    let standin = |more: &[&'static str]| with(&["standin", "--env", "reverse"], more);
    let dpo = |more: &[&'static str]| with(&["dpo", "run", "--data", "pairs.jsonl"], more);
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (sft(&["--lr", "0"]), "--lr must be above 0 and at most 1, found 0"),
        (sft(&["--lr", "nan"]), "--lr must be above 0 and at most 1, found NaN"),
        (sft(&["--rank", "0"]), "--rank must be from 1 to 1,024, found 0"),
        (sft(&["--rank", "4", "--alpha=-1"]), "--alpha must be above 0"),
        (sft(&["--lr", "1e-320"]), "--lr must be positive"),
        (sft(&["--seq-len", "9999"]), "--seq-len must be from 1 to 96"),
        (sft(&["--replay", "run", "--replay-rows", "0"]), "--replay-rows must be at least 1, found 0"),
        (sft(&["--replay", "run", "--replay-weight=-1"]), "--replay-weight must be above 0, found -1"),
        (dpo(&["--beta", "0"]), "--beta must be above 0, found 0"),
        (policy("ppo", &["--gamma", "2"]), "--gamma must be from 0 to 1, found 2"),
        (policy("ppo", &["--lambda=-1"]), "--lambda must be from 0 to 1, found -1"),
        (policy("ppo", &["--clip", "1"]), "--clip must be between 0 and 1, found 1"),
        (policy("ppo", &["--clip-value", "0"]), "--clip-value must be above 0, found 0"),
        (policy("ppo", &["--value-weight", "inf"]), "--value-weight must be above 0, found inf"),
        (policy("ppo", &["--beta=-1"]), "--beta must be 0 or more, found -1"),
        (policy("ppo", &["--max-kl", "0"]), "--max-kl must be above 0, found 0"),
        (policy("ppo", &["--kl-target", "0"]), "--kl-target must be above 0, found 0"),
        (policy("ppo", &["--temperature", "0"]), "--temperature must be above 0"),
        (policy("ppo", &["--top-p", "2"]), "--top-p must be from 0 to 1, found 2"),
        (policy("ppo", &["--repetition-penalty", "0"]), "--repetition-penalty must be positive, found 0"),
        (policy("ppo", &["--max-turns", "0"]), "--max-turns must be at least 1, found 0"),
        (policy("ppo", &["--rule-weight", "nan"]), "--rule-weight must be a finite number, found NaN"),
        (policy("ppo", &["--cut-penalty", "inf"]), "--cut-penalty must be finite, found inf"),
        (policy("grpo", &["--group", "1"]), "--group must be at least 2, found 1"),
        (
            policy("grpo", &["--group", "3"]),
            "--rollouts must be a multiple of the batch, and of the group, found 8",
        ),
        (standin(&["--right", "1.5"]), "--right must be from 0 to 1, found 1.5"),
        (standin(&["--expert", "nan"]), "--expert must be from 0 to 1, found NaN"),
    ];
    for (args, message) in cases {
        let error = scene.fails(&args);
        assert!(error.starts_with(&format!("error: {message}")), "{args:?}: {error}");
        assert!(!error.contains("recipe") && !error.contains("[train]"), "{args:?}: {error}");
        assert!(!scene.path("new").exists(), "{args:?} left a folder");
    }
}

/// Prompts that leave no room for an answer are left out and counted; only where none is left is there an error.
#[test]
fn prompts_that_are_too_long_are_left_out() {
    let scene = trained();
    let long = json!({"prompt": "x".repeat(300), "answer": "a"});
    let rows = scene.read("prompts.jsonl") + &format!("{long}\n");
    scene.write("prompts.jsonl", rows.as_bytes());
    for (method, out) in [("ppo", "a"), ("grpo", "b")] {
        let more: &[&str] = if method == "grpo" { &["--group", "4"] } else { &[] };
        let args = policy(method, more);
        let args: Vec<&str> = args.into_iter().map(|arg| if arg == "new" { out } else { arg }).collect();
        let said = scene.ok(&args);
        assert!(said.stderr.contains("left out: 1 longer than"), "{}", said.stderr);
    }
    scene.write(
        "prompts.jsonl",
        format!("{long}\n{}\n", json!({"prompt": "y".repeat(300), "answer": "a"})).as_bytes(),
    );
    let error = scene.fails(&policy("ppo", &[]));
    assert!(error.contains("2 longer than") && error.contains("found none in 2 rows"), "{error}");
    // Of a program's problems, too.
    let env = "sh -c 'while read line; do n=$(echo \"$line\" | sed -E \"s/.*episode\\\":([0-9]+).*/\\1/\"); p=$(echo \"$line\" | sed -nE \"s/.*problem\\\":([0-9]+).*/\\1/p\"); case \"$line\" in *reset*) if [ $((p % 3)) = 0 ]; then t=$(printf %300s x); else t=hi; fi; echo \"{\\\"episode\\\":$n,\\\"messages\\\":[{\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"$t\\\"}]}\";; *) echo \"{\\\"episode\\\":$n,\\\"reward\\\":0.5,\\\"observation\\\":null}\";; esac; done'";
    let args = ["ppo", "run", "--program", env, "--out", "c", "--json"];
    let said = scene.ok(&[&args[..], &POLICY[2..]].concat()).json();
    let left_out = said["left_out"].as_object().unwrap();
    assert!(
        left_out.iter().next().is_some_and(|(why, n)| why.starts_with("longer than") && *n == json!(6)),
        "{said}"
    );
}

#[test]
fn files_that_are_no_text_are_named_by_line_and_byte() {
    let scene = Scene::trained();
    let latin = b"{\"question\": \"2?\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n{\"question\": \"gr\xfc\xdfe?\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n";
    scene.write("quiz.jsonl", latin);
    let offset = latin.iter().position(|byte| *byte == 0xfc).unwrap();
    let error = scene.fails(&["eval", CHECKPOINT, "--tasks", "quiz.jsonl"]);
    let expected = format!("the byte 0xfc in line 2 (offset {offset}), which is not UTF-8");
    assert!(error.contains(&expected) && !error.contains("compressed content"), "{error}");
    scene.write("quiz.csv", b"question,A,B,answer\ngr\xfc\xdfe?,a,b,0\n");
    let error = scene.fails(&["eval", CHECKPOINT, "--tasks", "quiz.csv"]);
    assert!(error.contains("the byte 0xfc in line 2 (offset 22)"), "{error}");
    scene.write("chats.jsonl", b"\x00\xff\xfe\x01 binary \x80\n");
    for command in ["sft", "dpo", "reward"] {
        let error = scene.fails(&[command, "run", "--data", "chats.jsonl", "--out", "new"]);
        assert!(!error.contains("compressed content"), "{command}: {error}");
        assert!(error.contains("`chats.jsonl`") && error.contains("hint:"), "{command}: {error}");
    }
    scene.write(
        "chats.jsonl",
        b"{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"\xe9\", \"completion\": \"b\"}\n",
    );
    let error = scene.fails(&["sft", "run", "--data", "chats.jsonl", "--out", "new"]);
    assert!(error.contains("the byte 0xe9 in line 2 (offset 47)"), "{error}");
    // A quiz under another ending.
    scene.write("q.txt", b"2+2?\n4\n");
    scene.write("q.json", b"[]\n");
    for name in ["q.txt", "q.json"] {
        let error = scene.fails(&["eval", CHECKPOINT, "--tasks", name]);
        assert!(error.contains(&format!("expected a quiz as .jsonl, .csv, .tsv or .parquet, the first three also as .gz and .zst in `{name}`")), "{error}");
    }
}

/// A file where a folder must be, and folders of other things.
#[test]
fn outputs_do_not_take_what_is_not_theirs() {
    let scene = trained();
    scene.write("taken", b"mine");
    scene.write("quiz.jsonl", b"{\"question\": \"2?\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n");
    for args in [
        &["standin", "--rows", "10"][..],
        &["standin", "--rows", "10", "--env", "reverse"],
        &["sft", "run", "--data", "chats.jsonl"],
        &["align", "run"],
        &["eval", "run", "--tasks", "quiz.jsonl"],
    ] {
        for out in ["taken", "taken/below"] {
            let error = scene.fails(&[args, &["--out", out]].concat());
            assert!(error.contains("expected a folder as --out, `taken` is a file"), "{args:?}: {error}");
            assert_eq!(scene.read("taken"), "mine");
        }
    }
    scene.write("thesis/chapter.tex", b"mine");
    scene.write(
        "steps.toml",
        b"result = \"s\"\n[[steps]]\nrun = \"standin --out {out}/s --rows 10 --seed {seed}\"\n",
    );
    let align = |out: &'static str| ["align", "run", "--recipe", "steps.toml", "--out", out];
    let error = scene.fails(&align("thesis"));
    assert!(error.contains("found other files, such as `chapter.tex`"), "{error}");
    assert_eq!(fs::read_dir(scene.path("thesis")).unwrap().count(), 1);
    // Its own it knows, with and without its mark.
    scene.ok(&align("mine"));
    scene.ok(&align("mine"));
    fs::remove_file(scene.path("mine/steps.txt")).unwrap();
    scene.ok(&align("mine"));
    for (option, value) in
        [("--name", ""), ("--name", " "), ("--allow-origin", "foo"), ("--allow-host", "http://a/")]
    {
        let error = scene.fails(&["serve", "run", "--port", "0", option, value]);
        assert!(error.starts_with(&format!("error: {option} must be")), "{error}");
    }
}

/// One example has no spread, and few that are alike prove little.
#[test]
fn one_example_gives_no_certainty() {
    let scene = trained();
    let args: Vec<&str> =
        policy("ppo", &["--json"]).into_iter().map(|arg| if arg == "4" { "1" } else { arg }).collect();
    let said = scene.ok(&args);
    assert_eq!(said.json()["held_out_reward_stderr"], json!(null));
    assert!(
        said.stderr.contains("too few to say how sure") && !said.stderr.contains("± 0.0000"),
        "{}",
        said.stderr
    );
}

#[cfg(unix)]
#[test]
fn one_evaluation_writes_into_a_folder_at_a_time() {
    let scene = Scene::trained();
    scene.write("quiz.jsonl", b"{\"question\": \"2?\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n");
    let eval = ["eval", CHECKPOINT, "--tasks", "quiz.jsonl", "--out", "scores"];
    scene.ok(&eval);
    let before = scene.files("scores");
    assert!(!scene.path("scores/eval/.lock").exists(), "the mark goes with the program");
    let lock = fs::File::create(scene.path("scores/eval/.lock")).unwrap();
    lock.lock().unwrap();
    let error = scene.fails(&eval);
    assert!(
        error.contains("expected `scores/eval` to be free, found that another maquette is using it"),
        "{error}"
    );
    let error = scene.fails(&["scores", "contamination", "scores", "--text", "corpus.txt"]);
    assert!(error.contains("hint:"), "{error}");
    scene.ok(&["scores", "calibration", "scores"]);
    drop(lock);
    scene.ok(&eval);
    assert_eq!(scene.files("scores"), before);
    // Two trainings in one folder.
    scene.write(
        "chats.jsonl",
        b"{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"c\", \"completion\": \"b\"}\n",
    );
    fs::create_dir(scene.path("tuned")).unwrap();
    let lock = fs::File::create(scene.path("tuned/.lock")).unwrap();
    lock.lock().unwrap();
    let sft = ["sft", "run", "--data", "chats.jsonl", "--out", "tuned", "--seq-len", "32"];
    let error = scene.fails(&sft);
    assert!(error.contains("expected `tuned` to be free"), "{error}");
    drop(lock);
    scene.ok(&sft);
    assert!(!scene.path("tuned/.lock").exists());
}

/// What was not scored is said.
#[test]
fn an_unfinished_evaluation_says_so() {
    let scene = Scene::trained();
    let row = |i: usize| json!({"question": format!("{i}?"), "choices": ["a", "b"], "answer": i % 2});
    let rows: String = (0..8).map(|i| format!("{}\n", row(i))).collect();
    scene.write("quiz.jsonl", rows.as_bytes());
    scene.ok(&["eval", CHECKPOINT, "--tasks", "quiz.jsonl", "--out", "scores"]);
    let calibration = ["scores", "calibration", "scores"];
    assert!(!scene.ok(&calibration).stderr.contains("of 8 items"));
    let path = "scores/eval/quiz-0shot.jsonl";
    let items = scene.read(path);
    let cut = items.len() - 20;
    scene.write(path, &items.as_bytes()[..cut]);
    let said = scene.ok(&calibration);
    assert!(said.stderr.contains("quiz: 7 of 8 items; the last was cut off"), "{}", said.stderr);
    let three: String = items.lines().take(3).map(|line| format!("{line}\n")).collect();
    scene.write(path, three.as_bytes());
    for command in
        [&calibration[..], &["scores", "abstention", "scores"], &["eval", "--rescore", "--out", "scores"]]
    {
        let said = scene.ok(command);
        assert!(said.stderr.contains("quiz: 3 of 8 items"), "{command:?}: {}", said.stderr);
    }
}
