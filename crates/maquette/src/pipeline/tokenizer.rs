//! The stage `tokenizer`: learn a vocabulary, or take over that of the model that is continued.

use std::path::Path;

use anyhow::Context as _;
use data::{ChatTemplate, Tokenizer};
use model::checkpoint;

use super::{
    aside::set_aside,
    moved::{changed, made_again},
    once::once,
    run::Run,
    stage::{Stage, hash},
};
use crate::{
    edits,
    progress::{self, Field, Progress, count},
    run_dir::{Stamp, write_whole},
    stop::{self, interrupted},
};

/// Learns the vocabulary, or keeps the one that is there.
#[derive(Debug)]
pub(crate) struct TrainTokenizer;

impl Stage for TrainTokenizer {
    fn name(&self) -> &'static str {
        "tokenizer"
    }

    fn about(&self) -> &'static str {
        "Train the tokenizer"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        if let Some(from) = run.start()? {
            return Ok(TakenOver::read(from)?.inputs());
        }
        let config = run.recipe()?.tokenizer.as_ref().context("a recipe has a tokenizer or `model.from`")?;
        let inputs = hash(&[&serde_json::to_string(config)?, &run.sources()?]);
        Ok(match config.is_open() {
            // A vocabulary that is there stays, however fast this machine is found to be today.
            true => hash(&[&inputs, &run.vocabulary_inputs()?]),
            false => inputs,
        })
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        let tokenizer = match run.start()? {
            Some(from) => take_over(run, from)?,
            None => self.learned(run)?,
        };
        once(&run.tokenizer, || Ok(tokenizer)).map(drop)
    }
}

impl Run {
    /// What the stage `tokenizer` left.
    pub(super) fn tokenizer(&self) -> anyhow::Result<&Tokenizer> {
        once(&self.tokenizer, || {
            let dir = self.require("tokenizer", "tokenizer.json", TrainTokenizer.name())?;
            Ok(Tokenizer::load(&dir)?)
        })
    }
}

impl TrainTokenizer {
    fn learned(&self, run: &Run) -> anyhow::Result<Tokenizer> {
        let dir = run.dir.join("tokenizer");
        let recipe = run.recipe()?;
        let config = recipe.tokenizer.as_ref().context("a recipe has a tokenizer or `model.from`")?;
        let inputs = match self.inputs(run) {
            Ok(inputs) => inputs,
            Err(error) => return run.tokenizer_without_sources(&dir).ok_or(error),
        };
        if Stamp::is_kept(&dir, &inputs) {
            match Tokenizer::load(&dir) {
                Ok(tokenizer) if Stamp::is_as_made(&dir, tokenizer.fingerprint()) => {
                    progress::say("tokenizer", &format!("{} tokens, kept", tokenizer.vocab_size()));
                    return Ok(tokenizer);
                }
                Ok(_) => made_again("tokenizer", &changed(&dir)),
                Err(error) => made_again("tokenizer", &error.to_string()),
            }
            if let Some(tokenizer) = run.tokenizer_of_checkpoint(&dir) {
                // How fast this machine is today may decide on another size of an open vocabulary.
                tokenizer.save(&dir)?;
                let n = tokenizer.vocab_size();
                progress::say("tokenizer", &format!("{n} tokens, taken from a checkpoint of the run"));
                return Ok(tokenizer);
            }
        } else if Stamp::is_other(&dir, &inputs) {
            set_aside(&dir)?;
        }
        let open_size = if config.is_open() { Some(run.open_vocab_size()?) } else { None };
        let mut bar = Progress::new("tokenizer");
        let mut report = |p: data::Progress| {
            let documents = Field::new(1, format!("{} documents", count(p.n_documents as f64)));
            bar.update(p.n_bytes_read, p.n_bytes_total, [documents]);
            stop::check()
        };
        let trained = match open_size {
            Some(size_for) => Tokenizer::train_open(config, size_for, &recipe.data, &mut report),
            None => Tokenizer::train(config, &recipe.data, &mut report),
        };
        let tokenizer = trained.map_err(interrupted)?;
        tokenizer.save(&dir)?;
        Stamp::write(&dir, &inputs, Some(tokenizer.fingerprint()))?;
        bar.finish(&format!("{} tokens", tokenizer.vocab_size()));
        Ok(tokenizer)
    }
}

/// Tokenizer and chat template of the checkpoint that is continued.
struct TakenOver {
    tokenizer: Tokenizer,
    template: Option<String>,
}

impl TakenOver {
    fn read(from: &Path) -> anyhow::Result<Self> {
        checkpoint::read_config(from).with_context(|| format!("`model.from` is `{}`", from.display()))?;
        Ok(Self { tokenizer: Tokenizer::load(from)?, template: ChatTemplate::read(from)? })
    }

    fn inputs(&self) -> String {
        let ids = format!("{:?}", train::special_ids(&self.tokenizer));
        hash(&[self.tokenizer.fingerprint(), self.template.as_deref().unwrap_or_default(), &ids])
    }
}

/// Takes over tokenizer and chat template of the checkpoint that is continued.
fn take_over(run: &Run, from: &Path) -> anyhow::Result<Tokenizer> {
    let taken = TakenOver::read(from)?;
    edits::say(from)?;
    let inputs = taken.inputs();
    let TakenOver { tokenizer, template } = taken;
    let dir = run.dir.join("tokenizer");
    // What was taken over may have been lost since.
    let is_there = Tokenizer::load(&dir).is_ok_and(|there| there.fingerprint() == tokenizer.fingerprint())
        && ChatTemplate::read(&dir).is_ok_and(|there| there == template);
    if Stamp::is_kept(&dir, &inputs) && is_there {
        progress::say("tokenizer", &format!("{} tokens, kept", tokenizer.vocab_size()));
        return Ok(tokenizer);
    }
    if Stamp::is_other(&dir, &inputs) {
        set_aside(&dir)?;
    }
    tokenizer.save(&dir)?;
    checkpoint::write_special_ids(&dir, &train::special_ids(&tokenizer))?;
    if let Some(template) = template {
        write_whole(&dir.join(ChatTemplate::FILE), template.as_bytes())?;
    }
    Stamp::write(&dir, &inputs, Some(tokenizer.fingerprint()))?;
    progress::say("tokenizer", &format!("{} tokens, of {}", tokenizer.vocab_size(), from.display()));
    Ok(tokenizer)
}
