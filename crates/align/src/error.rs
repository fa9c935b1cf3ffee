//! What can be wrong with data for alignment.

use std::path::PathBuf;

use data::DataError;
use model::checkpoint::CheckpointError;

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
    /// A picture for a model that reads text alone.
    #[error(
        "in `{}`, row {row}: expected text alone, found a picture, which is not read here\nhint: `maquette sft` reads pictures for a model that was trained with them",
        path.display()
    )]
    NoEyes {
        /// The file.
        path: PathBuf,
        /// Its line, or its number in an array, from 1.
        row: usize,
    },
    /// A picture of a row that cannot be read.
    #[error("{0}; --skip-bad-rows leaves such rows out")]
    Image(#[from] data::image::ImageError),
    /// Pictures for which there is no room.
    #[error(
        "expected at most 4 GiB of pictures in the size that the model reads, found more\nhint: name fewer files: they are held in memory"
    )]
    PictureBytes,
    /// Nothing is left to learn from.
    #[error(
        "expected {expected}, found none in {n_rows} rows{dropped}\nhint: look at the reasons; where texts are too long, shorten them, or give a longer --seq-len if the model reads more"
    )]
    Nothing {
        /// What was looked for.
        expected: &'static str,
        /// Rows read.
        n_rows: usize,
        /// Why they were dropped, in words.
        dropped: String,
    },
    /// A reward model without what its scores are normalised with.
    #[error(
        "expected the mean and the standard deviation of a reward model's scores in `{}`, found: {found}\nhint: train it with `maquette reward`, which writes them",
        path.display()
    )]
    Statistics {
        /// Where they should be.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A file of propositions that is none.
    #[error(
        "`{}`: expected {expected}, found {found}\nhint: correct the file; `maquette standin` writes a small one, classes.yaml",
        path.display()
    )]
    Classes {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// A grader that cannot reward.
    #[error("`{}`: expected {expected}, found {found}\nhint: `maquette rbrm` makes one of labelled answers", path.display())]
    Grader {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// The operating system refused.
    #[error("cannot read `{}`: {source}\nhint: check the path", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A model that scores nothing.
    #[error(
        "expected a model with a head that scores, found one without\nhint: train one with `maquette reward`"
    )]
    NoScore,
    /// The checkpoint refuses.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// An error inside of another, without a hint of its own.
pub(crate) fn first_line(error: &DataError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
