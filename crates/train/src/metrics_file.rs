//! `metrics.jsonl` as a training appends to it: one object a line, in full precision.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use base::disk;

use crate::{Metric, MetricKind, MetricsReader, RecordLost, TrainError, Validated};

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
            let is_of_it = metric.as_ref().is_some_and(|metric| {
                // A checkpoint comes before the validation of its step.
                metric.step <= step && !metric.is::<Validated>(step)
            });
            if !is_before || !is_of_it {
                // Steps after the checkpoint are taken again: they are no loss.
                known.has_more = is_before && metric.is_none();
                break;
            }
            known.is_marked |= metric.is_some_and(|metric| metric.is::<RecordLost>(step));
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
            metrics.write(&RecordLost { step })?;
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

    /// Appends one line of a kind.
    pub(crate) fn write(&mut self, fields: &impl MetricKind) -> Result<(), TrainError> {
        self.write_metric(&Metric::of(fields))
    }

    /// Appends one line. The system buffers it; [`MetricsFile::sync`] makes it last.
    pub(crate) fn write_metric(&mut self, metric: &Metric) -> Result<(), TrainError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_kinds_stay_and_later_steps_are_cut() {
        let other = |step| format!("{{\"kind\":\"reward\",\"step\":{step},\"mean\":0.5}}\n");
        let resumed = "{\"kind\":\"resumed\",\"step\":0}\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let kept = format!("{resumed}{}{}", other(1), other(2));
        std::fs::write(&path, format!("{kept}{}", other(3))).unwrap();
        let mut metrics = MetricsFile::open(&path, kept.len() as u64, 2).unwrap();
        assert!(!metrics.is_lost() && metrics.len() == kept.len() as u64);
        metrics.write(&RecordLost { step: 2 }).unwrap();
        let lost = "{\"kind\":\"lost\",\"step\":2}\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{kept}{lost}"));

        // A line of a known kind without its fields is damage, and so is one of a later step.
        for damaged in ["{\"kind\":\"repeated\",\"step\":1}\n".to_owned(), other(3)] {
            std::fs::write(&path, format!("{resumed}{damaged}{}", other(2))).unwrap();
            let metrics = MetricsFile::open(&path, (resumed.len() + damaged.len()) as u64, 2).unwrap();
            assert!(metrics.is_lost(), "{damaged}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{resumed}{lost}"));
        }
    }
}
