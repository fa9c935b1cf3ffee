//! `metrics.jsonl`: one object a line, appended, in full precision.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use model::scaling::LearningRates;
use serde::{Deserialize, Serialize};

use crate::{Spike, TrainError, Validation};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Metric {
    /// The run began, before its first step: what a forecast must be older than.
    Begun {
        /// Seconds since 1970, UTC.
        unix_s: f64,
        /// Hash of the forecast that was sealed before; empty where there was none, absent in records of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<String>,
        /// When that forecast was sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed_at: Option<String>,
    },
    /// One optimizer step.
    Train {
        /// Its number, from 1.
        step: u64,
        /// Mean loss of its batch before the step, in nats.
        loss_nats: f64,
        /// Norm of the whole gradient before clipping.
        grad_norm: f64,
        /// Rates used.
        lr: LearningRates,
        /// Tokens trained on so far.
        tokens: u64,
        /// FLOPs spent so far.
        flops: f64,
        /// Speed of this step.
        tokens_per_second: f64,
        /// Seconds of training so far.
        elapsed_s: f64,
    },
    /// A validation after a step.
    Validation {
        /// The step's number.
        step: u64,
        /// Tokens trained on so far.
        tokens: u64,
        /// FLOPs spent so far.
        flops: f64,
        /// The result.
        #[serde(flatten)]
        validation: Validation,
    },
    /// A loss or gradient norm that stands out.
    Spike {
        /// The step's number.
        step: u64,
        /// `loss_nats` or `grad_norm`.
        of: String,
        /// How far it stands out.
        #[serde(flatten)]
        spike: Spike,
    },
    /// Rows of tokens that were trained on before.
    Repeated {
        /// The step's number.
        step: u64,
        /// Part of the last rows.
        share: f64,
    },
    /// A parameter that no longer changes.
    Still {
        /// The step's number.
        step: u64,
        /// Its name.
        param: String,
    },
    /// The run went on from a checkpoint after this step.
    Resumed {
        /// The step's number.
        step: u64,
    },
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl MetricsFile {
    /// Opens the file and cuts it to `len` bytes: what a checkpoint knew of. Steps after it are taken again.
    pub(crate) fn open(path: &Path, len: u64) -> Result<Self, TrainError> {
        let io = |source| TrainError::Io { action: "open", path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.is_file() {
            if meta.len() < len {
                return Err(TrainError::ShortMetrics {
                    path: path.to_owned(),
                    expected: len,
                    found: meta.len(),
                });
            }
            file.set_len(len).map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), file, len })
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends one line. The system buffers it; [`MetricsFile::sync`] makes it last.
    pub(crate) fn write(&mut self, metric: &Metric) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(metric).expect("plain data is valid JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| self.error("write", source))?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Flushes everything to disk.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(|source| self.error("flush", source))
    }

    fn error(&self, action: &'static str, source: std::io::Error) -> TrainError {
        TrainError::Io { action, path: self.path.clone(), source }
    }
}
