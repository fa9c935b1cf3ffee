//! PPO and GRPO as an objective of the trainer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use base::{Rng, hash::Xxh3};
use model::{Gpt, Outputs, Tokens, Wanted};
use serde_json::Value;
use tensor::{IGNORE_TARGET, Kernels, Tensor};
use train::{
    Batch, Learner, MicroBatch, Objective, Readiness, Scalars, TrainError, TrainSettings, Validation,
    not_a_cursor, read_cursor,
};

use super::{
    Collected, Method, PolicySettings, Trajectory, VALUE, collect,
    place::Place,
    replay::{Replayed, gradients, log_probs},
    rollout::checked,
    stored::{Credit, Means, Rollout, credits, means},
    surrogate,
};
use crate::{
    Dropped, RewardModel,
    environment::{EnvironmentError, Side, TokenEnvironment},
};

/// What answers are rewarded by, beside their environment.
pub struct Rewarder {
    /// Scores the whole dialogue; normalised by its own statistics.
    pub model: RewardModel,
    /// Of its normalised scores, beside the environment's reward.
    pub weight: f64,
}

/// Learns from rewards, with `π_ref` the model that it begins with: with a divergence weighted by β the optimum is
/// `π_ref·e^{r/β}/Z`.
///
/// Each token's reward is `−β·(ln π − ln π_ref)`, the last has that of its answer beside. Probabilities are those of the distribution
/// that was drawn from, temperature and cuts included, for the policy, for the learner and for the reference alike: the first
/// ratio is exactly 1.
pub struct PolicyGradient {
    environment: Box<dyn TokenEnvironment>,
    rewarder: Option<Rewarder>,
    reference: Gpt,
    policy: PolicySettings,
    settings: TrainSettings,
    fingerprint: String,
    at: Place,
    /// What the rollouts at hand are learned with.
    credits: Vec<Vec<Credit>>,
    means: Means,
    left_out: LeftOut,
}

/// Problems that could not be learned from so far, by reason; shared with whoever reports them.
pub type LeftOut = Arc<Mutex<Dropped>>;

impl PolicyGradient {
    /// At the first rollout; `reference` is the model that the training begins with, and `named` says what environment and
    /// reward are.
    ///
    /// # Errors
    /// If a setting is out of range, or the reward model reads less than the policy writes or has another vocabulary.
    pub fn new(
        environment: Box<dyn TokenEnvironment>,
        rewarder: Option<Rewarder>,
        reference: Gpt,
        policy: PolicySettings,
        settings: &TrainSettings,
        named: &str,
    ) -> Result<Self, TrainError> {
        policy.validate(settings.batch_rows)?;
        if let Some(rewarder) = &rewarder {
            let (own, its) = (reference.config(), rewarder.model.gpt().config());
            if its.vocab_size != own.vocab_size || its.max_seq_len < own.max_seq_len {
                return Err(TrainError::Setting {
                    name: "reward",
                    expected: "a reward model with the policy's vocabulary that reads as much",
                    found: format!("one of {} tokens that reads {}", its.vocab_size, its.max_seq_len),
                });
            }
        }
        let mut hash = Xxh3::new();
        hash.update(named.as_bytes());
        hash.update(&settings.seed.to_le_bytes());
        hash.update(serde_json::to_string(&policy).unwrap_or_default().as_bytes());
        let at = Place::first(policy.beta);
        Ok(Self {
            environment,
            rewarder,
            reference,
            policy,
            settings: settings.clone(),
            fingerprint: base::hash::hex(hash.digest128()),
            at,
            credits: Vec::new(),
            means: Means::default(),
            left_out: LeftOut::default(),
        })
    }

    /// Problems that could not be learned from, as they are counted.
    pub fn left_out(&self) -> LeftOut {
        Arc::clone(&self.left_out)
    }

    /// Problems of an iteration, with the seed of each answer.
    fn problems(&self) -> Vec<(u64, u64)> {
        let (iteration, group) = (self.at.iteration, self.policy.method.group());
        let n_problems = (self.policy.n_rollouts / group) as u64;
        let mut rng = Rng::named(self.settings.seed, &format!("rollouts of iteration {iteration}"));
        (0..self.policy.n_rollouts)
            .map(|i| (iteration * n_problems + (i / group) as u64, rng.next_u64()))
            .collect()
    }

