//! A run of a recipe in a folder.
//!
//! What a stage left is opened once, whoever asks for it: the file of the stage has the function that opens it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use data::{Prepared, Tokenizer, pictures::PictureSet};
use tensor::{Cpu, Kernels};

use super::{claim, ladder::finished::Ladder, once::once, plan::Plan};
use crate::{
    open_model,
    recipe::{Hashes, Recipe},
    run_dir::write_whole,
};

/// A run of a recipe in a folder.
pub(crate) struct Run {
    pub(super) dir: PathBuf,
    pub(super) kernels: Arc<Cpu>,
    /// As it was given.
    pub(super) given: Recipe,
    /// With what is held out decided.
    pub(super) recipe: OnceLock<Recipe>,
    /// The checkpoint that the run begins with.
    start: OnceLock<PathBuf>,
    pub(super) tokenizer: OnceLock<Tokenizer>,
    pub(super) prepared: OnceLock<Arc<Prepared>>,
    pub(super) pictures: OnceLock<Arc<PictureSet>>,
    pub(super) plan: OnceLock<Plan>,
    pub(super) ladder: OnceLock<Ladder>,
    /// Held while the run is open: two programs in one folder would cut each other's files.
    _claim: claim::Claim,
}

impl Run {
    /// Makes the folder, if it is not there.
    pub(crate) fn open(mut recipe: Recipe, out: Option<&Path>, n_threads: usize) -> anyhow::Result<Self> {
        let dir = out.map_or_else(|| Path::new("runs").join(&recipe.name), Path::to_owned);
        let claim = claim::claim(&dir)?;
        recipe.data.own_folder = Some(dir.clone());
        Ok(Self {
            dir,
            kernels: Arc::new(Cpu::new(n_threads)),
            given: recipe,
            recipe: OnceLock::new(),
            start: OnceLock::new(),
            tokenizer: OnceLock::new(),
            prepared: OnceLock::new(),
            pictures: OnceLock::new(),
            plan: OnceLock::new(),
            ladder: OnceLock::new(),
            _claim: claim,
        })
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn kernels(&self) -> Arc<dyn Kernels> {
        Arc::clone(&self.kernels) as Arc<dyn Kernels>
    }

    /// The checkpoint that `model.from` names, or of a run that it names the newest. A run that goes on keeps the one that
    /// it began with, whatever the other run has saved since.
    pub(super) fn start(&self) -> anyhow::Result<Option<&Path>> {
        let Some(from) = &self.given.model.from else { return Ok(None) };
        let start = once(&self.start, || match open_model::is_run(from) {
            false => Ok(from.clone()),
            true => match self.earlier_start()? {
                Some(start) => Ok(start),
                None => open_model::locate(from).context("looking for `model.from`"),
            },
        })?;
        Ok(Some(start))
    }

    fn earlier_start(&self) -> anyhow::Result<Option<PathBuf>> {
        let recipe = self.recipe()?;
        Ok(self.own_recipe().and_then(|earlier| {
            let is_same = earlier.hashes.is_some_and(|hashes| hashes.recipe == recipe.fingerprint());
            let start = earlier.model.from?;
            let is_of_run = recipe.model.from.as_ref().is_some_and(|run| start.starts_with(run));
            (is_same && is_of_run && start.is_dir()).then_some(start)
        }))
    }

    /// Writes the run's own recipe: nothing left open, with the hashes of what it was made from. Its paths are relative to the
    /// run's folder, as those of every recipe are to its own.
    pub(super) fn write_recipe(&self, resolved_recipe: &Recipe) -> anyhow::Result<()> {
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
    pub(super) fn own_recipe(&self) -> Option<Recipe> {
        let places = ["recipe.toml", "pretrain/recipe.toml"];
        places.iter().find_map(|place| Recipe::resolved(&self.dir.join(place)))
    }

    /// The recipe of an earlier start in this folder, if it was made from the same inputs, or is the very recipe that is run.
    pub(super) fn earlier_recipe(&self, hashes: &Hashes) -> anyhow::Result<Option<Recipe>> {
        let recipe = self.recipe()?;
        Ok(self.own_recipe().filter(|earlier| {
            let Some(made_from) = &earlier.hashes else { return false };
            let is_same_text = made_from.tokenizer == hashes.tokenizer && made_from.data == hashes.data;
            made_from == hashes || (is_same_text && recipe.is_same_elsewhere(earlier))
        }))
    }

    /// Refuses to go on without the `file` that the stage of this name leaves in `dir`.
    pub(super) fn require(&self, dir: &str, file: &str, stage: &str) -> anyhow::Result<PathBuf> {
        let dir = self.dir.join(dir);
        anyhow::ensure!(
            dir.join(file).exists(),
            "expected what the stage `{stage}` leaves in `{}`, found no `{file}` there\n\
             hint: `maquette run` takes all stages in their order",
            dir.display()
        );
        Ok(dir)
    }
}
