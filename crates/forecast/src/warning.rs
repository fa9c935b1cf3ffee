//! What a reader of a forecast must know besides its numbers.

use serde::{Deserialize, Serialize};

/// One caution, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What kind of caution it is.
    pub kind: WarningKind,
    /// One or two whole sentences that name the runs or figures meant.
    pub text: String,
}

impl Warning {
    /// A caution of `kind` that says `text`.
    pub fn new(kind: WarningKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// The kinds of caution; JSON has them in snake_case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningKind {
    /// The same line stood in the table more than once and was kept once.
    DuplicateRun,
    /// `flops` was not given and was taken as 6·N·D.
    DerivedFlops,
    /// Runs whose learning rate had not decayed were left out.
    UndecayedRun,
    /// Runs that had crashed or were still running were left out.
    UnfinishedRun,
    /// Rows that hold no usable run were left out.
    BadRow,
    /// What was taken for what, where columns have other names or units than the documented ones.
    Columns,
    /// Which of several losses was taken, or that there is only one of the training.
    LossColumn,
    /// Cells are separated by something else than commas.
    Delimiter,
    /// Numbers have a comma before their decimals.
    DecimalComma,
    /// Lines were skipped as comments.
    Comment,
    /// The text is not in the encoding that it should be in.
    Encoding,
    /// Units that cannot be checked, or that look wrong and were kept.
    Units,
    /// Losses that look like something else.
    OddLoss,
    /// Runs that lie far off the law.
    Outliers,
    /// So few configurations that the interval rests on priors with other tables.
    FewRuns,
    /// Compute spans so little that the curve's bend cannot be seen.
    NarrowRange,
    /// The largest runs are worse than the law of the smaller ones says, or losses rise at the end.
    Reversal,
    /// The data do not determine a coefficient of the law.
    Undetermined,
    /// The target lies further from the runs than the table can test.
    FarExtrapolation,
    /// Reference runs that reach hardly further than the table and so say nothing about what lies beyond it.
    ShortReference,
    /// Reference runs whose large runs no floor reconciles with their small ones.
    InconsistentReference,
    /// Runs of equal compute differ in shape, which a law in compute alone cannot see, or the target's shape is none of theirs.
    MixedShapes,
}
