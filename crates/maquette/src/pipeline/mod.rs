//! The stages of a run, in order, and what decides whether one is kept.
//!
//! A run lives in a folder: `tokenizer/`, `data/`, `pretrain/`, then `report.html`. A finished stage leaves a
//! `stage.json` with the hash of what it was made from; it is kept as long as that hash stays.

mod budget;
pub(crate) mod capability;
mod claim;
pub(crate) mod ladder;
mod prepare;
mod pretrain;
mod samples;
pub(crate) mod seal;
mod sources;
mod vocabulary;
pub(crate) mod watch;
mod whole;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use clap::ValueEnum;
use data::{Prepared, Tokenizer};
use tensor::{Cpu, Isa, Kernels};
use train::{Precision, Summary};

use crate::{
    open_model, progress,
    recipe::{Hashes, Recipe},
    run_dir::{Sample, write_whole},
};

pub(crate) use capability::SUITE_SEED;
pub(crate) use samples::prompt_ids;

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Stage {
    /// Learn a vocabulary.
    Tokenizer,
    /// Text to token shards.
    Data,
    /// Train the small runs that predict the big one.
    Ladder,
    /// Seal what the ladder predicts.
    Forecast,
    /// Train the model and write samples.
    Pretrain,
    /// Build the page.
    Report,
}

impl Stage {
    pub(crate) const ALL: [Self; 6] =
        [Self::Tokenizer, Self::Data, Self::Ladder, Self::Forecast, Self::Pretrain, Self::Report];
}

/// What a finished run has to show.
pub(crate) struct Finished {
    pub(crate) summary: Summary,
    pub(crate) samples: Vec<Sample>,
    pub(crate) checkpoint: PathBuf,
}

/// A run of a recipe in a folder.
pub(crate) struct Run {
    recipe: Recipe,
    dir: PathBuf,
    kernels: Arc<Cpu>,
    /// The checkpoint that the run begins with, once it is looked for.
    start: OnceLock<PathBuf>,
    /// Held while the run is open: two programs in one folder would cut each other's files.
    _claim: claim::Claim,
}

/// What a machine with these instructions trains in, if nobody says: the same at every start.
pub(crate) fn default_precision(isa: Isa) -> Precision {
    if isa.multiplies_bf16() { Precision::Bf16 } else { Precision::F32 }
}

