//! Recipes: the whole life of a model in one TOML file.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use data::{
    DataConfig, SourceConfig, SpecialTokens, TokenizerConfig, ValidationConfig, relative_to, without_detours,
};
use model::{Sampling, scaling::ModelOverrides};
use serde::{Deserialize, Serialize};
use train::{TrainOverrides, Tuning};

use crate::{output, progress};

/// A recipe. What it leaves open is derived from the budget; a run's own `recipe.toml` leaves nothing open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Name of the run, and of its folder under `runs/`.
    pub(crate) name: String,
    /// Seed of everything that is random.
    #[serde(default = "default_seed")]
    pub(crate) seed: u64,
    #[serde(default)]
    pub(crate) budget: Budget,
    pub(crate) data: DataConfig,
    /// What to learn; a BPE of open size if absent. A model that is continued brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokenizer: Option<TokenizerConfig>,
    #[serde(default)]
    pub(crate) model: ModelOverrides,
    #[serde(default)]
    pub(crate) train: TrainOverrides,
    /// Parts of the model that are frozen, or trained at other rates.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) tuning: Tuning,
    /// The small runs that predict this one; none are trained where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ladder: Option<LadderConfig>,
    #[serde(default)]
    pub(crate) samples: Samples,
    /// Only in a run's own recipe: what it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hashes: Option<Hashes>,
}

fn is_default(tuning: &Tuning) -> bool {
    *tuning == Tuning::default()
}

fn default_seed() -> u64 {
    1
}

/// How much to compute. Neither: `train.steps` decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Budget {
    /// Minutes of training on this machine; measured once, then kept as FLOPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minutes: Option<f64>,
    /// FLOPs of training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) train_flops: Option<f64>,
}

/// The small runs that predict the large one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LadderConfig {
    /// FLOPs of the largest rung, as a part of the large run's; if absent, the least that gives the ladder rungs enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_fraction: Option<f64>,
    /// How many budgets, each half the one before.
    pub(crate) n_budgets: usize,
    /// Seeds of each rung of at most 1/100 of the large run; larger ones are trained once.
    pub(crate) seeds: u64,
    /// Widths to each side of the best one at each budget.
    pub(crate) n_neighbours: usize,
    /// By which factor, either way, their tokens for each parameter may differ from the recipe's.
    pub(crate) ratio_span: f64,
    /// Whether the learning-rate rule is tested on the smallest rungs; if absent, where the largest has at most a hundredth
    /// of the run's FLOPs, so that the test is cheap beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<bool>,
    /// Problems per task and level that every rung is examined with, where `[data.tasks]` mixes tasks in.
    pub(crate) problems: usize,
    /// Finished runs of the same design on other data, folders of runs or tables of points, which show how the curve
    /// bends beyond the ladder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reference_runs: Vec<PathBuf>,
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self {
            max_fraction: None,
            n_budgets: 6,
            seeds: 4,
            n_neighbours: 1,
            ratio_span: 8.0,
            sweep: None,
            problems: 16,
            reference_runs: Vec::new(),
        }
    }
}

impl LadderConfig {
    /// Checks every range.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        let check = |name: &str, is_valid: bool, expected: &str, found: String| {
            anyhow::ensure!(
                is_valid,
                "`ladder.{name}` must be {expected}, found {found}\nhint: leave it out for the default"
            );
            Ok(())
        };
        let fraction = self.max_fraction.unwrap_or(0.1);
        check(
            "max_fraction",
            fraction > 0.0 && fraction <= 0.5,
            "above 0 and at most 0.5",
            fraction.to_string(),
        )?;
        check("n_budgets", (2..=20).contains(&self.n_budgets), "from 2 to 20", self.n_budgets.to_string())?;
        check("seeds", (1..=100).contains(&self.seeds), "from 1 to 100", self.seeds.to_string())?;
        check("n_neighbours", self.n_neighbours <= 100, "at most 100", self.n_neighbours.to_string())?;
        let span = self.ratio_span;
        check("ratio_span", (1.0..=1e4).contains(&span), "from 1 to 10,000", span.to_string())?;
        check(
            "problems",
            (1..=10_000).contains(&self.problems),
            "from 1 to 10,000",
            self.problems.to_string(),
        )
    }
}

