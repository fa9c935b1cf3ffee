//! A small run is killed, torn, and refused by its disk at each of its operations; the same command then makes of it what a
//! run without failure makes, and nothing else lies in its folder.
//!
//! The run is taken in legs, each from a copy of the folder in which it begins, so that what comes before a failure need not
//! be computed for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::scene::{Said, Scene, text};

const RECIPE: &str = r#"
name = "small"
[budget]
train_flops = 6e9
[data]
sources = [{ path = "text.txt" }]
validation = { by = "tail", fraction = 0.1 }
[tokenizer]
kind = "bytes"
[model]
n_layers = 1
[train]
seq_len = 16
tokens_per_param = 20.0
eval_tokens = 256
final_eval_tokens = 1024
dtype = "f32"
checkpoint_every_steps = 250
[ladder]
max_fraction = 0.5
n_budgets = 4
seeds = 1
sweep = false
[samples]
max_tokens = 8
"#;

const KINDS: [&str; 4] = ["kill", "torn", "eio", "enospc"];

/// A part of the run.
struct Leg {
    /// Stages, as `--only` takes them.
    stages: &'static str,
    /// The folder in which it begins, and that in which it ends.
    begin: String,
    end: String,
    /// What was done from one to the other, in order.
    operations: Vec<String>,
}

impl Leg {
    /// Takes the leg once without failure.
    fn new(scene: &Scene, stages: &'static str, begin: &str, end: &str) -> Self {
        let log = scene.path(&format!("{end}.log"));
        copy(scene, begin, end);
        let value = format!("log:{}", log.display());
        let said = Said::by(scene.command(&args(stages, end)).env("MAQUETTE_FAULT", value));
        assert!(said.status.success(), "{}", said.stderr);
        let log = fs::read_to_string(log).unwrap();
        let operations = log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        Self { stages, begin: begin.to_owned(), end: end.to_owned(), operations }
    }

    /// Numbers of the operations to fail: all but those in the middle of a series of lines, which are alike.
    fn numbers(&self) -> Vec<usize> {
        let is_write =
            |i: usize| self.operations.get(i).is_some_and(|operation| operation.starts_with("write"));
        let (mut numbers, mut at) = (Vec::new(), 0);
        while at < self.operations.len() {
            let n = (at..).take_while(|i| is_write(*i)).count();
            if n > 6 {
                numbers.extend([at + 1, at + 2, at + n / 2, at + n]);
            } else {
                numbers.extend(at + 1..=at + n.max(1));
            }
            at += n.max(1);
        }
        numbers
    }

    /// What is wrong after a failure at operation `number` and the same command again.
    fn fault(&self, scene: &Scene, kind: &str, number: usize) -> Vec<Wrong> {
        let out = format!("{kind}-{number}-{}", self.end);
        copy(scene, &self.begin, &out);
        let mut command = scene.command(&args(self.stages, &out));
        let failed = Said::by(command.env("MAQUETTE_FAULT", format!("{kind}:{number}")));
        let mut wrong = Vec::new();
        let is_killed = ["kill", "torn"].contains(&kind);
        if failed.stderr.contains("panicked") {
            wrong.push(Wrong::Lost(format!("panicked: {}", failed.stderr)));
        } else if is_killed != failed.status.code().is_none() {
            wrong.push(Wrong::Lost(format!("ended with {}: {}", failed.status, failed.stderr)));
        } else if !is_killed && !failed.status.success() && !failed.stderr.contains("\nhint: ") {
            wrong.push(Wrong::Lost(format!("no hint: {}", failed.stderr)));
        }
        let again = scene.run(&args(self.stages, &out));
        if again.status.success() {
            wrong.extend(differences(scene, &self.end, &out));
        } else {
            wrong.push(Wrong::Lost(format!("does not go on: {}", again.stderr)));
        }
        let _ = fs::remove_dir_all(scene.path(&out));
        wrong
    }
}

/// What is not as it should be.
enum Wrong {
    Lost(String),
    /// Something that no run without failure leaves.
    Litter(PathBuf),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => f.write_str(what),
            Self::Litter(path) => write!(f, "left `{}`", path.display()),
        }
    }
}

fn args<'a>(stages: &'a str, out: &'a str) -> Vec<&'a str> {
    vec!["run", "small.toml", "--out", out, "--threads", "1", "--only", stages]
}

