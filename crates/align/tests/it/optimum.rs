//! What is learned from rewards and preferences, against the closed form `π_ref·e^{r/β}/Z` on a problem that can be enumerated.

use align::{
    Dpo, DpoSettings, PairExample,
    environment::{EnvironmentError, Side, TokenDialogue, TokenEnvironment},
    policy::{Method, PolicyGradient, PolicySettings, RolloutSettings, VALUE, collect},
};
use model::{AdapterConfig, Gpt, LinearName, ModelConfig, Sampling, Tokens, Wanted};
use tensor::Cpu;
use train::{Example, Learner, Objective, TrainSettings, Update};

use crate::small;

const V: usize = 5;
const PROMPT: [u32; 2] = [3, 1];
const BETA: f64 = 0.5;

fn config() -> ModelConfig {
    small::config(V, 8, 1)
}

fn reference() -> Gpt {
    small::scattered(&config(), 0.25)
}

fn settings(seed: u64, steps: u64, batch_rows: usize, rate: f64) -> TrainSettings {
    small::settings(&config(), seed, rate, |train| {
        train.steps = Some(steps);
        train.seq_len = Some(8);
        train.batch_rows = Some(batch_rows);
        train.micro_batch_rows = Some(batch_rows);
        train.adam_eps = Some(1e-8);
        train.warmup_steps = Some(5);
        train.decay_steps = Some(steps * 3 / 4);
        train.final_lr_fraction = Some(0.0);
    })
}

/// Two tokens behind one prompt; each pair of them has a reward.
struct Table {
    n_steps: usize,
}

impl Table {
    fn reward(&self, answer: &[u32]) -> f64 {
        let at = answer.iter().fold(0, |at, id| at * V + *id as usize);
        // Between −0.5 and 0.5.
        ((at * 37 + 11) % 24) as f64 / 23.0 - 0.5
    }

    /// Every answer with the probability that `gpt` gives it, and the closed form.
    fn distributions(&self, gpt: &Gpt, reference: &Gpt) -> Vec<[f64; 2]> {
        let kernels = Cpu::new(1);
        let n = V.pow(self.n_steps as u32);
        let answers: Vec<Vec<u32>> = (0..n)
            .map(|i| (0..self.n_steps).rev().map(|d| (i / V.pow(d as u32) % V) as u32).collect())
            .collect();
        let log_prob = |gpt: &Gpt, answer: &[u32]| -> f64 {
            let ids = [&PROMPT[..], answer].concat();
            let tokens = Tokens::packed(ids[..ids.len() - 1].to_vec(), [ids.len() - 1]);
            let rows: Vec<usize> = (0..self.n_steps).map(|i| PROMPT.len() - 1 + i).collect();
            let logits = gpt
                .outputs(&kernels, &tokens, Wanted { rows: &rows, logits: true, head: None })
                .logits
                .unwrap();
            let rows = logits.f32().chunks_exact(V).zip(answer);
            rows.map(|(row, id)| f64::from(Sampling::default().distribution(row, &[], &[]).logprob(*id)))
                .sum()
        };
        let weights: Vec<f64> =
            answers.iter().map(|a| (log_prob(reference, a) + self.reward(a) / BETA).exp()).collect();
        let total: f64 = weights.iter().sum();
        answers.iter().zip(weights).map(|(a, weight)| [log_prob(gpt, a).exp(), weight / total]).collect()
    }

    fn total_variation(&self, gpt: &Gpt, reference: &Gpt) -> f64 {
        self.distributions(gpt, reference).iter().map(|[p, q]| (p - q).abs()).sum::<f64>() / 2.0
    }
}

impl TokenEnvironment for Table {
    fn begin(&self, _: Side, _: u64) -> Result<Box<dyn TokenDialogue + '_>, EnvironmentError> {
        struct Once<'a>(&'a Table);
        impl TokenDialogue for Once<'_> {
            fn prompt(&self) -> Vec<u32> {
                PROMPT.to_vec()
            }

            fn answer(&mut self, ids: &[u32], _: bool) -> Result<(f64, Option<Vec<u32>>), EnvironmentError> {
                Ok((self.0.reward(ids), None))
            }
        }
        Ok(Box::new(Once(self)))
    }
}

fn rollout(n_steps: usize) -> RolloutSettings {
    RolloutSettings {
        sampling: Sampling::default(),
        max_new_tokens: n_steps,
        max_turns: 1,
        stop: Vec::new(),
        n_parallel: 256,
    }
}

