//! One step on text and documents of pictures together against PyTorch's, from the patches to the weights.

use std::{fs, path::Path};

use model::{Gpt, Tokens, checkpoint, scaling::LearningRates};
use safetensors::SafeTensors;
use serde_json::Value;
use tensor::{Cpu, IGNORE_TARGET, Kernels, Reference, Tensor};
use train::{Learner, MicroBatch, OptimizerKind, Precision, TrainSettings, Update};

use crate::fixture::check_close;

/// Worst seen: 4.8e-7. A share of the loss off by a hundredth errs by 1e-2.
const LOSS: f32 = 4e-6;
/// Worst seen: 7.2e-7; PyTorch itself is up to 4.0e-7 away from f64.
const GRAD: f32 = 4e-6;
/// Worst seen: 5.9e-6; PyTorch itself is up to 5.1e-6 away from f64. Weight decay of the positions, or the rate of another part,
/// errs by 1e-4 and more.
const PARAM: f32 = 3e-5;

const IMAGE_TOKEN: u32 = 3;

/// `fixtures/llava_step.safetensors`, written by `tools/reference/llava_step.py`.
struct Step {
    bytes: Vec<u8>,
}

impl Step {
    fn open() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/llava_step.safetensors");
        Self { bytes: fs::read(path).unwrap() }
    }

    fn json(&self, key: &str) -> Value {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        serde_json::from_str(&header.metadata().as_ref().unwrap()[key]).unwrap()
    }

    fn tensor(&self, name: &str) -> Tensor {
        let all = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = all.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let words = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Tensor::from_f32(view.shape(), words.collect())
    }

    fn integers(&self, name: &str) -> Vec<u32> {
        self.tensor(name).f32().iter().map(|x| *x as u32).collect()
    }

    /// The model as it is imported from a folder of transformers.
    fn gpt(&self) -> Gpt {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join("config.json"), self.json("config").to_string()).unwrap();
        let all = SafeTensors::deserialize(&self.bytes).unwrap();
        let weights = all.tensors().into_iter();
        let weights =
            weights.filter_map(|(name, view)| Some((name.strip_prefix("weight:")?.to_owned(), view)));
        safetensors::serialize_to_file(weights, None, &source.join("model.safetensors")).unwrap();
        let ids = checkpoint::SpecialIds { bos: None, eos: vec![2], pad: None };
        checkpoint::publish(&target, |tmp| checkpoint::import_folder(&source, tmp, &ids, "abc").map(drop))
            .unwrap();
        checkpoint::read_model(&target).unwrap()
    }

    /// Text and documents of pictures, with the weights that the shares of the loss give their targets.
    fn micro_batches(&self, share: f64) -> [MicroBatch; 2] {
        let inputs = |ids: &[u32], lens: &[u32]| -> (Tokens, Vec<u32>) {
            let (mut kept, mut targets, mut from) = (Vec::new(), Vec::new(), 0);
            for len in lens.iter().map(|len| *len as usize) {
                kept.extend_from_slice(&ids[from..from + len - 1]);
                targets.extend_from_slice(&ids[from + 1..from + len]);
                from += len;
            }
            (Tokens::packed(kept, lens.iter().map(|len| *len as usize - 1)), targets)
        };
        let weighted = |tokens: Tokens, targets: Vec<u32>, share: f64| {
            let n = targets.iter().filter(|target| **target != IGNORE_TARGET).count();
            let weight =
                |target: &u32| if *target == IGNORE_TARGET { 0.0 } else { (share / n as f64) as f32 };
            let weights = Some(targets.iter().map(weight).collect());
            MicroBatch { weights, ..MicroBatch::new(tokens, targets) }
        };
        let (tokens, targets) = inputs(&self.integers("text.ids"), &self.integers("text.lens"));
        let text = weighted(tokens, targets, share);
        let (ids, lens) = (self.integers("pictures.ids"), self.integers("pictures.lens"));
        let learned = inputs(&self.integers("pictures.is_learned"), &lens).1;
        let (tokens, targets) = inputs(&ids, &lens);
        let target = |(target, is_learned): (u32, u32)| if is_learned == 1 { target } else { IGNORE_TARGET };
        let targets = targets.into_iter().zip(learned).map(target).collect();
        let tokens = tokens.with_images(self.tensor("patches"), IMAGE_TOKEN);
        [text, weighted(tokens, targets, 1.0 - share)]
    }
}

/// As this version of transformers names it.
fn as_saved(name: &str) -> String {
    name.replace("vision_tower.vision_model.", "vision_tower.")
}

fn settings(json: &Value, optimizer: OptimizerKind) -> TrainSettings {
    let number = |path: &str| json.pointer(path).and_then(Value::as_f64).unwrap();
    TrainSettings {
        seed: 0,
        steps: 1,
        batch_rows: 1,
        micro_batch_rows: 1,
        seq_len: 48,
        dtype: Precision::F32,
        recompute_activations: false,
        optimizer,
        learning_rates: LearningRates {
            matrix: number("/rates/matrix"),
            embedding: number("/rates/embedding"),
            head: number("/rates/head"),
            gain: number("/rates/gain"),
        },
        warmup_steps: 0,
        decay_steps: 0,
        final_lr_fraction: 1.0,
        weight_decay: number("/weight_decay"),
        embedding_weight_decay: number("/embedding_weight_decay"),
        beta1: number("/beta1"),
        beta2: number("/beta2"),
        adam_eps: number("/eps"),
        muon_momentum: number("/muon_momentum"),
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
fn a_step_on_text_and_pictures_matches_pytorch() {
    let fixture = Step::open();
    let json = fixture.json("settings");
    let share = json["share"].as_f64().unwrap();
    let kernels: [(&str, &dyn Kernels); 3] =
        [("1 thread", &Cpu::new(1)), ("2 threads", &Cpu::new(2)), ("reference", &Reference)];
    for (kernel, kernels) in kernels {
        for (name, kind) in [("adamw", OptimizerKind::AdamW), ("muon", OptimizerKind::Muon)] {
            let what = |part: &str| format!("{kernel}, {name}: {part}");
            let settings = settings(&json, kind);
            let mut learner = Learner::new(fixture.gpt(), kind);
            learner.clear_gradients();
            let losses =
                fixture.micro_batches(share).map(|batch| learner.add_gradients(kernels, &batch, 1.0) as f32);
            let want = |name: &str| fixture.tensor(name).f32()[0];
            let parts = [losses[0] / share as f32, losses[1] / (1.0 - share) as f32, losses[0] + losses[1]];
            let wanted = ["text_loss", "answers_loss", "loss"].map(want);
            check_close(&what("losses"), &parts, &wanted, LOSS);
            for (spec, grad) in learner.gpt().specs().iter().zip(learner.grads()) {
                let want = fixture.tensor(&format!("grad:{}", as_saved(&spec.name)));
                check_close(&what(&format!("gradient of {}", spec.name)), grad.f32(), want.f32(), GRAD);
            }
            let norm = learner.grad_norm(kernels);
            check_close(&what("gradient norm"), &[norm as f32], &[want("grad_norm")], GRAD);
            assert!(norm > settings.max_grad_norm, "nothing is clipped");
            learner.update(kernels, &settings, norm, Update { lr_fraction: 1.0, step: 1 });
            for (spec, param) in learner.gpt().specs().iter().zip(learner.gpt().params()) {
                let want = fixture.tensor(&format!("{name}:{}", as_saved(&spec.name)));
                check_close(&what(&spec.name), param.f32(), want.f32(), PARAM);
            }
        }
    }
}