fn legs(scene: &Scene) -> Vec<Leg> {
    let mut legs = vec![
        Leg::new(scene, "tokenizer,data", "nothing", "prepared"),
        Leg::new(scene, "ladder", "prepared", "ladder"),
    ];
    // The rungs are alike: one is enough, with the others there.
    copy(scene, "ladder", "rung-begin");
    let mut rungs: Vec<PathBuf> = fs::read_dir(scene.path("rung-begin/ladder"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    rungs.sort_by_key(|path| fs::metadata(path).unwrap().len());
    fs::remove_file(&rungs[0]).unwrap();
    let rung = Leg::new(scene, "ladder", "rung-begin", "rung");
    // Of the whole ladder what comes before the first step of its first rung.
    let first = legs[1].operations.iter().position(|operation| operation.starts_with("append")).unwrap();
    legs[1].operations.truncate(first + 2);
    legs.extend([
        rung,
        Leg::new(scene, "forecast", "ladder", "forecast"),
        Leg::new(scene, "pretrain,samples", "forecast", "pretrain"),
        Leg::new(scene, "report", "pretrain", "report"),
    ]);
    legs
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("text.txt", text(60_000).as_bytes());
    scene.write("small.toml", RECIPE.as_bytes());
    scene
}

/// Copies the folder of a run, if it is there.
fn copy(scene: &Scene, from: &str, to: &str) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    if scene.path(from).exists() {
        copy(&scene.path(from), &scene.path(to));
    }
}

/// Every file and folder below a folder.
fn names(root: &Path) -> BTreeSet<PathBuf> {
    let (mut names, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            names.insert(path.strip_prefix(root).unwrap().to_owned());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names
}

fn differences(scene: &Scene, expected: &str, found: &str) -> Vec<Wrong> {
    let (one, other) = (names(&scene.path(expected)), names(&scene.path(found)));
    let mut wrong: Vec<Wrong> = other.difference(&one).cloned().map(Wrong::Litter).collect();
    wrong.extend(one.difference(&other).map(|name| Wrong::Lost(format!("no `{}`", name.display()))));
    let (one, other) = (timeless(scene, expected), timeless(scene, found));
    for (name, content) in &one {
        let Some(there) = other.get(name).filter(|there| *there != content) else { continue };
        let at = content.iter().zip(there).take_while(|(one, other)| one == other).count();
        let shown = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(30)..bytes.len().min(at + 50)]).into_owned()
        };
        let (one, other) = (shown(content), shown(there));
        wrong.push(Wrong::Lost(format!("`{}` differs: `{other}` instead of `{one}`", name.display())));
    }
    wrong
}

/// Every file below a folder, without what a clock says and hashes of that.
fn timeless(scene: &Scene, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = scene.files(folder);
    for (path, content) in &mut files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Ok(text) = String::from_utf8(content.clone()) else { continue };
        let lines: Vec<String> = match name {
            // It shows all the others, and their times.
            "report.html" => vec![text.trim_end().ends_with("</html>").to_string()],
            "SHA256SUMS" => {
                text.lines().filter(|line| !line.contains("trainer.json")).map(str::to_owned).collect()
            }
            _ if name.ends_with(".jsonl") => text.lines().filter_map(without_times).collect(),
            _ if name.ends_with(".json") => without_times(&text).into_iter().collect(),
            _ => continue,
        };
        *content = lines.join("\n").into_bytes();
    }
    files
}

/// None for a line that says that a run went on.
fn without_times(json: &str) -> Option<String> {
    const TIMES: [&str; 11] = [
        "elapsed_s",
        "thread_seconds",
        "tokens_per_second",
        "unix_s",
        "sealed_at",
        "first_step_at",
        // Of files that hold times.
        "metrics_len",
        "checksum",
        "hash",
        "seal",
        "forecast",
    ];
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, value| !TIMES.contains(&name.as_str()) || value.is_object());
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::String(text) => {
                // In sentences, such as a finding of the verdict.
                let is_time = |text: &str| text.parse::<base::Timestamp>().is_ok();
                while let Some(i) = (0..text.len()).find(|i| text.get(*i..*i + 24).is_some_and(is_time)) {
                    text.replace_range(i..i + 24, "TIME");
                }
            }
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned()));
    strip(&mut value);
    (value["kind"] != "resumed").then(|| value.to_string())
}

/// Fails what `choose` takes of each leg and says what came of it.
fn fail_at(kinds: &[&str], choose: impl Fn(usize, usize) -> bool) {
    let scene = scene();
    let legs = legs(&scene);
    let (mut n_tried, mut n_recovered, mut n_litter, mut n_failed) = (0, 0, 0, 0);
    for leg in &legs {
        for (i, number) in leg.numbers().into_iter().enumerate() {
            for (_, kind) in kinds.iter().enumerate().filter(|(k, _)| choose(i, *k)) {
                let wrong = leg.fault(&scene, kind, number);
                n_tried += 1;
                n_recovered += usize::from(!wrong.iter().any(|wrong| matches!(wrong, Wrong::Lost(_))));
                n_litter += usize::from(wrong.iter().any(|wrong| matches!(wrong, Wrong::Litter(_))));
                if !wrong.is_empty() {
                    let operation = &leg.operations[number - 1];
                    for wrong in &wrong {
                        eprintln!("{kind}:{number} of {} ({operation}): {wrong}", leg.stages);
                    }
                    n_failed += 1;
                }
            }
        }
        eprintln!(
            "{kinds:?} up to `{}` ({} operations): {n_tried} tried, {n_recovered} recovered, {n_litter} with litter",
            leg.end,
            leg.operations.len()
        );
    }
    assert!(n_tried > 10, "only {n_tried} operations were tried");
    assert!(n_failed == 0, "{n_failed} of {n_tried} failures left something behind");
}

#[test]
fn a_run_recovers_from_failures_here_and_there() {
    // Each kind at every 97th operation, and never two at the same.
    fail_at(&KINDS, |i, k| (i + 24 * k).is_multiple_of(97));
}

#[test]
#[ignore = "takes minutes"]
fn a_run_recovers_from_a_kill_at_every_operation() {
    fail_at(&["kill"], |_, _| true);
}

#[test]
#[ignore = "takes minutes"]
fn a_run_recovers_from_a_kill_within_every_operation() {
    fail_at(&["torn"], |_, _| true);
}

#[test]
#[ignore = "takes minutes"]
fn a_run_recovers_from_an_error_at_every_operation() {
    fail_at(&["eio"], |_, _| true);
}

#[test]
#[ignore = "takes minutes"]
fn a_run_recovers_from_a_disk_that_is_full_from_any_operation_on() {
    fail_at(&["enospc"], |_, _| true);
}
