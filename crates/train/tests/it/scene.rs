//! A tiny corpus, a tiny model, and runs over them.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use data::{DataConfig, Prepared, SourceConfig, Tokenizer, ValidationConfig};
use model::{ModelConfig, scaling::LearningRates};
use serde_json::Value;
use tensor::Cpu;
use train::{
    Event, Inputs, Objective, OptimizerKind, Outcome, Precision, Pretraining, TrainError, TrainSettings,
    Trainer, Tuning,
};

/// A temporary folder with prepared data; removed at the end.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    data: Arc<Prepared>,
    pub(crate) config: ModelConfig,
    pub(crate) settings: TrainSettings,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = prepare(folder.path(), "corpus", 40);
        Self { folder, data, config: config(), settings: settings() }
    }

    /// The folder of a run.
    pub(crate) fn run(&self, name: &str) -> Run<'_> {
        Run { scene: self, folder: self.folder.path().join(name) }
    }

    /// Its data.
    pub(crate) fn data(&self) -> Arc<Prepared> {
        Arc::clone(&self.data)
    }

    /// The data of another corpus.
    pub(crate) fn other_data(&self) -> Arc<Prepared> {
        prepare(self.folder.path(), "other", 39)
    }

    /// Every token of the data is to be predicted.
    pub(crate) fn pretraining(&self, data: Arc<Prepared>) -> Box<dyn Objective> {
        Box::new(Pretraining::new(data, &self.settings, token_bytes()).unwrap())
    }

    /// From now on the data are one letter again and again: every row is a copy.
    pub(crate) fn repeat_data(&mut self) {
        self.data = prepare_texts(self.folder.path(), "repeated", std::iter::once("a".repeat(20_000)));
    }
}

fn prepare(folder: &Path, name: &str, n_documents: usize) -> Arc<Prepared> {
    prepare_texts(folder, name, texts(n_documents))
}

fn texts(n_documents: usize) -> impl Iterator<Item = String> {
    (0..n_documents).map(|i| {
        let words = ["red", "green", "blue", "and", "then"].iter().cycle().skip(i).step_by(1 + i % 3);
        let text: Vec<&str> = words.take(5 + i % 7).copied().collect();
        format!("{i} {}", text.join(" "))
    })
}

fn prepare_texts(folder: &Path, name: &str, texts: impl Iterator<Item = String>) -> Arc<Prepared> {
    let texts = texts.map(|text| format!("{}\n", serde_json::json!({ "text": text })));
    let path = folder.join(format!("{name}.jsonl"));
    std::fs::write(&path, texts.collect::<String>()).unwrap();
    let mut config = DataConfig::new(vec![SourceConfig::new(path.display().to_string())]);
    config.validation = ValidationConfig::Tail { fraction: 0.2 };
    let go_on = &mut |_| ControlFlow::Continue(());
    Arc::new(data::prepare(&config, &Tokenizer::bytes(), &folder.join(name), go_on).unwrap())
}

/// Of the tokenizer of bytes.
pub(crate) fn token_bytes() -> Vec<u32> {
    Tokenizer::bytes().token_bytes()
}

fn config() -> ModelConfig {
    ModelConfig {
        vocab_size: Tokenizer::bytes().vocab_size(),
        max_seq_len: 20,
        n_layers: 2,
        d_model: 24,
        n_heads: 4,
        n_kv_heads: 2,
        d_head: 6,
        d_ff: 40,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        qk_norm: true,
        qkv_bias: false,
        rope_scaling: None,
        tie_embeddings: false,
        vision: None,
    }
}

/// Nine steps with validations, checkpoints and the ends of micro-batches at different places.
fn settings() -> TrainSettings {
    TrainSettings {
        seed: 7,
        steps: 9,
        batch_rows: 5,
        micro_batch_rows: 2,
        seq_len: 17,
        dtype: Precision::F32,
        recompute_activations: false,
        optimizer: OptimizerKind::Muon,
        learning_rates: LearningRates { matrix: 0.02, embedding: 0.05, head: 0.01, gain: 0.01 },
        warmup_steps: 2,
        decay_steps: 3,
        final_lr_fraction: 0.1,
        weight_decay: 0.1,
        embedding_weight_decay: 0.01,
        beta1: 0.9,
        beta2: 0.95,
        adam_eps: 1e-10,
        muon_momentum: 0.95,
        max_grad_norm: 1.0,
        eval_every_steps: 3,
        eval_tokens: 100,
        final_eval_tokens: 170,
        checkpoint_every_steps: 4,
        checkpoint_every_minutes: None,
        keep_checkpoints: 3,
    }
}

/// One run of a scene.
pub(crate) struct Run<'a> {
    scene: &'a Scene,
    pub(crate) folder: PathBuf,
}

