//! `maquette safety`

use std::{collections::BTreeMap, path::PathBuf};

use align::standin::{Done, Label, Request, judge};
use anyhow::Context as _;
use data::{ChatTemplate, Message};
use eval::interval;
use model::{Engine, EngineSettings, Finish};
use serde_json::{Map, Value, json};
use tensor::Cpu;

use crate::{
    open_model, output,
    output_file::{Kind, OutputFile},
    progress,
    safety_table::{SafetyTable, Share},
};

/// What alignment did and what it cost: stages of a model side by side on requests of known label
///
/// Each stage answers the same prompts, drawn from the model's own distribution. What was done in an answer is judged by other signs
/// than a reward's rules read. The table holds shares with their 95 % intervals.
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
    /// Most prompts; all if not given
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 48)]
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

/// Answers that are decoded at a time.
const N_PARALLEL: usize = 32;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(parent) = args.out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        base::disk::create_dir_all(parent)?;
    }
    let out = OutputFile { path: &args.out, option: "--out", kind: Kind::Safety };
    out.check()?;
    let rows = data::json_rows(&args.prompts)?;
    let mut asked: Vec<(Vec<Message>, Request)> = Vec::new();
    for row in rows.iter().take(args.limit.unwrap_or(usize::MAX)) {
        let messages = row.fields.get("prompt").cloned().unwrap_or_default();
        let messages: Option<Vec<Message>> = serde_json::from_value(messages).ok();
        let (Some(messages), Some(request)) = (messages, Request::of_row(&row.fields)) else {
            anyhow::bail!(
                "in `{}`, row {}: expected `prompt`, `label`, `verb`, `object` and `opening`\nhint: `maquette standin` writes such files",
                args.prompts.display(),
                row.number
            );
        };
        asked.push((messages, request));
    }
    anyhow::ensure!(
        !asked.is_empty(),
        "expected prompts in `{}`, found none\nhint: look at the file",
        args.prompts.display()
    );
    let is_synthetic = |row: &Map<String, Value>| row.get("synthetic") == Some(&Value::Bool(true));
    let mut table = SafetyTable {
        prompts: args.prompts.display().to_string(),
        synthetic: rows.iter().all(|row| is_synthetic(&row.fields)),
        stages: BTreeMap::new(),
    };
    for (name, path) in &args.stages {
        progress::say(name, &format!("answers {} prompts", asked.len()));
        let measured = measure(args, path, &asked).with_context(|| format!("stage `{name}`"))?;
        table.stages.insert(name.clone(), measured);
    }
    let mut json = serde_json::to_vec_pretty(&table)?;
    json.push(b'\n');
    out.write(&json)?;
    if args.json {
        return output::json(&json!(table));
    }
    print(&table, &args.stages)
}

/// What a stage does with the prompts.
fn measure(
    args: &Args,
    path: &std::path::Path,
    asked: &[(Vec<Message>, Request)],
) -> anyhow::Result<BTreeMap<String, Share>> {
    let kernels = Cpu::new(args.threads);
    let dtype = crate::pipeline::default_precision(tensor::Isa::current());
    let opened = open_model::open(path, &kernels, dtype.into())?;
    let template = ChatTemplate::load(&opened.dir, &opened.tokenizer)?;
    let max_seq_len = opened.gpt.config().max_seq_len;
    let mut engine =
        Engine::new(&opened.gpt, &kernels, EngineSettings::for_sequences(N_PARALLEL, max_seq_len));
    let mut requests = Vec::new();
    for (i, (messages, _)) in asked.iter().enumerate() {
        let prompt = template.encode(&opened.tokenizer, messages, true)?;
        requests.push(model::Request {
            seed: base::Rng::named(args.seed, &format!("answer {i}")).next_u64(),
            stop: opened.tokenizer.stops(),
            ..model::Request::new(prompt, args.max_tokens)
        });
    }
    let answers = engine.complete(requests, &mut |_, _| true)?;
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut count = |name: &'static str, is_so: bool| {
        let [n, of] = counts.entry(name).or_default();
        *n += usize::from(is_so);
        *of += 1;
    };
    for ((_, request), answer) in asked.iter().zip(&answers) {
        let text = opened.tokenizer.decode(&answer.ids);
        let done = judge(request, &text);
        count("ended", answer.finish == Finish::Stop);
        match request.label {
            Label::Disallowed => {
                count("disallowed", done == Done::Complied);
                count("refused_disallowed", done == Done::Refused);
            }
            Label::Allowed | Label::LookAlike => {
                count("over_refusal", done == Done::Refused);
                count("helpful", done == Done::Complied);
                if request.label == Label::LookAlike {
                    count("over_refusal_look_alike", done == Done::Refused);
                }
            }
        }
        if let Some(is_obeyed) = request.obeys(&text) {
            count("steered", is_obeyed);
        }
    }
    let share = |(name, [n_so, n]): (&str, [usize; 2])| {
        let [lo95, hi95] = interval::wilson(n_so, n).unwrap_or([0.0, 1.0]);
        (name.to_owned(), Share { n, rate: n_so as f64 / n as f64, lo95, hi95 })
    };
    Ok(counts.into_iter().map(share).collect())
}

fn print(table: &SafetyTable, stages: &[(String, PathBuf)]) -> anyhow::Result<()> {
    if table.synthetic {
        output::words("synthetic requests; share of answers in %, with its 95 % interval")?;
    }
    let measures: std::collections::BTreeSet<&String> =
        table.stages.values().flat_map(BTreeMap::keys).collect();
    let header: String = stages.iter().map(|(name, _)| format!("{name:>24}")).collect();
    output::words(format_args!("{:<26}{header}", ""))?;
    for measure in measures {
        let cells: String = stages
            .iter()
            .map(|(name, _)| match table.stages[name].get(measure) {
                None => format!("{:>24}", "-"),
                Some(Share { rate, lo95, hi95, .. }) => {
                    format!(
                        "{:>24}",
                        format!("{:.1} ({:.1} to {:.1})", 100.0 * rate, 100.0 * lo95, 100.0 * hi95)
                    )
                }
            })
            .collect();
        output::words(format_args!("{measure:<26}{cells}"))?;
    }
    Ok(())
}
