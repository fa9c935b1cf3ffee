//! The stages `tokenizer` and `data`.

use std::path::Path;

use anyhow::Context as _;
use data::{ChatTemplate, DataError, Prepared, Tokenizer, ValidationConfig};
use model::checkpoint;

use super::{Run, hash, set_aside};
use crate::{
    edits,
    progress::{self, Field, Progress, count},
    recipe::{Hashes, without_places},
    run_dir::{Stamp, write_whole},
    stop::{self, Interrupted},
};

impl Run {
    /// Decides what is held out, where the recipe leaves that open.
    pub(super) fn settle_validation(&mut self) -> anyhow::Result<()> {
        if self.recipe.data.validation != ValidationConfig::Auto {
            return Ok(());
        }
        // A run that goes on keeps what it began with, without looking again.
        if let Some(earlier) = self.own_recipe() {
            let mut same = self.recipe.clone();
            same.data.validation = earlier.data.validation;
            if earlier.hashes.is_some_and(|hashes| hashes.recipe == same.fingerprint()) {
                self.recipe = same;
                return Ok(());
            }
        }
        let mut bar = Progress::new("data");
        let settled = data::settle(&mut self.recipe.data, &mut |p| {
            let documents = Field::new(1, format!("{} documents counted", p.n_documents));
            bar.update(p.n_bytes_read, p.n_bytes_total, [documents]);
            stop::check()
        });
        let settled = settled.map_err(interrupted)?;
        let Some(n) = settled.map(|settled| settled.n_documents) else { return Ok(()) };
        let documents = if n == 1 { "1 document".to_owned() } else { format!("{n} documents") };
        match &self.recipe.data.validation {
            ValidationConfig::Tail { fraction } => bar.finish(&format!(
                "{documents}: the last {:.0} % of each is held out for validation (`data.validation` changes that)",
                100.0 * fraction
            )),
            ValidationConfig::Hash { fraction } if *fraction > ValidationConfig::HASH_FRACTION => {
                bar.finish(&format!(
                    "{documents}: {:.0} % of them are held out for validation (`data.validation` changes that)",
                    100.0 * fraction
                ));
            }
            _ => bar.clear(),
        }
        Ok(())
    }

    /// Learns the vocabulary, or keeps the one that is there.
    pub(super) fn tokenizer(&self) -> anyhow::Result<Tokenizer> {
        if let Some(from) = self.start()? {
            return self.tokenizer_of(from);
        }
        let config = self.recipe.tokenizer.as_ref().context("a recipe has a tokenizer or `model.from`")?;
        let dir = self.dir.join("tokenizer");
        let sources = match self.sources() {
            Ok(sources) => sources,
            Err(error) => return self.tokenizer_without_sources(&dir).ok_or(error),
        };
        let mut inputs = hash(&[&serde_json::to_string(config)?, &sources]);
        if config.is_open() {
            // A vocabulary that is there stays, however fast this machine is found to be today.
            inputs = hash(&[&inputs, &self.vocabulary_inputs()?]);
        }
        if Stamp::is_kept(&dir, &inputs) {
            match Tokenizer::load(&dir) {
                Ok(tokenizer) if Stamp::is_as_made(&dir, tokenizer.fingerprint()) => {
                    progress::say("tokenizer", &format!("{} tokens, kept", tokenizer.vocab_size()));
                    return Ok(tokenizer);
                }
                Ok(_) => made_anew("tokenizer", &changed(&dir)),
                Err(error) => made_anew("tokenizer", &error.to_string()),
            }
            if let Some(tokenizer) = self.tokenizer_of_checkpoint(&dir) {
                // How fast this machine is today may decide on another size of an open vocabulary.
                tokenizer.save(&dir)?;
                let n = tokenizer.vocab_size();
                progress::say("tokenizer", &format!("{n} tokens, taken from a checkpoint of the run"));
                return Ok(tokenizer);
            }
        } else if Stamp::is_other(&dir, &inputs) {
            set_aside(&dir)?;
        }
        let open_size = if config.is_open() { Some(self.open_vocab_size()?) } else { None };
        let mut bar = Progress::new("tokenizer");
        let mut report = |p: data::Progress| {
            let documents = Field::new(1, format!("{} documents", count(p.n_documents as f64)));
            bar.update(p.n_bytes_read, p.n_bytes_total, [documents]);
            stop::check()
        };
        let trained = match open_size {
            Some(size_for) => Tokenizer::train_open(config, size_for, &self.recipe.data, &mut report),
            None => Tokenizer::train(config, &self.recipe.data, &mut report),
        };
        let tokenizer = trained.map_err(interrupted)?;
        tokenizer.save(&dir)?;
        Stamp::write(&dir, &inputs, Some(tokenizer.fingerprint()))?;
        bar.finish(&format!("{} tokens", tokenizer.vocab_size()));
        Ok(tokenizer)
    }

