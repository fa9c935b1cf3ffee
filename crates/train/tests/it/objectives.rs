//! Objectives beside pretraining, and trainings of a part of the parameters.

use std::{fs, sync::atomic::AtomicBool};

use data::Tokenizer;
use model::{AdapterConfig, Gpt, LinearName, checkpoint};
use tensor::Tensor;
use train::{Batch, Example, Inputs, Masked, Objective, Outcome, Tuning, Validation};

use crate::scene::{Run, Scene, token_bytes};

/// Sums, of which only the answer is to be learned.
fn sums(from: u32, n: u32) -> Vec<Example> {
    let example = |i: u32| {
        let (a, b) = (i % 5, i / 5 % 5);
        let (question, answer) = (format!("{a}+{b}="), format!("{}\n", a + b));
        Example::continuation(Tokenizer::bytes().encode(&format!("{question}{answer}")), question.len())
    };
    (from..from + n).map(example).collect()
}

fn masked(scene: &Scene) -> Box<dyn Objective> {
    Box::new(Masked::new(sums(0, 25), sums(0, 25), &scene.settings, token_bytes()).unwrap())
}

/// On the queries and values of every block.
fn adapters() -> Tuning {
    let on = vec![LinearName::Q, LinearName::V];
    Tuning { adapters: Some(AdapterConfig { rank: 8, alpha: 16.0, on }), ..Tuning::default() }
}

fn finish(run: &Run, change: impl FnOnce(&mut Inputs)) -> (Gpt, Validation) {
    let mut trainer = run.open_with(2, change).unwrap();
    let outcome = trainer.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let Outcome::Finished(summary) = outcome else { panic!("{outcome:?}") };
    (trainer.gpt().clone(), summary.validation)
}

#[test]
fn a_masked_objective_learns_the_answers() {
    let mut scene = Scene::new();
    (scene.settings.steps, scene.settings.batch_rows, scene.settings.eval_every_steps) = (300, 25, 300);
    scene.settings.final_eval_tokens = 1000;
    let before =
        masked(&scene).validate(&Gpt::new(scene.config.clone(), 7), &tensor::Cpu::new(1), true).unwrap();
    let (_, after) = finish(&scene.run("run"), |inputs| inputs.objective = masked(&scene));
    assert_eq!((before.n_tokens, before.n_bytes), (2 * 25, 2 * 25), "a digit and the end of a line");
    assert!(before.loss_nats > 5.0 && after.loss_nats < 0.1, "{before:?} {after:?}");
}

#[test]
fn adapters_train_and_nothing_else_changes() {
    let mut scene = Scene::new();
    (scene.settings.steps, scene.settings.decay_steps) = (60, 0);
    let (base, before) = finish(&scene.run("base"), |_| {});
    let start = scene.run("base").checkpoint(60);
    let (tuned, after) = finish(&scene.run("tuned"), |inputs| {
        (inputs.start, inputs.tuning, inputs.objective) = (Some(start), adapters(), masked(&scene));
    });
    let before_masked = masked(&scene).validate(&base, &tensor::Cpu::new(1), true).unwrap();
    assert!(after.loss_nats < before_masked.loss_nats - 1.0, "{before_masked:?} {after:?} {before:?}");
    let n_adapters =
        tuned.params().blocks.iter().flat_map(|block| [&block.q.adapter, &block.v.adapter]).flatten();
    assert_eq!(n_adapters.count(), 4);
    for (spec, (own, other)) in base.specs().iter().zip(tuned_base(&tuned).iter().zip(base.params())) {
        assert_eq!(own.f32(), other.f32(), "{} is frozen", spec.name);
    }
    // The checkpoint holds the model for everybody, and the adapters beside it.
    let dir = scene.run("tuned").checkpoint(60);
    let read = checkpoint::read_model(&dir).unwrap();
    assert!(read.params().iter().zip(base.params()).all(|(a, b)| a.f32() == b.f32()));
    assert_eq!(checkpoint::read_tensors(&dir.join("state/added.safetensors")).unwrap().len(), 8);
    assert_eq!(checkpoint::read_tensors(&dir.join("state/optimizer.safetensors")).unwrap().len(), 16);
}

/// The parameters that the base has.
fn tuned_base(tuned: &Gpt) -> Vec<Tensor> {
    let named = tuned.specs().iter().zip(tuned.params());
    named.filter(|(spec, _)| !spec.name.contains("lora")).map(|(_, param)| param.clone()).collect()
}

#[test]
fn a_stopped_tuning_continues_to_the_same_bits() {
    let scene = Scene::new();
    let change = |inputs: &mut Inputs| (inputs.tuning, inputs.objective) = (adapters(), masked(&scene));
    let whole = scene.run("whole");
    finish(&whole, change);
    for step in 1..scene.settings.steps {
        let run = scene.run(&format!("stopped-at-{step}"));
        run.stop_at_with(step, 1, change);
        finish(&run, change);
        run.check_same_files(
            &format!("stopped at {step}"),
            &whole,
            &["model.safetensors", "state/added.safetensors", "state/optimizer.safetensors"],
        );
    }
    // What is trained belongs to the run.
    let error = whole.open_with(1, |inputs| inputs.objective = masked(&scene)).err().unwrap().to_string();
    assert!(error.contains("was written with what is trained"), "{error}");
}

/// A batch that is split in another way gives the same sums: the denominator is the batch's, not the micro-batch's.
#[test]
fn a_masked_batch_knows_its_denominator() {
    let mut scene = Scene::new();
    let mut drawn = [1, 2, 5].map(|micro_batch_rows| {
        scene.settings.micro_batch_rows = micro_batch_rows;
        masked(&scene).next()
    });
    let flat = |batch: &Batch| -> Vec<f32> {
        batch.micro_batches.iter().flat_map(|micro| micro.weights.clone().unwrap()).collect()
    };
    drawn.sort_by_key(|batch| batch.micro_batches.len());
    assert!(drawn.iter().map(|batch| batch.micro_batches.len()).eq([1, 3, 5]));
    for batch in &drawn {
        assert_eq!(flat(batch), flat(&drawn[0]));
        assert_eq!(batch.denominator, f64::from(flat(batch).iter().sum::<f32>()));
    }
}

#[test]
fn examples_that_teach_nothing_are_named() {
    let scene = Scene::new();
    let good = || sums(0, 3);
    let with = |example: Example| good().into_iter().chain([example]).collect::<Vec<_>>();
    for (examples, expected) in [
        (Vec::new(), "training set is missing"),
        (
            with(Example { ids: vec![1, 2], weights: vec![1.0], ..Example::default() }),
            "example 3 of the training set has 2 tokens and 1 weights",
        ),
        (
            with(Example { ids: vec![1, 2], weights: vec![1.0, 0.0], ..Example::default() }),
            "nothing to learn",
        ),
        (with(Example { ids: vec![1], weights: vec![1.0], ..Example::default() }), "nothing to learn"),
        (with(Example { ids: Vec::new(), weights: Vec::new(), ..Example::default() }), "nothing to learn"),
        (with(Example { ids: vec![1, 2], weights: vec![0.0, f32::NAN], ..Example::default() }), "finite"),
        (with(Example::continuation(vec![1; 19], 3)), "at most 18"),
    ] {
        let error = Masked::new(examples, good(), &scene.settings, token_bytes()).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("hint:"), "{expected}: {error}");
    }
    assert!(fs::read_dir(scene.run("none").folder).is_err(), "nothing was written");
}
