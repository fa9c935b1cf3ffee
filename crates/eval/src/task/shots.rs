//! Which examples stand in front of which item, drawn as lm-evaluation-harness draws them.

use super::definition::Draw;
use crate::{ExamError, python::Random};

/// The seed of its draws.
const SEED: u64 = 1234;

/// How examples are drawn from a pool.
pub(super) struct Draws<'a> {
    pub(super) draw: Draw,
    pub(super) n_shots: usize,
    pub(super) n_pool: usize,
    /// Whether a row of the pool is an item itself.
    pub(super) is_own: &'a dyn Fn(usize, usize) -> bool,
}

impl Draws<'_> {
    /// For each of the first `n_items` items, the rows of the pool that stand in front of it. One generator serves all
    /// items in their order, so an item's examples depend on how many were drawn before.
    pub(super) fn of(
        &self,
        n_items: usize,
        pool_place: &dyn Fn() -> String,
        item_place: &dyn Fn(usize) -> String,
    ) -> Result<Vec<Vec<usize>>, ExamError> {
        let Self { draw, n_shots, n_pool, is_own } = *self;
        let n_needed = n_shots
            + usize::from(
                matches!(draw, Draw::SampleOthers | Draw::FirstOthers | Draw::SampleByItem) && n_shots > 0,
            );
        let too_few = |place: String, n_needed: usize, n_pool: usize| ExamError::Table {
            place,
            expected: format!("{n_needed} rows to draw {n_shots} examples from"),
            found: n_pool.to_string(),
            hint: "ask for fewer with --shots".to_owned(),
        };
        if n_needed > n_pool {
            return Err(too_few(pool_place(), n_needed, n_pool));
        }
        let mut random = Random::new(SEED);
        let mut sample = |n: usize, k: usize| random.sample(n, k).expect("checked above, or counted");
        let mut drawn = Vec::with_capacity(n_items);
        for item in 0..n_items {
            let is_other = |row: &usize| !is_own(*row, item);
            drawn.push(match draw {
                _ if n_shots == 0 => Vec::new(),
                Draw::First => (0..n_shots).collect(),
                Draw::FirstOthers => {
                    let others: Vec<usize> = (0..n_pool).filter(is_other).take(n_shots).collect();
                    if others.len() < n_shots {
                        return Err(too_few(item_place(item), n_shots, others.len()));
                    }
                    others
                }
                Draw::Sample => sample(n_pool, n_shots),
                Draw::SampleByItem => {
                    let drawn = Random::new(SEED + item as u64).sample(n_pool - 1, n_shots);
                    let drawn = drawn.expect("checked above");
                    drawn.into_iter().map(|row| row + usize::from(row >= item)).collect()
                }
                Draw::SampleOthers => {
                    let mut others: Vec<usize> = sample(n_pool, n_shots + 1);
                    others.retain(is_other);
                    others.truncate(n_shots);
                    if others.len() < n_shots {
                        // More than one row is the item's own.
                        let rest: Vec<usize> = (0..n_pool).filter(is_other).collect();
                        if rest.len() < n_shots {
                            return Err(too_few(item_place(item), n_shots, rest.len()));
                        }
                        others = sample(rest.len(), n_shots).into_iter().map(|i| rest[i]).collect();
                    }
                    others
                }
            });
        }
        Ok(drawn)
    }
}