impl Run {
    /// Makes the folder, if it is not there.
    pub(crate) fn open(mut recipe: Recipe, out: Option<&Path>, n_threads: usize) -> anyhow::Result<Self> {
        let dir = out.map_or_else(|| Path::new("runs").join(&recipe.name), Path::to_owned);
        let claim = claim::claim(&dir)?;
        recipe.data.own_folder = Some(dir.clone());
        Ok(Self {
            recipe,
            dir,
            kernels: Arc::new(Cpu::new(n_threads)),
            start: OnceLock::new(),
            _claim: claim,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs the given stages in their order, up to the report, which is made from the files alone. Stages that others need must
    /// be there already if they are not among them.
    pub(crate) fn stages(&mut self, stages: &[Stage]) -> anyhow::Result<Option<Finished>> {
        let wants = |stage| stages.contains(&stage);
        if stages.iter().any(|stage| *stage != Stage::Report) {
            self.settle_validation()?;
        }
        let tokenizer = match wants(Stage::Tokenizer) {
            true => self.tokenizer()?,
            false if stages.iter().all(|stage| *stage == Stage::Report) => return Ok(None),
            false => self.finished_tokenizer()?,
        };
        if stages.iter().all(|stage| *stage == Stage::Tokenizer) {
            return Ok(None);
        }
        let prepared = match wants(Stage::Data) {
            true => self.data(&tokenizer)?,
            false => self.finished_data(&tokenizer)?,
        };
        let prepared = Arc::new(prepared);
        // In a run of all stages the recipe decides whether there is a ladder; asked for by name, there is one.
        let has_ladder = self.recipe.ladder.is_some() || stages != Stage::ALL;
        if has_ladder && (wants(Stage::Ladder) || wants(Stage::Forecast)) {
            match self.predict(&tokenizer, &prepared, wants(Stage::Forecast)) {
                // A very short run is still a run; asked for by name, a ladder that cannot be is an error.
                Err(error) if stages == Stage::ALL && error.is::<ladder::TooSmall>() => {
                    progress::say("forecast", &format!("none: {}", error.to_string().replace('\n', "; ")));
                }
                predicted => predicted?,
            }
        }
        let finished = match wants(Stage::Pretrain) {
            true => Some(self.pretrain(&tokenizer, &prepared)?),
            false => None,
        };
        Ok(finished)
    }

    fn kernels(&self) -> Arc<dyn Kernels> {
        Arc::clone(&self.kernels) as Arc<dyn Kernels>
    }

    /// The checkpoint that `model.from` names, or of a run that it names the newest. A run that goes on keeps the one that
    /// it began with, whatever the other run has saved since.
    fn start(&self) -> anyhow::Result<Option<&Path>> {
        let Some(from) = &self.recipe.model.from else { return Ok(None) };
        if let Some(start) = self.start.get() {
            return Ok(Some(start));
        }
        let start = match open_model::is_run(from) {
            false => from.clone(),
            true => match self.earlier_start() {
                Some(start) => start,
                None => open_model::locate(from).context("looking for `model.from`")?,
            },
        };
        Ok(Some(self.start.get_or_init(|| start)))
    }

    fn earlier_start(&self) -> Option<PathBuf> {
        let earlier = self.own_recipe()?;
        let is_same = earlier.hashes.is_some_and(|hashes| hashes.recipe == self.recipe.fingerprint());
        let start = earlier.model.from?;
        let is_of_run = self.recipe.model.from.as_ref().is_some_and(|run| start.starts_with(run));
        (is_same && is_of_run && start.is_dir()).then_some(start)
    }

    /// Writes the run's own recipe: nothing left open, with the hashes of what it was made from. Its paths are relative to the
    /// run's folder, as those of every recipe are to its own.
    fn write_recipe(&self, resolved_recipe: &Recipe) -> anyhow::Result<()> {
        let resolved = resolved_recipe.seen_from(&self.dir);
        let text = toml::to_string(&resolved).context("writing the resolved recipe")?;
        let path = self.dir.join("recipe.toml");
        if !fs::read_to_string(&path).is_ok_and(|there| there == text) {
            claim::keep_written_by_hand(&path)?;
            write_whole(&path, text.as_bytes())?;
        }
        // Beside the training that it belongs to: what minutes came to cannot be found out again.
        let dir = self.dir.join("pretrain");
        if dir.is_dir() {
            let text =
                toml::to_string(&resolved_recipe.seen_from(&dir)).context("writing the resolved recipe")?;
            let path = dir.join("recipe.toml");
            if !fs::read_to_string(&path).is_ok_and(|there| there == text) {
                write_whole(&path, text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The recipe of an earlier start in this folder.
    fn own_recipe(&self) -> Option<Recipe> {
        let places = ["recipe.toml", "pretrain/recipe.toml"];
        places.iter().find_map(|place| Recipe::resolved(&self.dir.join(place)))
    }

    /// The recipe of an earlier start in this folder, if it was made from the same inputs, or is the very recipe that is run.
    fn earlier_recipe(&self, hashes: &Hashes) -> Option<Recipe> {
        let earlier = self.own_recipe()?;
        let made_from = earlier.hashes.as_ref()?;
        let is_same_text = made_from.tokenizer == hashes.tokenizer && made_from.data == hashes.data;
        let is_own = is_same_text && self.recipe.is_same_elsewhere(&earlier);
        (made_from == hashes || is_own).then_some(earlier)
    }
}

/// Moves what was made from other inputs out of the way, under a name that says so. Nothing is deleted.
fn set_aside(dir: &Path) -> anyhow::Result<()> {
    move_aside(dir, "was made from other inputs")
}

fn move_aside(dir: &Path, why: &str) -> anyhow::Result<()> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1..)
        .map(|i| dir.with_file_name(format!("{name}-replaced-{i}")))
        .find(|path| path.symlink_metadata().is_err());
    let aside = free.expect("some number is free");
    base::disk::rename(dir, &aside).with_context(|| {
        format!("cannot rename `{}`\nhint: move it away, or choose another --out", dir.display())
    })?;
    progress::say("set aside", &format!("{} {why}, now {}", dir.display(), aside.display()));
    Ok(())
}

/// Hash of parts that must all stay the same.
fn hash(parts: &[&str]) -> String {
    let json = serde_json::to_vec(parts).expect("strings are valid JSON");
    base::hash::hex(base::hash::xxh3_128(&json))
}

impl Run {
    fn finished_tokenizer(&self) -> anyhow::Result<Tokenizer> {
        let dir = self.dir.join("tokenizer");
        require(&dir, "tokenizer.json", Stage::Tokenizer)?;
        Ok(Tokenizer::load(&dir)?)
    }

    fn finished_data(&self, tokenizer: &Tokenizer) -> anyhow::Result<Prepared> {
        let dir = self.dir.join("data");
        require(&dir, "manifest.jsonl", Stage::Data)?;
        Ok(Prepared::open(&dir, tokenizer)?)
    }
}

/// Refuses to go on without the `file` that an earlier stage leaves in `dir`.
fn require(dir: &Path, file: &str, stage: Stage) -> anyhow::Result<()> {
    let value = stage.to_possible_value().expect("no stage is hidden");
    anyhow::ensure!(
        dir.join(file).exists(),
        "expected what the stage `{}` leaves in `{}`, found no `{file}` there\n\
         hint: `maquette run` takes all stages in their order",
        value.get_name(),
        dir.display()
    );
    Ok(())
}
