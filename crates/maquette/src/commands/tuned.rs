//! What a finished fine-tuning has to show.

use super::next;
use crate::{output, tune::Finished};

/// On stdout, and what can be done next.
pub(super) fn print(finished: &Finished, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&serde_json::to_value(finished)?);
    }
    let v = &finished.summary.validation;
    output::words(format_args!("held-out loss: {:.4} ± {:.4} (95 %)", v.loss_nats, 1.96 * v.loss_stderr))?;
    output::words(format_args!("model: {}", finished.model.display()))?;
    next::after_import(&finished.model);
    Ok(())
}