    /// Answers of the policy, as long as an example may be.
    fn collect(
        &self,
        gpt: &Gpt,
        kernels: &dyn Kernels,
        side: Side,
        problems: &[(u64, u64)],
    ) -> Result<Collected, EnvironmentError> {
        let (rollout, max_seq_len) = (&self.policy.rollout, self.settings.seq_len);
        collect(gpt, kernels, &*self.environment, side, problems, rollout, max_seq_len)
    }

    /// Lets the policy answer; what cannot be learned from is left out.
    fn roll_out(
        &self,
        gpt: &Gpt,
        kernels: &dyn Kernels,
    ) -> Result<(Vec<Rollout>, Dropped), EnvironmentError> {
        let Collected { trajectories: all, left_out } =
            self.collect(gpt, kernels, Side::Training, &self.problems())?;
        let scores = self.scores(kernels, &all)?;
        let head = gpt.head_named(VALUE);
        let mut rollouts = Vec::with_capacity(all.len());
        for (trajectories, scores) in
            all.chunks(self.settings.micro_batch_rows).zip(scores.chunks(self.settings.micro_batch_rows))
        {
            let (tokens, rows) = packed(trajectories.iter());
            let logits = Wanted { rows: &rows, logits: true, head: None };
            let logits =
                self.reference.outputs(kernels, &tokens, logits).logits.expect("logits were asked for");
            let mut reference = log_probs(kernels, &self.replayed(trajectories), &logits).into_iter();
            let wanted = Wanted { rows: &rows, logits: false, head };
            let values = head.and_then(|_| gpt.outputs(kernels, &tokens, wanted).head);
            let mut values =
                values.map_or_else(|| vec![0.0; rows.len()], |head| head.f32().to_vec()).into_iter();
            for (trajectory, &score) in trajectories.iter().zip(scores) {
                let n = trajectory.actions.len();
                rollouts.push(Rollout {
                    trajectory: trajectory.clone(),
                    reference: reference.by_ref().take(n).collect(),
                    values: values.by_ref().take(n).collect(),
                    score,
                });
            }
        }
        Ok((rollouts, left_out))
    }

    /// What the reward model gives, weighted.
    fn scores(&self, kernels: &dyn Kernels, all: &[Trajectory]) -> Result<Vec<f64>, EnvironmentError> {
        let Some(Rewarder { model, weight }) = &self.rewarder else { return Ok(vec![0.0; all.len()]) };
        let texts: Vec<&[u32]> = all.iter().map(|trajectory| &trajectory.ids[..]).collect();
        let scores = model.scores(kernels, &texts).into_iter().zip(all);
        scores
            .map(|(score, trajectory)| {
                checked(trajectory.problem, weight * model.statistics().normalised(score))
            })
            .collect()
    }

    fn replayed<'a>(&'a self, trajectories: impl IntoIterator<Item = &'a Trajectory>) -> Vec<Replayed<'a>> {
        let (sampling, never) = (&self.policy.rollout.sampling, self.reference.config().never_written());
        trajectories
            .into_iter()
            .flat_map(|trajectory| {
                let replayed = move |action| Replayed { sampling, trajectory, action, never };
                (0..trajectory.actions.len()).map(replayed)
            })
            .collect()
    }

    /// What follows from the rollouts at hand.
    fn begin(&mut self) {
        self.credits = credits(&self.at.rollouts, &self.policy, self.at.beta);
        self.means = means(&self.at.rollouts, self.policy.cut_penalty);
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).0.clone_from(&self.at.left_out);
    }

    fn n_batches(&self) -> usize {
        self.policy.n_rollouts / self.settings.batch_rows
    }

    /// The rollouts of a batch of this iteration.
    fn drawn(&self, batch: usize) -> Vec<usize> {
        let (epoch, batch) = (batch / self.n_batches(), batch % self.n_batches());
        let name = format!("epoch {epoch} of iteration {}", self.at.iteration);
        let mut rng = Rng::named(self.settings.seed, &name);
        // Where some were left out, batches are smaller.
        let n = self.at.rollouts.len();
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, rng.below(i as u64 + 1) as usize);
        }
        let range = batch * n / self.n_batches()..(batch + 1) * n / self.n_batches();
        if range.is_empty() { vec![order[batch % n]] } else { order[range].to_vec() }
    }

    /// What is recorded of the iteration with each of its steps.
    fn record(&self, share: f64) -> BTreeMap<&'static str, f64> {
        let Means { reward, score, k1, k3, ended, length } = self.means;
        let all = [
            ("reward", reward),
            ("reward_model", score),
            ("kl_k1", k1),
            ("kl_k3", k3),
            ("ended", ended),
            ("length", length),
            ("beta", self.at.beta),
            ("iteration", self.at.iteration as f64),
            ("left_out", (self.policy.n_rollouts - self.at.rollouts.len()) as f64),
        ];
        all.into_iter().map(|(name, value)| (name, share * value)).collect()
    }
}