/// Texts to write when training is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Samples {
    /// What to continue.
    pub(crate) prompts: Vec<String>,
    /// What the names of special tokens in the prompts are taken for.
    pub(crate) special_tokens: SpecialTokens,
    /// Most tokens of each.
    pub(crate) max_tokens: usize,
    /// How tokens are chosen.
    pub(crate) sampling: Sampling,
}

impl Default for Samples {
    fn default() -> Self {
        let sampling = Sampling { temperature: 0.8, top_p: 0.95, ..Sampling::default() };
        let special_tokens = SpecialTokens::Parse;
        Self { prompts: vec![String::new()], special_tokens, max_tokens: 100, sampling }
    }
}

/// What a run was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hashes {
    /// Version of the program.
    pub(crate) maquette_version: String,
    /// Of the recipe as it was given, with `--set`.
    pub(crate) recipe: String,
    /// Of the tokenizer's vocabulary, merges and special tokens.
    pub(crate) tokenizer: String,
    /// Of every token shard.
    pub(crate) data: String,
}

/// Largest recipe that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Most of an error that is shown.
const MAX_MESSAGE_CHARS: usize = 2000;

/// What is said of a file that is neither a recipe nor a text.
fn neither(path: &Path) -> String {
    format!(
        "expected a recipe, or a text to train on, found `{}`, which is neither by its ending\n\
         hint: texts end with .txt, .md, .jsonl or .parquet, the first three also with .gz or .zst; a recipe is TOML of at most 1 MiB \
         such as recipes/quickstart.toml",
        path.display()
    )
}

/// The recipe that `quickstart` runs.
const QUICKSTART: &str = include_str!("../../../recipes/quickstart.toml");
/// The recipe that `quickstart --eyes` runs behind it.
const EYES: &str = include_str!("../../../recipes/eyes.toml");

impl Recipe {
    /// Reads a recipe and applies `key=value` changes. Paths of data are taken relative to the recipe's folder.
    pub(crate) fn read(path: &Path, changes: &[String]) -> anyhow::Result<Self> {
        if path.is_dir() && path.join("recipe.toml").is_file() {
            anyhow::bail!(
                "expected a recipe, `{}` is the folder of a run\n\
                 hint: give the recipe that made it, and the run goes on",
                path.display()
            );
        }
        if let Some(text) = Self::of_text(path) {
            progress::say(
                "recipe",
                &format!("made for `{}`; save it as a file to change it:", path.display()),
            );
            output::talk(format_args!("\n{text}"));
            return Self::parse(&text, Path::new(""), changes);
        }
        let bytes = Self::bytes_of(path)?;
        let text = data::text_of(path, bytes)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let recipe = Self::parse(&text, folder, changes);
        match path.extension().is_some_and(|ending| ending == "toml") {
            true => recipe.with_context(|| format!("in `{}`", path.display())),
            // Whoever gives a table or a page of the web is not helped by what TOML says of it.
            false => recipe.with_context(|| neither(path)),
        }
    }

