//! Losses of answers about pictures, of all and by kind: forecast from the rungs beside the loss of the text.

use std::{collections::BTreeSet, path::PathBuf};

use forecast::{Forecast, PartForecast, PartLoss, ReferenceRuns, Seal, Table};

use super::ladder::finished::Ladder;
use crate::{
    output, progress,
    run_dir::{self, RungResult, sealed_answers},
};

/// A forecast of each loss that the rungs have, or why there is none; nothing where the recipe has no pictures.
///
/// `table` holds the losses of the rungs' text; whatever is forecast of the answers is so for the same run. Of the folders among
/// `references` the same parts are read.
///
/// # Errors
/// If a folder of reference runs cannot be read.
pub(super) fn predict(
    ladder: &Ladder,
    table: &Table,
    text: &Forecast,
    references: &[PathBuf],
) -> anyhow::Result<Vec<PartForecast>> {
    let names: BTreeSet<&str> =
        ladder.points().flat_map(|rung| rung.parts.keys()).map(String::as_str).collect();
    let fit = |name: &str| {
        let loss = |rung: &RungResult| {
            let part = rung.parts.get(name)?;
            Some(PartLoss { run: rung.run.clone(), loss: part.loss_nats, stderr: part.loss_stderr })
        };
        let losses = ladder.points().filter_map(loss).collect();
        let references = reference_parts(references, name)?;
        Ok(PartForecast::fit(name, losses, table, &references, &text.settings, &text.target))
    };
    names.into_iter().map(fit).collect()
}

/// What the reference runs say of a part; those that give no law of it are left out, with a word why.
fn reference_parts(paths: &[PathBuf], name: &str) -> anyhow::Result<Vec<ReferenceRuns>> {
    let mut found = Vec::new();
    for path in paths {
        match run_dir::reference_part(path, name)? {
            Some(Ok(runs)) => found.push(runs),
            Some(Err(error)) => progress::say(
                "forecast",
                &format!(
                    "`{}` is no reference for {name}: {}",
                    path.display(),
                    error.to_string().replace('\n', "; ")
                ),
            ),
            None => {}
        }
    }
    Ok(found)
}

/// Says what is sealed of them, and how it was come by.
pub(super) fn describe(seal: &Seal, note: &str) -> anyhow::Result<()> {
    for part in sealed_answers(seal)? {
        for warning in &part.warnings {
            output::talk(format_args!("{:>12} {}: {}", "warning", part.name, warning.text));
        }
        progress::say("forecast", &format!("loss of answers about pictures, {part}; {note}"));
    }
    Ok(())
}