/// Trajectories one after another, and the rows that their actions are drawn from.
fn packed<'a>(trajectories: impl Iterator<Item = &'a Trajectory> + Clone) -> (Tokens, Vec<usize>) {
    let ids = trajectories.clone().flat_map(|trajectory| trajectory.inputs()).copied().collect();
    let tokens = Tokens::packed(ids, trajectories.clone().map(|trajectory| trajectory.inputs().len()));
    let (mut rows, mut start) = (Vec::new(), 0);
    for trajectory in trajectories {
        rows.extend(trajectory.actions.iter().map(|action| start + action.at - 1));
        start += trajectory.inputs().len();
    }
    (tokens, rows)
}

impl Objective for PolicyGradient {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Lets the policy answer where the answers before are used up.
    fn prepare(&mut self, learner: &mut Learner, kernels: &dyn Kernels) -> Result<Readiness, TrainError> {
        if self.at.batch == self.policy.steps_per_iteration(self.settings.batch_rows) {
            self.at = self.next_iteration();
        }
        if !self.at.rollouts.is_empty() {
            return Ok(Readiness::Ready);
        }
        if self.at.iteration == 0
            && let (Some(head), Some(Rewarder { model, weight })) =
                (learner.gpt().head_named(VALUE), &self.rewarder)
            && model.head().len() == learner.gpt().config().d_model
        {
            // What an answer is worth at its end is a beginning for what it will be worth.
            let scale = weight / model.statistics().std;
            let own = learner.gpt_mut().params_mut().heads[head].weight.f32_mut();
            own.iter_mut().zip(model.head()).for_each(|(own, its)| *own = (scale * f64::from(*its)) as f32);
        }
        learner.gpt_mut().pack(kernels);
        let (rollouts, left_out) =
            self.roll_out(learner.gpt(), kernels).map_err(|error| TrainError::Objective(Box::new(error)))?;
        self.at.rollouts = rollouts;
        for (reason, n) in left_out.0 {
            *self.at.left_out.entry(reason).or_default() += n;
        }
        self.begin();
        // Of the two estimates the one that chance makes no smaller than 0.
        let is_far = self.policy.max_kl.is_some_and(|most| self.means.k3 > most);
        if is_far {
            self.at.rollouts.clear();
            return Ok(Readiness::Enough);
        }
        Ok(Readiness::Ready)
    }

    fn next(&mut self) -> Batch {
        let drawn = self.drawn(self.at.batch);
        let rollouts = &self.at.rollouts;
        let micro_batches: Vec<MicroBatch> = drawn
            .chunks(self.settings.micro_batch_rows)
            .map(|examples| {
                let (tokens, _) = packed(examples.iter().map(|i| &rollouts[*i].trajectory));
                let targets = vec![IGNORE_TARGET; tokens.len()];
                MicroBatch { examples: examples.to_vec(), ..MicroBatch::new(tokens, targets) }
            })
            .collect();
        let n_actions: usize = drawn.iter().map(|i| rollouts[*i].trajectory.actions.len()).sum();
        let denominator = match self.policy.method {
            // The gradient of a mean over answers, short ones and long ones alike.
            Method::Grpo { normalise: false, .. } => drawn.len() as f64,
            _ => n_actions.max(1) as f64,
        };
        self.at.batch += 1;
        let n_tokens = micro_batches.iter().map(|batch| batch.tokens.len() as u64).sum();
        Batch { micro_batches, denominator, n_tokens }
    }

