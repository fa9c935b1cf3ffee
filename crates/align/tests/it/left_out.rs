//! Answers without a reward and prompts without room are left out and counted; the others are learned from as if they were alone.

use align::{
    environment::{EnvironmentError, Side, TokenDialogue, TokenEnvironment},
    policy::{Method, PolicyGradient, PolicySettings, RolloutSettings, collect},
};
use model::{Gpt, Sampling};
use tensor::Cpu;
use train::{Learner, Objective, TrainSettings, Update};

use crate::small;

/// Problems whose number is divisible by `silent` get no reward, those divisible by `long` no room, and all others that of their
/// answer.
struct Graded {
    silent: u64,
    long: u64,
    reward: f64,
}

impl TokenEnvironment for Graded {
    fn begin(&self, _: Side, n: u64) -> Result<Box<dyn TokenDialogue + '_>, EnvironmentError> {
        struct Once(Vec<u32>);
        impl TokenDialogue for Once {
            fn prompt(&self) -> Vec<u32> {
                self.0.clone()
            }

            fn answer(&mut self, _: &[u32], _: bool) -> Result<(f64, Option<Vec<u32>>), EnvironmentError> {
                Ok((0.0, None))
            }
        }
        Ok(Box::new(Once(if n.is_multiple_of(self.long) { vec![1; 8] } else { vec![3, 1] })))
    }

    fn rewards(&self, _: Side, answered: &[(u64, &[u32])]) -> Option<Vec<Result<f64, String>>> {
        let reward = |&(n, ids): &(u64, &[u32])| match n.is_multiple_of(self.silent) {
            true => Err("no verdict: HTTP 503".to_owned()),
            false => Ok(self.reward * f64::from(ids[0])),
        };
        Some(answered.iter().map(reward).collect())
    }
}

fn gpt() -> Gpt {
    small::scattered(&small::config(5, 8, 1), 0.25)
}

fn settings() -> TrainSettings {
    small::settings(&small::config(5, 8, 1), 1, 1e-3, |train| {
        train.steps = Some(8);
        train.seq_len = Some(8);
        train.batch_rows = Some(8);
        train.micro_batch_rows = Some(4);
    })
}

fn rollout() -> RolloutSettings {
    let sampling = Sampling::default();
    RolloutSettings { sampling, max_new_tokens: 2, max_turns: 1, stop: Vec::new(), n_parallel: 8 }
}

fn objective(environment: Graded, group: usize) -> PolicyGradient {
    let policy = PolicySettings {
        method: Method::Grpo { group, normalise: false },
        rollout: rollout(),
        n_rollouts: 16,
        n_epochs: 1,
        clip: 0.2,
        beta: 0.05,
        kl_target: None,
        max_kl: None,
        cut_penalty: 0.0,
        n_held_out: 8,
    };
    PolicyGradient::new(Box::new(environment), None, gpt(), policy, &settings(), "graded").unwrap()
}

#[test]
fn problems_without_a_reward_are_left_out_and_counted() {
    let kernels = Cpu::new(1);
    let environment = Graded { silent: 3, long: 5, reward: 1.0 };
    let problems: Vec<(u64, u64)> = (1..=15).map(|n| (n, n)).collect();
    let found = collect(&gpt(), &kernels, &environment, Side::Training, &problems, &rollout(), 8).unwrap();
    let left: Vec<u64> = found.trajectories.iter().map(|trajectory| trajectory.problem).collect();
    assert_eq!(left, [1, 2, 4, 7, 8, 11, 13, 14]);
    let reasons = found.left_out.to_string();
    assert_eq!(
        reasons,
        "3 longer than 7 tokens, which leaves no room for an answer, 4 without a reward: no verdict: HTTP 503"
    );
    // What is left is what it would be alone.
    let alone: Vec<(u64, u64)> = left.iter().map(|n| (*n, *n)).collect();
    let same = collect(&gpt(), &kernels, &environment, Side::Training, &alone, &rollout(), 8).unwrap();
    assert_eq!(same.trajectories, found.trajectories);
    assert!(same.trajectories.iter().all(|trajectory| trajectory.reward() == f64::from(trajectory.ids[2])));
    // An example may be shorter than what the model reads: a prompt as long leaves no room.
    let room = same.trajectories[0].actions[0].at + 1;
    let short = collect(&gpt(), &kernels, &environment, Side::Training, &alone, &rollout(), room).unwrap();
    assert!(short.trajectories.iter().all(|trajectory| trajectory.ids.len() <= room));
    let none = collect(&gpt(), &kernels, &environment, Side::Training, &alone, &rollout(), room - 1);
    let error = none.unwrap_err().to_string();
    assert!(error.contains(&format!("{} longer than {} tokens", alone.len(), room - 2)), "{error}");
}

