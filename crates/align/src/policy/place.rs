//! Where a training that learns from rollouts stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stored::Rollout;

/// Where the next batch begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Sets of rollouts that were used up.
    pub(super) iteration: u64,
    /// Batches of this one that were taken.
    pub(super) batch: usize,
    pub(super) beta: f64,
    /// Those of this iteration, once it has begun.
    pub(super) rollouts: Vec<Rollout>,
    /// Problems of all iterations that could not be learned from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) left_out: BTreeMap<String, usize>,
}

impl Place {
    /// Before the first rollout.
    pub(super) fn first(beta: f64) -> Self {
        Self { iteration: 0, batch: 0, beta, rollouts: Vec::new(), left_out: BTreeMap::new() }
    }

    /// Behind the rollouts at hand.
    pub(super) fn next_iteration(&self, beta: f64) -> Self {
        let left_out = self.left_out.clone();
        Self { iteration: self.iteration + 1, batch: 0, beta, rollouts: Vec::new(), left_out }
    }
}
