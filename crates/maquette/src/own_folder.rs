//! Folders that commands write to, and those that know their own by a file in it.

use std::path::Path;

use anyhow::Context as _;

use crate::run_dir::write_whole;

/// Makes the folder `dir`, which `--out` named, or takes one that is there.
///
/// # Errors
/// If a file stands where a folder must be, or it cannot be made.
pub(crate) fn make(dir: &Path) -> anyhow::Result<()> {
    if let Some(file) = dir.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir()) {
        anyhow::bail!(
            "expected a folder as --out, `{}` is a file\nhint: choose another folder with --out",
            file.display()
        );
    }
    base::disk::create_dir_all(dir).with_context(|| {
        format!("cannot create `{}`\nhint: choose a folder that you may write to, with --out", dir.display())
    })
}

/// Makes the folder `dir`, or takes one that the same command made: `about` in it says what it is.
///
/// # Errors
/// If it holds other files, or cannot be made.
pub(crate) fn open(dir: &Path, about: &str, text: &str) -> anyhow::Result<()> {
    open_with(dir, about, text, &|_| false)
}

/// As [`open`], where files whose names `is_known` has are its own as well.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_with(
    dir: &Path,
    about: &str,
    text: &str,
    is_known: &dyn Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let is_ours = dir.join(about).is_file();
    let foreign = |name: &String| !is_known(name);
    let found = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
    if let Some(name) = found.find(foreign).filter(|_| !is_ours) {
        anyhow::bail!(
            "expected a new folder, or one that this command wrote, at `{}`, found other files, such as `{name}`\nhint: choose another folder with --out",
            dir.display()
        );
    }
    make(dir)?;
    write_whole(&dir.join(about), text.as_bytes())
}