    fn add_gradients(
        &mut self,
        learner: &mut Learner,
        kernels: &dyn Kernels,
        batch: &MicroBatch,
        scale: f64,
    ) -> Scalars {
        let rollouts: Vec<&Rollout> = batch.examples.iter().map(|i| &self.at.rollouts[*i]).collect();
        let trajectories = || rollouts.iter().map(|rollout| &rollout.trajectory);
        let credits: Vec<Credit> = batch.examples.iter().flat_map(|i| &self.credits[*i]).copied().collect();
        let old: Vec<f64> = trajectories().flat_map(|t| &t.actions).map(|a| f64::from(a.log_prob)).collect();
        let old_values: Vec<f64> = rollouts.iter().flat_map(|r| &r.values).map(|&v| f64::from(v)).collect();
        let replayed = self.replayed(trajectories());
        let (_, rows) = packed(trajectories());
        let n = rows.len() as f64;
        let clip = self.policy.clip;
        let (gpt, grads) = learner.parts_mut();
        let head = gpt.head_named(VALUE);
        let wanted = Wanted { rows: &rows, logits: true, head };
        let (mut policy_loss, mut value_loss, mut n_clipped, mut ratio, mut entropy) =
            (0.0, 0.0, 0.0, 0.0, 0.0);
        gpt.add_output_gradients(kernels, &batch.tokens, wanted, grads, |outputs| {
            let logits = outputs.logits.as_ref().expect("logits were asked for");
            let slope = |i: usize, log_prob: f32| {
                scale * surrogate::policy(f64::from(log_prob) - old[i], credits[i].advantage, clip).1
            };
            let (learned, dy) = gradients(kernels, &replayed, logits, &slope);
            for (i, learned) in learned.iter().enumerate() {
                let log_ratio = f64::from(learned.log_prob) - old[i];
                let (loss, _, is_clipped) = surrogate::policy(log_ratio, credits[i].advantage, clip);
                policy_loss += loss;
                n_clipped += f64::from(u8::from(is_clipped));
                ratio += log_ratio.exp();
                entropy += learned.entropy;
            }
            let values = outputs.head.as_ref().zip(match self.policy.method {
                Method::Ppo { clip_value, value_weight, .. } => Some((clip_value, value_weight)),
                Method::Grpo { .. } => None,
            });
            let head = values.map(|(values, (clip_value, value_weight))| {
                let slopes = values.f32().iter().enumerate().map(|(i, &value)| {
                    let (loss, slope) =
                        surrogate::value(f64::from(value), old_values[i], credits[i].target, clip_value);
                    value_loss += value_weight * loss;
                    (scale * value_weight * slope) as f32
                });
                Tensor::from_f32(&[values.shape()[0], 1], slopes.collect())
            });
            (Outputs { logits: Some(dy), head }, ())
        });
        // Each is a mean over the actions of the batch, whatever the gradient is divided by.
        let n_actions: usize =
            self.drawn(self.at.batch - 1).iter().map(|i| self.at.rollouts[*i].trajectory.actions.len()).sum();
        let per_action = 1.0 / n_actions.max(1) as f64;
        let mut others = self.record(n * per_action);
        let means =
            [("clipped", n_clipped), ("ratio", ratio), ("entropy", entropy), ("value_loss", value_loss)];
        others.extend(means.map(|(name, sum)| (name, per_action * sum)));
        Scalars { loss_nats: scale * (policy_loss + value_loss), others }
    }

    fn cursor(&self) -> Value {
        let mut at = self.at.clone();
        if at.batch == self.policy.steps_per_iteration(self.settings.batch_rows) {
            at = self.next_iteration();
        }
        serde_json::to_value(at).expect("plain data is valid JSON")
    }

    fn seek(&mut self, cursor: &Value) -> Result<(), TrainError> {
        let at: Place = read_cursor(cursor)?;
        let n = at.rollouts.len();
        if n > self.policy.n_rollouts {
            return Err(not_a_cursor(format!("{n} rollouts of {}", self.policy.n_rollouts)));
        }
        self.at = at;
        self.begin();
        Ok(())
    }

    /// Minus the mean reward of answers to held-out problems, the divergence left out.
    fn validate(&self, gpt: &Gpt, kernels: &dyn Kernels, _: bool) -> Result<Validation, TrainError> {
        let mut rng = Rng::named(self.settings.seed, "held-out answers");
        let problems: Vec<(u64, u64)> =
            (0..self.policy.n_held_out).map(|i| (i as u64, rng.next_u64())).collect();
        let rewards = || -> Result<Vec<f64>, EnvironmentError> {
            let all = self.collect(gpt, kernels, Side::HeldOut, &problems)?.trajectories;
            let scores = self.scores(kernels, &all)?.into_iter();
            Ok(scores.zip(&all).map(|(score, trajectory)| -(score + trajectory.reward())).collect())
        };
        Ok(crate::validation(&rewards().map_err(|error| TrainError::Objective(Box::new(error)))?))
    }
}

impl PolicyGradient {
    /// The place behind the rollouts at hand.
    fn next_iteration(&self) -> Place {
        let beta = match self.policy.kl_target {
            Some(target) => target.next(self.at.beta, self.means.k1, self.policy.n_rollouts),
            None => self.at.beta,
        };
        self.at.next_iteration(beta)
    }
}
