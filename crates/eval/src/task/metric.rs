//! What is scored of an item, and what is reported of a task.

use serde::{Deserialize, Serialize};

/// What is scored of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Several continuations of one context.
    Choices,
    /// One continuation of several contexts.
    Contexts,
    /// One continuation of one context, which is right where it is the most likely.
    Continuation,
    /// An answer that the model writes.
    Generate,
}

/// What is reported of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Whether the most likely choice is right; of a single continuation, whether it is greedy.
    Acc,
    /// The same by log-likelihood for each character of the choice.
    AccNorm,
    /// The same by log-likelihood for each byte of the choice.
    AccBytes,
    /// The same by log-likelihood for each token that is scored; reported as `acc`.
    AccTokens,
    /// Share of the probability that right choices have; reported as `acc`.
    Mass,
    /// `exp` of the mean negative log-likelihood of an item.
    Perplexity,
    /// Whether the answer in what was written is a right one, by each extractor.
    ExactMatch,
    /// Whether the program that was written passes its tests; reported as `pass@k`.
    Program,
    /// Whether what was written follows the instructions of the item: all of them, and each.
    Ifeval,
    /// Whether the answer is a right one in SQuAD's sense, and its F1 by words; reported as `exact_match` and `f1`.
    Squad,
    /// chrF and BLEU of all that was written as one corpus.
    Translation,
    /// Whether what was written declines, in whole or in part.
    Refusal,
    /// Accuracy and bias of answers about people, in ambiguous and in other contexts.
    Bbq,
    /// Whether the first choice, the stereotype, is more likely than the second.
    PctStereotype,
    /// Whether what was written keeps to the system message.
    Steering,
    /// Share of the points that a grader gives by a rubric.
    Points,
    /// By how much the log-likelihoods of two choices differ.
    LikelihoodDiff,
}

impl Metric {
    /// As items and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acc | Self::AccTokens | Self::Mass => "acc",
            Self::AccNorm => "acc_norm",
            Self::AccBytes => "acc_bytes",
            Self::Perplexity => "perplexity",
            Self::ExactMatch | Self::Squad => "exact_match",
            Self::Translation => "chrf",
            Self::Ifeval => "ifeval",
            Self::Program => "pass@1",
            Self::Refusal => "refused",
            Self::Bbq => "bbq",
            Self::PctStereotype => "pct_stereotype",
            Self::Steering => "kept",
            Self::Points => "points",
            Self::LikelihoodDiff => "likelihood_diff",
        }
    }
}
