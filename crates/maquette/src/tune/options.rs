//! What every fine-tuning is told on the command line.

use std::path::PathBuf;

use model::{AdapterConfig, LinearName, scaling::ModelOverrides};
use tensor::Isa;
use train::{OptimizerKind, TrainOverrides, TrainSettings, Tuning};

use super::{Base, ReplayOptions};
use crate::pipeline::default_precision;

/// Peak learning rate of a training of all weights; adapters take ten times that (Schulman et al. 2025,
/// <https://thinkingmachines.ai/blog/lora/>).
const LEARNING_RATE: f64 = 1e-4;
const ADAPTER_FACTOR: f64 = 10.0;
/// Tokens of a row where nothing is said, if the model reads so many.
const USUAL_ROW: usize = 1024;

/// Options of a fine-tuning on examples.
#[derive(Debug, clap::Args)]
pub(crate) struct TuneOptions {
    /// Files to learn from: .jsonl or .json, also .gz and .zst
    #[arg(long, value_name = "FILE", required = true, value_delimiter = ',')]
    pub(crate) data: Vec<PathBuf>,
    /// How often the data are read
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub(crate) epochs: f64,
    /// Part of the examples that is held out
    #[arg(long, value_name = "PART", default_value_t = 0.05)]
    pub(crate) held_out: f64,
    /// Leave rows out that cannot be read, and count them
    #[arg(long)]
    pub(crate) skip_bad_rows: bool,
    #[command(flatten)]
    training: TrainingOptions,
}

impl std::ops::Deref for TuneOptions {
    type Target = TrainingOptions;

    fn deref(&self) -> &TrainingOptions {
        &self.training
    }
}

/// Options of every training of a model that was trained before.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainingOptions {
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Peak learning rate; ten times as high for adapters if not given
    #[arg(long, value_name = "RATE")]
    pub(crate) lr: Option<f64>,
    /// Examples per step
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) batch: usize,
    /// Examples that pass through the model together; results do not depend on it up to rounding
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) micro_batch: usize,
    /// Longest example in tokens; longer ones are left out and counted. 1024 if not given, or what the model reads
    #[arg(long, value_name = "TOKENS")]
    pub(crate) seq_len: Option<usize>,
    /// Train low-rank adapters of this rank instead of all weights
    #[arg(long, value_name = "R")]
    pub(crate) rank: Option<usize>,
    /// The correction of an adapter is multiplied by alpha/rank; twice the rank if not given
    #[arg(long, value_name = "A", requires = "rank")]
    pub(crate) alpha: Option<f64>,
    /// Linear maps that get an adapter; all if not given
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "rank", value_parser = linear)]
    pub(crate) on: Vec<LinearName>,
    #[command(flatten)]
    pub(crate) replay: ReplayOptions,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Compute threads; 0 uses every core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) threads: usize,
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn linear(name: &str) -> Result<LinearName, String> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
        .map_err(|_| "expected q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj".to_owned())
}

/// Refuses an option outside its range.
fn check(name: &str, is_valid: bool, expected: &str, found: String) -> anyhow::Result<()> {
    anyhow::ensure!(
        is_valid,
        "--{name} must be {expected}, found {found}\nhint: leave it out for the default"
    );
    Ok(())
}

fn in_range(x: f64, most: f64) -> bool {
    x > 0.0 && x <= most
}

impl TuneOptions {
    /// Checks what clap does not.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        check("epochs", in_range(self.epochs, 1e4), "above 0 and at most 10,000", self.epochs.to_string())?;
        check(
            "held-out",
            in_range(self.held_out, 0.5),
            "above 0 and at most 0.5",
            self.held_out.to_string(),
        )?;
        self.training.check()
    }

    /// Every number of a training on `n_examples`.
    pub(crate) fn settings(
        &self,
        base: &Base,
        seq_len: usize,
        n_examples: usize,
    ) -> anyhow::Result<TrainSettings> {
        let steps = ((self.epochs * n_examples as f64 / self.batch as f64).ceil() as u64).max(1);
        self.training.settings(base, seq_len, steps, LEARNING_RATE)
    }
}

impl TrainingOptions {
    /// Checks what clap does not.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        check(
            "lr",
            self.lr.is_none_or(|lr| in_range(lr, 1.0)),
            "above 0 and at most 1",
            self.lr.unwrap_or_default().to_string(),
        )?;
        check("batch", (1..=65_536).contains(&self.batch), "from 1 to 65,536", self.batch.to_string())?;
        check("micro-batch", self.micro_batch > 0, "at least 1", self.micro_batch.to_string())?;
        check(
            "rank",
            self.rank.is_none_or(|rank| (1..=1024).contains(&rank)),
            "from 1 to 1,024",
            self.rank.unwrap_or_default().to_string(),
        )?;
        check(
            "alpha",
            self.alpha.is_none_or(|alpha| in_range(alpha, 1e6)),
            "above 0 and at most 1,000,000",
            self.alpha.unwrap_or_default().to_string(),
        )
    }

    /// Tokens of the longest example.
    pub(crate) fn seq_len(&self, base: &Base) -> anyhow::Result<usize> {
        let most = base.config.max_seq_len;
        let seq_len = self.seq_len.unwrap_or(USUAL_ROW.min(most));
        anyhow::ensure!(
            (1..=most).contains(&seq_len),
            "--seq-len must be from 1 to {most}, what the model reads, found {seq_len}\nhint: leave it out for the default"
        );
        Ok(seq_len)
    }

    /// What is trained.
    pub(crate) fn tuning(&self) -> Tuning {
        let adapters = self.rank.map(|rank| AdapterConfig {
            rank,
            alpha: self.alpha.unwrap_or(2.0 * rank as f64),
            on: if self.on.is_empty() { LinearName::ALL.to_vec() } else { self.on.clone() },
        });
        Tuning { adapters, ..Tuning::default() }
    }

    /// Every number of a training of `steps` steps; `usual_rate` is the peak learning rate of all weights where none is given.
    pub(crate) fn settings(
        &self,
        base: &Base,
        seq_len: usize,
        steps: u64,
        usual_rate: f64,
    ) -> anyhow::Result<TrainSettings> {
        let factor = if self.rank.is_some() { ADAPTER_FACTOR } else { 1.0 };
        let rate = self.lr.unwrap_or(factor * usual_rate);
        let warmup_steps = (steps / 30).min(steps - 1);
        let mut train = TrainOverrides {
            steps: Some(steps),
            batch_rows: Some(self.batch),
            micro_batch_rows: Some(self.micro_batch.min(self.batch)),
            seq_len: Some(seq_len),
            dtype: Some(default_precision(Isa::current())),
            optimizer: Some(OptimizerKind::AdamW),
            warmup_steps: Some(warmup_steps),
            decay_steps: Some(steps - warmup_steps),
            final_lr_fraction: Some(0.0),
            beta2: Some(0.999),
            adam_eps: Some(1e-8),
            eval_every_steps: Some(steps.div_ceil(5).max(1)),
            ..TrainOverrides::default()
        };
        let rates = &mut train.learning_rates;
        for open in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
            *open = Some(rate);
        }
        let (_, settings) = train::plan(
            None,
            base.config.vocab_size,
            &ModelOverrides::fixed(&base.config),
            &train,
            self.seed,
        )?;
        Ok(settings)
    }
}
