//! `maquette align`

use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use clap::Parser as _;
use serde::Deserialize;

use super::{Cli, Command};
use crate::{
    output::{program, shell_text, shell_word, talk},
    own_folder, report,
    stop::{self, StoppedStep},
};

/// From a pretrained model to one that chats, with a table of what that did and cost
///
/// Runs the commands of a recipe in their order. The one that ships, recipes/align.toml, writes synthetic requests (see `maquette
/// standin`), teaches the model to answer as a careless teacher does, makes a reward model of preferences and a rule-based reward,
/// learns from the first alone and from both, and lets all four models answer held-out requests: DIR/safety.json, shown in
/// DIR/report.html.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run's folder, such as runs/quickstart
    base: PathBuf,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Recipe of commands; recipes/align.toml if not given
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder with published data that a recipe reads
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// The recipe that ships.
const RECIPE: &str = include_str!("../../../../recipes/align.toml");

/// Where published data are, if nothing is said.
const DATA: &str = "data";

/// The commands, in the folder of the result; by it the command knows its own.
const ABOUT: &str = "steps.txt";

/// Commands in their order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    steps: Vec<Step>,
    /// Folder below the result whose model is to be chatted with.
    result: String,
}

/// One command, with `{base}`, `{out}`, `{data}`, `{seed}` and `{threads}` in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    run: String,
}

impl Step {
    /// Its folder below that of the result.
    fn folder(&self) -> Option<&str> {
        let mut words = self.run.split_whitespace();
        let out = words.find_map(|word| match word.strip_prefix("--out") {
            Some("") => Some(None),
            Some(rest) => rest.strip_prefix('=').map(Some),
            None => None,
        })?;
        let out = match out {
            Some(value) => value,
            None => words.next()?,
        };
        out.strip_prefix("{out}/").filter(|folder| !folder.is_empty())
    }
}

impl Cli {
    /// Whether what it writes is a folder.
    fn writes_a_folder(&self) -> bool {
        use Command::{Explain, Export, Rbrm, Safety};
        !matches!(self.command, Rbrm(_) | Safety(_) | Export(_) | Explain(_))
    }
}

impl Recipe {
    fn parse(text: &str, named: &str) -> anyhow::Result<Self> {
        let recipe: Self = toml::from_str(text).map_err(|error| {
            anyhow::anyhow!(
                "expected `result` and [[steps]] with `run` in `{named}`, found {}\nhint: recipes/align.toml is an example",
                error.message()
            )
        })?;
        anyhow::ensure!(
            !recipe.steps.is_empty(),
            "expected steps in `{named}`, found none\nhint: add [[steps]]"
        );
        Ok(recipe)
    }

    /// Checks what the steps are, and that the result is a folder of one of them.
    fn check(&self, commands: &[Cli]) -> anyhow::Result<()> {
        for (step, cli) in self.steps.iter().zip(commands) {
            let why = match &cli.command {
                Command::Align(_) | Command::Quickstart(_) => "which runs steps itself",
                Command::Serve(_) => "which does not end by itself",
                Command::Chat(_) | Command::Feedback(_) => "which waits for a person",
                _ => continue,
            };
            anyhow::bail!(
                "expected steps that work alone, found `{}`, {why}\nhint: leave that step out, and run it afterwards",
                step.run
            );
        }
        let writers = self.steps.iter().zip(commands).filter(|(_, cli)| cli.writes_a_folder());
        let folders: Vec<&str> = writers.filter_map(|(step, _)| step.folder()).collect();
        let is_in = |folder: &&str| Path::new(&self.result).starts_with(folder);
        let is_plain = Path::new(&self.result).components().all(|part| matches!(part, Component::Normal(_)));
        anyhow::ensure!(
            is_plain && folders.iter().any(is_in),
            "expected as `result` the folder that a step writes, or one below it, found `{}`\nhint: {}",
            self.result,
            match folders.last() {
                Some(last) => format!("such as `{last}`, from --out {{out}}/{last}"),
                None => "no step writes one: give sft, dpo, ppo or grpo --out {out}/NAME".to_owned(),
            }
        );
        Ok(())
    }

    /// Whether a step has a file or a folder of this name in the folder of the result.
    fn writes(&self, name: &str) -> bool {
        let words = self
            .steps
            .iter()
            .flat_map(|step| step.run.split(|c: char| c.is_whitespace() || c == ',' || c == '='));
        let names = words.filter_map(|word| word.strip_prefix("{out}/")?.split('/').next());
        // Beside a file may stand what belongs to it.
        names
            .into_iter()
            .any(|own| name == own || name.strip_prefix(own).is_some_and(|rest| rest.starts_with('.')))
    }

    /// A name in braces that stands for nothing. Braces around anything else, as in JSON, are the command's own.
    fn unknown(&self, args: &[(&str, String)]) -> Option<&str> {
        self.steps.iter().find_map(|step| {
            step.run.match_indices('{').find_map(|(at, _)| {
                let end = at + step.run[at..].find('}')?;
                let name = &step.run[at + 1..end];
                let is_name =
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                (is_name && args.iter().all(|(known, _)| *known != name)).then(|| &step.run[at..=end])
            })
        })
    }

