//! What is trained on, apart from what is held out: a row of both would be tested by heart.

use std::{collections::HashMap, path::PathBuf};

use base::hash::Xxh3;

use crate::{DataError, interleaved::Row};

const NAME: &str = "pictures.held_out";
const HINT: &str = "name another file, or divide the rows of one: split = { share = 0.1 }";

/// Refuses a file that is trained on and held out.
pub(super) fn other_files(files: &[PathBuf], held_out: &[PathBuf]) -> Result<(), DataError> {
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let trained: Vec<PathBuf> = files.iter().map(real).collect();
    match held_out.iter().find(|path| trained.contains(&real(path))) {
        None => Ok(()),
        Some(path) => Err(DataError::Setting {
            name: NAME,
            expected: "other files than `files`",
            found: format!("`{}` in both", path.display()),
            hint: HINT,
        }),
    }
}

/// The rows to train on that are not held out, and a sentence about the others, if there are some.
pub(super) fn without(train: Vec<Row>, held_out: &[Row]) -> Result<(Vec<Row>, Option<String>), DataError> {
    let tested: HashMap<u128, &str> = held_out.iter().map(|row| (hash(row), &row.place[..])).collect();
    let n = train.len();
    let mut first = None;
    let is_new = |row: &Row| match tested.get(&hash(row)) {
        None => true,
        Some(twin) => {
            first.get_or_insert_with(|| format!("{}, the same as {twin}", row.place));
            false
        }
    };
    let kept: Vec<Row> = train.into_iter().filter(is_new).collect();
    let Some(first) = first else { return Ok((kept, None)) };
    let n_both = n - kept.len();
    if kept.is_empty() {
        return Err(DataError::Setting {
            name: NAME,
            expected: "other rows than those of `files`",
            found: format!("all {n} in both, such as {first}"),
            hint: HINT,
        });
    }
    let rows = match n_both {
        1 => "1 row to train on is".to_owned(),
        n => format!("{n} rows to train on are"),
    };
    Ok((kept, Some(format!("{rows} held out too, and left out of the training; first: {first}"))))
}

/// Of its texts and pictures.
fn hash(row: &Row) -> u128 {
    let mut hash = Xxh3::new();
    row.add_to(&mut hash);
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::super::{PictureSet, PicturesConfig, RowSplit};
    use crate::image::RgbImage;

    #[test]
    fn what_is_trained_on_and_held_out_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.png"), RgbImage::filled(3, 2, [9, 8, 7]).to_png()).unwrap();
        let row = |i: usize| format!("{{\"text\": \"<image>{i}\", \"image\": \"a.png\"}}\n");
        let write = |name: &str, rows: &[usize]| {
            let path = dir.path().join(name);
            std::fs::write(&path, rows.iter().map(|i| row(*i)).collect::<String>()).unwrap();
            path
        };
        let (train, test) = (write("t.jsonl", &[0, 1, 2, 3, 2]), write("h.jsonl", &[7, 2, 3]));
        let config = PicturesConfig {
            draw: Vec::new(),
            files: vec![train.clone()],
            held_out: vec![test.clone()],
            ..PicturesConfig::default()
        };
        let set = PictureSet::open(&config, 96, 1).unwrap();
        let said = set.on_both_sides().unwrap();
        assert!(said.starts_with("3 rows to train on are held out too"), "{said}");
        assert!(said.contains("t.jsonl") && said.contains("h.jsonl"), "{said}");
        let once = PicturesConfig { held_out: vec![write("one.jsonl", &[7, 0])], ..config.clone() };
        let said = PictureSet::open(&once, 96, 1).unwrap().on_both_sides().unwrap().to_owned();
        assert!(said.starts_with("1 row to train on is held out too"), "{said}");
        let apart = PicturesConfig { held_out: vec![write("other.jsonl", &[7])], ..config.clone() };
        let apart = PictureSet::open(&apart, 96, 1).unwrap();
        assert_eq!((apart.on_both_sides(), apart.n_turns(super::super::Side::Train)), (None, 1));

        let refused = |config: &PicturesConfig| PictureSet::open(config, 96, 1).unwrap_err().to_string();
        let all = PicturesConfig { held_out: vec![write("all.jsonl", &[3, 2, 1, 0])], ..config.clone() };
        let error = refused(&all);
        assert!(error.contains("all 5 in both") && error.contains("hint:"), "{error}");
        // The same file by another name.
        let again = dir.path().join(".").join("t.jsonl");
        let error = refused(&PicturesConfig { held_out: vec![test, again], ..config.clone() });
        assert!(error.contains("`pictures.held_out` must be other files than `files`"), "{error}");
        assert!(error.contains("t.jsonl` in both") && error.contains("hint:"), "{error}");
        // Rows that a field divides may be the same.
        let rows = ["dev", "test", "dev"].iter().enumerate().map(|(i, part)| {
            format!("{{\"text\": \"<image>{}\", \"image\": \"a.png\", \"split\": \"{part}\"}}\n", i.min(1))
        });
        std::fs::write(&train, rows.collect::<String>()).unwrap();
        let split = Some(RowSplit::of_value("split", "test"));
        let divided = PicturesConfig { held_out: Vec::new(), split, ..config };
        let set = PictureSet::open(&divided, 96, 1).unwrap();
        assert!(set.on_both_sides().unwrap().starts_with("1 row"), "{set:?}");
    }
}
