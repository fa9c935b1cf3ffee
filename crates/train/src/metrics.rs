//! `metrics.jsonl`: one object a line, appended, in full precision.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use base::disk;
use model::scaling::LearningRates;
use serde::{Deserialize, Serialize};

use crate::{MetricsReader, Spike, TrainError, Validation};

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
    Stalled {
        /// The step's number.
        step: u64,
        /// Its name.
        param: String,
    },
    /// What was recorded up to this step is gone from here on: the file was lost or damaged.
    Lost {
        /// The step's number.
        step: u64,
    },
    /// The run went on from a checkpoint after this step.
    Resumed {
        /// The step's number.
        step: u64,
    },
}

/// The lines of a file that a checkpoint after a step knew of.
struct Known {
    /// Bytes of those that can be read, from the first on.
    n_bytes: u64,
    /// They say themselves that others are gone.
    is_marked: bool,
    /// A whole line follows that cannot be read, or does not belong there.
    has_more: bool,
}

impl Known {
    fn read(path: &Path, len: u64, step: u64) -> std::io::Result<Self> {
        let mut known = Self { n_bytes: 0, is_marked: false, has_more: false };
        for line in MetricsReader::new(BufReader::new(File::open(path)?)) {
            if known.n_bytes >= len {
                break;
            }
            let line = line?;
            let is_before = line.is_ended && line.end <= len;
            let metric = line.metric.ok();
            let is_of_it = metric.as_ref().is_some_and(|metric| match metric {
                Metric::Train { step: taken, .. } => *taken <= step,
                // A checkpoint comes before the validation of its step.
                Metric::Validation { step: validated, .. } => *validated < step,
                _ => true,
            });
            if !is_before || !is_of_it {
                // Steps after the checkpoint are taken again: they are no loss.
                known.has_more = is_before && metric.is_none();
                break;
            }
            known.is_marked |= metric.is_some_and(|metric| metric == Metric::Lost { step });
            known.n_bytes = line.end;
        }
        Ok(known)
    }
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    file: File,
    len: u64,
    is_lost: bool,
}

impl MetricsFile {
    /// Opens the file and cuts it to `len` bytes: what a checkpoint knew of after `step`. Later steps are taken again.
    ///
    /// Of a file that lost some of these bytes the lines before are kept, and a line says that the others are gone.
    pub(crate) fn open(path: &Path, len: u64, step: u64) -> Result<Self, TrainError> {
        let io = |source| TrainError::Io { action: "open", path: path.to_owned(), source };
        let file = disk::append_to(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        let mut metrics = Self { path: path.to_owned(), file, len, is_lost: false };
        let mut is_marked = false;
        if meta.is_file() {
            let known = Known::read(path, len, step).map_err(io)?;
            metrics.is_lost = known.n_bytes < len;
            is_marked = known.is_marked;
            if metrics.is_lost && known.has_more {
                // What cannot be read is not thrown away.
                let names = (1..).map(|i| path.with_file_name(format!("metrics-damaged-{i}.jsonl")));
                let aside = names.into_iter().find(|path| !path.exists()).expect("some number is free");
                let bytes = std::fs::read(path).map_err(io)?;
                base::write(&aside, &bytes).map_err(|error| io(error.source))?;
            }
            disk::set_len(&metrics.file, known.n_bytes).map_err(io)?;
            metrics.len = known.n_bytes;
        }
        if metrics.is_lost && !is_marked {
            metrics.write(&Metric::Lost { step })?;
        }
        Ok(metrics)
    }

    /// Whether some of what the checkpoint knew of was gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends one line. The system buffers it; [`MetricsFile::sync`] makes it last.
    pub(crate) fn write(&mut self, metric: &Metric) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(metric).expect("plain data is valid JSON");
        line.push(b'\n');
        disk::write_all(&mut self.file, &line).map_err(|source| self.error("write", source))?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Flushes everything to disk.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        disk::sync_data(&self.file).map_err(|source| self.error("flush", source))
    }

    fn error(&self, action: &'static str, source: std::io::Error) -> TrainError {
        TrainError::Io { action, path: self.path.clone(), source }
    }
}
