//! Where the data of tasks lie, and what is there.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
};

use data::Row;

use super::{
    definition::{Form, Task},
    made,
};
use crate::{ExamError, python::Random};

/// Tables that are kept: those of one task.
const MAX_KEPT: usize = 2;

/// A folder of data in the forms in which they are published.
///
/// The files of a data set of the Hugging Face hub are found below `OWNER/NAME`, below `NAME`, and in the hub's cache,
/// `datasets--OWNER--NAME/snapshots`.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    /// Of a data set in a single file: that file, whatever its name.
    only: Option<PathBuf>,
    tables: RefCell<Vec<(Key, Rc<Table>)>>,
}

/// A file, and how it is read: between which rows, and with which list cut into rows.
type Key = (PathBuf, Option<(usize, usize)>, Option<String>);

/// Files that were read.
type Tables = Vec<(PathBuf, Rc<Table>)>;

/// Files with their hashes.
type Sources = Vec<(PathBuf, String)>;

/// One file that was read.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    sha256: String,
}

/// Files that a split of a task was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The files.
    pub files: Vec<PathBuf>,
    /// What differs from the original.
    pub note: Option<String>,
    /// Rows that belong to the task, or why they cannot be read.
    pub rows: Result<usize, String>,
    /// The files that were read, with their hashes.
    pub sources: Vec<(PathBuf, String)>,
}

/// Where the data of a part of a task lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In files.
    Found(Found),
    /// In the task's own file.
    Own,
    /// Nowhere below the folder.
    Missing,
}

/// The rows of a split: numbers of rows in tables.
#[derive(Debug)]
pub(super) struct Split<'t> {
    pub(super) form: &'t Form,
    tables: Tables,
    rows: Vec<(usize, usize)>,
    /// Files whose rows stand beside those of the tables, with their hashes.
    beside: Sources,
}

impl Split<'_> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, i: usize) -> &Row {
        let (table, row) = self.rows[i];
        &self.tables[table].1.rows[row]
    }

    /// The file and the line of a row.
    pub(super) fn place(&self, i: usize) -> String {
        format!("{}:{}", self.tables[self.rows[i].0].0.display(), self.row(i).line)
    }

    /// The names of the files.
    pub(super) fn files(&self) -> String {
        self.tables.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The files with their hashes.
    pub(super) fn sources(&self) -> impl Iterator<Item = (PathBuf, String)> {
        let tables = self.tables.iter().map(|(path, table)| (path.clone(), table.sha256.clone()));
        tables.chain(self.beside.iter().cloned())
    }
}

