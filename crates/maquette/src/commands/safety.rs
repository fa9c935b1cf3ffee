//! `maquette safety`

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use align::RewardModel;
use anyhow::Context as _;
use model::{Gpt, checkpoint};
use serde_json::json;
use tensor::Cpu;

use crate::{
    open_model::{self, Opened},
    output,
    output_file::{Kind, OutputFile},
    progress,
    safety::{Asked, Number, SafetyTable, Stage, TextLosses, Truthful, answers, prompts, ratio, read_text},
    stop,
};

/// What alignment did and what it cost: stages of a model side by side on requests of known label
///
/// Each stage answers the same prompts, drawn from the model's own distribution. What was done in an answer is judged by other signs
/// than a reward's rules read. The table holds shares with their 95 % intervals, and with `--against` how each differs from a stage,
/// prompt by prompt.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stages, such as base=runs/quickstart sft=assistant ppo=better
    #[arg(value_name = "NAME=MODEL", required = true, value_parser = stage)]
    stages: Vec<(String, PathBuf)>,
    /// Prompts with labels, such as held-out.jsonl of `maquette standin`
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// File for the table
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Stage that the others are compared with: changes prompt by prompt, and the divergence from it
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// A run's folder: bits per byte and calibration on the text that it held out
    #[arg(long, value_name = "RUN")]
    text: Option<PathBuf>,
    /// A reward model's folder: what it says of the answers
    #[arg(long, value_name = "DIR")]
    reward: Option<PathBuf>,
    /// TruthfulQA as it is published, .csv or .parquet: how likely each stage holds true answers to be
    #[arg(long, value_name = "FILE")]
    truthful: Option<PathBuf>,
    /// Most prompts, and most questions of --truthful; all if not given
    #[arg(long, value_name = "N", value_parser = super::positive::<usize>())]
    limit: Option<usize>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = super::positive::<usize>())]
    max_tokens: usize,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print the table as JSON on stdout
    #[arg(long)]
    json: bool,
}

fn stage(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty())
        .ok_or("expected NAME=MODEL")?;
    Ok((name.to_owned(), path.into()))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let names: BTreeSet<&String> = args.stages.iter().map(|(name, _)| name).collect();
    anyhow::ensure!(
        names.len() == args.stages.len(),
        "expected stages of different names, found one twice\nhint: name each, as in sft=a ppo=b"
    );
    if let Some(against) = args.against.as_ref().filter(|against| !names.contains(against)) {
        anyhow::bail!(
            "expected one of the stages for --against, found `{against}`\nhint: give its name alone"
        );
    }
    let out = OutputFile { path: &args.out, option: "--out", kind: Kind::Safety };
    out.check()?;
    let asked = Asked::read(&args.prompts, args.limit)?;
    let truthful = args.truthful.as_deref().map(|path| Truthful::read(path, args.limit)).transpose()?;
    if let Some(truthful) = &truthful {
        let notes: String = truthful.notes().iter().map(|note| format!("; {note}")).collect();
        progress::say("truthful", &format!("{} questions{notes}", truthful.len()));
    }
    let reward = args.reward.as_deref().map(RewardModel::open).transpose()?;
    // A slip in the last stage is not to be found after hours of answers of the first.
    let mut checkpoints = BTreeMap::new();
    for (name, path) in &args.stages {
        let dir = checked(path, &asked, reward.as_ref(), args.text.as_deref());
        checkpoints.insert(name, dir.with_context(|| format!("stage `{name}`"))?);
    }
    let kernels = Cpu::new(args.threads);
    let reference = args.against.as_ref().and_then(|against| checkpoints.get(against));
    let reference = reference.map(|dir| open(dir, &kernels));
    let reference = reference.transpose()?.map(|opened| opened.gpt);

    let mut measured: BTreeMap<String, Stage> = BTreeMap::new();
    let mut reliability = BTreeMap::new();
    // Of the first stage.
    let mut text_before: Option<TextLosses> = None;
    for (name, path) in &args.stages {
        if stop::check().is_break() {
            return Err(stop::Abandoned(format!(" before the stage `{name}`; nothing was written")).into());
        }
        progress::say(name, &format!("answers {} prompts", asked.cases.len()));
        let mut measure = || -> anyhow::Result<Stage> {
            let opened = open(&checkpoints[name], &kernels)?;
            let mut stage = measure(args, &opened, &kernels, &asked, reward.as_ref(), reference.as_ref())?;
            stop::still()?;
            stage.add_cost(path);
            if let Some(truthful) = &truthful {
                stage.add_truths(truthful.asked(&opened, &kernels)?);
            }
            if let Some(run) = &args.text {
                let set = read_text(run, &opened.tokenizer, opened.gpt.config().max_seq_len)?;
                let losses = TextLosses::of(&opened.gpt, &kernels, &set, &opened.tokenizer)?;
                let mut add = |name: &str, number: Number| stage.numbers.insert(name.to_owned(), number);
                add("bits_per_byte", losses.bits_per_byte());
                let (error, bins) = losses.calibration();
                add("calibration_error", error);
                reliability.insert(name.clone(), bins);
                match &text_before {
                    None => text_before = Some(losses),
                    Some(before) if before.bits.len() == losses.bits.len() => {
                        if let Some(number) = ratio(&losses.bits, &before.bits) {
                            add("bits_per_byte_over_first", number);
                        }
                    }
                    Some(_) => {}
                }
            }
            Ok(stage)
        };
        let stage = measure().map_err(|error| match error.is::<stop::Abandoned>() {
            true => stop::Abandoned(format!(" in stage `{name}`; nothing was written")).into(),
            false => error.context(format!("stage `{name}`")),
        })?;
        measured.insert(name.clone(), stage);
    }
    let others = |name: &String| args.against.as_ref().filter(|against| *against != name);
    let table = SafetyTable {
        prompts: args.prompts.display().to_string(),
        synthetic: asked.synthetic,
        stages: measured.iter().map(|(name, stage)| (name.clone(), stage.shares())).collect(),
        numbers: measured.iter().map(|(name, stage)| (name.clone(), stage.numbers.clone())).collect(),
        against: args.against.clone(),
        changes: measured
            .iter()
            .filter_map(|(name, stage)| Some((name.clone(), stage.changes(&measured[others(name)?]))))
            .collect(),
        order: args.stages.iter().map(|(name, _)| name.clone()).collect(),
        reliability,
    };
    let mut json = serde_json::to_vec_pretty(&table)?;
    json.push(b'\n');
    out.write(&json)?;
    if args.json {
        return output::json(&json!(table));
    }
    print(&table, &args.stages)
}

