//! The files of a run: their names, and for each one type that writes and reads it.
//!
//! Stages, the report and the commands meet here and nowhere else.

mod begun;
mod capability;
mod explained;
mod file;
mod identity;
mod points;
mod record;
mod rung;
mod sample;
mod seal;
mod stamp;
mod summary;
mod sweep;
mod verdict;
mod watched;

use std::path::Path;

pub(crate) use begun::{Begun, first_step_at, sealed_at_start};
pub(crate) use capability::{BucketOutcome, CAPABILITY, PassRates, SCORES, are_scores_whole, write_scores};
pub(crate) use explained::{EXPLAINED, EXPLAINED_INPUTS, ExplainedAnswer, ExplainedPicture};
pub(crate) use file::RunFile;
pub(crate) use identity::{Identity, check, check_plan, recorded_seals};
pub(crate) use points::{points, reference_part, reference_runs};
pub(crate) use record::{Growth, METRICS, Recorded, is_record_whole};
pub(crate) use rung::{Role, RungFile, RungResult, rung_file};
pub(crate) use sample::{SAMPLES, SAMPLES_INPUTS, Sample};
pub(crate) use seal::{
    Cost, FORECAST, judged_answers, read_named_seal, read_seal, sealed_answers, section, write_seal,
};
pub(crate) use stamp::{STAMP, Stamp};
pub(crate) use summary::{RunSummary, SUMMARY, of_text, summary};
pub(crate) use sweep::{RatioPoint, RatioTest, Sweep, SweepPoint};
pub(crate) use verdict::VERDICT;
pub(crate) use watched::{WATCH, Watched};

/// The resolved recipe.
pub(crate) const RECIPE: &str = "recipe.toml";
/// What went into the token shards, and the shards.
pub(crate) const MANIFEST: &str = "data/manifest.jsonl";
/// Hash of what the training was begun from.
pub(crate) const INPUTS: &str = "pretrain/inputs";
/// What the files of the sources were when they were last read: those that have not changed since need not be read again.
pub(crate) const SOURCES: &str = "sources.json";
/// The page.
pub(crate) const REPORT: &str = "report.html";

/// Writes a file of the run; it appears whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    base::write(path, bytes).map_err(|error| {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let hint = match error.source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => "free some space, then give the same command again",
            _ => "move away what stands there, or choose another --out",
        };
        anyhow::anyhow!("cannot write `{}`: {}\nhint: {hint}", path.display(), error.source)
    })
}
