//! Losses and gradients of SFT, reward model and DPO, and two whole steps of PPO, against PyTorch
//! (`tools/reference/alignment.py`).

use align::{
    BradleyTerry, Dpo, DpoSettings, PairExample,
    environment::{EnvironmentError, Side, TokenDialogue, TokenEnvironment},
    policy::{Method, PolicyGradient, PolicySettings, RolloutSettings, VALUE},
};
use model::{Gpt, ModelConfig, Sampling, checkpoint::SCORE};
use serde_json::{Value, json};
use tensor::{Cpu, Tensor};
use train::{
    Example, Learner, Masked, Objective, OptimizerKind, Scalars, TrainOverrides, TrainSettings, Update,
};

use crate::small;

/// Of the largest element of a gradient, or of a loss; f32 against f64 comes to 3e-6. A factor that is wrong by one token in a
/// hundred would be 1e-2.
const TOLERANCE: f64 = 3e-5;

fn fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/alignment.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn config() -> ModelConfig {
    ModelConfig { n_kv_heads: 1, d_ff: 24, ..small::config(11, 16, 1) }
}

fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The model of a list of parameters, with a head of its own where there is one.
fn model(fixture: &Value, parameters: &Value, head: Option<(&str, &Value)>) -> Gpt {
    let names: Vec<String> = serde_json::from_value(fixture["names"].clone()).unwrap();
    let gpt = Gpt::from_params(
        config(),
        config().params().map(|spec: model::ParamSpec| {
            let at = names.iter().position(|name| *name == spec.name).unwrap();
            let values = floats(&parameters[at]).into_iter().map(|x| x as f32).collect();
            Tensor::from_f32(&spec.shape, values)
        }),
    );
    let Some((name, values)) = head else { return gpt };
    let mut gpt = gpt.with_head(name, 1);
    let at = gpt.head_named(name).unwrap();
    let own = gpt.params_mut().heads[at].weight.f32_mut();
    own.iter_mut().zip(floats(values)).for_each(|(own, value)| *own = value as f32);
    gpt
}

fn settings(rows: usize, change: impl FnOnce(&mut TrainOverrides)) -> TrainSettings {
    small::settings(&config(), 1, 1e-3, |train| {
        train.steps = Some(2);
        train.seq_len = Some(16);
        train.batch_rows = Some(rows);
        train.micro_batch_rows = Some(2.min(rows));
        change(train);
    })
}

fn examples(value: &Value) -> Vec<Example> {
    let all: Vec<(Vec<u32>, Vec<f32>)> = serde_json::from_value(value.clone()).unwrap();
    all.into_iter().map(|(ids, weights)| Example { ids, weights, ..Example::default() }).collect()
}

fn pairs(fixture: &Value) -> Vec<PairExample> {
    let pairs = fixture["reward"]["pairs"].as_array().unwrap();
    let pair = |pair: &Value| {
        let [chosen, rejected] = examples(pair).try_into().unwrap();
        PairExample { chosen, rejected }
    };
    pairs.iter().map(pair).collect()
}

/// A batch, all of its micro-batches.
fn accumulate(objective: &mut dyn Objective, learner: &mut Learner) -> Scalars {
    let batch = objective.next();
    assert!(batch.micro_batches.len() > 1);
    learner.clear_gradients();
    let mut sum = Scalars::default();
    for micro in &batch.micro_batches {
        sum.add(objective.add_gradients(learner, &Cpu::new(1), micro, 1.0 / batch.denominator));
    }
    sum
}

/// Compares tensors of a tree with lists in the fixture's order; a head comes last there.
#[track_caller]
fn same<'a>(
    fixture: &Value,
    what: &str,
    tree: impl IntoIterator<Item = (String, &'a Tensor)>,
    lists: &Value,
) {
    let names: Vec<String> = serde_json::from_value(fixture["names"].clone()).unwrap();
    let mut n_compared = 0;
    for (name, found) in tree {
        let at = names.iter().position(|of| *of == name).unwrap_or(names.len());
        let expected = floats(&lists[at]);
        let scale = expected.iter().fold(1e-3f64, |most, x| most.max(x.abs()));
        n_compared += 1;
        // What has no part in a loss has no gradient.
        if found.f32().is_empty() {
            assert!(expected.iter().all(|x| *x == 0.0), "{what} of {name}");
            continue;
        }
        assert_eq!(found.f32().len(), expected.len(), "{what} of {name}");
        for (i, (found, expected)) in found.f32().iter().zip(&expected).enumerate() {
            let off = (f64::from(*found) - expected).abs() / scale;
            assert!(off < TOLERANCE, "{what} of {name}[{i}]: {found}, PyTorch has {expected}");
        }
    }
    assert_eq!(n_compared, lists.as_array().unwrap().len(), "{what}");
}

fn named<'a>(gpt: &Gpt, tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<(String, &'a Tensor)> {
    let specs = gpt.specs();
    specs.iter().map(|spec| spec.name.clone()).zip(tensors).collect()
}

#[track_caller]
fn check(fixture: &Value, of: &str, objective: &mut dyn Objective, gpt: Gpt, optimizer: OptimizerKind) {
    let mut learner = Learner::new(gpt.clone(), optimizer);
    let sum = accumulate(objective, &mut learner);
    let loss = fixture[of]["loss"].as_f64().unwrap();
    assert!((sum.loss_nats - loss).abs() < TOLERANCE * loss, "{of}: {}, PyTorch has {loss}", sum.loss_nats);
    let grads = named(&gpt, learner.grads().iter());
    same(fixture, &format!("gradient of {of}"), grads, &fixture[of]["gradients"]);
}

