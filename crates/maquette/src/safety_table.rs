//! What alignment did and what it cost, as a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    pub(crate) n: usize,
    pub(crate) rate: f64,
    pub(crate) lo95: f64,
    pub(crate) hi95: f64,
}

/// Stages of a model side by side.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SafetyTable {
    /// Where the prompts lie.
    pub(crate) prompts: String,
    /// Whether nobody ever asked them.
    pub(crate) synthetic: bool,
    /// Stage → measure → share.
    pub(crate) stages: BTreeMap<String, BTreeMap<String, Share>>,
}
