//! The file of a task's items, which grows while they are scored.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use base::{FileError, disk};

use super::{Provenance, score::ItemScore};
use crate::ExamError;

/// `TASK-Nshot.jsonl`, with what its scores depend on in `TASK-Nshot.json` beside it.
#[derive(Debug)]
pub struct ItemsFile {
    /// None where nobody wants a file.
    file: Option<(PathBuf, File)>,
    /// What was scored, where there is no file.
    held: Vec<ItemScore>,
    n_items: usize,
}

impl ItemsFile {
    /// No file: items are held in memory.
    pub fn in_memory() -> Self {
        Self { file: None, held: Vec::new(), n_items: 0 }
    }

    /// Where the items of a task lie in a folder.
    pub fn path(folder: &Path, task: &str, n_shots: usize) -> PathBuf {
        folder.join(format!("{task}-{n_shots}shot.jsonl"))
    }

    /// Opens the file of a task in a folder, which is made. What a kill cut off at its end is removed; items that are
    /// there are kept.
    ///
    /// # Errors
    /// If the items there were scored with something else, are damaged, or nothing can be written.
    pub fn open(folder: &Path, provenance: &Provenance) -> Result<Self, ExamError> {
        let path = Self::path(folder, &provenance.task, provenance.shots);
        disk::create_dir_all(folder).map_err(FileError::new("create", folder))?;
        let about = path.with_extension("json");
        let (n_items, n_bytes) = if path.exists() { Self::count(&path)? } else { (0, 0) };
        match fs::read(&about) {
            Ok(bytes) => {
                let known: Result<Provenance, _> = serde_json::from_slice(&bytes);
                let known = known.map_err(|error| ExamError::Table {
                    place: about.display().to_string(),
                    expected: "what the items beside it were scored with".to_owned(),
                    found: error.to_string(),
                    hint: "choose another folder with --out".to_owned(),
                })?;
                if let Some(what) = difference(&known, provenance).filter(|_| n_items > 0) {
                    return Err(ExamError::Other { path, what });
                }
            }
            Err(_) if fs::metadata(&path).is_ok_and(|meta| meta.len() > 0) => {
                return Err(ExamError::Other { path, what: "a file without a .json beside it".to_owned() });
            }
            Err(_) => {}
        }
        if n_items == 0 {
            let text = serde_json::to_string_pretty(provenance).expect("texts become JSON");
            base::write(&about, format!("{text}\n").as_bytes())?;
        }
        let file = disk::append_to(&path).map_err(FileError::new("open", &path))?;
        disk::set_len(&file, n_bytes).map_err(FileError::new("write", &path))?;
        Ok(Self { file: Some((path, file)), held: Vec::new(), n_items })
    }

    /// The items of a file, and how many bytes they take.
    fn count(path: &Path) -> Result<(usize, u64), ExamError> {
        let mut n_bytes = 0;
        let mut n_items = 0;
        each_item(path, |_, n_line| {
            n_items += 1;
            n_bytes += n_line as u64;
        })?;
        Ok((n_items, n_bytes))
    }

    /// The items of a finished or unfinished file.
    ///
    /// # Errors
    /// If it cannot be read, or a line is no item.
    pub fn read(path: &Path) -> Result<Vec<ItemScore>, ExamError> {
        let mut items = Vec::new();
        each_item(path, |item, _| items.push(item))?;
        Ok(items)
    }

    /// Replaces a finished or unfinished file by the same items, judged again.
    ///
    /// # Errors
    /// If nothing can be written.
    pub fn replace(path: &Path, items: &[ItemScore]) -> Result<(), ExamError> {
        let lines: String = items.iter().map(ItemScore::line).collect();
        Ok(base::write(path, lines.as_bytes())?)
    }

    /// All items so far.
    pub(crate) fn all(&self) -> Result<Vec<ItemScore>, ExamError> {
        match &self.file {
            Some((path, _)) => Self::read(path),
            None => Ok(self.held.clone()),
        }
    }

    /// Numbers of the items that have no answer.
    pub(crate) fn failed(&self) -> Result<Vec<usize>, ExamError> {
        Ok(self.all()?.iter().filter(|item| item.failure.is_some()).map(|item| item.doc_id).collect())
    }

    /// Replaces all items so far.
    pub(crate) fn replace_all(&mut self, items: &[ItemScore]) -> Result<(), ExamError> {
        match &mut self.file {
            Some((path, file)) => {
                Self::replace(path, items)?;
                *file = disk::append_to(path).map_err(FileError::new("open", path))?;
            }
            None => self.held = items.to_vec(),
        }
        Ok(())
    }

    /// How many items are in it.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// All items that were scored.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn items(self) -> Result<Vec<ItemScore>, ExamError> {
        match &self.file {
            Some((path, _)) => Self::read(path),
            None => Ok(self.held),
        }
    }

    pub(crate) fn append(&mut self, items: Vec<ItemScore>) -> Result<(), ExamError> {
        self.n_items += items.len();
        match &mut self.file {
            Some((path, file)) => {
                let lines: String = items.iter().map(ItemScore::line).collect();
                disk::write_all(file, lines.as_bytes()).map_err(FileError::new("write", path))?;
            }
            None => self.held.extend(items),
        }
        Ok(())
    }
}

/// Calls `visit` with every whole line's item and its number of bytes. A last line without its end is what a kill left.
fn each_item(path: &Path, mut visit: impl FnMut(ItemScore, usize)) -> Result<(), ExamError> {
    let io = |action| FileError::new(action, path);
    let mut reader = BufReader::new(File::open(path).map_err(io("read"))?);
    let mut n_items = 0;
    loop {
        let mut line = Vec::new();
        let n_line = reader.read_until(b'\n', &mut line).map_err(io("read"))?;
        if n_line == 0 || line.last() != Some(&b'\n') {
            return Ok(());
        }
        let damaged = |found: String| ExamError::Table {
            place: format!("{}:{}", path.display(), n_items + 1),
            expected: format!("item {n_items} of a task"),
            found,
            hint: "delete the file to score its items again, or choose another folder with --out".to_owned(),
        };
        let item: ItemScore = serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
        if item.doc_id != n_items {
            return Err(damaged(format!("item {}", item.doc_id)));
        }
        if item.choices.is_empty() && item.outputs.is_empty() && item.failure.is_none() {
            return Err(damaged("an item without choices or outputs".to_owned()));
        }
        n_items += 1;
        visit(item, n_line);
    }
}

/// In what two differ, in words.
fn difference(known: &Provenance, now: &Provenance) -> Option<String> {
    let names =
        |data: &[(String, String)]| -> Vec<String> { data.iter().map(|(_, hash)| hash.clone()).collect() };
    [
        (known.endpoint != now.endpoint, "items of another endpoint or model".to_owned()),
        (known.weights_sha256 != now.weights_sha256, "items of other weights".to_owned()),
        (known.tokenizer != now.tokenizer, "items of another tokenizer".to_owned()),
        (known.dtype != now.dtype, format!("items in {}", known.dtype)),
        (known.task_sha256 != now.task_sha256, "items of another version of the task".to_owned()),
        (names(&known.data) != names(&now.data), "items of other data".to_owned()),
        (known.template_sha256 != now.template_sha256, "answers with another chat template".to_owned()),
        (known.chat != now.chat, "items put in a conversation in another way".to_owned()),
        (known.drawing != now.drawing, "answers that were drawn in another way".to_owned()),
        (known.task != now.task || known.shots != now.shots, "items of another task".to_owned()),
    ]
    .into_iter()
    .find_map(|(differs, what)| differs.then_some(what))
}
