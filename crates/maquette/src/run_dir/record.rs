//! What a run has recorded of its steps, read while it may still be writing.

use std::{
    fs::File,
    io::{BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use train::{
    Metric, MetricKind as _, MetricsReader, ParamStalled, RecordLost, RowsRepeated, TrainStep, Validated,
};

/// In the run's folder.
pub(crate) const METRICS: &str = "pretrain/metrics.jsonl";

/// The part of `metrics.jsonl` that the alarms are about.
#[derive(Debug)]
pub(crate) struct Recorded {
    path: PathBuf,
    /// Bytes of whole lines that were read.
    offset: u64,
    n_lines: usize,
    /// Loss of the text and norm of the gradient of each step.
    pub(crate) steps: Vec<(f64, f64)>,
    /// The largest part of rows that were trained on before.
    pub(crate) repeated_rows: Option<f64>,
    /// Parameters that stalled.
    pub(crate) stalled: Vec<String>,
    /// The last step in the record.
    pub(crate) last_step: u64,
    /// Whether steps are missing: `steps` then ends before the first of them.
    pub(crate) has_gap: bool,
}

/// Whether the record only grew since it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It did, or nothing is new.
    Onwards,
    /// The run went on from a checkpoint: steps after it were taken back.
    Again,
}

impl Recorded {
    /// Everything in the file so far; nothing where there is none.
    ///
    /// # Errors
    /// If the file cannot be read, or a whole line in it is damaged.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut recorded = Self {
            path: path.to_owned(),
            offset: 0,
            n_lines: 0,
            steps: Vec::new(),
            repeated_rows: None,
            stalled: Vec::new(),
            last_step: 0,
            has_gap: false,
        };
        if path.exists() {
            recorded.append()?;
        }
        Ok(recorded)
    }

    /// Reads what was written since.
    ///
    /// # Errors
    /// As [`Recorded::read`].
    pub(crate) fn read_on(&mut self) -> anyhow::Result<Growth> {
        if !self.path.exists() && self.offset == 0 {
            return Ok(Growth::Onwards);
        }
        let is_shorter = self.path.metadata().map_or(0, |meta| meta.len()) < self.offset;
        // A file that was cut and has grown again since then does not fit on: half a line, or a step out of turn.
        if !is_shorter && self.append().is_ok() {
            return Ok(Growth::Onwards);
        }
        *self = Self::read(&self.path)?;
        Ok(Growth::Again)
    }

    /// Takes in the whole lines from `offset` on: what has no end yet is being written.
    fn append(&mut self) -> anyhow::Result<()> {
        let path = self.path.clone();
        let cannot_read = || format!("cannot read `{}`", path.display());
        let mut file = File::open(&path).with_context(cannot_read)?;
        file.seek(SeekFrom::Start(self.offset)).with_context(cannot_read)?;
        let mut end = self.offset;
        for line in MetricsReader::after(self.n_lines, self.offset, BufReader::new(file)) {
            let line = line.with_context(cannot_read)?;
            if !line.is_ended {
                break;
            }
            (self.n_lines, end) = (line.number, line.end);
            let metric = line.metric.with_context(|| damaged(&path, line.number))?;
            self.push(&metric, line.number)?;
        }
        self.offset = end;
        Ok(())
    }

    fn push(&mut self, metric: &Metric, number: usize) -> anyhow::Result<()> {
        let step = metric.step;
        match metric.kind.as_str() {
            TrainStep::KIND if self.has_gap => self.last_step = step,
            TrainStep::KIND => {
                self.last_step = step;
                let expected = self.steps.len() as u64 + 1;
                anyhow::ensure!(
                    step == expected,
                    "`{}`: expected step {expected} in line {number}, found {step}\n\
                     hint: a run that goes on cuts its record back to the checkpoint; was the file put together by hand?",
                    self.path.display()
                );
                let train: TrainStep = metric.read().with_context(|| damaged(&self.path, number))?;
                self.steps.push((train.loss_of_text_nats(), train.grad_norm));
            }
            RecordLost::KIND => {
                self.has_gap |= step > self.steps.len() as u64;
                self.last_step = self.last_step.max(step);
            }
            RowsRepeated::KIND => {
                let RowsRepeated { share, .. } =
                    metric.read().with_context(|| damaged(&self.path, number))?;
                self.repeated_rows = Some(self.repeated_rows.map_or(share, |most| most.max(share)));
            }
            ParamStalled::KIND => {
                let stalled: ParamStalled = metric.read().with_context(|| damaged(&self.path, number))?;
                self.stalled.push(stalled.param);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What is said of a line that cannot be read.
fn damaged(path: &Path, number: usize) -> String {
    format!(
        "`{}` is damaged in line {number}\nhint: it holds the run's metrics, one object a line",
        path.display()
    )
}

/// Whether every line can be read and the last step and its validation are among them. A gap that is marked as one stays.
pub(crate) fn is_record_whole(path: &Path, n_steps: u64) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let (mut expected, mut is_validated) = (1, false);
    for line in MetricsReader::new(BufReader::new(file)) {
        let Some(metric) = line.ok().filter(|line| line.is_ended).and_then(|line| line.metric.ok()) else {
            return false;
        };
        match metric.kind.as_str() {
            TrainStep::KIND if metric.step == expected => expected += 1,
            TrainStep::KIND => return false,
            RecordLost::KIND => expected = expected.max(metric.step + 1),
            Validated::KIND => is_validated |= metric.step == n_steps,
            _ => {}
        }
    }
    expected == n_steps + 1 && is_validated
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(step: u64, loss_nats: f64) -> String {
        format!(
            "{{\"kind\":\"train\",\"step\":{step},\"loss_nats\":{loss_nats},\"grad_norm\":1.0,\"lr_matrix\":0.1,\
             \"lr_embedding\":0.1,\"lr_head\":0.1,\"lr_gain\":0.1,\"tokens\":1,\"flops\":1.0,\
             \"tokens_per_second\":1.0,\"elapsed_s\":1.0}}\n"
        )
    }

    #[test]
    fn a_record_is_read_as_it_grows_and_again_where_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut recorded = Recorded::read(&path).unwrap();
        assert_eq!((recorded.read_on().unwrap(), recorded.steps.len()), (Growth::Onwards, 0));

        let lines: Vec<String> = (1..=6).map(|step| line(step, 3.0 / step as f64)).collect();
        fs::write(&path, format!("{}{}", lines[0], &lines[1][..20])).unwrap();
        assert_eq!((recorded.read_on().unwrap(), recorded.steps.len()), (Growth::Onwards, 1));
        fs::write(&path, lines[..5].concat()).unwrap();
        assert_eq!((recorded.read_on().unwrap(), recorded.steps.len()), (Growth::Onwards, 5));

        // Cut to two steps, gone on, and past its old length before the next look.
        let again: String = (3..=6).map(|step| line(step, 9.25)).collect();
        fs::write(&path, format!("{}{again}", lines[..2].concat())).unwrap();
        assert_eq!((recorded.read_on().unwrap(), recorded.steps.len()), (Growth::Again, 6));
        assert_eq!(recorded.steps[2].0, 9.25);
        fs::write(&path, &lines[0]).unwrap();
        assert_eq!((recorded.read_on().unwrap(), recorded.steps.len()), (Growth::Again, 1));

        fs::write(&path, format!("{}{}", lines[0], lines[2])).unwrap();
        let error = recorded.read_on().unwrap_err().to_string();
        assert!(error.contains("expected step 2 in line 2, found 3\nhint: "), "{error}");
    }

    #[test]
    fn kinds_that_nobody_watches_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let other = "{\"kind\":\"reward\",\"step\":1,\"mean\":0.5,\"policy\":\"a\"}\n";
        let validation = "{\"kind\":\"validation\",\"step\":2,\"tokens\":2,\"flops\":2.0,\"loss_nats\":1.0,\"loss_stderr\":0.1,\
                          \"bits_per_byte\":1.0,\"n_tokens\":1,\"n_bytes\":1}\n";
        let text = [other, &line(1, 3.0), other, &line(2, 2.0), validation, other].concat();
        fs::write(&path, &text).unwrap();
        assert_eq!(Recorded::read(&path).unwrap().steps, [(3.0, 1.0), (2.0, 1.0)]);
        assert!(is_record_whole(&path, 2));

        fs::write(&path, text.replacen("\"loss_nats\":2", "\"loss\":2", 1)).unwrap();
        let error = format!("{:#}", Recorded::read(&path).unwrap_err());
        assert!(
            error.contains("damaged in line 4") && error.contains("missing field `loss_nats`"),
            "{error}"
        );
        assert!(!is_record_whole(&path, 2));
    }
}
