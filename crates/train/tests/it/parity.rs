//! Ten optimizer steps against PyTorch's.

use model::scaling::LearningRates;
use tensor::{Cpu, Kernels, Reference};
use train::{Learner, MicroBatch, OptimizerKind, Precision, TrainSettings, Update};

use crate::fixture::{FILES, Fixture, check_close};

/// Worst seen: 4.8e-7, two ulps; PyTorch itself is up to 5.7e-7 away from f64. AdamW's eps ten times too large errs
/// by 2.6e-5 (1.3e-5 where Muon has the matrices), any decay off by 0.01 by 9.5e-5 and more.
const LOSS: f32 = 4e-6;
/// Worst seen: 2.4e-7; PyTorch itself is up to 3.0e-7 away from f64. The same mistakes err by 2.8e-5 and more.
const GRAD_NORM: f32 = 2e-6;
/// Worst seen: 4.3e-6; PyTorch itself is up to 4.0e-6 away from f64, since AdamW divides gradients near zero by
/// their own size and so magnifies their rounding. The same mistakes err by 6.1e-4 and more.
const PARAM: f32 = 3e-5;

/// The fixture's settings: one rate for all that AdamW trains, another for what Muon trains.
fn settings(fixture: &Fixture, kind: OptimizerKind, steps: u64, seq_len: usize) -> TrainSettings {
    let json = fixture.json("optimizer");
    let number = |path: &str| json.pointer(path).and_then(serde_json::Value::as_f64).expect("a number");
    let name = match kind {
        OptimizerKind::Muon => "muon",
        OptimizerKind::AdamW => "adamw",
    };
    let adamw = number("/adamw/lr");
    TrainSettings {
        seed: 0,
        steps,
        batch_rows: 1,
        micro_batch_rows: 1,
        seq_len,
        dtype: Precision::F32,
        recompute_activations: false,
        optimizer: kind,
        learning_rates: LearningRates {
            matrix: number(&format!("/{name}/lr")),
            embedding: adamw,
            head: adamw,
            gain: adamw,
        },
        warmup_steps: 0,
        decay_steps: 0,
        final_lr_fraction: 1.0,
        weight_decay: number(&format!("/{name}/weight_decay")),
        embedding_weight_decay: number("/adamw/weight_decay"),
        beta1: number("/adamw/beta1"),
        beta2: number("/adamw/beta2"),
        adam_eps: number("/adamw/eps"),
        muon_momentum: number("/muon/momentum"),
        max_grad_norm: number("/max_grad_norm"),
        eval_every_steps: 1,
        eval_tokens: 1,
        final_eval_tokens: 1,
        checkpoint_every_steps: 1,
        checkpoint_every_minutes: None,
        keep_checkpoints: 1,
    }
}

#[test]
fn ten_steps_of_each_optimizer_match_pytorch() {
    for file in FILES {
        let fixture = Fixture::open(file);
        let kinds: [(&str, &dyn Kernels); 3] =
            [("1 thread", &Cpu::new(1)), ("2 threads", &Cpu::new(2)), ("reference", &Reference)];
        for (kernel, kernels) in kinds {
            for (name, kind) in [("adamw", OptimizerKind::AdamW), ("muon", OptimizerKind::Muon)] {
                let what = |part: &str| format!("{file}, {kernel}, {name}: {part}");
                let want = |part: &str| fixture.tensor(&format!("{name}.{part}"));
                let n_steps = want("loss").len();
                let n_tokens = fixture.integers("ids").len();
                let settings = settings(&fixture, kind, n_steps as u64, fixture.config.max_seq_len);
                settings.validate(&fixture.config).unwrap();
                let batches = fixture.integers("step.ids").chunks_exact(n_tokens);
                let batches = batches.zip(fixture.integers("step.targets").chunks_exact(n_tokens));

                let mut learner = Learner::new(fixture.gpt(), kind);
                let (mut losses, mut norms) = (Vec::new(), Vec::new());
                for ((ids, targets), step) in batches.zip(1..) {
                    learner.clear_gradients();
                    let scale = 1.0 / n_tokens as f64;
                    let sum = learner.add_gradients(
                        kernels,
                        &MicroBatch::new(fixture.packed(ids), targets.to_vec()),
                        scale,
                    );
                    let norm = learner.grad_norm(kernels);
                    let lr_fraction = settings.schedule().fraction(step);
                    learner.update(kernels, &settings, norm, Update { lr_fraction, step });
                    losses.push((scale * sum) as f32);
                    norms.push(norm as f32);
                }
                assert_eq!(losses.len(), 10, "{}", what("steps"));
                let is_clipped = |norm: &f32| f64::from(*norm) > settings.max_grad_norm;
                assert!(norms.iter().any(is_clipped) && !norms.iter().all(is_clipped), "{norms:?}");
                check_close(&what("loss"), &losses, want("loss").f32(), LOSS);
                check_close(&what("gradient norm"), &norms, want("grad_norm").f32(), GRAD_NORM);
                for (spec, param) in fixture.config.params().iter().zip(learner.gpt().params()) {
                    let want = want(&format!("param.{}", spec.name));
                    check_close(&what(&spec.name), param.f32(), want.f32(), PARAM);
                }
            }
        }
    }
}