    /// The bytes of a file that is not a text by its ending: a recipe, or something else that a user named.
    fn bytes_of(path: &Path) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        read.with_context(|| {
            format!(
                "expected a recipe, or a text to train on, at `{}`\nhint: {}",
                path.display(),
                nearest_recipe(path)
            )
        })?;
        anyhow::ensure!(bytes.len() as u64 <= MAX_BYTES, "{}", neither(path));
        Ok(bytes)
    }

    /// A recipe for a text, or a folder of texts, that was given in the place of one; `None` where it is neither.
    fn of_text(path: &Path) -> Option<String> {
        let is_recipe = path.extension().is_some_and(|ending| ending == "toml");
        let source = SourceConfig::new(path.to_str()?);
        if is_recipe || !path.exists() || source.files().is_err() {
            return None;
        }
        let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let stem = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = stem.split('.').next().unwrap_or_default();
        let name: String = stem
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' })
            .collect();
        let name = if name.is_empty() { "text" } else { &name };
        let path = toml::Value::String(path.to_str()?.to_owned());
        Some(format!(
            "name = \"{name}\"\n\n[budget]\nminutes = 3\n\n[data]\nsources = [{{ path = {path} }}]\n"
        ))
    }

    /// The default recipe, on the data that ship with the project.
    pub(crate) fn quickstart(changes: &[String]) -> anyhow::Result<Self> {
        Self::shipped(QUICKSTART, changes)
    }

    /// That of a small model that reads images.
    pub(crate) fn eyes(changes: &[String]) -> anyhow::Result<Self> {
        Self::shipped(EYES, changes)
    }

    fn shipped(text: &str, changes: &[String]) -> anyhow::Result<Self> {
        // Beside the present folder in a clone, or where the program was built.
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
        let folders = [PathBuf::from("recipes"), built_in];
        let folder = folders.iter().find(|folder| folder.join("../data/classic-books").is_dir());
        let folder = folder.context(
            "expected the books that ship with the project in `data/classic-books`, found no such folder here, nor where the \
             program was built\n\
             hint: run it in a clone of the project, or train on a text of your own: `maquette run FILE.txt`",
        )?;
        Self::parse(text, folder, changes)
    }

    fn parse(text: &str, folder: &Path, changes: &[String]) -> anyhow::Result<Self> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| explain(&error))?;
        for change in changes {
            set(&mut table, change)?;
        }
        // From text again, so that an error can show its line.
        let text = if changes.is_empty() { text.to_owned() } else { toml::to_string(&table)? };
        let mut recipe: Self = toml::from_str(&text).map_err(|error| explain(&error))?;
        recipe.check()?;
        if recipe.model.from.is_none() {
            recipe.tokenizer.get_or_insert_with(TokenizerConfig::open);
        }
        recipe.place_in(folder)?;
        Ok(recipe)
    }

    /// The recipe that a run wrote at `path`; none where there is none that can be read.
    pub(crate) fn resolved(path: &Path) -> Option<Self> {
        let mut recipe: Self = toml::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
        recipe.place_in(path.parent()?).ok()?;
        Some(recipe)
    }

    /// Makes every path absolute: a recipe names them from its own folder.
    fn place_in(&mut self, folder: &Path) -> anyhow::Result<()> {
        let absolute = |path: &Path| {
            let path = folder.join(path);
            without_detours(&std::path::absolute(&path).unwrap_or(path))
        };
        let folder = absolute(Path::new("."));
        let mut result = Ok(());
        self.place(&absolute, &mut |source| {
            if let Err(error) = source.place_in(&folder) {
                result = Err(error);
            }
        });
        Ok(result?)
    }

    /// Puts another path in the place of every one; those of sources may be patterns.
    fn place(&mut self, to: &dyn Fn(&Path) -> PathBuf, source_to: &mut dyn FnMut(&mut SourceConfig)) {
        place(&mut self.data, source_to);
        let references = self.ladder.iter_mut().flat_map(|ladder| &mut ladder.reference_runs);
        let pictures = self.data.pictures.iter_mut();
        let pictures = pictures.flat_map(|pictures| pictures.files.iter_mut().chain(&mut pictures.held_out));
        for path in references.chain(&mut self.model.from).chain(pictures) {
            *path = to(path);
        }
    }

    /// The same with its paths as they are named from `folder`: a recipe in that folder means the same files, and still does
    /// when both are moved.
    pub(crate) fn seen_from(&self, folder: &Path) -> Self {
        let mut recipe = self.clone();
        recipe.place(&|path| relative_to(path, folder), &mut |source| source.path = source.path_from(folder));
        recipe
    }

    /// Whether both say the same but for where files lie.
    pub(crate) fn is_same_elsewhere(&self, other: &Self) -> bool {
        let nowhere = |recipe: &Self| {
            let data = without_places(&recipe.data);
            let mut recipe = Self { data, ..recipe.clone() };
            recipe.place(&|_| PathBuf::new(), &mut |_| {});
            recipe
        };
        nowhere(self) == nowhere(other)
    }

    fn check(&self) -> anyhow::Result<()> {
        let is_plain = !self.name.is_empty()
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !self.name.starts_with('.');
        anyhow::ensure!(
            is_plain,
            "`name` must be letters, digits, `-`, `_` and `.`, found `{}`\nhint: it names the run's folder",
            self.name
        );
        let Budget { minutes, train_flops } = self.budget;
        anyhow::ensure!(
            minutes.is_none() || train_flops.is_none(),
            "[budget] must hold `minutes` or `train_flops`, found both\nhint: remove one of them"
        );
        if let Some(minutes) = minutes {
            anyhow::ensure!(
                minutes > 0.0 && minutes.is_finite(),
                "`budget.minutes` must be positive, found {minutes}\nhint: 3 is enough to see a model learn"
            );
        }
        if let Some(ladder) = &self.ladder {
            ladder.validate()?;
            anyhow::ensure!(
                self.model.from.is_none(),
                "expected no [ladder] beside `model.from`, found one\n\
                 hint: small runs predict a model that is trained from its beginning; remove the table"
            );
        }
        if let (Some(_), Some(from)) = (&self.tokenizer, &self.model.from) {
            anyhow::bail!(
                "expected no [tokenizer] beside `model.from`, found one\nhint: remove it: `{}` brings its own",
                from.display()
            );
        }
        anyhow::ensure!(
            self.data.pictures.is_none() || self.model.vision.is_some() || self.model.from.is_some(),
            "expected a table [model.vision] beside [data.pictures], found none\n\
             hint: add it: an empty one makes a model that reads images"
        );
        anyhow::ensure!(
            self.tuning.adapters.is_none() && self.tuning.heads.is_empty(),
            "expected `frozen` or `rates` in [tuning], found more\nhint: `maquette sft` trains adapters"
        );
        self.samples.sampling.validate().context("in [samples.sampling]")?;
        self.data.validate()?;
        Ok(())
    }

    /// Problems per task and level to examine checkpoints with; none where no tasks are mixed in.
    pub(crate) fn suite_problems(&self) -> Option<usize> {
        self.data.tasks.as_ref()?;
        Some(self.ladder.clone().unwrap_or_default().problems)
    }

    /// Hash of everything that decides the training: not of its name, its ladder, nor of what it writes afterwards, nor of
    /// where files lie (what they hold is in the hashes of tokenizer and data).
    pub(crate) fn fingerprint(&self) -> String {
        let (name, samples) = (String::new(), Samples::default());
        let data = without_places(&self.data);
        let mut recipe = Self { name, samples, data, ladder: None, hashes: None, ..self.clone() };
        recipe.place(&|_| PathBuf::new(), &mut |_| {});
        let json = serde_json::to_vec(&recipe).expect("plain data is valid JSON");
        base::hash::hex(base::hash::xxh3_128(&json))
    }
}

