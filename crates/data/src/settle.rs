//! Where a recipe leaves the validation split open: what the corpus itself asks for.

use std::ops::ControlFlow;

use crate::{DataConfig, DataError, Documents, Progress, ValidationConfig};

/// From so many documents on, one in a hundred by hash holds some out for sure.
const MANY: u64 = 1000;
/// Fewer than these are too few to hold out whole ones.
const FEW: u64 = 100;
/// Documents that a split by hash is to hold out, in expectation, where there are fewer than [`MANY`].
const HELD_OUT: f64 = 10.0;
/// Bytes that a tail is to hold out, as long as that is from a hundredth to a tenth of the text.
const TAIL_BYTES: f64 = 1e6;

/// What [`settle`] chose, and for how many documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Documents that were counted; where there are a thousand or more, only these.
    pub n_documents: u64,
}

/// Puts a split in the place of [`ValidationConfig::Auto`]: one document in a hundred by hash; more of them where there are
/// fewer than a thousand; and where there are fewer than a hundred, a single text among them, the tail of each.
///
/// Reads documents until a thousand were seen, and none where the split is given: then there is nothing to say. `progress` is
/// called before each and stops the work by `Break`.
///
/// # Errors
/// As [`Documents::next_document`]; [`DataError::Interrupted`].
pub fn settle(
    config: &mut DataConfig,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Option<Settled>, DataError> {
    if config.validation != ValidationConfig::Auto {
        return Ok(None);
    }
    // Generated tasks are on one side alone.
    let sources = DataConfig { tasks: None, ..config.clone() };
    let mut documents = Documents::open(&sources)?;
    let mut now = Progress { n_bytes_total: documents.n_bytes_total(), ..Progress::default() };
    let mut n_bytes = 0;
    while let Some(document) = documents.next_document()? {
        now.n_documents += 1;
        n_bytes += document.text.len();
        now.n_bytes_read = documents.n_bytes_read();
        if now.n_documents >= MANY {
            break;
        }
        if progress(now).is_break() {
            return Err(DataError::Interrupted);
        }
    }
    let n = now.n_documents;
    // Two digits: they are to be read in the run's recipe.
    let rounded = |fraction: f64| (100.0 * fraction).ceil() / 100.0;
    config.validation = match n {
        n if n >= MANY => ValidationConfig::Hash { fraction: ValidationConfig::HASH_FRACTION },
        n if n >= FEW => ValidationConfig::Hash { fraction: rounded(HELD_OUT / n as f64) },
        _ => ValidationConfig::Tail {
            fraction: rounded((TAIL_BYTES / n_bytes.max(1) as f64).clamp(0.01, 0.1)),
        },
    };
    Ok(Some(Settled { n_documents: n }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceConfig;

    fn settled(files: &[(&str, String)]) -> (ValidationConfig, u64) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut config = DataConfig::new(vec![SourceConfig::new(dir.path().to_string_lossy())]);
        let settled = settle(&mut config, &mut |_| ControlFlow::Continue(())).unwrap().unwrap();
        (config.validation, settled.n_documents)
    }

    #[test]
    fn one_text_gives_its_tail() {
        let tail = |fraction| ValidationConfig::Tail { fraction };
        assert_eq!(settled(&[("input.txt", "some words\n".repeat(100))]), (tail(0.1), 1));
        assert_eq!(settled(&[("input.txt", "some words\n".repeat(2_000_000))]), (tail(0.05), 1));
        assert_eq!(settled(&[("one.jsonl", "{\"text\": \"a row\"}\n".into())]), (tail(0.1), 1));
        let same = settled(&[("a.md", "twice".into()), ("b.md", "twice".into())]);
        assert_eq!(same, (tail(0.1), 1), "equal texts are one");
    }

    #[test]
    fn of_more_documents_whole_ones_are_held_out() {
        let rows = |n: u32| (0..n).map(|i| format!("{{\"text\": \"row {i}\"}}\n")).collect::<String>();
        let hash = |fraction| ValidationConfig::Hash { fraction };
        assert_eq!(settled(&[("rows.jsonl", rows(99))]), (ValidationConfig::Tail { fraction: 0.1 }, 99));
        assert_eq!(settled(&[("rows.jsonl", rows(100))]), (hash(0.1), 100));
        assert_eq!(settled(&[("rows.jsonl", rows(700))]), (hash(0.02), 700));
        assert_eq!(settled(&[("rows.jsonl", rows(5000))]), (hash(0.01), 1000));
    }

    #[test]
    fn what_is_given_stays() {
        let mut config = DataConfig::new(vec![SourceConfig::new("nowhere")]);
        config.validation = ValidationConfig::Hash { fraction: 0.5 };
        let before = config.clone();
        assert_eq!(settle(&mut config, &mut |_| ControlFlow::Continue(())).unwrap(), None);
        assert_eq!(config, before);
    }
}