fn policy(method: Method, n_steps: usize) -> PolicySettings {
    PolicySettings {
        method,
        rollout: rollout(n_steps),
        n_rollouts: 256,
        n_epochs: 1,
        clip: 0.2,
        beta: BETA,
        kl_target: None,
        max_kl: None,
        cut_penalty: 0.0,
        n_held_out: 4,
    }
}

/// Trains as the trainer does; what was recorded with each step.
fn train(objective: &mut dyn Objective, gpt: Gpt, settings: &TrainSettings) -> (Gpt, Vec<train::Scalars>) {
    let kernels = Cpu::new(1);
    let mut learner = Learner::new(gpt, settings.optimizer);
    let mut all = Vec::new();
    for step in 1..=settings.steps {
        objective.prepare(&mut learner, &kernels).unwrap();
        let batch = objective.next();
        learner.clear_gradients();
        let mut sum = train::Scalars::default();
        for micro in &batch.micro_batches {
            sum.add(objective.add_gradients(&mut learner, &kernels, micro, 1.0 / batch.denominator));
        }
        let norm = learner.grad_norm(&kernels);
        let lr_fraction = settings.schedule().fraction(step);
        learner.update(&kernels, settings, norm, Update { lr_fraction, step });
        all.push(sum);
    }
    (learner.gpt().clone(), all)
}

fn check(method: Method, seed: u64) {
    let table = Table { n_steps: 2 };
    let reference = reference();
    let before = table.total_variation(&reference, &reference);
    assert!(before > 0.15, "the optimum is too near: {before}");
    let settings = settings(seed, 300, 256, 5e-3);
    let policy = policy(method, 2);
    let environment = Box::new(Table { n_steps: 2 });
    let mut objective =
        PolicyGradient::new(environment, None, reference.clone(), policy, &settings, "table").unwrap();
    let gpt = match method {
        Method::Ppo { .. } => reference.clone().with_head(VALUE, 1),
        Method::Grpo { .. } => reference.clone(),
    };
    let (gpt, all) = train(&mut objective, gpt, &settings);
    // Each batch is of fresh answers: every ratio is 1, and the first divergence nothing.
    assert!(all.iter().all(|scalars| (scalars.others["ratio"] - 1.0).abs() < 1e-12), "{:?}", all[1]);
    assert_eq!((all[0].others["kl_k1"], all[0].others["kl_k3"]), (0.0, 0.0));
    let after = table.total_variation(&gpt, &reference);
    assert!(after < 0.02, "seed {seed}: total variation {after}, {before} before");
}

#[test]
fn ppo_reaches_the_optimum() {
    let Method::Ppo { gamma, clip_value, value_weight, whiten, .. } = Method::ppo() else { panic!() };
    for seed in 1..=3 {
        check(Method::Ppo { gamma, lambda: 1.0, clip_value, value_weight, whiten }, seed);
    }
}

#[test]
fn unnormalised_grpo_reaches_the_optimum() {
    for seed in 1..=3 {
        check(Method::Grpo { group: 64, normalise: false }, seed);
    }
}

/// Pairs as Bradley and Terry's model would judge them.
#[test]
fn dpo_reaches_the_optimum() {
    let table = Table { n_steps: 1 };
    let reference = reference();
    let example = |id: u32| Example::continuation([&PROMPT[..], &[id]].concat(), PROMPT.len());
    let mut pairs = Vec::new();
    for a in 0..V as u32 {
        for b in (0..V as u32).filter(|b| *b != a) {
            let wins = 1.0 / (1.0 + (table.reward(&[b]) - table.reward(&[a])).exp());
            let pair = PairExample { chosen: example(a), rejected: example(b) };
            pairs.extend(vec![pair; (50.0 * wins).round() as usize]);
        }
    }
    for seed in 1..=3 {
        let settings = settings(seed, 300, pairs.len(), 4e-3);
        let dpo = DpoSettings { beta: BETA };
        let mut objective =
            Dpo::new(pairs.clone(), pairs[..1].to_vec(), &reference, &Cpu::new(1), dpo, &settings).unwrap();
        let (gpt, _) = train(&mut objective, reference.clone(), &settings);
        let after = table.total_variation(&gpt, &reference);
        assert!(after < 0.02, "seed {seed}: total variation {after}");
    }
}

