//! Text that a model was pretrained on beside what a fine-tuning minimises.

use std::{ops::ControlFlow, sync::Arc};

use data::{DataConfig, Prepared, SourceConfig, Tokenizer, ValidationConfig};
use model::{Gpt, ModelConfig, scaling::ModelOverrides};
use tensor::Cpu;
use train::{
    Batch, Example, Learner, Masked, Objective, ReplaySettings, Scalars, TrainOverrides, TrainSettings,
    WithReplay,
};

const SEQ_LEN: usize = 16;

fn settings() -> (ModelConfig, TrainSettings) {
    let model = ModelOverrides {
        n_layers: Some(1),
        d_model: Some(16),
        n_heads: Some(2),
        ..ModelOverrides::default()
    };
    let train = TrainOverrides {
        steps: Some(4),
        seq_len: Some(SEQ_LEN),
        batch_rows: Some(3),
        micro_batch_rows: Some(2),
        ..TrainOverrides::default()
    };
    train::plan(None, Tokenizer::bytes().vocab_size(), &model, &train, 1).unwrap()
}

fn text(dir: &std::path::Path) -> Arc<Prepared> {
    let corpus = dir.join("corpus.txt");
    std::fs::write(&corpus, "All work and no play makes a dull boy.\n".repeat(200)).unwrap();
    let mut sources = DataConfig::new(vec![SourceConfig::new(corpus.display().to_string())]);
    sources.validation = ValidationConfig::Tail { fraction: 0.1 };
    let tokenizer = Tokenizer::bytes();
    Arc::new(
        data::prepare(&sources, &tokenizer, &dir.join("data"), &mut |_| ControlFlow::Continue(())).unwrap(),
    )
}

fn masked() -> Box<dyn Objective> {
    let example = |i: u32| Example::continuation((0..8).map(|j| 20 + (i * 7 + j * 3) % 60).collect(), 3);
    let (_, settings) = settings();
    let all: Vec<Example> = (0..9).map(example).collect();
    Box::new(Masked::new(all.clone(), all, &settings, Tokenizer::bytes().token_bytes()).unwrap())
}

fn with_replay(data: &Arc<Prepared>, rows: usize, weight: f64) -> WithReplay {
    let (_, settings) = settings();
    let replay = ReplaySettings { rows, weight };
    WithReplay::new(masked(), Arc::clone(data), replay, &settings, Tokenizer::bytes().token_bytes()).unwrap()
}

fn gradients(objective: &mut dyn Objective, batch: &Batch, gpt: &Gpt) -> (Scalars, Vec<f32>) {
    let (_, settings) = settings();
    let mut learner = Learner::new(gpt.clone(), settings.optimizer);
    let mut sum = Scalars::default();
    for micro in &batch.micro_batches {
        sum.add(objective.add_gradients(&mut learner, &Cpu::new(1), micro, 1.0 / batch.denominator));
    }
    (sum, learner.grads().iter().flat_map(|grad| grad.f32().to_vec()).collect())
}

/// The gradient is that of the objective and `weight` times that of the mean loss of the text, however the rows are split.
#[test]
fn text_is_added_with_its_weight() {
    let dir = tempfile::tempdir().unwrap();
    let data = text(dir.path());
    let (config, _) = settings();
    let gpt = Gpt::new(config, 1);
    let mut own = masked();
    let batch = own.next();
    let (alone, own_gradients) = gradients(&mut *own, &batch, &gpt);
    let at = |weight: f64| {
        let mut objective = with_replay(&data, 3, weight);
        let batch = objective.next();
        assert_eq!(batch.micro_batches.len(), 2 + 2);
        gradients(&mut objective, &batch, &gpt)
    };
    let (sum, once) = at(0.5);
    let (_, twice) = at(1.0);
    let text_loss = sum.others["text_loss_nats"];
    assert!((4.0..7.0).contains(&text_loss), "{text_loss}");
    assert!((sum.loss_nats - alone.loss_nats - 0.5 * text_loss).abs() < 1e-5, "{sum:?} {alone:?}");
    let largest = twice.iter().fold(0f32, |most, x| most.max(x.abs()));
    for ((own, once), twice) in own_gradients.iter().zip(&once).zip(&twice) {
        assert!((2.0 * (once - own) - (twice - own)).abs() < 2e-5 * largest, "{own} {once} {twice}");
    }
    assert!(own_gradients.iter().zip(&once).any(|(a, b)| (a - b).abs() > 1e-3 * largest));
}

/// From a cursor both go on where they stood; another weight is another training.
#[test]
fn both_go_on_from_a_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let data = text(dir.path());
    let mut objective = with_replay(&data, 2, 0.5);
    (0..3).for_each(|_| drop(objective.next()));
    let cursor = objective.cursor();
    let ids = |batch: Batch| -> Vec<Vec<u32>> {
        batch.micro_batches.into_iter().map(|micro| micro.targets).collect()
    };
    let expected = ids(objective.next());
    let mut again = with_replay(&data, 2, 0.5);
    assert_ne!(ids(again.next()), expected);
    again.seek(&cursor).unwrap();
    assert_eq!(ids(again.next()), expected);
    assert_ne!(with_replay(&data, 2, 0.6).fingerprint(), objective.fingerprint());
    assert!(again.seek(&serde_json::json!({ "own": 3 })).is_err());
}

#[test]
fn numbers_out_of_range_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = text(dir.path());
    let (_, settings) = settings();
    for (rows, weight, name) in
        [(0, 1.0, "replay_rows"), (1, 0.0, "replay_weight"), (1, f64::NAN, "replay_weight")]
    {
        let replay = ReplaySettings { rows, weight };
        let made =
            WithReplay::new(masked(), Arc::clone(&data), replay, &settings, Tokenizer::bytes().token_bytes());
        let error = made.err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}
