//! Problems to train on, a handful to a document.

use base::Rng;

use super::{Problem, TasksConfig};

/// A document holds this many problems at least, so that most of them are not its first, and the text of one stays
/// short enough for a short context.
const MIN_PROBLEMS: u64 = 8;
/// A document holds this many problems at most.
const MAX_PROBLEMS: u64 = 16;

/// The generated documents, one after another.
#[derive(Clone, Debug)]
pub(crate) struct TaskDocuments {
    seed: u64,
    next_idx: u64,
    bytes_left: u64,
}

impl TaskDocuments {
    pub(crate) fn new(config: &TasksConfig) -> Self {
        // The document's number is the stream: the seed is stirred so that no other use of it shares them.
        let seed = Rng::named(config.seed, "task documents").next_u64();
        Self { seed, next_idx: 0, bytes_left: config.bytes }
    }
}

impl Iterator for TaskDocuments {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut rng = Rng::new(self.seed, self.next_idx);
        let n_problems = MIN_PROBLEMS + rng.below(MAX_PROBLEMS - MIN_PROBLEMS + 1);
        let mut text = String::new();
        for _ in 0..n_problems {
            let problem = Problem::to_train_on(&mut rng);
            text.push_str(&problem.prompt);
            text.push_str(&problem.answer);
        }
        self.next_idx += 1;
        match self.bytes_left.checked_sub(text.len() as u64) {
            Some(left) => {
                self.bytes_left = left;
                Some(text)
            }
            None => {
                self.bytes_left = 0;
                None
            }
        }
    }
}