    /// Takes over tokenizer and chat template of the checkpoint that is continued.
    fn tokenizer_of(&self, from: &Path) -> anyhow::Result<Tokenizer> {
        checkpoint::read_config(from).with_context(|| format!("`model.from` is `{}`", from.display()))?;
        edits::say(from)?;
        let tokenizer = Tokenizer::load(from)?;
        let template = ChatTemplate::read(from)?;
        let ids = train::special_ids(&tokenizer);
        let inputs =
            hash(&[tokenizer.fingerprint(), template.as_deref().unwrap_or_default(), &format!("{ids:?}")]);
        let dir = self.dir.join("tokenizer");
        // What was taken over may have been lost since.
        let is_there = Tokenizer::load(&dir)
            .is_ok_and(|there| there.fingerprint() == tokenizer.fingerprint())
            && ChatTemplate::read(&dir).is_ok_and(|there| there == template);
        if Stamp::is_kept(&dir, &inputs) && is_there {
            progress::say("tokenizer", &format!("{} tokens, kept", tokenizer.vocab_size()));
            return Ok(tokenizer);
        }
        if Stamp::is_other(&dir, &inputs) {
            set_aside(&dir)?;
        }
        tokenizer.save(&dir)?;
        checkpoint::write_special_ids(&dir, &ids)?;
        if let Some(template) = template {
            write_whole(&dir.join(ChatTemplate::FILE), template.as_bytes())?;
        }
        Stamp::write(&dir, &inputs, Some(tokenizer.fingerprint()))?;
        progress::say("tokenizer", &format!("{} tokens, of {}", tokenizer.vocab_size(), from.display()));
        Ok(tokenizer)
    }

    /// Turns the text into token shards, or keeps those that are there.
    pub(super) fn data(&self, tokenizer: &Tokenizer) -> anyhow::Result<Prepared> {
        let dir = self.dir.join("data");
        let sources = match self.sources() {
            Ok(sources) => sources,
            Err(error) => return self.data_without_sources(&dir, tokenizer).ok_or(error),
        };
        let ends = format!("{} {}", tokenizer.begin_of_text(), tokenizer.end_of_text());
        let mut inputs = vec![tokenizer.fingerprint(), &sources];
        if self.recipe.model.from.is_some() {
            inputs.push(&ends);
        }
        let inputs = hash(&inputs);
        if Stamp::is_kept(&dir, &inputs) {
            match Prepared::open(&dir, tokenizer) {
                Ok(prepared) if Stamp::is_as_made(&dir, prepared.fingerprint()) => {
                    progress::say("data", &format!("{} kept", totals(&prepared)));
                    return Ok(prepared);
                }
                Ok(_) => made_anew("data", &changed(&dir)),
                Err(error) => made_anew("data", &error.to_string()),
            }
        } else if Stamp::is_other(&dir, &inputs) {
            set_aside(&dir)?;
        }
        let mut bar = Progress::new("data");
        let prepared = data::prepare(&self.recipe.data, tokenizer, &dir, &mut |p| {
            let tokens = Field::new(1, format!("{} tokens", count(p.n_tokens as f64)));
            bar.update(p.n_bytes_read, p.n_bytes_total, [tokens]);
            stop::check()
        });
        let prepared = prepared.map_err(interrupted)?;
        Stamp::write(&dir, &inputs, Some(prepared.fingerprint())).context("marking the data as prepared")?;
        bar.finish(&format!("{} dropped: {}", totals(&prepared), prepared.manifest().dropped()));
        for notice in prepared.manifest().notices() {
            progress::say("", &notice);
        }
        warn_of_names(&prepared);
        Ok(prepared)
    }
}

