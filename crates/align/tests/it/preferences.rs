//! Direct preference optimisation, from outside.

use align::{Dpo, DpoSettings, PairExample};
use data::Tokenizer;
use model::{Gpt, ModelConfig};
use tensor::{Cpu, Tensor};
use train::{Example, Learner, Objective, TrainSettings, Update};

use crate::small;

fn config() -> ModelConfig {
    ModelConfig { qk_norm: true, ..small::config(Tokenizer::bytes().vocab_size(), 32, 2) }
}

fn settings(batch_rows: usize, micro_batch_rows: usize) -> TrainSettings {
    small::settings(&config(), 1, 3e-3, |train| {
        train.steps = Some(60);
        train.seq_len = Some(31);
        train.batch_rows = Some(batch_rows);
        train.micro_batch_rows = Some(micro_batch_rows);
    })
}

/// A digit is to be answered with the next one, not with itself again and again.
fn pairs() -> Vec<PairExample> {
    let tokenizer = Tokenizer::bytes();
    let example = |prompt: &str, answer: &str| {
        Example::continuation(tokenizer.encode(&format!("{prompt}{answer}")), tokenizer.encode(prompt).len())
    };
    let pair = |i: u32| PairExample {
        chosen: example(&format!("{i}>"), &format!("{}.", (i + 1) % 10)),
        rejected: example(&format!("{i}>"), &format!("{i}{i}{i}.")),
    };
    (0..10).map(pair).collect()
}

fn scattered() -> Gpt {
    small::scattered(&config(), 0.2)
}

#[test]
fn the_loss_begins_at_ln_2_and_the_better_answers_win() {
    let (kernels, settings) = (Cpu::new(1), settings(10, 3));
    let gpt = scattered();
    let mut dpo = Dpo::new(pairs(), pairs(), &gpt, &kernels, DpoSettings { beta: 0.5 }, &settings).unwrap();
    assert!((dpo.validate(&gpt, &kernels, true).unwrap().loss_nats - std::f64::consts::LN_2).abs() < 1e-9);
    let mut learner = Learner::new(gpt, settings.optimizer);
    for step in 1..=settings.steps {
        let batch = dpo.next();
        learner.clear_gradients();
        let mut sum = train::Scalars::default();
        for micro in &batch.micro_batches {
            sum.add(dpo.add_gradients(&mut learner, &kernels, micro, 1.0 / batch.denominator));
        }
        if step == 1 {
            assert!(
                (sum.loss_nats - std::f64::consts::LN_2).abs() < 1e-6 && sum.others["margin"].abs() < 1e-6
            );
        }
        if step == settings.steps {
            assert!(sum.others["accuracy"] > 0.999 && sum.others["margin"] > 1.0, "{sum:?}");
        }
        let norm = learner.grad_norm(&kernels);
        learner.update(&kernels, &settings, norm, Update { lr_fraction: 1.0, step });
    }
    assert!(dpo.validate(learner.gpt(), &kernels, true).unwrap().loss_nats < 0.3);
}

/// The gradient is that of the mean loss, by finite differences in the direction of the gradient itself; how a batch is split
/// changes it by rounding alone.
#[test]
fn the_gradient_is_that_of_the_loss() {
    let kernels = Cpu::new(2);
    let reference = scattered();
    let mut moved = reference.clone();
    for (i, param) in moved.params_mut().iter_mut().enumerate() {
        let mut rng = base::Rng::new(5, i as u64);
        param.f32_mut().iter_mut().for_each(|x| *x += 0.03 * rng.normal() as f32);
    }
    let grads = [10, 3, 1].map(|micro_rows| {
        let settings = settings(10, micro_rows);
        let mut dpo =
            Dpo::new(pairs(), pairs(), &reference, &kernels, DpoSettings { beta: 0.5 }, &settings).unwrap();
        let mut learner = Learner::new(moved.clone(), settings.optimizer);
        let batch = dpo.next();
        for micro in &batch.micro_batches {
            dpo.add_gradients(&mut learner, &kernels, micro, 1.0 / batch.denominator);
        }
        learner.grads().clone()
    });
    let norm = |grads: &model::Params<Tensor>| {
        grads.iter().flat_map(|g| g.f32()).map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt()
    };
    let length = norm(&grads[0]);
    for other in &grads[1..] {
        let differences = grads[0].iter().zip(other).flat_map(|(a, b)| a.f32().iter().zip(b.f32()));
        let error = differences.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!(error < 1e-5 * length, "{error} of {length}");
    }
    let dpo = Dpo::new(pairs(), pairs(), &reference, &kernels, DpoSettings { beta: 0.5 }, &settings(10, 10))
        .unwrap();
    let loss_at = |distance: f64| {
        let mut gpt = moved.clone();
        for (param, grad) in gpt.params_mut().iter_mut().zip(&grads[0]) {
            for (x, g) in param.f32_mut().iter_mut().zip(grad.f32()) {
                *x += (distance * f64::from(*g) / length) as f32;
            }
        }
        dpo.validate(&gpt, &kernels, true).unwrap().loss_nats
    };
    let slope = (loss_at(0.01) - loss_at(-0.01)) / 0.02;
    assert!((slope / length - 1.0).abs() < 0.01, "slope {slope}, gradient {length}");
}

#[test]
fn settings_and_data_that_cannot_be_used_are_named() {
    let (kernels, settings, gpt) = (Cpu::new(1), settings(10, 3), scattered());
    let new = |pairs, held_out, beta| {
        let made = Dpo::new(pairs, held_out, &gpt, &kernels, DpoSettings { beta }, &settings);
        made.err().unwrap().to_string()
    };
    assert!(new(pairs(), pairs(), 0.0).contains("`beta` must be above 0"));
    assert!(new(pairs(), pairs(), f64::NAN).contains("found NaN"));
    assert!(new(Vec::new(), pairs(), 0.1).contains("training set"));
    assert!(new(pairs(), Vec::new(), 0.1).contains("held-out set"));
}