#[test]
fn supervised_fine_tuning() {
    let fixture = fixture();
    let examples = examples(&fixture["sft"]["examples"]);
    let settings = settings(examples.len(), |_| ());
    let mut objective =
        Masked::new(examples.clone(), examples, &settings, vec![1; config().vocab_size]).unwrap();
    check(&fixture, "sft", &mut objective, model(&fixture, &fixture["model"], None), settings.optimizer);
}

#[test]
fn reward_models() {
    let fixture = fixture();
    let pairs = pairs(&fixture);
    let settings = settings(pairs.len(), |_| ());
    let mut objective = BradleyTerry::new(pairs.clone(), pairs, &settings).unwrap();
    let gpt = model(&fixture, &fixture["model"], Some((SCORE, &fixture["reward"]["head"])));
    check(&fixture, "reward", &mut objective, gpt, settings.optimizer);
}

#[test]
fn direct_preference_optimisation() {
    let fixture = fixture();
    let pairs = pairs(&fixture);
    let settings = settings(pairs.len(), |_| ());
    let reference = model(&fixture, &fixture["reference"], None);
    let dpo = DpoSettings { beta: fixture["dpo"]["beta"].as_f64().unwrap() };
    let mut objective = Dpo::new(pairs.clone(), pairs, &reference, &Cpu::new(1), dpo, &settings).unwrap();
    check(&fixture, "dpo", &mut objective, model(&fixture, &fixture["model"], None), settings.optimizer);
}

/// The rollouts are given: nothing is asked.
struct Silent;

impl TokenEnvironment for Silent {
    fn begin(&self, _: Side, _: u64) -> Result<Box<dyn TokenDialogue + '_>, EnvironmentError> {
        panic!("the rollouts are at hand");
    }
}

#[test]
fn two_steps_of_ppo() {
    let fixture = fixture();
    let ppo = &fixture["ppo"];
    let number = |name: &str| ppo["settings"][name].as_f64().unwrap();
    let rollouts = ppo["rollouts"].as_array().unwrap();
    let settings = settings(rollouts.len(), |train| {
        train.max_grad_norm = Some(number("max_grad_norm"));
        train.adam_eps = Some(number("adam_eps"));
        train.beta1 = Some(number("beta1"));
        train.beta2 = Some(number("beta2"));
        train.weight_decay = Some(0.0);
        train.embedding_weight_decay = Some(0.0);
        let rates = &mut train.learning_rates;
        for open in [&mut rates.matrix, &mut rates.embedding, &mut rates.head, &mut rates.gain] {
            *open = Some(number("lr"));
        }
    });
    let method = Method::Ppo {
        gamma: number("gamma"),
        lambda: number("lambda"),
        clip_value: number("clip_value"),
        value_weight: number("value_weight"),
        whiten: true,
    };
    let policy = PolicySettings {
        method,
        rollout: RolloutSettings {
            sampling: Sampling { temperature: number("temperature"), ..Sampling::default() },
            max_new_tokens: 5,
            max_turns: 1,
            stop: Vec::new(),
            n_parallel: 1,
        },
        n_rollouts: rollouts.len(),
        n_epochs: 2,
        clip: number("clip"),
        beta: number("beta"),
        kl_target: None,
        max_kl: None,
        cut_penalty: number("cut_penalty"),
        n_held_out: 1,
    };
    let reference = model(&fixture, &fixture["reference"], None);
    let gpt = model(&fixture, &fixture["model"], Some((VALUE, &ppo["head"])));
    let mut objective =
        PolicyGradient::new(Box::new(Silent), None, reference, policy, &settings, "given").unwrap();
    let given = rollouts.iter().map(|rollout| {
        let from = rollout["n_context"].as_u64().unwrap();
        let old = rollout["old"].as_array().unwrap();
        let actions: Vec<Value> = old
            .iter()
            .enumerate()
            .map(|(i, log_prob)| json!({ "at": from + i as u64, "log_prob": log_prob }))
            .collect();
        json!({
            "trajectory": {
                "problem": 0, "ids": rollout["ids"], "actions": actions, "rewards": [[old.len(), rollout["reward"]]],
                "has_ended": rollout["has_ended"],
            },
            "reference": rollout["reference"], "values": rollout["values"], "score": rollout["score"],
        })
    });
    let given: Vec<Value> = given.collect();
    objective
        .seek(&json!({ "iteration": 0, "batch": 0, "beta": number("beta"), "rollouts": given }))
        .unwrap();

    let mut learner = Learner::new(gpt, settings.optimizer);
    for (i, step) in ppo["steps"].as_array().unwrap().iter().enumerate() {
        let sum = accumulate(&mut objective, &mut learner);
        let near = |found: f64, name: &str| {
            let expected = step[name].as_f64().unwrap();
            let is_near = (found - expected).abs() < TOLERANCE * expected.abs().max(1.0);
            assert!(is_near, "step {i}: {name} {found}, PyTorch has {expected}");
        };
        near(sum.loss_nats, "loss");
        near(sum.others["clipped"], "clipped");
        near(sum.others["ratio"], "ratio");
        let gpt = learner.gpt().clone();
        let grads = named(&gpt, learner.grads().iter());
        same(&fixture, &format!("gradient of step {i}"), grads, &step["gradients"]);
        let norm = learner.grad_norm(&Cpu::new(1));
        near(norm, "norm");
        let update = Update { lr_fraction: 1.0, step: i as u64 + 1 };
        learner.update(&Cpu::new(1), &settings, norm, update);
        let gpt = learner.gpt().clone();
        same(
            &fixture,
            &format!("parameter after step {i}"),
            named(&gpt, gpt.params().iter()),
            &step["after"],
        );
    }
}