/// For every way of drawing, the learner's probabilities are the sampler's to the bit; those of the whole vocabulary are not.
#[test]
fn the_learner_sees_what_the_sampler_drew_from() {
    let kernels = Cpu::new(2);
    let gpt = reference().with_head(VALUE, 1);
    let base = Sampling::default();
    let all = [
        base.clone(),
        Sampling { temperature: 0.7, ..base.clone() },
        Sampling { top_k: 3, ..base.clone() },
        Sampling { top_p: 0.8, temperature: 1.3, ..base.clone() },
        Sampling { min_p: 0.5, ..base.clone() },
        Sampling { repetition_penalty: 1.4, top_k: 4, ..base },
    ];
    for sampling in all {
        let policy = PolicySettings {
            rollout: RolloutSettings { sampling: sampling.clone(), ..rollout(5) },
            n_rollouts: 200,
            ..policy(Method::ppo(), 5)
        };
        let settings = settings(1, 20, 200, 1e-3);
        let environment = Box::new(Table { n_steps: 5 });
        let mut objective =
            PolicyGradient::new(environment, None, reference(), policy, &settings, "table").unwrap();
        let mut learner = Learner::new(gpt.clone(), settings.optimizer);
        objective.prepare(&mut learner, &kernels).unwrap();
        let batch = objective.next();
        let sum = objective.add_gradients(&mut learner, &kernels, &batch.micro_batches[0], 1e-3);
        assert!(
            (sum.others["ratio"] - 1.0).abs() < 1e-12 && sum.others["kl_k1"] == 0.0,
            "{sampling:?}: {sum:?}"
        );
    }
    // The bias of probabilities over the whole vocabulary is the logarithm of the mass that was kept.
    let sampling = Sampling { top_k: 2, ..Sampling::default() };
    let settings = RolloutSettings { sampling, ..rollout(1) };
    let drawn =
        collect(&gpt, &kernels, &Table { n_steps: 1 }, Side::Training, &[(0, 7)], &settings, 8).unwrap();
    let drawn = drawn.trajectories;
    let action = &drawn[0].actions[0];
    let tokens = Tokens::packed(PROMPT.to_vec(), [2]);
    let logits =
        gpt.outputs(&kernels, &tokens, Wanted { rows: &[1], logits: true, head: None }).logits.unwrap();
    let whole = Sampling::default().distribution(logits.f32(), &[], &[]);
    let mass: f64 = action.kept.as_ref().unwrap().iter().map(|id| f64::from(whole.logprob(*id)).exp()).sum();
    let bias = f64::from(whole.logprob(drawn[0].ids[2])) - f64::from(action.log_prob);
    assert!((bias - mass.ln()).abs() < 1e-6 && bias < -0.01, "{bias}, {}", mass.ln());
}

/// Says three tokens between the answers of a dialogue.
struct Talk;

impl TokenEnvironment for Talk {
    fn begin(&self, _: Side, n: u64) -> Result<Box<dyn TokenDialogue + '_>, EnvironmentError> {
        struct Turns(u64);
        impl TokenDialogue for Turns {
            fn prompt(&self) -> Vec<u32> {
                vec![3, (self.0 % V as u64) as u32, 1]
            }

            fn answer(&mut self, ids: &[u32], _: bool) -> Result<(f64, Option<Vec<u32>>), EnvironmentError> {
                Ok((ids.len() as f64, Some(vec![1, 4, 2])))
            }
        }
        Ok(Box::new(Turns(n)))
    }
}

