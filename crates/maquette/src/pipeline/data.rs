//! The stage `data`: text to token shards.

use std::sync::Arc;

use anyhow::Context as _;
use data::Prepared;

use super::{
    aside::set_aside,
    moved::{changed, made_again, totals},
    once::once,
    run::Run,
    stage::{Stage, hash},
};
use crate::{
    progress::{self, Field, Progress, count},
    run_dir::Stamp,
    stop::{self, interrupted},
};

/// Turns the text into token shards, or keeps those that are there.
#[derive(Debug)]
pub(crate) struct PrepareData;

impl Stage for PrepareData {
    fn name(&self) -> &'static str {
        "data"
    }

    fn about(&self) -> &'static str {
        "Turn text into token shards"
    }

    fn inputs(&self, run: &Run) -> anyhow::Result<String> {
        let (tokenizer, sources) = (run.tokenizer()?, run.sources()?);
        let ends = format!("{} {}", tokenizer.begin_of_text(), tokenizer.end_of_text());
        let mut inputs = vec![tokenizer.fingerprint(), &sources];
        if run.recipe()?.model.from.is_some() {
            inputs.push(&ends);
        }
        Ok(hash(&inputs))
    }

    fn run(&self, run: &Run) -> anyhow::Result<()> {
        let prepared = self.prepared(run)?;
        once(&run.prepared, || Ok(Arc::new(prepared))).map(drop)
    }
}

impl Run {
    /// What the stage `data` left.
    pub(super) fn prepared(&self) -> anyhow::Result<&Arc<Prepared>> {
        once(&self.prepared, || {
            let dir = self.require("data", "manifest.jsonl", PrepareData.name())?;
            Ok(Arc::new(Prepared::open(&dir, self.tokenizer()?)?))
        })
    }
}

impl PrepareData {
    fn prepared(&self, run: &Run) -> anyhow::Result<Prepared> {
        let (dir, tokenizer) = (run.dir.join("data"), run.tokenizer()?);
        let inputs = match self.inputs(run) {
            Ok(inputs) => inputs,
            Err(error) => return run.data_without_sources(&dir).ok_or(error),
        };
        if Stamp::is_kept(&dir, &inputs) {
            match Prepared::open(&dir, tokenizer) {
                Ok(prepared) if Stamp::is_as_made(&dir, prepared.fingerprint()) => {
                    progress::say("data", &format!("{} kept", totals(&prepared)));
                    return Ok(prepared);
                }
                Ok(_) => made_again("data", &changed(&dir)),
                Err(error) => made_again("data", &error.to_string()),
            }
        } else if Stamp::is_other(&dir, &inputs) {
            set_aside(&dir)?;
        }
        let mut bar = Progress::new("data");
        let prepared = data::prepare(&run.recipe()?.data, tokenizer, &dir, &mut |p| {
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

/// Says where texts hold names of special tokens that were read as plain text.
fn warn_of_names(prepared: &Prepared) {
    let files = &prepared.manifest().files;
    let n_names: u64 = files.iter().map(|file| file.special_names).sum();
    let Some(first) = files.iter().find(|file| file.special_names > 0) else { return };
    let n_files = files.iter().filter(|file| file.special_names > 0).count();
    let others = if n_files > 1 { format!(" and {} more files", n_files - 1) } else { String::new() };
    progress::say(
        "data",
        &format!(
            "warning: {n_names} names of special tokens, such as <|im_start|>, were read as plain text, in {}{others}\n\
             hint: if a program wrote them, set `special_tokens = \"parse\"` at the source",
            first.path
        ),
    );
}
