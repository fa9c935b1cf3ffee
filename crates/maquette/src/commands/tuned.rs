//! What a finished fine-tuning has to show.

use super::next;
use crate::{
    output,
    tune::{Finished, with_margin},
};

/// On stdout, and what can be done next.
pub(super) fn print(finished: &Finished, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&serde_json::to_value(finished)?);
    }
    output::words(format_args!("held-out loss: {} (95 %)", with_margin(&finished.summary.validation, 1.0)))?;
    output::words(format_args!("model: {}", finished.model.display()))?;
    next::after_import(&finished.model);
    Ok(())
}
