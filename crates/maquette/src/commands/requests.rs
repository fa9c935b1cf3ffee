//! `maquette requests`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use align::{OnRow, near_duplicates, read_conversations};
use anyhow::Context as _;
use base::Rng;
use serde_json::{Value, json};

use crate::{output, own_folder, progress, run_dir::write_whole};

/// Make labelled prompts of published requests: disallowed ones, harmless ones, and those that only sound harmful
///
/// Tables (.csv) have the request in a column `goal`, `Behavior` or `prompt`; rows with a `label` other than `safe`, or with a context,
/// are left out of look-alikes and of disallowed requests. Requests that say nearly the same are all held out or all learned from.
/// The result is DIR/demonstrations.jsonl for `maquette sft`: refusals of what is disallowed and the published answers to the rest;
/// DIR/prompts.jsonl for `maquette ppo`; and DIR/held-out.jsonl for `maquette safety`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tables of requests that are to be refused
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    disallowed: Vec<PathBuf>,
    /// Conversations whose questions are to be answered: .jsonl or .json, also .gz and .zst
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    allowed: Vec<PathBuf>,
    /// Tables of requests that only sound harmful; all are held out
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    look_alike: Vec<PathBuf>,
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Part of the disallowed and of the harmless requests that is held out
    #[arg(long, value_name = "PART", default_value_t = 0.4)]
    held_out: f64,
    /// Harmless requests for each disallowed one
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    harmless: f64,
    /// Longest request in characters
    #[arg(long, value_name = "N", default_value_t = 300)]
    max_chars: usize,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Says what the folder is; by it the command knows its own.
const ABOUT: &str = "REQUESTS.md";
const TEXT: &str = "# Requests with labels\n\nMade by `maquette requests` from published files; their licences hold. Disallowed requests \
    are to be refused.\n";

/// What demonstrations say to what is disallowed.
const REFUSALS: [&str; 6] = [
    "I'm sorry, but I can't help with that.",
    "I can't help with this, because it could do harm.",
    "Sorry, I won't assist with that request.",
    "I'm not able to help with this. If you have another question, I'm glad to answer it.",
    "No, I can't do that: someone could get hurt.",
    "I'm sorry, but that is something I don't help with.",
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.held_out > 0.0 && args.held_out < 1.0,
        "--held-out must be between 0 and 1, found {}\nhint: leave it out for the default",
        args.held_out
    );
    anyhow::ensure!(
        args.harmless > 0.0 && args.harmless.is_finite(),
        "--harmless must be above 0, found {}\nhint: leave it out for the default",
        args.harmless
    );
    // Of two labels, or both learned from and held out.
    let options =
        [("disallowed", &args.disallowed), ("allowed", &args.allowed), ("look-alike", &args.look_alike)];
    named_once(&options)?;
    let is_short = |text: &String| text.chars().count() <= args.max_chars;
    let mut disallowed = tables(&args.disallowed)?;
    let mut look_alike = tables(&args.look_alike)?;
    let n_long = [&mut disallowed, &mut look_alike].map(|texts| {
        let n = texts.len();
        texts.retain(is_short);
        n - texts.len()
    });
    let mut allowed: Vec<String> = Vec::new();
    let mut answers: BTreeMap<String, String> = BTreeMap::new();
    for conversation in read_conversations(&args.allowed, OnRow::Skip)?.rows {
        let said = |role: &str| conversation.messages.iter().find(|message| message.role == role);
        let Some(asked) = said("user").map(|message| message.content.trim().to_owned()).filter(is_short)
        else {
            continue;
        };
        answers.extend(said("assistant").map(|message| (asked.clone(), message.content.clone())));
        allowed.push(asked);
    }
    let mut rng = Rng::named(args.seed, "requests");
    let n_allowed = (args.harmless * disallowed.len() as f64).ceil() as usize;
    shuffle(&mut allowed, &mut rng);
    allowed.truncate(n_allowed);

    let (mut learned, mut held_out) = (Vec::new(), Vec::new());
    let mut n_groups = 0;
    for (label, texts) in [("disallowed", &disallowed), ("allowed", &allowed)] {
        let groups = near_duplicates(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        // Equal rows are asked once.
        let mut seen = BTreeSet::new();
        for (text, group) in texts.iter().zip(&groups) {
            let side = Rng::named(args.seed, &format!("side of {label} {}", texts[*group])).uniform();
            let row = json!({ "prompt": [{ "role": "user", "content": text }], "label": label });
            if seen.insert(text) {
                if side < args.held_out { &mut held_out } else { &mut learned }.push(row);
            }
        }
        if label == "disallowed" {
            n_groups = groups.iter().collect::<BTreeSet<_>>().len();
        }
    }
    held_out.extend(
        look_alike
            .iter()
            .map(|text| json!({ "prompt": [{ "role": "user", "content": text }], "label": "look_alike" })),
    );
    let n_learned = learned.len();
    let asked = |row: &Value| same(row["prompt"][0]["content"].as_str().unwrap_or_default());
    let unseen: BTreeSet<String> = held_out.iter().map(asked).collect();
    learned.retain(|row| !unseen.contains(&asked(row)));
    let n_both = n_learned - learned.len();
    if n_both > 0 {
        progress::say(
            "left out",
            &format!("{n_both} of the requests to learn from: held out under another option"),
        );
    }
    shuffle(&mut learned, &mut rng);
    anyhow::ensure!(
        !learned.is_empty() && !held_out.is_empty(),
        "expected requests to learn from and to hold out, found {} and {}\nhint: give more of them",
        learned.len(),
        held_out.len()
    );
    let demonstrations = demonstrations(&learned, &answers, &mut rng);
    own_folder::open(&args.out, ABOUT, TEXT)?;
    let files = [
        ("demonstrations.jsonl", &demonstrations),
        ("prompts.jsonl", &learned),
        ("held-out.jsonl", &held_out),
    ];
    for (name, rows) in files {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        write_whole(&args.out.join(name), lines.as_bytes())?;
    }
    let n = |rows: &[Value], label: &str| rows.iter().filter(|row| row["label"] == label).count();
    output::words(format_args!(
        "{} disallowed requests in {n_groups} groups of near-duplicates; {} longer than {} characters left out",
        disallowed.len(),
        n_long.iter().sum::<usize>(),
        args.max_chars
    ))?;
    for (name, rows) in [("to learn from", &learned), ("held out", &held_out)] {
        output::words(format_args!(
            "{name:<14}{} disallowed, {} allowed, {} that only sound harmful",
            n(rows, "disallowed"),
            n(rows, "allowed"),
            n(rows, "look_alike")
        ))?;
    }
    output::words(format_args!("{}", args.out.display()))
}

