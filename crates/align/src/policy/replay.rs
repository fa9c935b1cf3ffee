//! The distributions that tokens of a rollout were drawn from, under the learner's logits.

use std::sync::OnceLock;

use model::{Sampling, decode::Distribution};
use tensor::{Kernels, Tensor};

use super::Trajectory;

/// An action with its row of logits.
pub(super) struct Replayed<'a> {
    pub(super) sampling: &'a Sampling,
    pub(super) trajectory: &'a Trajectory,
    pub(super) action: usize,
    /// The token that was not drawn in any case.
    pub(super) never: Option<u32>,
}

impl Replayed<'_> {
    fn before(&self) -> &[u32] {
        &self.trajectory.ids[..self.trajectory.actions[self.action].at]
    }

    /// The token that was drawn.
    fn token(&self) -> u32 {
        self.trajectory.ids[self.trajectory.actions[self.action].at]
    }

    /// The distribution over what might have been drawn; to the bit the sampler's where the logits are.
    fn distribution(&self, logits: &[f32]) -> Distribution {
        match &self.trajectory.actions[self.action].kept {
            Some(kept) => self.sampling.distribution_over(kept, logits, self.before(), &[]),
            None => self.sampling.distribution_within(logits, self.before(), &[], None, self.never),
        }
    }
}

/// `ln p` of each action under `logits`, a row each.
pub(super) fn log_probs(kernels: &dyn Kernels, replayed: &[Replayed], logits: &Tensor) -> Vec<f32> {
    let v = logits.last_dim();
    each(kernels, replayed.len(), &|i| {
        replayed[i].distribution(&logits.f32()[i * v..][..v]).logprob(replayed[i].token())
    })
}

/// What an action's log-probability is under the learner.
pub(super) struct Learned {
    pub(super) log_prob: f32,
    /// Of the distribution, in nats.
    pub(super) entropy: f64,
}

/// As [`log_probs`], with entropies and the gradients of `Σ slopes·ln p` with respect to the logits; `slope` is given the number
/// of an action and its log-probability.
pub(super) fn gradients(
    kernels: &dyn Kernels,
    replayed: &[Replayed],
    logits: &Tensor,
    slope: &(dyn Fn(usize, f32) -> f64 + Sync),
) -> (Vec<Learned>, Tensor) {
    let v = logits.last_dim();
    let rows = each(kernels, replayed.len(), &|i| {
        let (row, token) = (&logits.f32()[i * v..][..v], replayed[i].token());
        let distribution = replayed[i].distribution(row);
        let log_prob = distribution.logprob(token);
        let Sampling { temperature, repetition_penalty: penalty, .. } = *replayed[i].sampling;
        let slope = slope(i, log_prob) / temperature;
        let (mut entropy, mut dy) = (0.0, vec![0.0f64; v]);
        for (id, p) in distribution.probabilities() {
            dy[id as usize] = -slope * p;
            entropy -= if p > 0.0 { p * p.ln() } else { 0.0 };
        }
        dy[token as usize] += slope;
        if penalty != 1.0 {
            let mut seen = replayed[i].before().to_vec();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                dy[id as usize] *= if row[id as usize] > 0.0 { 1.0 / penalty } else { penalty };
            }
        }
        (Learned { log_prob, entropy }, dy.into_iter().map(|x| x as f32).collect::<Vec<f32>>())
    });
    let (learned, rows): (Vec<Learned>, Vec<Vec<f32>>) = rows.into_iter().unzip();
    (learned, Tensor::from_f32(&[replayed.len(), v], rows.concat()))
}

/// `f(0)`, …, `f(n − 1)`, on the kernels' threads.
fn each<T: Send + Sync>(kernels: &dyn Kernels, n: usize, f: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let cells: Vec<OnceLock<T>> = (0..n).map(|_| OnceLock::new()).collect();
    kernels.for_each(n, &|i| {
        // Every task fills a cell of its own.
        let _ = cells[i].set(f(i));
    });
    cells.into_iter().filter_map(OnceLock::into_inner).collect()
}