/// With adapters and without, over dialogues of several turns and every way of drawing: 10,000 tokens and more.
#[test]
fn turns_and_adapters_are_replayed_to_the_bit() {
    let kernels = Cpu::new(2);
    let config = small::config(V, 48, 1);
    let base = Sampling::default();
    let all = [
        base.clone(),
        Sampling { temperature: 0.7, top_k: 3, ..base.clone() },
        Sampling { top_p: 0.8, min_p: 0.05, temperature: 1.3, ..base.clone() },
        Sampling { repetition_penalty: 1.4, top_k: 4, ..base },
    ];
    let (mut n_actions, mut n_turns) = (0, 0);
    for is_adapted in [false, true] {
        let reference = small::scattered(&config, 0.25);
        let mut gpt = reference.clone();
        if is_adapted {
            let adapters = AdapterConfig { rank: 2, alpha: 4.0, on: LinearName::ALL.to_vec() };
            gpt = gpt.with_adapters(&adapters, 1);
        }
        let mut gpt = gpt.with_head(VALUE, 1);
        // Adapters begin with a factor of zeros, and would correct nothing.
        for (i, param) in gpt.params_mut().iter_mut().enumerate() {
            let mut rng = base::Rng::new(5, i as u64);
            if param.f32().iter().all(|x| *x == 0.0) {
                param.f32_mut().iter_mut().for_each(|x| *x = 0.2 * rng.normal() as f32);
            }
        }
        for sampling in &all {
            let policy = PolicySettings {
                rollout: RolloutSettings {
                    sampling: sampling.clone(),
                    max_new_tokens: 12,
                    max_turns: 4,
                    stop: vec![0],
                    n_parallel: 64,
                },
                n_rollouts: 128,
                ..policy(Method::ppo(), 12)
            };
            let settings = small::settings(&config, 1, 1e-3, |train| {
                train.steps = Some(4);
                train.seq_len = Some(48);
                train.batch_rows = Some(128);
                train.micro_batch_rows = Some(128);
            });
            let mut objective =
                PolicyGradient::new(Box::new(Talk), None, reference.clone(), policy, &settings, "talk")
                    .unwrap();
            let mut learner = Learner::new(gpt.clone(), settings.optimizer);
            objective.prepare(&mut learner, &kernels).unwrap();
            let cursor = objective.cursor();
            for rollout in cursor["rollouts"].as_array().unwrap() {
                n_actions += rollout["trajectory"]["actions"].as_array().unwrap().len();
                n_turns += rollout["trajectory"]["rewards"].as_array().unwrap().len();
            }
            let batch = objective.next();
            let sum = objective.add_gradients(&mut learner, &kernels, &batch.micro_batches[0], 1e-3);
            assert!((sum.others["ratio"] - 1.0).abs() < 1e-12, "{is_adapted} {sampling:?}: {sum:?}");
            assert_eq!(sum.others["clipped"], 0.0);
            assert_eq!(sum.others["kl_k1"] == 0.0, !is_adapted, "{sum:?}");
        }
    }
    assert!(n_actions >= 10_000 && n_turns > 8 * 128 + 200, "{n_actions} tokens, {n_turns} turns");
}

/// By finite differences in the direction of the gradient, where ratios are away from 1 and some are clipped, with every
/// processing on.
#[test]
fn the_gradient_is_that_of_the_loss() {
    let kernels = Cpu::new(1);
    let sampling = Sampling { temperature: 0.8, top_k: 4, repetition_penalty: 1.2, ..Sampling::default() };
    let policy = PolicySettings {
        rollout: RolloutSettings { sampling, ..rollout(4) },
        n_rollouts: 24,
        ..policy(Method::ppo(), 4)
    };
    let settings = settings(1, 20, 24, 1e-3);
    let environment = Box::new(Table { n_steps: 4 });
    let mut objective =
        PolicyGradient::new(environment, None, reference(), policy, &settings, "table").unwrap();
    let mut learner = Learner::new(reference().with_head(VALUE, 1), settings.optimizer);
    objective.prepare(&mut learner, &kernels).unwrap();
    let batch = objective.next();
    let scale = 1.0 / batch.denominator;
    let mut moved = learner.gpt().clone();
    for (i, param) in moved.params_mut().iter_mut().enumerate() {
        let mut rng = base::Rng::new(9, i as u64);
        param.f32_mut().iter_mut().for_each(|x| *x += 0.02 * rng.normal() as f32);
    }
    let mut at = |gpt: Gpt| {
        let mut learner = Learner::new(gpt, settings.optimizer);
        let sum = objective.add_gradients(&mut learner, &kernels, &batch.micro_batches[0], scale);
        (sum, learner.grads().clone())
    };
    let (sum, grads) = at(moved.clone());
    assert!(sum.others["clipped"] > 0.0 && sum.others["clipped"] < 0.9, "{sum:?}");
    let length = grads.iter().flat_map(|g| g.f32()).map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let mut loss_at = |distance: f64| {
        let mut gpt = moved.clone();
        for (param, grad) in gpt.params_mut().iter_mut().zip(&grads) {
            for (x, g) in param.f32_mut().iter_mut().zip(grad.f32()) {
                *x += (distance * f64::from(*g) / length) as f32;
            }
        }
        at(gpt).0.loss_nats
    };
    // Small, since the slope breaks where a ratio reaches its clip.
    let slope = (loss_at(0.0004) - loss_at(-0.0004)) / 0.0008;
    assert!((slope / length - 1.0).abs() < 0.03, "slope {slope}, gradient {length}");
}
