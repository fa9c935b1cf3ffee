//! Which examples stand in front of which item, drawn as lm-evaluation-harness draws them.

use super::{data_folder::Split, definition::Draw};
use crate::{ExamError, python::Random};

/// The seed of its draws.
const SEED: u64 = 1234;

/// For each of the first `n_items` items, the rows of `pool` that stand in front of it. One generator serves all items
/// in their order, so an item's examples depend on how many were drawn before.
pub(super) fn draw(
    draw: Draw,
    n_shots: usize,
    pool: &Split<'_>,
    items: &Split<'_>,
    n_items: usize,
) -> Result<Vec<Vec<usize>>, ExamError> {
    let n_pool = pool.len();
    let n_needed = n_shots + usize::from(draw == Draw::SampleOthers && n_shots > 0);
    if n_needed > n_pool {
        return Err(ExamError::Table {
            place: pool.sources().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", "),
            expected: format!("{n_needed} rows to draw {n_shots} examples from"),
            found: n_pool.to_string(),
            hint: "ask for fewer with --shots".to_owned(),
        });
    }
    let mut random = Random::new(SEED);
    let mut sample = |n: usize, k: usize| random.sample(n, k).expect("checked above, or counted");
    let mut drawn = Vec::with_capacity(n_items);
    for item in 0..n_items {
        let is_other = |row: &usize| pool.row(*row).fields != items.row(item).fields;
        drawn.push(match draw {
            _ if n_shots == 0 => Vec::new(),
            Draw::First => (0..n_shots).collect(),
            Draw::Sample => sample(n_pool, n_shots),
            Draw::SampleOthers => {
                let mut others: Vec<usize> = sample(n_pool, n_shots + 1);
                others.retain(is_other);
                others.truncate(n_shots);
                if others.len() < n_shots {
                    // More than one row is the item's own.
                    let rest: Vec<usize> = (0..n_pool).filter(is_other).collect();
                    if rest.len() < n_shots {
                        return Err(ExamError::Table {
                            place: items.place(item),
                            expected: format!("{n_shots} other rows to draw examples from"),
                            found: rest.len().to_string(),
                            hint: "ask for fewer with --shots".to_owned(),
                        });
                    }
                    others = sample(rest.len(), n_shots).into_iter().map(|i| rest[i]).collect();
                }
                others
            }
        });
    }
    Ok(drawn)
}
