//! What can be wrong with data for alignment.

use std::path::PathBuf;

use data::DataError;

/// Why data could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlignError {
    /// A row that is not what it should be.
    #[error(
        "in `{}`, row {row}: expected {expected}, found {found}\nhint: correct the row, or skip such rows with --skip-bad-rows",
        path.display()
    )]
    Row {
        /// The file.
        path: PathBuf,
        /// Its line, or its number in an array, from 1.
        row: usize,
        /// What is read.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Nothing is left to learn from.
    #[error(
        "expected {expected}, found none in {n_rows} rows{dropped}\nhint: look at the reasons, and at `train.seq_len`"
    )]
    Nothing {
        /// What was looked for.
        expected: &'static str,
        /// Rows read.
        n_rows: usize,
        /// Why they were dropped, in words.
        dropped: String,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}