impl DataFolder {
    /// The data in a folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), only: None, tables: RefCell::default() }
    }

    /// The data of one task in a file of any name, in one of the forms in which they are published.
    ///
    /// # Errors
    /// If there is no such file, or it is no table.
    pub fn of_file(path: &Path) -> Result<Self, ExamError> {
        let refuse = |found: &str| ExamError::Table {
            place: path.display().to_string(),
            expected: "a table as .csv, .parquet or .jsonl, also .gz and .zst".to_owned(),
            found: found.to_owned(),
            hint: "`maquette eval --list` says where data are published".to_owned(),
        };
        if !path.is_file() {
            return Err(refuse(if path.is_dir() { "a folder" } else { "no file" }));
        }
        if !is_table(path) {
            return Err(refuse("another ending"));
        }
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { root, only: Some(path.to_owned()), tables: RefCell::default() })
    }

    /// Where the items of a task lie, and where the examples in front of them. What is there is read.
    pub fn find(&self, task: &Task) -> [Presence; 2] {
        let of = |split: &String| match self.files(task, split) {
            None => Presence::Missing,
            Some((form, files)) => {
                let read = self.split(task, split);
                let sources = read.as_ref().map(|split| split.sources().collect()).unwrap_or_default();
                let rows = read.map(|split| split.len()).map_err(|error| error.to_string());
                Presence::Found(Found { files, note: form.note.clone(), rows, sources })
            }
        };
        let examples = if task.fewshot.samples.is_empty() { of(&task.fewshot.split) } else { Presence::Own };
        [of(&task.test), examples]
    }

    fn files<'t>(&self, task: &'t Task, split: &str) -> Option<(&'t Form, Vec<PathBuf>)> {
        let mut forms = task.forms.iter().filter(|form| form.splits.iter().any(|own| own == split));
        if let Some(form) = forms.clone().find(|form| form.made.is_some()) {
            return Some((form, Vec::new()));
        }
        if let Some(only) = &self.only {
            // Rows of a table in JSON are those of the hub's.
            let ending = unpacked(only).to_lowercase().replace(".jsonl", ".parquet");
            let ending = ending.rsplit('.').next().unwrap_or_default();
            let has_ending =
                |form: &&Form| form.files.iter().any(|file| file.contains(&format!(".{ending}")));
            return Some((forms.clone().find(has_ending).or_else(|| forms.next())?, vec![only.clone()]));
        }
        forms.by_ref().flat_map(|form| form.files.iter().map(move |pattern| (form, pattern))).find_map(
            |(form, pattern)| {
                let files = self.matches(&pattern.replace("{split}", split), !form.columns.is_empty());
                (!files.is_empty()).then_some((form, files))
            },
        )
    }

    /// The files of a pattern in the first of the places where they may lie.
    fn matches(&self, pattern: &str, has_columns: bool) -> Vec<PathBuf> {
        let mut places = vec![pattern.to_owned()];
        if let Some((owner, rest)) = pattern.split_once('/').filter(|(owner, _)| !owner.is_empty()) {
            places.push(rest.to_owned());
            if let Some((name, rest)) = rest.split_once('/') {
                places.push(format!("datasets--{owner}--{name}/snapshots/*/{rest}"));
            }
        }
        let root = glob::Pattern::escape(&self.root.to_string_lossy());
        for place in places {
            let whole = if place.starts_with('/') { place } else { format!("{root}/{place}") };
            let mut files: Vec<PathBuf> = glob::glob(&whole)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|path| path.is_file() && (has_columns || is_table(path)))
                .collect();
            // The same file packed and unpacked is one file.
            files.sort();
            files.dedup_by_key(|path| unpacked(path));
            if !files.is_empty() {
                return files;
            }
        }
        Vec::new()
    }

    pub(super) fn split<'t>(&self, task: &'t Task, split: &str) -> Result<Split<'t>, ExamError> {
        let Some((form, files)) = self.files(task, split) else {
            let forms = task.forms.iter().filter(|form| form.splits.iter().any(|own| own == split));
            let patterns = forms.flat_map(|form| &form.files).map(|file| file.replace("{split}", split));
            return Err(ExamError::Missing {
                task: task.name.clone(),
                split: split.to_owned(),
                root: self.root.clone(),
                patterns: patterns.collect(),
                source_url: task.source.clone(),
            });
        };
        let mut tables: Tables = files
            .into_iter()
            .map(|path| self.table(&path, form).map(|table| (path, table)))
            .collect::<Result<_, _>>()?;
        if let Some((name, rows)) = form.made.as_ref().and_then(|name| Some((name, made::rows(name)?))) {
            let texts: Vec<String> =
                rows.iter().map(|row| serde_json::Value::Object(row.fields.clone()).to_string()).collect();
            let table = Table { sha256: base::hash::sha256(texts.join("\n").as_bytes()), rows };
            tables.push((PathBuf::from(name), Rc::new(table)));
        }
        let (tables, beside) = self.with_beside(tables, form, split)?;
        let is_own = |row: &Row| {
            form.only.iter().all(|(name, value)| row.fields.get(name).is_some_and(|found| found == value))
        };
        let mut rows = Vec::new();
        for (t, (_, table)) in tables.iter().enumerate() {
            rows.extend((0..table.rows.len()).filter(|&r| is_own(&table.rows[r])).map(|r| (t, r)));
        }
        if let Some(seed) = task.shuffle {
            Random::new(seed).shuffle(&mut rows);
        }
        if rows.is_empty() {
            return Err(ExamError::Table {
                place: tables
                    .iter()
                    .map(|(path, _)| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                expected: format!("rows of `{}`", task.name),
                found: "none".to_owned(),
                hint: format!("download the data again: {}", task.source),
            });
        }
        Ok(Split { form, tables, rows, beside })
    }

    /// The tables with the fields of those whose rows stand beside theirs, and the files of these.
    fn with_beside(&self, tables: Tables, form: &Form, split: &str) -> Result<(Tables, Sources), ExamError> {
        if form.beside.is_empty() {
            return Ok((tables, Vec::new()));
        }
        let patterns: Vec<String> =
            form.beside.iter().map(|pattern| pattern.replace("{split}", split)).collect();
        let found = patterns.iter().map(|pattern| self.matches(pattern, !form.columns.is_empty()));
        let files = found.into_iter().find(|files| !files.is_empty()).unwrap_or_default();
        let refuse = |place: String, expected: String, found: String| ExamError::Table {
            place,
            expected,
            found,
            hint: "download the data again: their files belong together line by line".to_owned(),
        };
        if files.len() != tables.len() {
            let expected = format!("{} files beside it, as {}", tables.len(), patterns.join(" or "));
            return Err(refuse(tables[0].0.display().to_string(), expected, files.len().to_string()));
        }
        let (mut joined, mut sources) = (Vec::new(), Vec::new());
        for ((path, table), file) in tables.into_iter().zip(files) {
            let other = self.table(&file, form)?;
            if other.rows.len() != table.rows.len() {
                let expected = format!("{} lines, as in `{}`", table.rows.len(), path.display());
                return Err(refuse(file.display().to_string(), expected, other.rows.len().to_string()));
            }
            let of = |(row, other): (&Row, &Row)| {
                let mut row = row.clone();
                row.fields.insert("beside".to_owned(), other.fields.clone().into());
                row
            };
            let rows = table.rows.iter().zip(&other.rows).map(of).collect();
            joined.push((path, Rc::new(Table { rows, sha256: table.sha256.clone() })));
            sources.push((file, other.sha256.clone()));
        }
        Ok((joined, sources))
    }

    fn table(&self, path: &Path, form: &Form) -> Result<Rc<Table>, ExamError> {
        let mut tables = self.tables.borrow_mut();
        let key: Key = (path.to_owned(), form.between, form.unroll.clone());
        if let Some((_, table)) = tables.iter().find(|(known, _)| *known == key) {
            return Ok(table.clone());
        }
        let columns = &form.columns;
        let mut rows =
            if columns.is_empty() { data::rows(path)? } else { data::rows_of_columns(path, columns)? };
        if let Some((first, last)) = form.between {
            rows.retain(|row| (first..=last).contains(&row.line));
        }
        if let Some(list) = &form.unroll {
            rows = rows.into_iter().flat_map(|row| unrolled(row, list)).collect();
        }
        let table = Table { sha256: base::hash::sha256_of_file(path)?, rows };
        if tables.len() >= MAX_KEPT {
            tables.remove(0);
        }
        let table = Rc::new(table);
        tables.push((key, table.clone()));
        Ok(table)
    }
}

/// A row for each element of the list in a field, which stands in the place of the list. Without a list, the row.
fn unrolled(row: Row, list: &str) -> Vec<Row> {
    let Some(elements) = row.fields.get(list).and_then(|field| field.as_array()).cloned() else {
        return vec![row];
    };
    let of = |element| {
        let mut row = row.clone();
        row.fields.insert(list.to_owned(), element);
        row
    };
    elements.into_iter().map(of).collect()
}

/// The name without the ending of a compression.
fn unpacked(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name).to_owned()
}

/// Whether a file's ending is one of a table's.
pub(super) fn is_table(path: &Path) -> bool {
    let name = unpacked(path).to_lowercase();
    [".jsonl", ".csv", ".tsv", ".parquet"].iter().any(|ending| name.ends_with(ending))
}
