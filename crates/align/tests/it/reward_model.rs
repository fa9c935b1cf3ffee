//! A reward model, from outside.

use align::{BradleyTerry, PairExample, RewardModel, Statistics};
use data::Tokenizer;
use model::{
    Gpt, ModelConfig, Tokens, Wanted,
    checkpoint::{self, SCORE, SpecialIds},
};
use tensor::{Cpu, Tensor};
use train::{Example, Learner, Objective, TrainSettings, Update};

use crate::small;

fn config() -> ModelConfig {
    small::config(Tokenizer::bytes().vocab_size(), 32, 2)
}

fn settings(batch_rows: usize, micro_batch_rows: usize) -> TrainSettings {
    small::settings(&config(), 1, 3e-3, |train| {
        train.steps = Some(60);
        train.seq_len = Some(31);
        train.batch_rows = Some(batch_rows);
        train.micro_batch_rows = Some(micro_batch_rows);
    })
}

/// The better answer ends with the letter that the question begins with. Something follows each, which is not to be read.
fn pairs() -> Vec<PairExample> {
    let tokenizer = Tokenizer::bytes();
    let example = |prompt: &str, answer: &str| {
        let ids = tokenizer.encode(&format!("{prompt}{answer}\n"));
        let weights = (0..ids.len()).map(|i| f32::from(u8::from(i >= prompt.len() && i + 1 < ids.len())));
        Example { weights: weights.collect(), ids, ..Example::default() }
    };
    let letters = ["a", "b", "c", "d", "e", "f"];
    let pair = |i: usize| PairExample {
        chosen: example(&format!("{}>", letters[i]), &format!("x{}", letters[i])),
        rejected: example(&format!("{}>", letters[i]), &format!("x{}", letters[(i + 1) % 6])),
    };
    (0..6).map(pair).collect()
}

/// A model in which every weight matters, with a head that scores.
fn scattered() -> Gpt {
    let mut gpt = small::scattered(&config(), 0.2).with_head(SCORE, 1);
    gpt.train_only(|spec| spec.name != "lm_head.weight");
    gpt
}

#[test]
fn better_answers_score_higher_after_training() {
    let (kernels, settings) = (Cpu::new(1), settings(6, 4));
    let mut objective = BradleyTerry::new(pairs(), pairs(), &settings).unwrap();
    let mut learner = Learner::new(scattered(), settings.optimizer);
    for step in 1..=settings.steps {
        let batch = objective.next();
        learner.clear_gradients();
        let mut sum = train::Scalars::default();
        for micro in &batch.micro_batches {
            sum.add(objective.add_gradients(&mut learner, &kernels, micro, 1.0 / batch.denominator));
        }
        if step == 1 {
            assert!((sum.loss_nats - std::f64::consts::LN_2).abs() < 1e-6, "{sum:?}");
        }
        let norm = learner.grad_norm(&kernels);
        learner.update(&kernels, &settings, norm, Update { lr_fraction: 1.0, step });
    }
    assert!(objective.validate(learner.gpt(), &kernels, true).unwrap().loss_nats < 0.1);
    let statistics = Statistics { mean: 0.0, std: 1.0, n: 0, held_out: serde_json::Value::Null };
    let model = RewardModel::new(learner.gpt().clone(), statistics).unwrap();
    assert!(model.pair_scores(&kernels, &pairs()).iter().all(|[better, worse]| better > worse));
}

