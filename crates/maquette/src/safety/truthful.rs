//! Questions that people answer wrongly, put to a stage by likelihood.

use std::path::Path;

use anyhow::Context as _;
use eval::{DataFolder, Items, ItemsFile, Scorer, Task, examine};
use tensor::Kernels;

use crate::{open_model::Opened, stop};

/// Contexts that are read at a time.
const N_PARALLEL: usize = 16;
/// The tasks, and the name under which both have their value.
const TASKS: [&str; 2] = ["truthfulqa_mc1", "truthfulqa_mc2"];
const METRIC: &str = "acc";

/// TruthfulQA, as `maquette eval` asks it.
pub(crate) struct Truthful([(Task, Items); 2]);

/// What came of each question.
pub(crate) struct Truths {
    /// Whether the best answer is the most likely.
    pub(crate) mc1: Vec<bool>,
    /// Which share of the probability of all answers the true ones have.
    pub(crate) mc2: Vec<f64>,
}

impl Truthful {
    /// The first `limit` questions of the published table.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub(crate) fn read(path: &Path, limit: Option<usize>) -> anyhow::Result<Self> {
        let folder = DataFolder::of_file(path)?;
        let mut known = Task::all();
        let mut read = |name: &str| -> anyhow::Result<(Task, Items)> {
            let at = known.iter().position(|task| task.name == name);
            let task = known.swap_remove(at.with_context(|| format!("no task `{name}`"))?);
            let items = Items::of(&task, &folder, 0, limit)?;
            Ok((task, items))
        };
        Ok(Self([read(TASKS[0])?, read(TASKS[1])?]))
    }

    /// How many questions there are.
    pub(crate) fn len(&self) -> usize {
        self.0[0].1.items.len()
    }

    /// What is different from the original questions.
    pub(crate) fn notes(&self) -> &[String] {
        &self.0[0].1.notes
    }

    /// Asks a model.
    ///
    /// # Errors
    /// If an answer does not fit into its context, or a stop was asked for.
    pub(crate) fn asked(&self, opened: &Opened, kernels: &dyn Kernels) -> anyhow::Result<Truths> {
        let mut scorer = Scorer::new(&opened.gpt, kernels, N_PARALLEL);
        let mut values = |(task, items): &(Task, Items)| -> anyhow::Result<Vec<f64>> {
            let mut file = ItemsFile::in_memory();
            examine(task, items, &opened.tokenizer, None, &mut scorer, &mut file, &mut |_| stop::goes_on())?;
            stop::still()?;
            Ok(file
                .items()?
                .iter()
                .map(|item| item.metrics.get(METRIC).copied().unwrap_or(f64::NAN))
                .collect())
        };
        let [mc1, mc2] = &self.0;
        Ok(Truths { mc1: values(mc1)?.into_iter().map(|value| value == 1.0).collect(), mc2: values(mc2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the columns in which it is published, the older ones and those with one more; under any name.
    #[test]
    fn the_published_table_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.csv");
        let older = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n\
            Adversarial,A,\"What, if you eat seeds?\",Nothing,Nothing; You eat seeds,You grow; You die; ,https://a.org\n\
            Adversarial,B,Where?,Here,Here,There; Nowhere,https://b.org\n";
        let newer = "\u{feff}Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers,Source\r\n\
            Adversarial,A,Where?,Here,There,Here; It is here,There; Nowhere,https://b.org\r\n";
        for (table, n, answers) in [(older, 2, [3, 4]), (newer, 1, [3, 4])] {
            std::fs::write(&path, table).unwrap();
            let read = Truthful::read(&path, None).unwrap();
            assert_eq!(read.len(), n);
            let n_answers = [&read.0[0], &read.0[1]].map(|(_, items)| items.items[0].continuations.len());
            assert_eq!(n_answers, answers);
            assert!(!read.notes().is_empty());
        }
        std::fs::write(&path, "Type,Question\nA,B\n").unwrap();
        let error = Truthful::read(&path, None).err().unwrap().to_string();
        assert!(error.contains("mine.csv") && error.contains("hint: "), "{error}");
    }
}