#[test]
fn nothing_to_learn_from_is_an_error_that_says_why() {
    let kernels = Cpu::new(1);
    let none = |environment: Graded| {
        let found = collect(&gpt(), &kernels, &environment, Side::Training, &[(1, 1), (2, 2)], &rollout(), 8);
        found.unwrap_err().to_string()
    };
    let error = none(Graded { silent: 1, long: 100, reward: 1.0 });
    assert!(error.contains("found none of 2: 2 without a reward: no verdict: HTTP 503"), "{error}");
    let error = none(Graded { silent: 100, long: 1, reward: 1.0 });
    assert!(error.contains("2 longer than 7 tokens") && error.contains("hint:"), "{error}");
    for reward in [1e300, f64::NAN, f64::NEG_INFINITY] {
        let error = none(Graded { silent: 100, long: 100, reward });
        assert!(error.contains("expected a number from -1000000000 to 1000000000"), "{error}");
    }
}

/// A training goes on with what is left of each set, and from its cursor to the same bits.
#[test]
fn a_training_goes_on_with_what_is_left() {
    let kernels = Cpu::new(1);
    let settings = settings();
    let step = |objective: &mut PolicyGradient, learner: &mut Learner, step: u64| {
        objective.prepare(learner, &kernels).unwrap();
        let batch = objective.next();
        learner.clear_gradients();
        let mut sum = train::Scalars::default();
        for micro in &batch.micro_batches {
            sum.add(objective.add_gradients(learner, &kernels, micro, 1.0 / batch.denominator));
        }
        let norm = learner.grad_norm(&kernels);
        learner.update(&kernels, &settings, norm, Update { lr_fraction: 1.0, step });
        sum
    };
    for group in [2, 4] {
        let environment = || Graded { silent: 3, long: 5, reward: 1.0 };
        let mut whole = objective(environment(), group);
        let mut learner = Learner::new(gpt(), settings.optimizer);
        for at in 1..=8 {
            let sum = step(&mut whole, &mut learner, at);
            assert!(sum.loss_nats.is_finite() && sum.others["left_out"] > 0.5, "{sum:?}");
        }
        let left_out = whole.left_out().lock().unwrap().clone();
        assert!(left_out.0.values().sum::<usize>() > 8, "{left_out}");
        let (mut stopped, mut again) = (objective(environment(), group), objective(environment(), group));
        let mut learner_again = Learner::new(gpt(), settings.optimizer);
        (1..=3).for_each(|at| drop(step(&mut stopped, &mut learner_again, at)));
        again.seek(&stopped.cursor()).unwrap();
        (4..=8).for_each(|at| drop(step(&mut again, &mut learner_again, at)));
        assert_eq!(*again.left_out().lock().unwrap(), left_out);
        assert_eq!(bits(&learner), bits(&learner_again));
    }
}

fn bits(learner: &Learner) -> Vec<u32> {
    let logits = learner.gpt().losses(&Cpu::new(1), &model::Tokens::packed(vec![3, 1, 2], [3]), &[1, 2, 0]);
    logits.f32().iter().map(|x| x.to_bits()).collect()
}