impl Run<'_> {
    pub(crate) fn open(&self, n_threads: usize) -> Result<Trainer, TrainError> {
        self.open_with(n_threads, |_| {})
    }

    /// With other inputs than the scene's.
    pub(crate) fn open_with(
        &self,
        n_threads: usize,
        change: impl FnOnce(&mut Inputs),
    ) -> Result<Trainer, TrainError> {
        let mut inputs = Inputs {
            kernels: Arc::new(Cpu::new(n_threads)),
            config: self.scene.config.clone(),
            settings: self.scene.settings.clone(),
            objective: self.scene.pretraining(Arc::clone(&self.scene.data)),
            tuning: Tuning::default(),
            tokenizer: Tokenizer::bytes(),
            chat_template: None,
            start: None,
            forecast: None,
        };
        change(&mut inputs);
        Trainer::open(inputs, &self.folder)
    }

    /// To the end.
    #[track_caller]
    pub(crate) fn finish(&self, n_threads: usize) {
        let outcome = self.open(n_threads).unwrap().run(&AtomicBool::new(false), &mut |_| {}).unwrap();
        assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    }

    /// Told to stop in step `step`, which it still takes and saves.
    #[track_caller]
    pub(crate) fn stop_at(&self, step: u64, n_threads: usize) {
        self.stop_at_with(step, n_threads, |_| {});
    }

    /// With other inputs than the scene's.
    #[track_caller]
    pub(crate) fn stop_at_with(&self, step: u64, n_threads: usize, change: impl FnOnce(&mut Inputs)) {
        let stop = AtomicBool::new(false);
        let outcome = self.open_with(n_threads, change).unwrap().run(&stop, &mut |event| {
            if matches!(event, Event::Step { step: taken, .. } if taken == step) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        assert_eq!(outcome.unwrap(), Outcome::Stopped { step });
    }

    /// Dies right after step `step`: nothing is saved.
    #[track_caller]
    pub(crate) fn crash_after(&self, step: u64) {
        let mut trainer = self.open(1).unwrap();
        let crashed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            trainer.run(&AtomicBool::new(false), &mut |event| {
                if matches!(event, Event::Step { step: taken, .. } if taken == step) {
                    std::panic::resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(crashed.is_err(), "the run went past step {step}");
    }

    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.folder.join(format!("checkpoints/step-{step}"))
    }

    /// Names in `checkpoints/`, sorted.
    pub(crate) fn checkpoints(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join("checkpoints")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn metrics_path(&self) -> PathBuf {
        self.folder.join("metrics.jsonl")
    }

    /// Lines of `metrics.jsonl` without what a clock says and without notes of resumption.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.metrics_path()).unwrap();
        assert!(text.ends_with('\n'), "the last line is whole");
        let lines = text.lines().map(|line| {
            serde_json::from_str::<train::Metric>(line).unwrap();
            without_clock(serde_json::from_str(line).unwrap())
        });
        lines.filter(|line| line["kind"] != "resumed").collect()
    }

    /// The state of the trainer in the checkpoint of a step, likewise.
    fn state(&self, step: u64) -> Value {
        let path = self.checkpoint(step).join("state/trainer.json");
        let mut state = without_clock(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
        state.as_object_mut().unwrap().remove("metrics_len"); // notes of resumption have a length
        state
    }

    /// Weights, moments, state and metrics at the end are another run's, to the bit.
    #[track_caller]
    pub(crate) fn check_same(&self, what: &str, other: &Run) {
        let files = ["model.safetensors", "state/optimizer.safetensors", "state/repetition.bin"];
        self.check_same_files(what, other, &files);
    }

    /// These files, state and metrics at the end are another run's, to the bit.
    #[track_caller]
    pub(crate) fn check_same_files(&self, what: &str, other: &Run, files: &[&str]) {
        let last = self.scene.settings.steps;
        for file in files {
            let [a, b] = [self, other].map(|run| std::fs::read(run.checkpoint(last).join(file)).unwrap());
            assert!(a.len() > 7 && a == b, "{what}: {file} differs");
        }
        assert_eq!(self.state(last), other.state(last), "{what}: state");
        let (mine, others) = (self.metrics(), other.metrics());
        for (mine, others) in mine.iter().zip(&others) {
            assert_eq!(mine, others, "{what}: metrics");
        }
        assert_eq!(mine.len(), others.len(), "{what}: lines of metrics");
    }
}

fn without_clock(mut value: Value) -> Value {
    let object = value.as_object_mut().expect("an object");
    object.remove("tokens_per_second");
    object.remove("elapsed_s");
    object.remove("unix_s");
    value
}