fn open(path: &Path, kernels: &Cpu) -> anyhow::Result<Opened> {
    let dtype = crate::pipeline::default_precision(tensor::Isa::current());
    open_model::open(path, kernels, dtype.into())
}

/// The checkpoint of a stage, of which all that is to be measured can be.
fn checked(
    path: &Path,
    asked: &Asked,
    reward: Option<&RewardModel>,
    text: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let dir = open_model::locate(path)?;
    let own = checkpoint::read_config(&dir)?;
    let tokenizer = open_model::tokenizer_of(&dir, own.vocab_size)?;
    prompts(&dir, &tokenizer, own.max_seq_len, asked)?;
    if let Some(run) = text {
        read_text(run, &tokenizer, own.max_seq_len)?;
    }
    if let Some(model) = reward {
        let its = model.gpt().config();
        anyhow::ensure!(
            its.vocab_size == own.vocab_size && its.max_seq_len >= own.max_seq_len,
            "expected a reward model with the vocabulary of the stage that reads as much, found one of {} tokens that reads {} beside {} that reads {}\nhint: make it from one of the stages",
            its.vocab_size,
            its.max_seq_len,
            own.vocab_size,
            own.max_seq_len
        );
    }
    Ok(dir)
}

/// What a stage does with the prompts.
fn measure(
    args: &Args,
    opened: &Opened,
    kernels: &Cpu,
    asked: &Asked,
    reward: Option<&RewardModel>,
    reference: Option<&Gpt>,
) -> anyhow::Result<Stage> {
    let answers = answers(opened, kernels, asked, args.max_tokens, args.seed)?;
    let mut stage = Stage::judged(asked, &answers);
    let own = opened.gpt.config();
    if let Some(model) = reward {
        stage.add_reward(model, kernels, &answers, opened.tokenizer.end_of_turn());
    }
    if let Some(reference) = reference.filter(|gpt| {
        gpt.config().vocab_size == own.vocab_size && gpt.config().max_seq_len >= own.max_seq_len
    }) {
        stage.add_divergence(reference, kernels, &answers)?;
    }
    Ok(stage)
}

fn print(table: &SafetyTable, stages: &[(String, PathBuf)]) -> anyhow::Result<()> {
    if table.synthetic {
        output::words("synthetic requests; share of answers in %, with its 95 % interval")?;
    }
    let row = |title: &str, cell: &dyn Fn(&String) -> Option<String>| {
        let cells: String = stages
            .iter()
            .map(|(name, _)| format!("{:>24}", cell(name).unwrap_or_else(|| "-".into())))
            .collect();
        output::words(format_args!("{title:<26}{cells}"))
    };
    fn names<'a, T>(maps: impl Iterator<Item = &'a BTreeMap<String, T>>) -> BTreeSet<&'a String>
    where
        T: 'a,
    {
        maps.flat_map(BTreeMap::keys).collect()
    }
    row("", &|name| Some(name.clone()))?;
    for measure in names(table.stages.values()) {
        row(measure, &|name| {
            let share = table.stages[name].get(measure)?;
            let [rate, lo, hi] = [share.rate, share.lo95, share.hi95].map(|x| 100.0 * x);
            Some(format!("{rate:.1} ({lo:.1} to {hi:.1})"))
        })?;
    }
    output::words("")?;
    for number in names(table.numbers.values()) {
        row(number, &|name| table.numbers[name].get(number).map(shown))?;
    }
    let Some(against) = &table.against else { return Ok(()) };
    output::words(format_args!("\nchange from {against} in points, prompt by prompt"))?;
    for measure in names(table.changes.values()) {
        row(measure, &|name| {
            let change = table.changes.get(name)?.get(measure)?;
            let Number { value, lo95, hi95, .. } = change.difference;
            Some(format!("{:+.1} ({:+.1} to {:+.1})", 100.0 * value, 100.0 * lo95?, 100.0 * hi95?))
        })?;
    }
    row("disallowed lowered by", &|name| {
        let Number { value, lo95, hi95, .. } = table.changes.get(name)?.get("disallowed")?.lowered_by?;
        Some(format!("{:.1} % ({:.1} to {:.1})", 100.0 * value, 100.0 * lo95?, 100.0 * hi95?))
    })
}

/// Four digits, and the interval where there is one.
fn shown(number: &Number) -> String {
    let Number { value, lo95, hi95, .. } = number;
    match (lo95, hi95) {
        (Some(lo), Some(hi)) => format!("{value:.3} ({lo:.3} to {hi:.3})"),
        _ if *value >= 1e5 => format!("{value:.2e}"),
        _ => format!("{value:.1}"),
    }
}
