//! Items for tests.

use std::collections::BTreeMap;

use super::{
    ItemScore,
    score::{ChoiceScore, Target},
};

/// Choices of these log-likelihoods, of which one is right.
pub(crate) fn item(right: usize, loglikelihoods: &[f64]) -> ItemScore {
    let choice = |&loglikelihood: &f64| ChoiceScore {
        loglikelihood,
        n_context: 1,
        n_continuation: 1,
        is_greedy: false,
        n_chars: 1,
        n_bytes: 1,
        context_ids: None,
        continuation_ids: vec![1],
    };
    ItemScore {
        task: "t".into(),
        doc_id: 0,
        target: Target::One(right),
        context_ids: None,
        choices: loglikelihoods.iter().map(choice).collect(),
        outputs: Vec::new(),
        reference: None,
        failure: None,
        metrics: BTreeMap::new(),
    }
}
