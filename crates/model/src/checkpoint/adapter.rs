//! Adapters, which are no models by themselves.

use std::path::Path;

use super::CheckpointError;

/// `transformers` puts an adapter that lies beside a model onto it, or onto the one that it names.
pub(super) fn refuse_adapter(folder: &Path) -> Result<(), CheckpointError> {
    let path = folder.join("adapter_config.json");
    if !path.is_file() {
        return Ok(());
    }
    Err(CheckpointError::Unsupported {
        path,
        what: "the model".into(),
        found: "one with an adapter beside it".into(),
        expected: "models whose adapter is merged into their weights".into(),
    })
}