/// What may have been meant where no recipe is.
fn nearest_recipe(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default();
    let shipped = Path::new("recipes").join(name).with_extension("toml");
    match shipped.is_file() {
        true => format!("did you mean {}?", output::shell_word(&shipped)),
        false => "recipes ship in the folder `recipes/`; a file or folder of text does too".into(),
    }
}

/// The same data without where they lie.
pub(crate) fn without_places(data: &DataConfig) -> DataConfig {
    let mut data = data.clone();
    place(&mut data, &mut |source| source.path.clear());
    data.own_folder = None;
    data
}

/// Puts another path in the place of every source's.
fn place(data: &mut DataConfig, to: &mut dyn FnMut(&mut SourceConfig)) {
    let held_out = match &mut data.validation {
        ValidationConfig::Source { sources } => sources.as_mut_slice(),
        _ => &mut [],
    };
    data.sources.iter_mut().chain(held_out).for_each(to);
}

/// Applies `a.b=value`: a TOML value, or else a string.
fn set(table: &mut toml::Table, change: &str) -> anyhow::Result<()> {
    let (key, value) = change.split_once('=').with_context(|| {
        format!("`--set` wants key=value, found `{change}`\nhint: such as --set train.steps=500")
    })?;
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let value = match parsed {
        Ok(mut parsed) => parsed.remove("value").expect("the key that was written"),
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let mut place = table;
    let mut parts = key.trim().split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = place.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = next.as_table_mut().with_context(|| {
            format!("`--set {key}`: `{part}` is a value, expected a table\nhint: check the key in the recipe")
        })?;
    }
    Ok(())
}