/// What a run keeps by its own recipe where its text is not at hand, as when its folder alone was moved: the recipe's hashes say
/// what the text gave.
impl Run {
    fn own_hashes(&self) -> Option<Hashes> {
        let own = self.own_recipe()?;
        let is_same = own.tokenizer == self.recipe.tokenizer
            && without_places(&own.data) == without_places(&self.recipe.data);
        self.recipe.hashes.clone().filter(|hashes| is_same && own.hashes.as_ref() == Some(hashes))
    }

    /// The tokenizer that the stage in `dir` made, as the checkpoints hold it.
    fn tokenizer_of_checkpoint(&self, dir: &Path) -> Option<Tokenizer> {
        let made = Stamp::read(dir)?.output?;
        let checkpoints = std::fs::read_dir(self.dir.join("pretrain/checkpoints")).ok()?;
        let mut found = checkpoints.filter_map(|entry| Tokenizer::load(&entry.ok()?.path()).ok());
        found.find(|tokenizer| tokenizer.fingerprint() == made)
    }

    fn tokenizer_without_sources(&self, dir: &Path) -> Option<Tokenizer> {
        let hashes = self.own_hashes()?;
        let tokenizer = Tokenizer::load(dir).ok().filter(|found| found.fingerprint() == hashes.tokenizer)?;
        let n = tokenizer.vocab_size();
        progress::say("tokenizer", &format!("{n} tokens, kept; the recipe's text is not there to compare"));
        Some(tokenizer)
    }

    fn data_without_sources(&self, dir: &Path, tokenizer: &Tokenizer) -> Option<Prepared> {
        let hashes = self.own_hashes()?;
        let prepared =
            Prepared::open(dir, tokenizer).ok().filter(|found| found.fingerprint() == hashes.data)?;
        progress::say(
            "data",
            &format!("{} kept; the recipe's text is not there to compare", totals(&prepared)),
        );
        Some(prepared)
    }
}

/// Says why a finished stage is not kept, though its inputs are the same.
fn made_anew(stage: &str, damage: &str) {
    progress::say(stage, &format!("made anew: {}", damage.lines().next().unwrap_or_default()));
}

fn changed(dir: &Path) -> String {
    format!("`{}` is not what was made there", dir.display())
}

/// Says where texts hold names of special tokens that were taken for letters.
fn warn_of_names(prepared: &Prepared) {
    let files = &prepared.manifest().files;
    let n_names: u64 = files.iter().map(|file| file.special_names).sum();
    let Some(first) = files.iter().find(|file| file.special_names > 0) else { return };
    let n_files = files.iter().filter(|file| file.special_names > 0).count();
    let others = if n_files > 1 { format!(" and {} more files", n_files - 1) } else { String::new() };
    progress::say(
        "data",
        &format!(
            "warning: {n_names} names of special tokens, such as <|im_start|>, were taken for letters, in {}{others}\n\
             hint: where a program wrote them, set `special_tokens = \"parse\"` at the source",
            first.path
        ),
    );
}

fn totals(prepared: &Prepared) -> String {
    let tokens = [prepared.n_train_tokens(), prepared.n_validation_tokens()].map(|n| count(n as f64));
    format!("{} tokens to train on, {} to validate;", tokens[0], tokens[1])
}

fn interrupted(error: DataError) -> anyhow::Error {
    match error {
        DataError::Interrupted => Interrupted(String::new()).into(),
        other => other.into(),
    }
}
