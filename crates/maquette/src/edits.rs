//! A word on files of a checkpoint that were changed by hand.

use std::path::Path;

use model::checkpoint;

use crate::output;

/// Names files of the checkpoint that are used although they were changed since it was written.
pub(crate) fn say(dir: &Path) -> anyhow::Result<()> {
    let edited = checkpoint::edited(dir)?;
    if !edited.is_empty() {
        let names: Vec<String> = edited.iter().map(|file| dir.join(file).display().to_string()).collect();
        output::talk(format_args!("note: changed since it was written: {}", names.join(", ")));
    }
    Ok(())
}
