//! Examples in an order drawn from the seed, another one in every epoch.

use base::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{not_a_cursor, read_cursor};
use crate::TrainError;

/// Visits `n` examples epoch after epoch, from any point on.
#[derive(Clone, Debug)]
pub struct Shuffled {
    n: usize,
    seed: u64,
    at: Place,
    /// Of the epoch at hand.
    order: Vec<usize>,
}

/// Where the next batch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    epoch: u64,
    example: usize,
}

impl Shuffled {
    /// At the first of `n` examples, of which there is at least one.
    pub fn new(n: usize, seed: u64) -> Self {
        Self { n, seed, at: Place::default(), order: order(n, seed, 0) }
    }

    /// The number of the next example.
    pub fn draw(&mut self) -> usize {
        let i = self.order[self.at.example];
        self.at.example += 1;
        if self.at.example == self.n {
            self.at = Place { epoch: self.at.epoch + 1, example: 0 };
            self.order = order(self.n, self.seed, self.at.epoch);
        }
        i
    }

    /// Where the next example is drawn, for a checkpoint.
    pub fn cursor(&self) -> Value {
        serde_json::to_value(self.at).expect("plain data is valid JSON")
    }

    /// Goes to where a cursor was taken.
    ///
    /// # Errors
    /// If it is damaged, or of other data.
    pub fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        let at: Place = read_cursor(cursor)?;
        if at.example >= self.n {
            return Err(not_a_cursor(format!("example {} of {}", at.example, self.n)));
        }
        self.order = order(self.n, self.seed, at.epoch);
        self.at = at;
        Ok(())
    }
}

fn order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = Rng::named(seed, &format!("examples of epoch {epoch}"));
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    order
}