/// The parser's message with its place, and the nearest known name where a key is unknown.
fn explain(error: &toml::de::Error) -> anyhow::Error {
    // A line of it may be as long as the file.
    let text: String = error.to_string().chars().take(MAX_MESSAGE_CHARS).collect();
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    if !error.message().starts_with("unknown") {
        return anyhow::anyhow!("{}\nhint: recipes/quickstart.toml is a complete example", text.trim_end());
    }
    let unknown = quoted.next().unwrap_or_default();
    let nearest = quoted.map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 3 => {
            anyhow::anyhow!("{}\nhint: did you mean `{name}`?", text.trim_end())
        }
        _ => anyhow::anyhow!("{}\nhint: remove it, or choose one of the names above", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, changes: &[&str]) -> anyhow::Result<Recipe> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        Recipe::parse(text, Path::new("/recipes"), &changes)
    }

    const SMALL: &str =
        "name = \"a\"\n[data]\nsources = [{ path = \"x.txt\" }]\n[tokenizer]\nkind = \"bytes\"\n";

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = parse(&format!("{SMALL}[train]\nwarmup_step = 5\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("unknown field `warmup_step`"), "{error}");
        assert!(error.ends_with("hint: did you mean `warmup_steps`?"), "{error}");
        let error = parse(SMALL, &["modle.d_model=64"]).unwrap_err().to_string();
        assert!(error.ends_with("hint: did you mean `model`?"), "{error}");
        let error = parse(SMALL, &["zzz=1"]).unwrap_err().to_string();
        assert!(error.ends_with("hint: remove it, or choose one of the names above"), "{error}");
    }

    #[test]
    fn changes_reach_any_depth() {
        let recipe =
            parse(SMALL, &["train.learning_rates.head=0.5", "name=b", "model.qk_norm=false"]).unwrap();
        assert_eq!(recipe.train.learning_rates.head, Some(0.5));
        assert_eq!((recipe.name.as_str(), recipe.model.qk_norm), ("b", Some(false)));
        let error = parse(SMALL, &["name.x=1"]).unwrap_err().to_string();
        assert!(error.contains("`name` is a value, expected a table"), "{error}");
        assert!(parse(SMALL, &["name"]).unwrap_err().to_string().contains("wants key=value, found `name`"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let message = |change: &str| format!("{:#}", parse(SMALL, &[change]).unwrap_err());
        assert!(message("name=../up").contains("`name` must be letters"));
        assert!(message("budget={minutes=1, train_flops=1e12}").contains("found both"));
        assert!(message("budget.minutes=-1").contains("`budget.minutes` must be positive, found -1"));
        assert!(message("samples.sampling.top_p=2").contains("`top_p` must be from 0 to 1, found 2"));
        assert!(message("train.steps=\"many\"").contains("invalid type: string"));
    }

    #[test]
    fn a_recipe_survives_being_written() {
        let recipe = Recipe::quickstart(&[]).unwrap();
        let again: Recipe = toml::from_str(&toml::to_string(&recipe).unwrap()).unwrap();
        assert_eq!(again, recipe);
        assert_eq!(again.fingerprint(), recipe.fingerprint());
    }
}