    /// The words of every command. A path with spaces stays one word.
    fn commands(&self, args: &[(&str, String)]) -> Vec<Vec<String>> {
        let filled = |word: &str| {
            args.iter()
                .fold(word.to_owned(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value))
        };
        self.steps.iter().map(|step| step.run.split_whitespace().map(filled).collect()).collect()
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = match &args.recipe {
        None => Recipe::parse(RECIPE, "recipes/align.toml")?,
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| {
                format!(
                    "cannot read `{}`\nhint: name a recipe of commands, such as recipes/align.toml",
                    path.display()
                )
            })?;
            Recipe::parse(&text, &path.display().to_string())?
        }
    };
    run_recipe(&recipe, args)
}

/// The recipe that ships, with the model of a run.
pub(super) fn run_usual(base: &Path, out: &Path, threads: usize) -> anyhow::Result<()> {
    let (base, out, data) = (base.to_owned(), out.to_owned(), PathBuf::from(DATA));
    run(&Args { base, out, data, recipe: None, seed: 1, threads })
}

/// The command that goes on.
fn again(args: &Args) -> String {
    let Args { base, out, recipe, data, seed, threads } = args;
    let mut command = format!("{} align {} --out {}", program(), shell_word(base), shell_word(out));
    let mut add = |option: &str, value: String| command += &format!(" --{option} {value}");
    if let Some(recipe) = recipe {
        add("recipe", shell_word(recipe));
    }
    if data != Path::new(DATA) {
        add("data", shell_word(data));
    }
    if *seed != 1 {
        add("seed", seed.to_string());
    }
    if *threads != 0 {
        add("threads", threads.to_string());
    }
    command
}

fn run_recipe(recipe: &Recipe, args: &Args) -> anyhow::Result<()> {
    let again = again(args);
    let Args { base, out, data, seed, threads, .. } = args;
    let shown = |path: &Path| path.display().to_string();
    let args = [
        ("base", shown(base)),
        ("out", shown(out)),
        ("data", shown(data)),
        ("seed", seed.to_string()),
        ("threads", threads.to_string()),
    ];
    if let Some(name) = recipe.unknown(&args) {
        anyhow::bail!(
            "expected {{base}}, {{out}}, {{data}}, {{seed}} and {{threads}} in the steps, found `{name}`\nhint: mend that step of the recipe"
        );
    }
    let commands = recipe.commands(&args);
    // Before minutes are spent, so that a slip in the last is reported at once.
    let parsed = commands.iter().map(|words| {
        let typed = std::iter::once("maquette").chain(words.iter().map(String::as_str));
        Cli::try_parse_from(typed).map_err(|error| {
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            anyhow::anyhow!(
                "expected a command of this program, found `{}`: {said}\nhint: mend that step of the recipe",
                words.join(" ")
            )
        })
    });
    let parsed: Vec<Cli> = parsed.collect::<Result<_, _>>()?;
    recipe.check(&parsed)?;
    let steps: String = commands.iter().map(|words| format!("{}\n", words.join(" "))).collect();
    own_folder::open_with(out, ABOUT, &steps, &|name| recipe.writes(name))?;
    let n = commands.len();
    for (i, (words, command)) in commands.iter().zip(parsed).enumerate() {
        let stopped = |said: &str| {
            let comma = if said.is_empty() { "" } else { "," };
            let step = format!(" in step {} of {n} of the alignment, {}{comma}{said}", i + 1, words[0]);
            StoppedStep { step, again: again.clone() }
        };
        if stop::check().is_break() {
            return Err(stopped(" before it began").into());
        }
        let shown: Vec<String> = words.iter().map(|word| shell_text(word)).collect();
        talk(format_args!("\n{} {}", program(), shown.join(" ")));
        if let Err(error) = command.run_command() {
            // What a step says of going on is said of that step alone.
            return Err(match stop::reason(&error) {
                Some(said) => stopped(said).into(),
                None => error,
            });
        }
    }
    if out.join(report::SAFETY).is_file() {
        talk(format_args!("\nreport:\n  {}", report::write(out)?.display()));
    }
    talk(format_args!("\nchat with it:\n  {} chat {}", program(), shell_word(&out.join(&recipe.result))));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_knows_what_it_writes() {
        let recipe = Recipe::parse(RECIPE, "align").unwrap();
        for name in ["standin", "sft", "reward", "rbrm.json", "rbrm.json.verdicts.jsonl", "safety.json"] {
            assert!(recipe.writes(name), "{name}");
        }
        for name in ["thesis.tex", "sf", "sft2", "held-out.jsonl", ""] {
            assert!(!recipe.writes(name), "{name}");
        }
    }

    /// Every recipe of commands that ships is one that the command line takes.
    #[test]
    fn recipes_are_commands() {
        let recipes = [
            (RECIPE, "align"),
            (include_str!("../../../../recipes/smol-align.toml"), "smol-align"),
            (include_str!("../../../../recipes/environments.toml"), "environments"),
        ];
        for (text, name) in recipes {
            let recipe = Recipe::parse(text, name).unwrap();
            let mut commands = Vec::new();
            let args = [("base", "a b"), ("out", "o"), ("data", "d"), ("seed", "3"), ("threads", "0")];
            for words in recipe.commands(&args.map(|(name, value)| (name, value.to_owned()))) {
                assert!(!words.iter().any(|word| word.contains(['{', '}'])), "{words:?}");
                let typed = std::iter::once("maquette").chain(words.iter().map(String::as_str));
                match Cli::try_parse_from(typed) {
                    Ok(cli) => commands.push(cli),
                    Err(error) => panic!("{name}: {error}"),
                }
            }
            recipe.check(&commands).unwrap();
        }
    }
}
