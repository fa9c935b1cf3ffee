//! A rollout with what is known of it before it is learned from.

use serde::{Deserialize, Serialize};

use super::{Method, PolicySettings, Trajectory, gae, group_advantages, k1, k3, whiten};

/// A rollout with what is known of it before it is learned from; a checkpoint between two steps holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollout {
    pub(super) trajectory: Trajectory,
    /// `ln π_ref` of each action, under the same processing.
    pub(super) reference: Vec<f32>,
    /// What was expected before each action; 0 without a value head.
    pub(super) values: Vec<f32>,
    /// Of the whole answer, from a reward model.
    pub(super) score: f64,
}

/// What an action is learned with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Credit {
    pub(super) advantage: f64,
    /// What the value head should have said.
    pub(super) target: f64,
}

/// Means over the rollouts of an iteration, each a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Means {
    pub(super) reward: f64,
    pub(super) score: f64,
    pub(super) k1: f64,
    pub(super) k3: f64,
    pub(super) ended: f64,
    pub(super) length: f64,
}

impl Rollout {
    /// What the answer was rewarded with, the divergence left out.
    pub(super) fn reward(&self, cut_penalty: f64) -> f64 {
        let penalty = if self.trajectory.has_ended { 0.0 } else { cut_penalty };
        self.trajectory.reward() + self.score - penalty
    }

    /// Sums of an estimate of the divergence over the actions.
    fn divergence(&self, estimate: fn(f64, f64) -> f64) -> f64 {
        let actions = self.trajectory.actions.iter().zip(&self.reference);
        actions.map(|(action, reference)| estimate(f64::from(action.log_prob), f64::from(*reference))).sum()
    }

    /// The reward of each action: its divergence, and what was given after it.
    fn rewards(&self, beta: f64, cut_penalty: f64) -> Vec<f64> {
        let actions = self.trajectory.actions.iter().zip(&self.reference);
        let mut rewards: Vec<f64> = actions
            .map(|(action, reference)| -beta * k1(f64::from(action.log_prob), f64::from(*reference)))
            .collect();
        for (after, reward) in &self.trajectory.rewards {
            if let Some(own) = rewards.get_mut(after.saturating_sub(1)) {
                *own += reward;
            }
        }
        if let Some(last) = rewards.last_mut() {
            *last += self.score - if self.trajectory.has_ended { 0.0 } else { cut_penalty };
        }
        rewards
    }
}

/// Means over rollouts.
pub(super) fn means(rollouts: &[Rollout], cut_penalty: f64) -> Means {
    let n = rollouts.len() as f64;
    let mean = |value: &dyn Fn(&Rollout) -> f64| rollouts.iter().map(value).sum::<f64>() / n;
    Means {
        reward: mean(&|rollout| rollout.reward(cut_penalty)),
        score: mean(&|rollout| rollout.score),
        k1: mean(&|rollout| rollout.divergence(k1)),
        k3: mean(&|rollout| rollout.divergence(k3)),
        ended: mean(&|rollout| f64::from(u8::from(rollout.trajectory.has_ended))),
        length: mean(&|rollout| rollout.trajectory.actions.len() as f64),
    }
}

/// What each action of each rollout is learned with. Rollouts of one prompt stand together.
pub(super) fn credits(rollouts: &[Rollout], settings: &PolicySettings, beta: f64) -> Vec<Vec<Credit>> {
    let rewards = |rollout: &Rollout| rollout.rewards(beta, settings.cut_penalty);
    match settings.method {
        Method::Ppo { gamma, lambda, whiten: is_whitened, .. } => {
            let mut all: Vec<Vec<Credit>> = rollouts
                .iter()
                .map(|rollout| {
                    let values: Vec<f64> = rollout.values.iter().map(|&value| f64::from(value)).collect();
                    let advantages = gae(&rewards(rollout), &values, gamma, lambda);
                    // Targets before whitening.
                    let pairs = advantages.iter().zip(&values);
                    pairs.map(|(&advantage, value)| Credit { advantage, target: advantage + value }).collect()
                })
                .collect();
            if is_whitened {
                let mut flat: Vec<f64> = all.iter().flatten().map(|credit| credit.advantage).collect();
                whiten(&mut flat);
                all.iter_mut()
                    .flatten()
                    .zip(flat)
                    .for_each(|(credit, advantage)| credit.advantage = advantage);
            }
            all
        }
        Method::Grpo { normalise, .. } => {
            // Of a group some may have been left out.
            let advantages = rollouts
                .chunk_by(|one, next| one.trajectory.problem == next.trajectory.problem)
                .flat_map(|group| {
                    let returns: Vec<f64> =
                        group.iter().map(|rollout| rewards(rollout).iter().sum()).collect();
                    group_advantages(&returns, normalise)
                });
            let credits = rollouts.iter().zip(advantages);
            credits
                .map(|(rollout, advantage)| {
                    vec![Credit { advantage, target: 0.0 }; rollout.trajectory.actions.len()]
                })
                .collect()
        }
    }
}