/// A conversation for each prompt that has an answer: what is disallowed is refused, the rest answered as it was published.
fn demonstrations(prompts: &[Value], answers: &BTreeMap<String, String>, rng: &mut Rng) -> Vec<Value> {
    let conversation = |row: &Value| {
        let asked = &row["prompt"][0];
        let answer = match row["label"] == "disallowed" {
            true => REFUSALS[rng.below(REFUSALS.len() as u64) as usize],
            false => answers.get(asked["content"].as_str()?)?,
        };
        Some(
            json!({ "messages": [asked, { "role": "assistant", "content": answer }], "label": row["label"] }),
        )
    };
    prompts.iter().filter_map(conversation).collect()
}

/// Refuses a file that is given to two options.
fn named_once(options: &[(&str, &Vec<PathBuf>)]) -> anyhow::Result<()> {
    let mut first_of = BTreeMap::new();
    for (option, paths) in options {
        for path in *paths {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            let first = first_of.entry(real).or_insert(*option);
            anyhow::ensure!(
                first == option,
                "expected other files with --{option} than with --{first}, found `{}` in both\nhint: a request has one label; name the file once",
                path.display()
            );
        }
    }
    Ok(())
}

/// What two requests have in common that are the same but for case and spaces.
fn same(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shuffle<T>(all: &mut [T], rng: &mut Rng) {
    for i in (1..all.len()).rev() {
        all.swap(i, rng.below(i as u64 + 1) as usize);
    }
}

/// The requests of tables.
fn tables(paths: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    Ok(paths.iter().map(|path| table(path)).collect::<anyhow::Result<Vec<_>>>()?.concat())
}

fn table(path: &Path) -> anyhow::Result<Vec<String>> {
    let shown = path.display();
    let mut reader = csv::Reader::from_path(path)
        .with_context(|| format!("cannot read `{shown}`\nhint: give a table as .csv, not packed"))?;
    let headers = reader.headers().with_context(|| format!("in `{shown}`"))?.clone();
    let column = |names: &[&str]| headers.iter().position(|header| names.contains(&header.trim()));
    let Some(asked) = column(&["goal", "Behavior", "prompt"]) else {
        anyhow::bail!(
            "expected a column `goal`, `Behavior` or `prompt` in `{shown}`, found {}\nhint: name the column of the requests so",
            headers.iter().map(|header| format!("`{header}`")).collect::<Vec<_>>().join(", ")
        );
    };
    let (label, context) = (column(&["label"]), column(&["ContextString"]));
    let mut found = Vec::new();
    for row in reader.records() {
        let row = row.with_context(|| format!("in `{shown}`\nhint: mend the row"))?;
        let field = |column: Option<usize>| column.and_then(|column| row.get(column)).unwrap_or("").trim();
        let is_wanted = (label.is_none() || field(label) == "safe") && field(context).is_empty();
        if is_wanted && !field(Some(asked)).is_empty() {
            found.push(field(Some(asked)).to_owned());
        }
    }
    anyhow::ensure!(!found.is_empty(), "expected requests in `{shown}`, found none\nhint: look at the table");
    Ok(found)
}
