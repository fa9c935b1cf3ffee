//! What a run keeps by its own recipe where its text is not at hand, as when its folder alone was moved: the recipe's hashes say
//! what the text gave.

use std::path::Path;

use data::{Prepared, Tokenizer};

use super::run::Run;
use crate::{
    progress::{self, count},
    recipe::{Hashes, without_places},
    run_dir::Stamp,
};

impl Run {
    fn own_hashes(&self) -> Option<Hashes> {
        let (own, recipe) = (self.own_recipe()?, self.recipe().ok()?);
        let is_same =
            own.tokenizer == recipe.tokenizer && without_places(&own.data) == without_places(&recipe.data);
        recipe.hashes.clone().filter(|hashes| is_same && own.hashes.as_ref() == Some(hashes))
    }

    /// The tokenizer that the stage in `dir` made, as the checkpoints hold it.
    pub(super) fn tokenizer_of_checkpoint(&self, dir: &Path) -> Option<Tokenizer> {
        let made = Stamp::read(dir)?.output?;
        let checkpoints = std::fs::read_dir(self.dir.join("pretrain/checkpoints")).ok()?;
        let mut found = checkpoints.filter_map(|entry| Tokenizer::load(&entry.ok()?.path()).ok());
        found.find(|tokenizer| tokenizer.fingerprint() == made)
    }

    pub(super) fn tokenizer_without_sources(&self, dir: &Path) -> Option<Tokenizer> {
        let hashes = self.own_hashes()?;
        let tokenizer = Tokenizer::load(dir).ok().filter(|found| found.fingerprint() == hashes.tokenizer)?;
        let n = tokenizer.vocab_size();
        progress::say(
            "tokenizer",
            &format!("{n} tokens, kept; the recipe's text is not there to compare with"),
        );
        Some(tokenizer)
    }

    pub(super) fn data_without_sources(&self, dir: &Path) -> Option<Prepared> {
        let hashes = self.own_hashes()?;
        let prepared = Prepared::open(dir, self.tokenizer().ok()?)
            .ok()
            .filter(|found| found.fingerprint() == hashes.data)?;
        progress::say(
            "data",
            &format!("{} kept; the recipe's text is not there to compare with", totals(&prepared)),
        );
        Some(prepared)
    }
}

/// Says why a finished stage is not kept, though its inputs are the same.
pub(super) fn made_again(stage: &str, damage: &str) {
    progress::say(stage, &format!("made again: {}", damage.lines().next().unwrap_or_default()));
}

/// Damage that only the hash of what was made shows.
pub(super) fn changed(dir: &Path) -> String {
    format!("`{}` is not what was made there", dir.display())
}

/// Tokens of both sides, for messages.
pub(super) fn totals(prepared: &Prepared) -> String {
    let tokens = [prepared.n_train_tokens(), prepared.n_validation_tokens()].map(|n| count(n as f64));
    format!("{} training tokens, {} validation tokens;", tokens[0], tokens[1])
}