/// By finite differences in the direction of the gradient itself; how a batch is split changes it by rounding alone.
#[test]
fn the_gradient_is_that_of_the_loss() {
    let kernels = Cpu::new(1);
    let mut gpt = scattered();
    let head = gpt.params_mut().heads[0].weight.f32_mut();
    let mut rng = base::Rng::new(5, 0);
    head.iter_mut().for_each(|x| *x = 0.3 * rng.normal() as f32);
    let grads = [6, 2].map(|micro_rows| {
        let settings = settings(6, micro_rows);
        let mut objective = BradleyTerry::new(pairs(), pairs(), &settings).unwrap();
        let mut learner = Learner::new(gpt.clone(), settings.optimizer);
        let batch = objective.next();
        for micro in &batch.micro_batches {
            objective.add_gradients(&mut learner, &kernels, micro, 1.0 / batch.denominator);
        }
        learner.grads().clone()
    });
    let norm = |grads: &model::Params<Tensor>| {
        grads.iter().flat_map(|g| g.f32()).map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt()
    };
    let length = norm(&grads[0]);
    let differences = grads[0].iter().zip(&grads[1]).flat_map(|(a, b)| a.f32().iter().zip(b.f32()));
    let error = differences.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    assert!(error < 1e-5 * length, "{error} of {length}");
    let objective = BradleyTerry::new(pairs(), pairs(), &settings(6, 6)).unwrap();
    let loss_at = |distance: f64| {
        let mut gpt = gpt.clone();
        for (param, grad) in gpt.params_mut().iter_mut().zip(&grads[0]).filter(|(_, grad)| !grad.is_empty()) {
            for (x, g) in param.f32_mut().iter_mut().zip(grad.f32()) {
                *x += (distance * f64::from(*g) / length) as f32;
            }
        }
        objective.validate(&gpt, &kernels, true).unwrap().loss_nats
    };
    let slope = (loss_at(0.01) - loss_at(-0.01)) / 0.02;
    assert!((slope / length - 1.0).abs() < 0.01, "slope {slope}, gradient {length}");
}

/// Logits at rows are those of the engine to the bit, and a score does not depend on its company.
#[test]
fn outputs_at_rows_are_those_of_the_whole_pass() {
    let kernels = Cpu::new(2);
    let gpt = scattered();
    let tokens = Tokens::packed(vec![1, 2, 3, 4, 5, 6, 7], [3, 4]);
    let wanted = Wanted { rows: &[6, 1], logits: true, head: Some(0) };
    let outputs = gpt.outputs(&kernels, &tokens, wanted);
    let logits = gpt.logits(&kernels, &tokens, &[6, 1], None);
    assert_eq!(outputs.logits.unwrap().f32(), logits.f32());
    let statistics = Statistics { mean: 0.0, std: 1.0, n: 0, held_out: serde_json::Value::Null };
    let model = RewardModel::new(gpt, statistics).unwrap();
    let together = model.scores(&kernels, &[&[1, 2, 3], &[4, 5, 6, 7]]);
    assert_eq!(
        together,
        [model.scores(&kernels, &[&[1, 2, 3]]), model.scores(&kernels, &[&[4, 5, 6, 7]])].concat()
    );
}

#[test]
fn a_folder_gives_the_same_scores_and_one_without_statistics_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (kernels, dir) = (Cpu::new(1), dir.path().join("model"));
    let mut gpt = scattered();
    gpt.params_mut().heads[0].weight.f32_mut().iter_mut().enumerate().for_each(|(i, x)| *x = i as f32 - 7.0);
    let statistics = Statistics { mean: 2.0, std: 4.0, n: 3, held_out: serde_json::Value::Null };
    let write = |statistics: Option<&Statistics>| {
        checkpoint::publish(&dir, |dir| {
            let ids = SpecialIds { bos: None, eos: vec![1], pad: Some(0) };
            checkpoint::write_scorer(dir, &gpt, &ids, "none")?;
            if let Some(statistics) = statistics {
                let bytes = serde_json::to_vec(statistics).unwrap();
                checkpoint::write_file(&dir.join(RewardModel::STATISTICS), &bytes)?;
            }
            Ok::<(), checkpoint::CheckpointError>(())
        })
        .unwrap();
    };
    write(Some(&statistics));
    let read = RewardModel::open(&dir).unwrap();
    let written = RewardModel::new(gpt.clone(), statistics.clone()).unwrap();
    assert_eq!(read.scores(&kernels, &[&[5, 6, 7]]), written.scores(&kernels, &[&[5, 6, 7]]));
    assert_eq!(read.statistics().normalised(10.0), 2.0);
    // A language model's commands do not take it for one.
    let error = checkpoint::read_model(&dir).unwrap_err().to_string();
    assert!(error.contains("LlamaForSequenceClassification"), "{error}");

    for (bad, found) in [(None, "No such file"), (Some(Statistics { std: 0.0, ..statistics }), "std 0")] {
        write(bad.as_ref());
        let error = RewardModel::open(&dir).unwrap_err().to_string();
        assert!(error.contains("reward.json") && error.contains(found) && error.contains("hint:"), "{error}");
    }
}
