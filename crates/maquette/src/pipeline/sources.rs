//! What a recipe's text is made of, wherever it lies: a run that was moved or copied with its text finds it unchanged.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::Read as _,
    path::Path,
};

use anyhow::Context as _;
use base::hash::Xxh3;
use data::{OnError, ValidationConfig};
use serde::{Deserialize, Serialize};

use super::run::Run;
use crate::{
    progress::{self, count},
    recipe::without_places,
    run_dir::{SOURCES, write_whole},
    stop::{self, Interrupted},
};

/// Bytes to read from which on it is said.
const LONG_READ_BYTES: u64 = 1 << 30;

/// A file and its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Index of its source; held-out sources come last.
    source: usize,
    /// Its name below the source's folder, escaped where it is no UTF-8.
    name: String,
    bytes: u64,
    /// When the system says that it changed.
    changed: String,
    /// XXH3, 128 bits, of the content.
    xxh3: String,
}

impl Run {
    /// Settings of the data, and name, size and hash of every file: nothing of where they lie or when they were copied.
    pub(super) fn sources(&self) -> anyhow::Result<String> {
        let config = &self.recipe()?.data;
        let held_out = match &config.validation {
            ValidationConfig::Source { sources } => sources.as_slice(),
            _ => &[],
        };
        let mut now = Vec::new();
        for (i, source) in config.sources.iter().chain(held_out).enumerate() {
            let root = source.root();
            for path in config.list(source)?.files {
                let meta = fs::metadata(&path).with_context(|| cannot_read(&path))?;
                let known = Known {
                    source: i,
                    name: format!("{:?}", path.strip_prefix(&root).unwrap_or(&path)),
                    bytes: meta.len(),
                    changed: changed(&meta),
                    xxh3: String::new(),
                };
                now.push((path, known));
            }
        }
        let place = self.dir.join(SOURCES);
        let before: Vec<Known> =
            fs::read(&place).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let by_name: HashMap<(usize, &str), &Known> =
            before.iter().map(|known| ((known.source, known.name.as_str()), known)).collect();
        for (_, known) in &mut now {
            let earlier = by_name.get(&(known.source, known.name.as_str()));
            if let Some(same) = earlier.filter(|e| e.bytes == known.bytes && e.changed == known.changed) {
                known.xxh3 = same.xxh3.clone();
            }
        }
        let to_read = |known: &Known| known.xxh3.is_empty();
        let n_bytes: u64 = now.iter().filter(|(_, known)| to_read(known)).map(|(_, known)| known.bytes).sum();
        if n_bytes > LONG_READ_BYTES {
            progress::say(
                "sources",
                &format!("{} bytes of text are read to check that they are unchanged", count(n_bytes as f64)),
            );
        }
        for (path, known) in &mut now {
            if to_read(known) {
                known.xxh3 = match hash(path) {
                    // It is left out of the data.
                    Err(error) if config.on_error == OnError::Skip && !error.is::<Interrupted>() => {
                        "unreadable".to_owned()
                    }
                    hash => hash?,
                };
            }
        }
        let now: Vec<Known> = now.into_iter().map(|(_, known)| known).collect();
        if now != before {
            write_whole(&place, &serde_json::to_vec_pretty(&now)?)?;
        }
        let mut state = serde_json::to_string(&without_places(config))?;
        for Known { source, name, bytes, xxh3, .. } in &now {
            state.push_str(&format!("\n{source} {name} {bytes} {xxh3}"));
        }
        Ok(state)
    }
}

/// When a file changed, as far as the system tells: on Unix also when its name, owner or times did.
fn changed(meta: &Metadata) -> String {
    let modified = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    #[cfg(unix)]
    let inode = {
        use std::os::unix::fs::MetadataExt as _;
        format!(" {}.{:09}", meta.ctime(), meta.ctime_nsec())
    };
    #[cfg(not(unix))]
    let inode = "";
    format!("{}{inode}", modified.map_or_else(|| "?".to_owned(), |t| format!("{:?}", t.as_nanos())))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read `{}`\nhint: check the recipe's [data] table", path.display())
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| cannot_read(path))?;
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; 1 << 18]);
    loop {
        if stop::check().is_break() {
            return Err(Interrupted(String::new()).into());
        }
        match file.read(&mut buffer).with_context(|| cannot_read(path))? {
            0 => return Ok(base::hash::hex(hash.digest128())),
            n => hash.update(&buffer[..n]),
        }
    }
}
